//! A closed-loop load generator: some connections, each with one request outstanding, for some seconds.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::http::{self, Client};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: toro\r\n\r\n";
/// A connection without an answer for so long counts as stalled.
const STALL_LIMIT: Duration = Duration::from_secs(2);

/// What a run of load gave.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Answers with status 200.
    pub answered: u64,
    /// Other answers and broken connections.
    pub errors: u64,
    /// Answers that took longer than two seconds.
    pub stalls: u64,
    /// Length of the run.
    pub seconds: f64,
    /// Median and 99th percentile of the time to an answer, in milliseconds.
    pub latency_ms: (f64, f64),
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    asked: Instant,
}

impl Connection {
    /// Connects, and waits for a first answer: QEMU's own network lets one connection wait at a time, and a
    /// second one that comes too early pays a second before it is tried again.
    fn open(port: u16) -> io::Result<Connection> {
        let mut client = Client::connect(port)?;
        client.get()?;
        let stream = client.into_stream();
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, received: Vec::new(), asked: Instant::now() })
    }

    /// A connection in the place of one that broke, with its first request on the way.
    fn reopen(port: u16) -> io::Result<Connection> {
        let mut connection = Connection::open(port)?;
        connection.ask()?;
        Ok(connection)
    }

    fn ask(&mut self) -> io::Result<()> {
        self.asked = Instant::now();
        // One short request into an empty socket buffer: it fits or the connection is gone.
        self.stream.write_all(REQUEST)
    }

    /// Reads what came; true when it was a whole answer.
    fn advance(&mut self) -> io::Result<Option<u16>> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let Some((response, length)) = http::parse(&self.received)? else {
            return Ok(None);
        };
        self.received.drain(..length);
        Ok(Some(response.status))
    }
}

/// Loads `port` with `connections` keep-alive connections for `length`.
pub fn run(port: u16, connections: usize, length: Duration) -> io::Result<Load> {
    let mut open = (0..connections).map(|_| Connection::open(port)).collect::<io::Result<Vec<_>>>()?;
    open.iter_mut().try_for_each(Connection::ask)?;
    let (start, mut load, mut latencies_us) = (Instant::now(), Load::default(), Vec::new());
    while start.elapsed() < length {
        let mut ready: Vec<PollFd<'_>> =
            open.iter().map(|connection| PollFd::new(&connection.stream, PollFlags::IN)).collect();
        poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 }))?;
        let ready: Vec<usize> =
            ready.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(index, _)| index).collect();
        for index in ready {
            let connection = &mut open[index];
            match connection.advance() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    let waited = connection.asked.elapsed();
                    latencies_us.push(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
                    load.stalls += u64::from(waited > STALL_LIMIT);
                    if status == 200 {
                        load.answered += 1
                    } else {
                        load.errors += 1
                    }
                    if connection.ask().is_err() {
                        load.errors += 1;
                        *connection = Connection::reopen(port)?;
                    }
                }
                Err(_) => {
                    load.errors += 1;
                    *connection = Connection::reopen(port)?;
                }
            }
        }
    }
    load.seconds = start.elapsed().as_secs_f64();
    load.stalls += open.iter().filter(|connection| connection.asked.elapsed() > STALL_LIMIT).count() as u64;
    latencies_us.sort_unstable();
    let at = |share: f64| {
        let index = (latencies_us.len() as f64 * share) as usize;
        latencies_us.get(index).map_or(f64::NAN, |&us| us as f64 / 1e3)
    };
    load.latency_ms = (at(0.5), at(0.99));
    Ok(load)
}
