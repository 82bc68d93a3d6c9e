//! Panics that are caught, and ends by signals that Rust's runtime tells of.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::thread;

/// Says when it is dropped.
struct Noted(&'static str);

impl Drop for Noted {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}

/// Panics when it is dropped.
struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("while dropped");
    }
}

fn divide(by: i32) -> i32 {
    let _noted = Noted("divide");
    10 / by
}

fn endless(depth: u64) -> u64 {
    let room = black_box([depth; 512]);
    endless(depth + 1) + room[depth as usize % 512]
}

fn caught() {
    println!("{}", catch_unwind(|| divide(black_box(0))).is_err());
    let mut seen = 0;
    let nested = catch_unwind(AssertUnwindSafe(|| {
        let _outer = Noted("outer");
        let inner = catch_unwind(|| panic_any(7_u32)).unwrap_err();
        seen = *inner.downcast_ref::<u32>().unwrap();
        resume_unwind(inner);
    }));
    println!("{seen} {:?}", nested.unwrap_err().downcast_ref::<u32>());
    let joined = thread::spawn(|| divide(black_box(0))).join();
    println!("{:?}", joined.unwrap_err().downcast_ref::<&str>());
    let _hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let count = (0..1000).filter(|number| catch_unwind(|| divide(black_box(*number % 2))).is_err()).count();
    println!("{count}");
}

/// The default one prints addresses when a panic may not unwind.
fn tell_only_where() {
    std::panic::set_hook(Box::new(|info| println!("panic in line {}", info.location().map_or(0, |at| at.line()))));
}

extern "C" fn never_unwinds() {
    panic!("out of a function of C");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("twice") => {
            tell_only_where();
            let _bad = Bad;
            panic!("the first");
        }
        Some("overflow-thread") => {
            let thread = thread::Builder::new().name("deep".into()).spawn(|| endless(0)).unwrap();
            println!("{:?}", thread.join().is_err());
        }
        Some("unwinding-out") => {
            tell_only_where();
            never_unwinds();
        }
        Some("abort") => {
            let _noted = Noted("never");
            std::process::abort()
        }
        _ => caught(),
    }
}
