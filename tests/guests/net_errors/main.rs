//! What goes wrong says what it is: refused, in use, nobody there, nothing in time.
#![no_std]
#![no_main]

use toro::io::{self, Read};
use toro::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use toro::prelude::*;
use toro::time::Duration;

toro::main!(main);

fn main() -> io::Result<()> {
    let soon = Duration::from_millis(200);
    // Nobody listens on port 1 of the host behind QEMU's gateway.
    println!("refused: {:?}", kind(TcpStream::connect((Ipv4Addr::new(10, 0, 2, 2), 1))));
    println!("refused by myself: {:?}", kind(TcpStream::connect((Ipv4Addr::LOCALHOST, 1))));
    let nobody = SocketAddr::from((Ipv4Addr::new(10, 0, 2, 99), 80));
    println!("nobody there in time: {}", TcpStream::connect_timeout(&nobody, soon).is_err());

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 80))?;
    println!("in use: {:?}", kind(TcpListener::bind((Ipv4Addr::LOCALHOST, 80))));
    println!("not mine: {:?}", kind(TcpListener::bind((Ipv4Addr::new(1, 2, 3, 4), 80))));

    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, 80))?;
    client.set_read_timeout(Some(soon))?;
    println!("nothing to read in time: {:?}", kind(client.read(&mut [0; 10])));
    drop(listener);

    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(soon))?;
    println!("no datagram in time: {:?}", kind(socket.recv_from(&mut [0; 10])));
    Ok(())
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}
