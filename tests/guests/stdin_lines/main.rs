//! Answers each line of its input when it comes, while another thread works.
#![no_std]
#![no_main]

use toro::io;
use toro::prelude::*;
use toro::thread;
use toro::time::Duration;

toro::main!(main);

fn main() -> io::Result<()> {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(1));
        }
    });
    println!("ready");
    for line in io::stdin().lines() {
        println!("got {}", line?);
    }
    println!("end");
    Ok(())
}
