//! What the HTTP examples share: listen, a thread per connection, requests in, answers out.
//!
//! Keep-alive, pipelining and HEAD are done here; what a request means is the caller's. A request that this cannot serve is
//! answered with the status that says so, and the connection ends.
#![no_std]

mod reply;
mod request;

pub use reply::{Reply, Status};
pub use request::Request;

use request::Problem;
use toro::io::{self, Read, Write};
use toro::net::{Ipv6Addr, TcpListener, TcpStream};
use toro::prelude::*;
use toro::sync::Arc;
use toro::thread::{self, Builder};
use toro::time::Duration;

/// A connection's thread parses, formats and polls the network: less than 8 KiB was ever used. Large things are on the heap.
const STACK_BYTES: usize = 12 << 10;
/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest body of a request.
const BODY_BYTES_MAX: usize = 64 << 10;
/// So much is answered before it is sent, when requests come in a row.
const OUTPUT_BYTES: usize = 16 << 10;
/// A connection on which nothing comes for so long is given up. The variable `IDLE_SECONDS` says how long, 0: never.
const IDLE_SECONDS: u64 = 60;

fn idle_limit() -> Option<Duration> {
    let told = toro::env::var("IDLE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Some(told.unwrap_or(IDLE_SECONDS)).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// Listens on `port` of every address, on each core, and answers each request by `answer` on the core that has the
/// connection. Returns only when listening fails.
///
/// # Errors
/// The port is taken, or there is no network.
pub fn serve<F>(port: u16, answer: F) -> io::Result<()>
where
    F: Fn(&Request<'_>, Reply<'_>) + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let idle = idle_limit();
    let here = thread::current_core();
    for core in thread::cores().filter(|core| *core != here) {
        let answer = Arc::clone(&answer);
        thread::spawn_on(core, move || {
            if let Err(error) = serve_here(port, idle, &answer) {
                eprintln!("core {core} does not serve: {error}");
            }
        });
    }
    serve_here(port, idle, &answer)
}

/// Serves what comes to this core.
fn serve_here<F>(port: u16, idle: Option<Duration>, answer: &Arc<F>) -> io::Result<()>
where
    F: Fn(&Request<'_>, Reply<'_>) + Send + Sync + 'static,
{
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let mut full = false;
    loop {
        let (stream, _) = listener.accept()?;
        let answer = Arc::clone(answer);
        // What ends one connection, a reset or a time-out, is of no interest to the others.
        let connection = move || drop(converse(stream, idle, &*answer));
        let refused = Builder::new().stack_size(STACK_BYTES).spawn(connection).is_err();
        if refused && !full {
            eprintln!("no memory for another connection: it is closed, and so are others until there is");
        }
        full = refused;
    }
}

/// One connection, from its first request to its end.
fn converse(
    mut stream: TcpStream,
    idle: Option<Duration>,
    answer: &impl Fn(&Request<'_>, Reply<'_>),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(idle)?;
    let mut input = Input::new()?;
    let mut output = Vec::new();
    loop {
        let mut start = 0;
        let end = loop {
            match Request::parse(&input.filled()[start..]) {
                Ok((request, length)) => {
                    answer(&request, Reply::new(&mut output, &request));
                    start += length;
                    if !request.keep_alive {
                        break true;
                    }
                    if output.len() >= OUTPUT_BYTES {
                        send(&mut stream, &mut output)?;
                    }
                }
                Err(Problem::Incomplete) => break false,
                Err(Problem::Refused(status)) => {
                    Reply::last(&mut output).text(status, status.phrase());
                    break true;
                }
            }
        };
        send(&mut stream, &mut output)?;
        if end {
            return stream.shutdown(toro::net::Shutdown::Write);
        }
        input.discard(start);
        if input.read_from(&mut stream)? == 0 {
            return Ok(());
        }
    }
}

fn send(stream: &mut TcpStream, output: &mut Vec<u8>) -> io::Result<()> {
    stream.write_all(output)?;
    output.clear();
    Ok(())
}

/// Bytes that have arrived and are not yet answered.
struct Input {
    bytes: Vec<u8>,
    count: usize,
}

impl Input {
    fn new() -> io::Result<Self> {
        let mut input = Input { bytes: Vec::new(), count: 0 };
        input.grow(2 << 10)?;
        Ok(input)
    }

    /// With little memory left one connection ends, not the machine.
    fn grow(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes.try_reserve_exact(bytes - self.bytes.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.bytes.resize(bytes, 0);
        Ok(())
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.count]
    }

    fn discard(&mut self, count: usize) {
        if count < self.count {
            self.bytes.copy_within(count..self.count, 0);
        }
        self.count -= count;
    }

    /// Waits for more. The parser limits how much can be wanted.
    fn read_from(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        if self.count == self.bytes.len() {
            self.grow(self.count * 2)?;
        }
        let read = stream.read(&mut self.bytes[self.count..])?;
        self.count += read;
        Ok(read)
    }
}
