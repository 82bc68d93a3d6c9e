//! A machine that talks to itself: TCP and UDP over loopback, time-outs, refusals, halves and clones.
#![no_std]
#![no_main]

use toro::io::{ErrorKind, Read, Write};
use toro::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use toro::prelude::*;
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

fn main() -> toro::io::Result<()> {
    for here in ["127.0.0.1", "::1"] {
        echo(here)?;
        much(here)?;
        halves(here)?;
        refusals(here)?;
        datagrams(here)?;
    }
    families()?;
    println!("all is well");
    Ok(())
}

fn pair(here: &str) -> toro::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((here, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, peer) = listener.accept()?;
    assert_eq!(peer, client.local_addr()?);
    assert_eq!(server.local_addr()?, client.peer_addr()?);
    Ok((client, server))
}

fn echo(here: &str) -> toro::io::Result<()> {
    let (mut client, mut server) = pair(here)?;
    let echo = thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            server.write_all(&buffer[..count]).expect("the client reads");
        }
    });
    for round in 0..100u8 {
        client.write_all(&[round; 10])?;
        let mut answer = [0; 10];
        client.read_exact(&mut answer)?;
        assert_eq!(answer, [round; 10]);
    }
    drop(client);
    echo.join().expect("the echo ends with its client");
    Ok(())
}

fn much(here: &str) -> toro::io::Result<()> {
    let (mut client, mut server) = pair(here)?;
    let writer = thread::spawn(move || {
        for block in 0..1000u32 {
            client.write_all(&block.to_le_bytes().repeat(256)).expect("the server reads");
        }
    });
    let mut all = Vec::new();
    assert_eq!(server.read_to_end(&mut all)?, 1_024_000);
    for (index, word) in all.as_chunks::<4>().0.iter().enumerate() {
        assert_eq!(u32::from_le_bytes(*word), index as u32 / 256);
    }
    writer.join().expect("everything was taken");
    Ok(())
}

fn halves(here: &str) -> toro::io::Result<()> {
    let (client, mut server) = pair(here)?;
    let mut clone = client.try_clone()?;
    clone.write_all(b"question")?;
    client.shutdown(Shutdown::Write)?;
    assert_eq!(clone.write(b"x").map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
    let mut question = String::new();
    server.read_to_string(&mut question)?;
    assert_eq!(question, "question");
    server.write_all(b"answer")?;
    drop(server);
    drop(client);
    let mut answer = String::new();
    clone.read_to_string(&mut answer)?;
    assert_eq!(answer, "answer");
    // A reader is let go when another clone has read enough.
    let (client, _server) = pair(here)?;
    let mut reader = client.try_clone()?;
    let reading = thread::spawn(move || reader.read(&mut [0]).map_err(|error| error.kind()));
    thread::yield_now();
    client.shutdown(Shutdown::Read)?;
    assert_eq!(reading.join(), Ok(Ok(0)));
    Ok(())
}

fn refusals(here: &str) -> toro::io::Result<()> {
    let kind = |error: toro::io::Error| error.kind();
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let address = listener.local_addr()?;
    assert_eq!(TcpListener::bind(address).map(drop).map_err(kind), Err(ErrorKind::AddrInUse));
    let port = address.port();
    drop(listener);
    assert_eq!(TcpStream::connect((here, port)).map(drop).map_err(kind), Err(ErrorKind::ConnectionRefused));
    assert_eq!(TcpStream::connect("toro").map(drop).map_err(kind), Err(ErrorKind::InvalidInput));
    assert_eq!(TcpListener::bind("[2001:db8::1]:80").map(drop).map_err(kind), Err(ErrorKind::AddrNotAvailable));

    let (mut client, _server) = pair(here)?;
    assert_eq!(client.set_read_timeout(Some(Duration::ZERO)).map_err(kind), Err(ErrorKind::InvalidInput));
    let limit = Duration::from_millis(20);
    client.set_read_timeout(Some(limit))?;
    client.set_write_timeout(Some(limit))?;
    let start = Instant::now();
    assert_eq!(client.read(&mut [0]).map_err(kind), Err(ErrorKind::TimedOut));
    assert!(start.elapsed() >= limit);
    // Nobody reads: both buffers fill, and then the writer's time runs out.
    let mut written = 0;
    let error = loop {
        match client.write(&[0; 4096]) {
            Ok(count) => written += count,
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(error, ErrorKind::TimedOut);
    assert!(written > 4096, "{written} bytes fitted");
    Ok(())
}

fn datagrams(here: &str) -> toro::io::Result<()> {
    let server = UdpSocket::bind((here, 0))?;
    let client = UdpSocket::bind("[::]:0")?;
    client.connect(server.local_addr()?)?;
    let echo = thread::spawn(move || {
        let mut buffer = [0; 100];
        let (count, from) = server.recv_from(&mut buffer).expect("a datagram");
        server.send_to(&buffer[..count], from).expect("the way back");
        server.local_addr().expect("an address")
    });
    client.send(b"datagram")?;
    let mut answer = [0; 100];
    assert_eq!(client.recv(&mut answer)?, 8);
    echo.join().expect("the echo ends");
    client.send(b"is anybody there?")?;
    assert_eq!(client.recv(&mut answer).map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
    client.set_read_timeout(Some(Duration::from_millis(10)))?;
    assert_eq!(client.recv(&mut answer).map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    Ok(())
}

/// What takes both families, and what takes one.
fn families() -> toro::io::Result<()> {
    let kind = |error: toro::io::Error| error.kind();
    let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let port = both.local_addr()?.port();
    assert_eq!(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map(drop).map_err(kind), Err(ErrorKind::AddrInUse));
    for here in ["127.0.0.1", "::1"] {
        let client = TcpStream::connect((here, port))?;
        let (server, from) = both.accept()?;
        assert_eq!((client.local_addr()?, client.peer_addr()?), (from, server.local_addr()?));
        assert_eq!(from.ip().to_string(), here);
    }
    let six = TcpListener::bind_only_v6((Ipv6Addr::UNSPECIFIED, 0))?;
    let port = six.local_addr()?.port();
    assert_eq!(TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(kind), Err(ErrorKind::ConnectionRefused));
    let _four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let _client = TcpStream::connect(("::1", port))?;
    assert_eq!(six.accept()?.1.ip().to_string(), "::1");
    // Datagrams of both to one socket, and none of the other to one of its own.
    let (both, four, six) = (UdpSocket::bind("[::]:0")?, UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("[::1]:0")?);
    let port = both.local_addr()?.port();
    for (socket, here) in [(&four, "127.0.0.1"), (&six, "::1")] {
        assert_eq!(socket.send_to(here.as_bytes(), (here, port))?, here.len());
        let mut bytes = [0; 20];
        let (count, from) = both.recv_from(&mut bytes)?;
        assert_eq!((&bytes[..count], from), (here.as_bytes(), socket.local_addr()?));
    }
    assert_eq!(four.send_to(b"x", ("::1", port)).map_err(kind), Err(ErrorKind::Unsupported));
    let only = UdpSocket::bind_only_v6("[::]:0")?;
    assert_eq!(only.send_to(b"x", ("127.0.0.1", port)).map_err(kind), Err(ErrorKind::Unsupported));
    Ok(())
}
