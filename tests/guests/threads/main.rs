//! Threads take turns in the order they were made, and switch only where they say so.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread::{self, Builder};

toro::main!(main);

fn main() {
    let threads: Vec<_> = ["A", "B", "C"]
        .into_iter()
        .map(|name| {
            let body = move || {
                for turn in 1..=2 {
                    println!("{name}{turn}");
                    thread::yield_now();
                }
                assert_eq!(thread::current().name(), Some(name));
            };
            Builder::new().name(name.to_string()).spawn(body).expect("there is memory for a thread")
        })
        .collect();
    println!("none has run yet");
    for thread in threads {
        thread.join().expect("the thread returns");
    }
    assert_eq!(thread::current().name(), Some("main"));
    println!("all have ended");
}
