//! A client: connects to the address it is given, says what else it is given, and prints the answer.
#![no_std]
#![no_main]

use toro::io::{Read, Write};
use toro::net::TcpStream;
use toro::prelude::*;

toro::main!(main);

fn main() -> toro::io::Result<()> {
    let mut arguments = toro::env::args().skip(1);
    let address = arguments.next().expect("an address");
    let mut stream = TcpStream::connect(address.as_str())?;
    for word in arguments {
        stream.write_all(word.as_bytes())?;
        stream.write_all(b"\n")?;
    }
    stream.shutdown(toro::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    print!("{answer}");
    Ok(())
}
