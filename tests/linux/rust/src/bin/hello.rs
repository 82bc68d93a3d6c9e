//! The first program of all.

fn main() {
    println!("Hello, world");
}
