//! Names are looked up: in the settings, and at name servers, of which the first says nothing. The second is two threads here, one
//! for datagrams and one for connections.
#![no_std]
#![no_main]

use toro::io::{self, Read, Write};
use toro::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host};
use toro::prelude::*;
use toro::thread;

toro::main!(main);

fn main() -> io::Result<()> {
    let here = toro::env::args().nth(1).expect("where its server is");
    let server = UdpSocket::bind((here.as_str(), 53))?;
    let _server = thread::spawn(move || serve(&server));
    let streams = TcpListener::bind((here.as_str(), 53))?;
    let _streams = thread::spawn(move || serve_streams(&streams));
    let show = |name: &str| match lookup_host(name) {
        Ok(addresses) if addresses.len() > 2 => println!("{name}: {} and so on", addresses.len()),
        Ok(addresses) => println!("{name}: {addresses:?}"),
        Err(error) => println!("{name}: {:?}, {error}", error.kind()),
    };
    for name in [
        "10.9.8.7",
        "localhost",
        "db.internal",
        "both.example",
        "alias.example",
        "short",
        "nobody.example",
        "bad..name",
        "old.example",
        "many.example",
        "half.example",
    ] {
        show(name);
    }
    // As any program would.
    let listener = TcpListener::bind("localhost:80")?;
    println!("connected: {}", TcpStream::connect("self.example:80").is_ok());
    drop(listener);
    let both = lookup_host("both.example")?.into_iter().map(|ip| SocketAddr::new(ip, 1));
    println!("{}", ("both.example", 1).to_socket_addrs()?.eq(both));
    println!("{:?}", "nobody.example:1".to_socket_addrs().map(|_| ()).map_err(|error| error.kind()));
    Ok(())
}

/// Knows a few names; what it is asked first is lost.
fn serve(socket: &UdpSocket) {
    let (mut buffer, mut is_lost) = ([0; 512], true);
    while let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
        if core::mem::take(&mut is_lost) {
            continue;
        }
        if socket.send_to(&answer(&buffer[..bytes], Way::Datagram), from).is_err() {
            return;
        }
    }
}

/// The same over TCP: a length before each message, and both in several pieces.
fn serve_streams(listener: &TcpListener) {
    for mut stream in listener.incoming().map_while(Result::ok) {
        let mut length = [0; 2];
        let _gone = stream.set_nodelay(true).and_then(|()| {
            stream.read_exact(&mut length)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question)?;
            let answer = answer(&question, Way::Stream);
            let whole = [&(answer.len() as u16).to_be_bytes(), &answer[..]].concat();
            let is_half = labels(&question).0 == b"\x04half\x07example";
            let whole = if is_half { &whole[..whole.len() / 2] } else { &whole };
            for piece in whole.chunks(whole.len() / 3) {
                stream.write_all(piece)?;
                thread::yield_now();
            }
            Ok(())
        });
    }
}

#[derive(PartialEq)]
enum Way {
    Datagram,
    Stream,
}

/// The name that is asked for, as it stands in the message, and the family.
fn labels(question: &[u8]) -> (&[u8], u8) {
    let end = 12 + question[12..].iter().position(|&byte| byte == 0).expect("a name has an end");
    (&question[12..end], question[end + 2])
}

fn answer(question: &[u8], way: Way) -> Vec<u8> {
    let (name, family) = labels(question);
    let record = |kind: u8, data: &[u8]| [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], data].concat();
    let mut records: Vec<Vec<u8>> = Vec::new();
    let is = |wanted: &[u8]| name == wanted;
    let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let is_long = is(b"\x04many\x07example") || is(b"\x04half\x07example");
    let is_truncated = is_long && way == Way::Datagram;
    let understands = !is(b"\x03old\x07example") || question[11] == 0;
    match family {
        1 if is(b"\x04both\x07example") => records.push(record(1, &[10, 0, 0, 1])),
        28 if is(b"\x04both\x07example") => records.push(record(28, &six)),
        1 if is(b"\x05alias\x07example") => {
            records.push(record(5, b"\x04both\xc0\x12"));
            let target = b"\x04both\x07example\0";
            records.push([&target[..], &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]].concat());
        }
        1 if is(b"\x05short\x06domain\x04test") => records.push(record(1, &[10, 0, 0, 2])),
        1 if is(b"\x04self\x07example") => records.push(record(1, &[127, 0, 0, 1])),
        1 if is(b"\x03old\x07example") && understands => records.push(record(1, &[10, 0, 0, 3])),
        // Of what is cut off nothing is there, but for one that has a few.
        1 if is(b"\x04half\x07example") && is_truncated => records.push(record(1, &[10, 0, 0, 4])),
        1 if is_long && !is_truncated => {
            records.extend((0..=255).map(|number| record(1, &[10, 0, 1, number])));
        }
        _ => {}
    }
    let known = !records.is_empty()
        || is_long
        || [b"\x05alias\x07example".as_slice(), b"\x05short\x06domain\x04test", b"\x03old\x07example"].contains(&name);
    let mut reply = question[..12 + name.len() + 5].to_vec();
    let code = if !understands {
        1
    } else if known {
        0
    } else {
        3
    };
    (reply[2], reply[3], reply[11]) = (0x81 | u8::from(is_truncated) << 1, 0x80 | code, 0);
    reply[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    records.iter().for_each(|record| reply.extend_from_slice(record));
    reply
}
