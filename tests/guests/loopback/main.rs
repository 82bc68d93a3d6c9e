//! Talks to itself, over TCP and UDP, without any network card.
#![no_std]
#![no_main]

use toro::io::{self, Read, Write};
use toro::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use toro::prelude::*;
use toro::thread;

toro::main!(main);

const BYTES: usize = 300_000;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        io::Result::Ok(all.len())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&vec![7; BYTES])?;
    drop(stream);
    println!("tcp: {}", server.join().expect("the thread returns")?);

    let (one, two) = (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    one.connect(two.local_addr()?)?;
    one.send(b"datagram")?;
    let mut buffer = [0; 100];
    let (length, peer) = two.recv_from(&mut buffer)?;
    println!("udp: {:?} from the right one: {}", core::str::from_utf8(&buffer[..length]), peer == one.local_addr()?);
    Ok(())
}
