//! The server of the Linux guests, and of Toro with a Linux program: one static binary, the same in each.
//!
//! It answers with the page of Toro's own `http_server`, so that all copy and sum the same bytes. `--mode epoll` (without it,
//! too) is one thread and epoll, as a fast Linux server would be written; `--mode thread` a thread a connection, as a simple one.
//! Connections stay open as long as their client wants: there is no time-out, so nothing in here has a timer.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

const PAGE: &[u8] = include_bytes!("../../../guest/examples/http_server/site/index.html");
const PORT: u16 = 80;
const LISTENER: u64 = u64::MAX;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    // Whoever measures waits for this line.
    println!("listening on port {PORT}");
    match arguments.as_slice() {
        [] | ["--mode", "epoll"] => by_epoll(&listener),
        ["--mode", "thread"] => by_threads(&listener),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "usage: httpd [--mode epoll|thread]")),
    }
}

/// The answer to a request that keeps its connection, and to one that ends it.
fn answers() -> [Vec<u8>; 2] {
    ["", "Connection: close\r\n"].map(|connection| {
        let length = PAGE.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n{connection}\r\n"
        );
        [head.as_bytes(), PAGE].concat()
    })
}

fn by_threads(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        let converse = move || {
            let (mut input, answers) = (Vec::with_capacity(1024), answers());
            while answer(&mut stream, &mut input, &answers) {}
        };
        // One that cannot be served is closed.
        let _started = std::thread::Builder::new().stack_size(64 << 10).spawn(converse);
    }
}

fn by_epoll(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let answers = answers();
    let mut connections: HashMap<u64, (TcpStream, Vec<u8>)> = HashMap::new();
    let mut events: Vec<Event> = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                accept(listener, poll.as_fd(), &mut connections)?;
            } else if let Some((stream, input)) = connections.get_mut(&key)
                && !answer(stream, input, &answers)
            {
                connections.remove(&key);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: std::os::fd::BorrowedFd<'_>,
    connections: &mut HashMap<u64, (TcpStream, Vec<u8>)>,
) -> io::Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        let key = stream.as_raw_fd() as u64;
        epoll::add(poll, &stream, EventData::new_u64(key), EventFlags::IN)?;
        connections.insert(key, (stream, Vec::with_capacity(1024)));
    }
    Ok(())
}

/// Sends or takes in as much as `head` says, if it is about bulk, and then ends the connection: the rest of what was read is the
/// beginning of what comes.
fn carry_bulk(stream: &mut TcpStream, head: &[u8], rest: usize) -> io::Result<bool> {
    let text = String::from_utf8_lossy(head);
    let number = |after: &str| text.split_once(after)?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let mut chunk = vec![0; 64 << 10];
    if let Some(mib) = number("GET /bulk/") {
        let mib: usize = mib;
        stream.set_nonblocking(false)?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", mib << 20)?;
        for _ in 0..mib << 4 {
            stream.write_all(&chunk)?;
        }
        return Ok(true);
    }
    if text.starts_with("POST /bulk")
        && let Some(bytes) = number("Content-Length: ")
    {
        stream.set_nonblocking(false)?;
        let mut left = bytes - rest;
        while left > 0 {
            match stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => left = left.saturating_sub(read),
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        return Ok(true);
    }
    Ok(false)
}

/// Answers what can be read; false when the connection is over.
fn answer(stream: &mut TcpStream, input: &mut Vec<u8>, answers: &[Vec<u8>; 2]) -> bool {
    let mut chunk = [0; 2048];
    match stream.read(&mut chunk) {
        Ok(0) => return false,
        Ok(read) => input.extend_from_slice(&chunk[..read]),
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    }
    while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
        let is_bulk = input.starts_with(b"GET /bulk/") || input.starts_with(b"POST /bulk");
        // One that breaks off is closed, as one that is through.
        if is_bulk && carry_bulk(stream, &input[..end], input.len() - end - 4).unwrap_or(true) {
            return false;
        }
        let close = input[..end].windows(17).any(|window| window == b"Connection: close");
        input.drain(..end + 4);
        // Answers are far smaller than the socket buffer: a short write means that the client is gone.
        if stream.write_all(&answers[usize::from(close)]).is_err() || close {
            return false;
        }
    }
    true
}
