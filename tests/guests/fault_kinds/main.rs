//! Every exception in a thread that is joined, in a closure that is caught, and on the last core: each ends that and no more.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "instructions that the processor refuses")]

#[path = "../exceptions/mod.rs"]
mod exceptions;

use toro::fault::{self, Fault, Kind, catch};
use toro::prelude::*;
use toro::thread::{self, Builder};

toro::main!(main);

fn main() {
    let last = thread::cores().last().expect("a machine has a core");
    for (name, raise, said) in exceptions::ALL {
        let joined = thread::spawn(raise).join();
        let caught = catch(raise);
        let elsewhere = Builder::new().core(last).catch(raise).expect("a thread");
        for (fault, core) in [(joined, thread::current_core()), (caught, thread::current_core()), (elsewhere, last)] {
            let fault = fault.expect_err("it does not return");
            assert!(fault.to_string().contains(said), "{name}: {fault}");
            assert_eq!(fault.core(), core, "{name}");
            check(name, &fault);
        }
    }
    let count = 3 * exceptions::ALL.len() as u64;
    let stats = fault::stats();
    assert_eq!((stats.faults, stats.caught, stats.lost_bytes), (count, count / 3 * 2, 0));
    println!("{count} faults, and main goes on");
}

/// Where it was, and what was in the registers.
fn check(name: &str, fault: &Fault) {
    let registers = fault.registers().expect("an exception has registers");
    assert_eq!(fault.instruction() as u64, registers.rip, "{name}");
    assert_eq!(fault.backtrace()[0], fault.instruction(), "{name}");
    match fault.kind() {
        Kind::DivideError => assert_eq!(registers.rcx as u32, 0),
        Kind::StackOverflow { address } => assert_eq!(address as u64, registers.rsp - 8),
        Kind::Page { address, .. } if name == "read_absent" => assert_eq!(address as u64, registers.rax),
        Kind::Page { .. } if name == "jump_null" => assert_eq!(registers.rip, 0),
        _ => {}
    }
    // The one that uses the frame pointer for something else has no calls to tell of.
    let depth = fault.backtrace().len();
    assert!(depth > 2 || name == "stack_segment", "{name}: {depth} frames");
}
