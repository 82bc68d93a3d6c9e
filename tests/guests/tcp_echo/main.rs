//! Sends back what comes on port 7, a thread for each connection, each to its end.
#![no_std]
#![no_main]

use toro::io::{self, Write};
use toro::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use toro::prelude::*;
use toro::thread;

toro::main!(main);

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 7))?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || match echo(stream) {
            Ok(bytes) => println!("{bytes} bytes"),
            Err(error) => println!("{:?}", error.kind()),
        });
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let mut input = stream.try_clone()?;
    let bytes = io::copy(&mut input, &mut stream)?;
    stream.flush()?;
    stream.shutdown(Shutdown::Write)?;
    Ok(bytes)
}
