//! A raw HTTP client on loopback: as little of its own as possible between a request and its cost.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

const KEEP_ALIVE: &[u8] = b"GET / HTTP/1.1\r\nHost: toro\r\n\r\n";
const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n";
/// Longest wait for an answer; a loaded host is slow, a lost request never comes.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Responses of the measured servers fit easily.
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// One connection to a guest's published port.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to `port` on 127.0.0.1.
    pub fn connect(port: u16) -> io::Result<Client> {
        Client::connect_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Connects to a guest's own address.
    pub fn connect_to(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Client { stream, buffer: Vec::with_capacity(4096) })
    }

    /// One request that leaves the connection open; the answer's status and body length.
    pub fn get(&mut self) -> io::Result<Response> {
        self.stream.write_all(KEEP_ALIVE)?;
        self.read_response()
    }

    /// The same, which must succeed.
    ///
    /// # Errors
    /// There is no answer, or it is another than 200.
    pub fn get_ok(&mut self) -> Result<()> {
        let status = self.get()?.status;
        ensure!(status == 200, "status {status}");
        Ok(())
    }

    /// Stores `body` under `path`, as the key-value example does.
    pub fn put(&mut self, path: &str, body: &str) -> io::Result<Response> {
        let length = body.len();
        let request = format!("PUT {path} HTTP/1.1\r\nHost: toro\r\nContent-Length: {length}\r\n\r\n{body}");
        self.stream.write_all(request.as_bytes())?;
        self.read_response()
    }

    /// One request that leaves the connection open, for another path than `/`.
    pub fn get_path(&mut self, path: &str) -> io::Result<Response> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: toro\r\n\r\n").as_bytes())?;
        self.read_response()
    }

    /// One request that asks the guest to close; returns after its end of stream.
    pub fn get_and_close(mut self) -> io::Result<Response> {
        self.stream.write_all(CLOSE)?;
        let response = self.read_response()?;
        match self.stream.read(&mut [0; 16]) {
            Ok(0) => Ok(response),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the response")),
            Err(error) => Err(error),
        }
    }

    /// The connection itself, between two requests.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn read_response(&mut self) -> io::Result<Response> {
        loop {
            if let Some((response, length)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(response);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.buffer.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

/// What an answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Bytes of the body.
    pub body_bytes: usize,
}

/// The first whole response in `bytes` and its length, or `None` when more must come.
pub(crate) fn parse(bytes: &[u8]) -> io::Result<Option<(Response, usize)>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP response: {what}"));
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > RESPONSE_BYTES_MAX { Err(invalid("head too long")) } else { Ok(None) };
    };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| invalid("head is not text"))?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or("");
    let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    let status = status.and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid(status_line))?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .ok_or_else(|| invalid("no content-length"))?;
    let total = head + 4 + length;
    Ok((bytes.len() >= total).then_some((Response { status, body_bytes: length }, total)))
}

/// How the requests of a phase travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// All over one connection.
    KeepAlive,
    /// One connection for each.
    Close,
}

/// A client that sends requests one after the other.
pub struct Requests {
    port: u16,
    /// The connection of all requests, when they share one.
    connection: Option<Client>,
}

impl Requests {
    /// Connects, when the requests are to share a connection.
    pub fn new(port: u16, style: Style) -> io::Result<Requests> {
        let connection = if style == Style::KeepAlive { Some(Client::connect(port)?) } else { None };
        Ok(Requests { port, connection })
    }

    /// Sends `count` requests; every answer must be a 200.
    pub fn send(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..count {
            let response = match &mut self.connection {
                Some(connection) => connection.get()?,
                None => Client::connect(self.port)?.get_and_close()?,
            };
            if response.status != 200 {
                return Err(io::Error::other(format!("status {}", response.status)));
            }
        }
        Ok(())
    }
}

/// `count` requests, one after the other, by a client of their own.
pub fn requests(port: u16, style: Style, count: u64) -> io::Result<()> {
    Requests::new(port, style)?.send(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_or_not_yet() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\nHTTP/1.1";
        let length = text.len() - 8;
        for cut in 0..length {
            assert_eq!(parse(&text[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(parse(text).unwrap(), Some((Response { status: 200, body_bytes: 6 }, length)));
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
