//! Streams of bytes between two machines.

use super::address::first_of;
use super::{ONLY_V6, Sharing, Shutdown, SocketAddr, ToSocketAddrs, error};
use crate::io::{self, ErrorKind, Read, Write};
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use toro_kernel::net::tcp::{Connection, KeepAlive, Listener, NO_TIMEOUT, TcpOption};

/// Connections that may wait to be accepted; past it, newcomers are asked to come again.
const BACKLOG: usize = 128;

/// Somebody who can be connected to.
#[derive(Debug)]
pub struct TcpListener {
    listener: Listener,
}

/// The connections of a listener, for ever.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

/// A connection. Dropped, what was written is still brought over, in the background.
pub struct TcpStream {
    shared: Arc<Shared>,
}

/// What all clones of a stream have in common.
struct Shared {
    connection: Connection,
    read_timeout_ns: AtomicU64,
    write_timeout_ns: AtomicU64,
}

impl TcpListener {
    /// Listens, on this core: others may bind the same port, and each accepts what is given to it. `0.0.0.0` stands
    /// for all of this machine's addresses of IPv4, `::` for those of both families, port 0 for a free one.
    ///
    /// # Errors
    /// The port is taken, or the address is not this machine's.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(address, Sharing::default())
    }

    /// As [`bind`](Self::bind); `::` stands for all of this machine's addresses of IPv6, and for none of IPv4.
    ///
    /// # Errors
    /// As there.
    pub fn bind_only_v6(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(address, ONLY_V6)
    }

    fn bind_with(address: impl ToSocketAddrs, sharing: Sharing) -> io::Result<Self> {
        first_of(address, |address| {
            Ok(TcpListener { listener: Listener::bind(address, sharing, BACKLOG).map_err(error)? })
        })
    }

    /// Waits for the next connection; with it comes the peer's address.
    ///
    /// # Errors
    /// None for now; a connection that failed while it waited is not reported.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (connection, peer) = self.listener.accept(NO_TIMEOUT).map_err(error)?;
        Ok((TcpStream::new(connection), peer))
    }

    /// The connections, one after the other, for ever.
    #[must_use]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.address().map_err(error)
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl TcpStream {
    fn new(connection: Connection) -> Self {
        TcpStream {
            shared: Arc::new(Shared {
                connection,
                read_timeout_ns: AtomicU64::new(NO_TIMEOUT),
                write_timeout_ns: AtomicU64::new(NO_TIMEOUT),
            }),
        }
    }

    /// Connects to the first of the addresses that answers.
    ///
    /// # Errors
    /// Refused, unreachable, or no answer within a minute.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        first_of(address, |address| open(address, NO_TIMEOUT))
    }

    /// Connects, or gives up after `timeout`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`ErrorKind::TimedOut`].
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        check(timeout)?;
        first_of(address, |address| open(address, nanoseconds(timeout)))
    }

    /// The other end.
    ///
    /// # Errors
    /// None.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.connection.ends().map(|(_, peer)| peer).map_err(error)
    }

    /// This end.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.connection.ends().map(|(local, _)| local).map_err(error)
    }

    /// Ends one half or both; other clones of the stream notice.
    ///
    /// # Errors
    /// None.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.shared.connection.shutdown_read();
        }
        if how != Shutdown::Read {
            self.shared.connection.shutdown_write().map_err(error)?;
        }
        Ok(())
    }

    /// Another handle on the same connection, which lives as long as any of them.
    ///
    /// # Errors
    /// None.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(TcpStream { shared: Arc::clone(&self.shared) })
    }

    /// With `true`, small writes are sent as they come, instead of being gathered while others are under way.
    ///
    /// # Errors
    /// None.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.shared.connection.set(TcpOption::NoDelay(nodelay)).map_err(error)
    }

    /// Asks a silent peer after each `interval` whether it is still there, and gives it up when three questions in a row find
    /// no answer; `None`, as at first: never.
    ///
    /// # Errors
    /// An interval of zero makes no sense.
    pub fn set_keepalive(&self, interval: Option<Duration>) -> io::Result<()> {
        let every = |interval_ns| KeepAlive { idle_ns: interval_ns, interval_ns, count: 3 };
        let keep_alive = interval.map(nanoseconds).map(every);
        self.shared.connection.set(TcpOption::KeepAlive(keep_alive)).map_err(error)
    }

    /// Reads what has come, without taking it: the next read finds it again.
    ///
    /// # Errors
    /// As a read's.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let shared = &*self.shared;
        shared.connection.peek(buffer, shared.read_timeout_ns.load(Relaxed)).map_err(error)
    }

    /// How many routers a packet of this connection may pass.
    ///
    /// # Errors
    /// None may pass no packet.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        let hops = u8::try_from(hops).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        self.shared.connection.set(TcpOption::Hops(hops)).map_err(error)
    }

    /// Why the connection broke, if no read or write has said it yet.
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.shared.connection.take_error().map(error))
    }

    /// How long a read waits; `None`, as at first: for ever.
    ///
    /// # Errors
    /// A time-out of zero makes no sense.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set_timeout(&self.shared.read_timeout_ns, timeout)
    }

    /// How long a write waits; `None`, as at first: for ever.
    ///
    /// # Errors
    /// A time-out of zero makes no sense.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set_timeout(&self.shared.write_timeout_ns, timeout)
    }

    /// How long a read waits.
    ///
    /// # Errors
    /// None.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(timeout(&self.shared.read_timeout_ns))
    }

    /// How long a write waits.
    ///
    /// # Errors
    /// None.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(timeout(&self.shared.write_timeout_ns))
    }
}

fn open(address: SocketAddr, timeout_ns: u64) -> io::Result<TcpStream> {
    Ok(TcpStream::new(Connection::connect(address, timeout_ns).map_err(error)?))
}

/// 584 years and more are for ever.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NO_TIMEOUT)
}

fn check(timeout: Duration) -> io::Result<()> {
    if timeout.is_zero() {
        return Err(io::Error::with_message(ErrorKind::InvalidInput, "a time-out of zero"));
    }
    Ok(())
}

fn set_timeout(stored: &AtomicU64, timeout: Option<Duration>) -> io::Result<()> {
    timeout.map_or(Ok(()), check)?;
    stored.store(timeout.map_or(NO_TIMEOUT, nanoseconds), Relaxed);
    Ok(())
}

fn timeout(stored: &AtomicU64) -> Option<Duration> {
    Some(stored.load(Relaxed)).filter(|&timeout_ns| timeout_ns != NO_TIMEOUT).map(Duration::from_nanos)
}

impl Read for &TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let shared = &*self.shared;
        shared.connection.read(buffer, shared.read_timeout_ns.load(Relaxed)).map_err(error)
    }
}

impl Write for &TcpStream {
    #[inline]
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let shared = &*self.shared;
        shared.connection.write(data, shared.write_timeout_ns.load(Relaxed)).map_err(error)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for TcpStream {
    #[inline]
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpStream");
        if let Ok((local, peer)) = self.shared.connection.ends() {
            debug.field("addr", &local).field("peer", &peer);
        }
        debug.finish()
    }
}
