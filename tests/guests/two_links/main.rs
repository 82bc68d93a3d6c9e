//! Connects to each of its arguments and says from which address; then sends back what comes on port 7.
#![no_std]
#![no_main]

use toro::io::{self, Read, Write};
use toro::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use toro::prelude::*;
use toro::{env, thread};

toro::main!(main);

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7))?;
    for address in env::args().skip(1) {
        let mut stream = TcpStream::connect(&*address)?;
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])?;
        println!("{} from {}", stream.peer_addr()?.ip(), stream.local_addr()?.ip());
    }
    for stream in listener.incoming() {
        let mut stream = stream?;
        thread::spawn(move || {
            let mut input = stream.try_clone()?;
            io::copy(&mut input, &mut stream)?;
            stream.shutdown(Shutdown::Write)
        });
    }
    Ok(())
}
