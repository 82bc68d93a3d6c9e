//! A closed-loop load generator: some connections, each with one request outstanding, for some seconds.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::http::{self, Client};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: toro\r\n\r\n";
/// A connection without an answer for so long counts as stalled.
const STALL_LIMIT: Duration = Duration::from_secs(2);
/// Answers that are looked at in one go.
const EVENTS: usize = 256;

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
    /// Time to each answer, sorted.
    latencies_us: Vec<u32>,
}

impl Load {
    /// What this share of the answers did not exceed, ms.
    pub fn latency_ms(&self, share: f64) -> f64 {
        let index = (self.latencies_us.len() as f64 * share) as usize;
        self.latencies_us.get(index).map_or(f64::NAN, |&us| f64::from(us) / 1e3)
    }
}

/// Connections to one server.
pub struct Clients {
    address: SocketAddr,
    connections: Vec<Connection>,
    poll: OwnedFd,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    asked: Instant,
}

impl Connection {
    /// Connects, and waits for a first answer: QEMU's own network lets one connection wait at a time, and a
    /// second one that comes too early pays a second before it is tried again.
    fn open(address: SocketAddr) -> io::Result<Connection> {
        let mut client = Client::connect_to(address)?;
        client.get()?;
        let stream = client.into_stream();
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, received: Vec::new(), asked: Instant::now() })
    }

    fn ask(&mut self) -> io::Result<()> {
        self.asked = Instant::now();
        // One short request into an empty socket buffer: it fits or the connection is gone.
        self.stream.write_all(REQUEST)
    }

    /// Reads what came; the status when it was a whole answer.
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

impl Clients {
    /// Opens `count` connections, one after the other.
    pub fn open(address: SocketAddr, count: usize) -> io::Result<Clients> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut clients = Clients { address, connections: Vec::with_capacity(count), poll };
        for number in 0..count {
            let connection = Connection::open(address)?;
            clients.watch(&connection, number)?;
            clients.connections.push(connection);
        }
        Ok(clients)
    }

    fn watch(&self, connection: &Connection, number: usize) -> io::Result<()> {
        Ok(epoll::add(&self.poll, &connection.stream, EventData::new_u64(number as u64), EventFlags::IN)?)
    }

    /// A connection in the place of one that broke, with its first request on the way.
    fn reopen(&mut self, number: usize) -> io::Result<()> {
        let mut connection = Connection::open(self.address)?;
        connection.ask()?;
        self.watch(&connection, number)?;
        self.connections[number] = connection; // the old one, closed, is watched no more
        Ok(())
    }

    /// Asks on each connection again and again for `length`. At the end all outstanding answers are waited for, a little
    /// while, so that the next run begins with none.
    pub fn run(&mut self, length: Duration) -> io::Result<Load> {
        let (start, mut load) = (Instant::now(), Load::default());
        for number in 0..self.connections.len() {
            if self.connections[number].ask().is_err() {
                load.errors += 1;
                self.reopen(number)?;
            }
        }
        let mut outstanding = self.connections.len();
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        while outstanding > 0 && start.elapsed() < length + STALL_LIMIT {
            events.clear();
            let tenth = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&tenth))?;
            for event in &events {
                let number = event.data.u64() as usize;
                let goes_on = start.elapsed() < length;
                match self.connections[number].advance() {
                    Ok(None) => continue,
                    Ok(Some(status)) if goes_on => load.note(status, self.connections[number].asked.elapsed()),
                    Ok(Some(_)) => {}
                    Err(_) => {
                        load.errors += 1;
                        self.reopen(number)?;
                        continue;
                    }
                }
                if !goes_on {
                    outstanding -= 1;
                } else if self.connections[number].ask().is_err() {
                    load.errors += 1;
                    self.reopen(number)?;
                }
            }
            if start.elapsed() < length {
                load.seconds = start.elapsed().as_secs_f64();
            }
        }
        load.stalls += outstanding as u64;
        load.latencies_us.sort_unstable();
        Ok(load)
    }
}

impl Load {
    fn note(&mut self, status: u16, waited: Duration) {
        self.latencies_us.push(u32::try_from(waited.as_micros()).unwrap_or(u32::MAX));
        self.stalls += u64::from(waited > STALL_LIMIT);
        if status == 200 { self.answered += 1 } else { self.errors += 1 }
    }
}

/// Loads `port` of this host with `connections` keep-alive connections for `length`.
pub fn run(port: u16, connections: usize, length: Duration) -> io::Result<Load> {
    Clients::open(SocketAddr::from(([127, 0, 0, 1], port)), connections)?.run(length)
}
