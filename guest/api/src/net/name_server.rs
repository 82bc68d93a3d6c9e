//! One name server, and one question: asked over UDP; over TCP, when the answer is longer than a datagram; in the words of 1987,
//! when the server knows no others.

use super::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use crate::io::{self, ErrorKind, Read, Write};
use crate::random;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use toro_kernel::net::dns::{Answer, Family, MESSAGE_BYTES_MAX, Question, STREAM_BYTES_MAX};

/// A question that is on its way.
pub(super) struct Asked {
    question: Question,
    family: Family,
    server: SocketAddr,
    /// `None` when the server cannot be reached, which is as good as silent.
    socket: Option<UdpSocket>,
}

impl Asked {
    /// Asks it, by a port and with a number that nobody can guess.
    ///
    /// # Errors
    /// Nothing can have such a name.
    pub(super) fn new(name: &str, family: Family, server: SocketAddr) -> io::Result<Self> {
        let mut number = [0; 2];
        random::fill(&mut number);
        let question = Question::new(name, family, u16::from_ne_bytes(number))
            .ok_or_else(|| io::Error::with_message(ErrorKind::InvalidInput, "nothing can have such a name"))?;
        let anywhere: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((anywhere, 0)).and_then(|socket| {
            socket.connect(server)?;
            socket.send(question.message())?;
            Ok(socket)
        });
        Ok(Asked { question, family, server, socket: socket.ok() })
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// What it says until then.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub(super) fn answer(&mut self, end: Instant) -> io::Result<Option<Answer>> {
        let Some(socket) = &self.socket else { return Ok(None) };
        let mut answer = hear(socket, &self.question, end)?;
        if answer == Some(Answer::NotUnderstood) {
            self.question = self.question.clone().plain();
            if socket.send(self.question.message()).is_err() {
                return Ok(None);
            }
            answer = hear(socket, &self.question, end)?;
        }
        if let Some(Answer::Truncated(some)) = answer {
            // Some of the addresses are better than none.
            let whole = by_stream(&self.question, self.server, end).unwrap_or(None);
            let fallback = if some.is_empty() { Answer::Failure } else { Answer::Truncated(some) };
            answer = Some(whole.unwrap_or(fallback));
        }
        Ok(answer)
    }
}

fn hear(socket: &UdpSocket, question: &Question, end: Instant) -> io::Result<Option<Answer>> {
    let mut message = [0; MESSAGE_BYTES_MAX];
    while let Some(left) = left_until(end) {
        socket.set_read_timeout(Some(left))?;
        let Ok(bytes) = socket.recv(&mut message) else { break };
        if let Some(answer) = question.answer(&message[..bytes]) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// Each message behind its length (RFC 1035, 4.2.2); `None` when what comes is no answer, or longer than we take.
fn by_stream(question: &Question, server: SocketAddr, end: Instant) -> io::Result<Option<Answer>> {
    let Some(left) = left_until(end) else { return Ok(None) };
    let mut stream = TcpStream::connect_timeout(&server, left)?;
    let message = question.message();
    stream.set_write_timeout(Some(left))?;
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat())?;
    let mut length = [0; 2];
    read_exact(&mut stream, &mut length, end)?;
    let length = usize::from(u16::from_be_bytes(length));
    let mut answer = Vec::new();
    if length > STREAM_BYTES_MAX || answer.try_reserve_exact(length).is_err() {
        return Ok(None);
    }
    answer.resize(length, 0);
    read_exact(&mut stream, &mut answer, end)?;
    Ok(question.answer(&answer).filter(|answer| matches!(answer, Answer::Addresses(_) | Answer::NoSuchName)))
}

fn read_exact(stream: &mut TcpStream, mut buffer: &mut [u8], end: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        let left = left_until(end).ok_or(ErrorKind::TimedOut)?;
        stream.set_read_timeout(Some(left))?;
        match stream.read(buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            bytes => buffer = &mut buffer[bytes..],
        }
    }
    Ok(())
}

fn left_until(end: Instant) -> Option<Duration> {
    Some(end.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}
