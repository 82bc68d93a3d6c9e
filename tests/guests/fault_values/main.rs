//! Values that are raised, nesting, raising again, choosing by kind, panics, and what is counted.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::fault::{self, Fault, Kind, catch};
use toro::prelude::*;
use toro::sync::atomic::{AtomicU32, Ordering::Relaxed};
use toro::thread::{self, Builder};

toro::main!(main);

#[derive(Debug, PartialEq)]
struct Busy(u32);

fn divide_by(divisor: u32) -> u32 {
    1000 / divisor
}

/// The fault by which it ends.
fn fault_of(f: fn()) -> Fault {
    catch(f).expect_err("it does not return")
}

fn main() {
    values();
    nesting();
    panics();
    names();
    lost();
    endings();
    println!("as it is said");
}

fn values() {
    assert_eq!(catch(|| 7).expect("it returns"), 7);
    let fault = fault_of(|| fault::raise(Busy(7)));
    assert_eq!((fault.kind(), fault.value::<Busy>(), fault.value::<u32>()), (Kind::Raised, Some(&Busy(7)), None));
    assert!(fault.registers().is_none() && fault.message().ends_with("Busy"), "{fault}");
    let fault = fault.downcast::<String>().expect_err("it is no string");
    assert_eq!(fault.downcast::<Busy>().expect("it is"), Busy(7));
    let text = fault_of(|| fault::raise(String::from("text"))).downcast::<String>();
    assert_eq!(text.as_deref(), Ok("text"));
}

fn nesting() {
    // What is not wanted here is raised again, and is the same outside.
    let outer = fault_of(|| {
        let inner = fault_of(|| fault::raise(Busy(1)));
        assert_eq!(inner.kind(), Kind::Raised);
        let where_it_was = inner.instruction();
        let again = catch(move || -> () { inner.raise() }).expect_err("it raises again");
        assert_eq!((again.instruction(), again.value()), (where_it_was, Some(&Busy(1))));
        again.raise()
    });
    assert_eq!(outer.downcast::<Busy>(), Ok(Busy(1)));
    let chosen = |divisor: u32| match catch(move || divide_by(black_box(divisor))) {
        Ok(quotient) => quotient,
        Err(fault) if fault.kind() == Kind::Panic => u32::MAX,
        Err(fault) => fault.raise(),
    };
    assert_eq!((chosen(10), chosen(0)), (100, u32::MAX));
    // Deeper than anybody would.
    fn deep(level: u32) -> u32 {
        if level == 0 {
            fault::raise(level);
        }
        match catch(move || deep(level - 1)) {
            Err(fault) if level < 20 => fault.raise(),
            Err(fault) => fault.downcast::<u32>().expect("a number") + level,
            Ok(_) => unreachable!(),
        }
    }
    assert_eq!(deep(20), 20);
}

struct PanicsWhenPrinted;

impl core::fmt::Display for PanicsWhenPrinted {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        panic!("inside of a message: {PanicsWhenPrinted}")
    }
}

fn panics() {
    let fault = catch(|| divide_by(black_box(0))).expect_err("it panics");
    assert!(fault.message().contains("main.rs:") && fault.message().contains("divide by zero"), "{fault}");
    let fault = fault_of(|| panic!("{} of {}", 3, 2));
    assert!(fault.message().ends_with("3 of 2") && fault.to_string().contains("panicked at"), "{fault}");
    assert_eq!(fault_of(|| panic!("{PanicsWhenPrinted}")).kind(), Kind::Panic);
    let same = || catch(|| divide_by(black_box(0)));
    assert_eq!(same(), same());
    assert_ne!(same(), catch(|| panic!("another")));
}

fn names() {
    let id = thread::current().id();
    let caught = Builder::new().name("worker".to_string()).spawn(|| {
        let inside = catch(|| thread::current().name().map(String::from)).expect("it returns");
        (inside, fault_of(|| fault::raise(1)).to_string())
    });
    let (inside, said) = caught.expect("a thread").join().expect("it returns");
    assert_eq!(inside.as_deref(), Some("worker"));
    assert!(said.contains("'worker'"), "{said}");
    assert_eq!(thread::current().id(), id);
}

fn lost() {
    let lost = |f: fn()| {
        let before = fault::stats().lost_bytes;
        assert!(catch(f).is_err());
        fault::stats().lost_bytes - before
    };
    assert_eq!(lost(|| panic!("nothing is held")), 0);
    let vector = || {
        let held = black_box(vec![1_u8; 1000]);
        panic!("{} bytes", held.len())
    };
    assert_eq!(lost(vector), 1000);
    let changes = || {
        let mut held: Vec<u64> = Vec::with_capacity(10);
        (0..1000).for_each(|number| held.push(number)); // grows and moves
        drop(black_box(vec![0; 5000]));
        let boxes = [black_box(Box::new([0_u8; 3])), Box::new([0; 3])];
        held.shrink_to_fit();
        panic!("{} {}", held.len(), boxes.len())
    };
    assert_eq!(lost(changes), 8000 + 6);
    // What threads gave back to those who joined them counts, and threads cost nothing.
    let joins = || {
        let made = thread::spawn(|| vec![0_u8; 500]).join().expect("it returns");
        let given = black_box(vec![0_u8; 70]);
        thread::spawn(move || drop(given)).join().expect("it returns");
        for _ in 0..5 {
            fault_of(|| fault::raise(3));
            drop(Builder::new().name("named".to_string()).spawn(thread::yield_now));
        }
        thread::sleep(toro::time::Duration::from_millis(1));
        panic!("{} bytes", made.len())
    };
    assert_eq!(lost(joins), 500);
}

struct Loud;

static DROPPED: AtomicU32 = AtomicU32::new(0);

impl Drop for Loud {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Relaxed);
    }
}

toro::thread_local! {
    static PLAIN: [u64; 8] = [7; 8];
    static LOUD: Loud = Loud;
}

fn endings() {
    // No destructor runs, neither of the frames' values nor of thread-local ones.
    let before = fault::stats().lost_bytes;
    let ended = fault_of(|| {
        let loud = Loud;
        PLAIN.with(|plain| assert_eq!(plain[0], 7));
        LOUD.with(|_| {});
        black_box(&loud);
        fault::raise(Loud)
    });
    assert_eq!(DROPPED.load(Relaxed), 0);
    assert_eq!(fault::stats().lost_bytes - before, 16); // the loud one, in its box; the plain one was freed
    drop(ended); // the raised value is ours
    assert_eq!(DROPPED.load(Relaxed), 1);
    // Nobody asks: the value is dropped all the same.
    drop(Builder::new().spawn(|| -> () { fault::raise(Loud) }));
    thread::sleep(toro::time::Duration::from_millis(1));
    assert_eq!(DROPPED.load(Relaxed), 2);
}
