//! Sends each datagram that comes to port 7 back to where it came from.
#![no_std]
#![no_main]

use toro::io;
use toro::net::{Ipv6Addr, UdpSocket};
use toro::prelude::*;

toro::main!(main);

fn main() -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 7))?;
    println!("ready");
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], peer)?;
    }
}
