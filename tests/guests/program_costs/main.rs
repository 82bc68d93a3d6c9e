//! What the door to ring 3 costs: nanoseconds an operation, which are instructions under QEMU's `-icount shift=0` with
//! `tsc_khz=1000000` on the command line. Take the release build.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "code for ring 3")]

#[path = "../programs/mod.rs"]
mod programs;

use programs::{CODE, DATA, PAGE, go, load, pages, program};
use toro::prelude::*;
use toro::time::Instant;
use toro::user::{Context, Event, Rights, run};

toro::main!(main);

program!(calls: "2: syscall" "jmp 2b");
program!(touches: "2: mov [rdi], rdi" "add rdi, 4096" "jmp 2b");

const ROUNDS: usize = 1000;

fn main() {
    let pages = pages();
    let mut context = load(&pages, calls());
    go(&mut context);
    measure("call that does nothing, with its two instructions", || {
        let mut calls = 0;
        while calls < ROUNDS {
            calls += usize::from(run(&mut context) == Event::Syscall);
        }
    });

    let mut context = load(&pages, touches());
    context.registers_mut().rdi = (DATA + PAGE) as u64;
    measure("page that is there when it is touched, with two instructions", || {
        for number in 0..ROUNDS {
            let Event::Fault(fault) = go(&mut context) else { panic!("it touches what is not there") };
            assert_eq!(fault.address, DATA + (number + 1) * PAGE);
            pages.map(fault.address, Rights::ReadWrite).expect("memory");
        }
    });
    measure("page taken back", || pages.unmap(DATA + PAGE..DATA + (ROUNDS + 1) * PAGE).expect("a range"));

    let mut bytes = [0; 64];
    measure("copy of 64 bytes to the kernel", || {
        (0..ROUNDS).for_each(|_| pages.read(DATA, &mut bytes).expect("mapped"));
    });
    let mut page = vec![0; PAGE];
    measure("copy of 4096 bytes to a program", || {
        (0..ROUNDS).for_each(|_| pages.write(DATA, &page).expect("mapped"));
    });
    page.clear();

    let mut context = load(&pages, calls());
    let mut other = Context::new(&pages, CODE as u64, 0).expect("memory");
    measure("two programs that call in turn, a call", || {
        for _ in 0..ROUNDS / 2 {
            assert_eq!((go(&mut context), go(&mut other)), (Event::Syscall, Event::Syscall));
        }
    });
}

fn measure(what: &str, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    println!("{what}: {}", start.elapsed().as_nanos() / ROUNDS as u128);
}
