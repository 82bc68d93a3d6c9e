//! Port input and output.

#![expect(unsafe_code, reason = "port instructions")]

use core::arch::asm;

macro_rules! port {
    ($read:ident, $write:ident, $type:ty, $register:tt, $in:literal, $out:literal) => {
        #[doc = concat!("Reads a `", stringify!($type), "` from `port`.")]
        #[inline]
        pub fn $read(port: u16) -> $type {
            let value;
            // SAFETY: device ports cannot reach memory that Rust knows of (no device here does DMA by port).
            unsafe { asm!($in, in("dx") port, out($register) value, options(nomem, nostack, preserves_flags)) };
            value
        }

        #[doc = concat!("Writes a `", stringify!($type), "` to `port`.")]
        #[inline]
        pub fn $write(port: u16, value: $type) {
            // SAFETY: as for reading.
            unsafe { asm!($out, in("dx") port, in($register) value, options(nomem, nostack, preserves_flags)) };
        }
    };
}

port!(inb, outb, u8, "al", "in al, dx", "out dx, al");
port!(inw, outw, u16, "ax", "in ax, dx", "out dx, ax");
port!(inl, outl, u32, "eax", "in eax, dx", "out dx, eax");

/// Writes all `bytes` to one port, by one string instruction.
#[inline]
pub fn write_bytes(port: u16, bytes: &[u8]) {
    // SAFETY: the instruction reads `bytes.len()` bytes from `bytes`, and the direction flag is clear.
    unsafe {
        asm!("rep outsb", in("dx") port, inout("rsi") bytes.as_ptr() => _, inout("rcx") bytes.len() => _,
             options(readonly, nostack, preserves_flags));
    }
}
