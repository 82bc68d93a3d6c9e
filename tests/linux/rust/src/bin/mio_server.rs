//! A server by mio, in its pattern of use: edges, one thread, a waker from another. `mio_server ADDRESS:PORT`

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:80".into());
    let address = address.parse().map_err(std::io::Error::other)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(64));
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    std::thread::spawn({
        let waker = waker.clone();
        move || {
            std::thread::sleep(Duration::from_millis(10));
            waker.wake()
        }
    });
    let mut clients: HashMap<Token, Client> = HashMap::new();
    let mut next = 2;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                WAKER => println!("listening"),
                LISTENER => {
                    while let Some((mut stream, _)) = would_block(listener.accept())? {
                        stream.set_nodelay(true)?;
                        let token = Token(next);
                        next += 1;
                        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                        clients.insert(token, Client { stream, input: Vec::new(), output: Vec::new() });
                    }
                }
                token => {
                    let Some(client) = clients.get_mut(&token) else { continue };
                    if !matches!(client.advance(), Ok(true)) {
                        clients.remove(&token);
                    }
                }
            }
        }
    }
}

fn would_block<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl Client {
    /// Reads and writes all that goes; false at the end.
    fn advance(&mut self) -> std::io::Result<bool> {
        let mut buffer = [0; 4096];
        while let Some(count) = would_block(self.stream.read(&mut buffer))? {
            if count == 0 {
                return Ok(false);
            }
            self.input.extend_from_slice(&buffer[..count]);
        }
        while let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = self.input.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or("?");
            let body = match path {
                "/large" => "0123456789".repeat(20_000),
                path => format!("you asked for {path}\n"),
            };
            self.output.extend_from_slice(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            );
        }
        while !self.output.is_empty() {
            let Some(count) = would_block(self.stream.write(&self.output))? else { break };
            self.output.drain(..count);
        }
        Ok(true)
    }
}
