//! Once, OnceLock and LazyLock: made once, while all others wait.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::atomic::{AtomicU32, Ordering};
use toro::sync::{LazyLock, Once, OnceLock};
use toro::thread;

toro::main!(main);

static RUNS: AtomicU32 = AtomicU32::new(0);
static ONCE: Once = Once::new();
static CELL: OnceLock<String> = OnceLock::new();
static LAZY: LazyLock<Vec<u32>> = LazyLock::new(|| {
    count();
    vec![1, 2, 3]
});

/// Lets the others run in the middle, so that they all come while one is at it.
fn count() {
    RUNS.fetch_add(1, Ordering::Relaxed);
    thread::yield_now();
}

fn main() {
    assert_eq!(CELL.get(), None);
    let threads: Vec<_> = (0..10)
        .map(|number| {
            thread::spawn(move || {
                ONCE.call_once(count);
                assert!(ONCE.is_completed());
                let text = CELL.get_or_init(|| {
                    count();
                    format!("by {number}")
                });
                (text.as_str(), LAZY.len())
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join(), Ok(("by 0", 3)));
    }
    assert_eq!(CELL.set("again".to_string()), Err("again".to_string()));
    println!("{} runs", RUNS.load(Ordering::Relaxed));
}
