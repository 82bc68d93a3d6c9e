//! Connects to its argument, sends a mebibyte while another thread reads, and checks that the same comes back.
#![no_std]
#![no_main]

use toro::io::{self, Read, Write};
use toro::net::{Shutdown, SocketAddr, TcpStream};
use toro::prelude::*;
use toro::{env, thread};

toro::main!(main);

const BYTES: usize = 1 << 20;

fn main() -> io::Result<()> {
    let address = env::args().nth(1).and_then(|text| text.parse::<SocketAddr>().ok()).expect("an address");
    let mut stream = TcpStream::connect(address)?;
    println!("connected to {}", stream.peer_addr()?);
    let sent: Vec<u8> = (0..BYTES).map(|number| (number % 251) as u8).collect();
    let mut output = stream.try_clone()?;
    let copy = sent.clone();
    let sender = thread::spawn(move || {
        output.write_all(&copy)?;
        output.shutdown(Shutdown::Write)
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    sender.join().expect("the thread returns")?;
    println!("{} bytes came back, the same: {}", back.len(), back == sent);
    Ok(())
}
