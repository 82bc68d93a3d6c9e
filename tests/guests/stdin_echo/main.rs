//! Sends its input back, byte for byte, to the end; then says on stderr how much it was.
#![no_std]
#![no_main]

use toro::io::{self, Write};
use toro::prelude::*;

toro::main!(main);

fn main() -> io::Result<()> {
    let copied = io::copy(&mut io::stdin(), &mut io::stdout())?;
    io::stdout().flush()?;
    eprintln!("{copied} bytes");
    Ok(())
}
