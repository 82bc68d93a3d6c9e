//! Ends with status 42.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "defines the entry that `toro::main!` will")]

#[unsafe(no_mangle)]
fn toro_main() -> i32 {
    toro_kernel::console::stdout(b"hello from ring 0\n");
    42
}
