//! TCP for threads: each call waits until the stack has an answer, or until its time is over.

use super::carry::Handle;
use super::sockets::Queues;
use super::{wait_for_address, with};
use crate::arch::{depth, time};
use crate::console;
use crate::sched::{WaitOutcome, WaitQueue};
use alloc::sync::Arc;
use core::net::SocketAddrV4;
use core::sync::atomic::Ordering::Relaxed;
use toro_abi::control::{Control, Protocol};
use toro_netstack::{ConnectionId, Ending, Error, ListenerId, Stack};

/// How long a connection waits for an address of our own, when nobody sets a limit.
const ADDRESS_WAIT_NS: u64 = 15_000_000_000;

/// A listener; dropped, it listens no more.
#[derive(Debug)]
pub struct Listener(Handle<ListenerId>);

/// A connection; dropped, it is brought to its end in the background.
#[derive(Debug)]
pub struct Connection(Handle<ConnectionId>);

/// For ever, as a time-out in nanoseconds.
pub const NO_TIMEOUT: u64 = u64::MAX;

/// Asks the stack until it has an answer, or until the time is over.
#[inline]
fn wait<R>(
    queue: &WaitQueue,
    timeout_ns: u64,
    mut ask: impl FnMut(&mut Stack) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut deadline_ns = None;
    loop {
        match with(|network| ask(&mut network.stack)) {
            Err(Error::WouldBlock) => {}
            answer => return answer,
        }
        // The clock is looked at only by those who wait.
        if deadline_ns.is_none() && timeout_ns != NO_TIMEOUT {
            deadline_ns = Some(time::now_ns().saturating_add(timeout_ns));
        }
        if queue.wait(deadline_ns) == WaitOutcome::TimedOut {
            return Err(Error::TimedOut);
        }
    }
}

#[inline]
fn read(id: ConnectionId, queues: &Queues, buffer: &mut [u8], timeout_ns: u64) -> Result<usize, Error> {
    wait(&queues.readers, timeout_ns, |stack| {
        if queues.read_closed.load(Relaxed) {
            return Ok(0);
        }
        stack.tcp_read(id, buffer)
    })
}

#[inline]
fn write(id: ConnectionId, queues: &Queues, data: &[u8], timeout_ns: u64) -> Result<usize, Error> {
    wait(&queues.writers, timeout_ns, |stack| stack.tcp_write(id, data))
}

impl Listener {
    /// Listens on an address of ours, or on all; port 0 picks a free one. Waits for nothing, not even an address.
    ///
    /// It belongs to this core, and so do the connections it accepts. Other cores may listen on the same port.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or there is no memory.
    pub fn bind(address: SocketAddrV4, backlog: usize) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let (listener, first) = with(|network| {
            let (id, first) = network.stack.tcp_listen_among(address, backlog)?;
            Ok((Listener(Handle::new(id, network.sockets.listeners.queues(id.index()))), first))
        })?;
        if first {
            console::control(&Control::Listen { protocol: Protocol::Tcp, port: listener.address()?.port() });
        }
        Ok(listener)
    }

    /// Waits for the next connection; with it comes its peer.
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub fn accept(&self, timeout_ns: u64) -> Result<(Connection, SocketAddrV4), Error> {
        let _kernel = depth::enter();
        self.0.call(|id, queues| {
            let (id, peer) = wait(&queues.readers, timeout_ns, |stack| stack.tcp_accept(id))?;
            Ok((Connection::new(id), peer))
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None, while it exists.
    pub fn address(&self) -> Result<SocketAddrV4, Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| with(|network| network.stack.tcp_listener_address(id)))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        self.0.end(|id| with(|network| network.stack.tcp_close_listener(id)));
    }
}

impl Connection {
    fn new(id: ConnectionId) -> Self {
        let queues = with(|network| network.sockets.connections.queues(id.index()));
        queues.read_closed.store(false, Relaxed);
        Connection(Handle::new(id, queues))
    }

    /// Connects, waiting first for an address of our own if one may still come.
    ///
    /// # Errors
    /// Why it did not come about; [`Error::TimedOut`].
    pub fn connect(remote: SocketAddrV4, timeout_ns: u64) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let start_ns = time::now_ns();
        if !remote.ip().is_loopback() && !wait_for_address(Some(start_ns + ADDRESS_WAIT_NS.min(timeout_ns))) {
            return Err(Error::NetworkUnreachable);
        }
        let waited_ns = if timeout_ns == NO_TIMEOUT { 0 } else { time::now_ns() - start_ns };
        let id = with(|network| network.stack.tcp_connect(remote, time::now_ns()))?;
        let connection = Connection::new(id);
        wait(&connection.0.queues.writers, timeout_ns.saturating_sub(waited_ns), |stack| stack.tcp_connected(id))?;
        Ok(connection)
    }

    /// Reads what has come, waiting until something has; 0 at the end of the peer's stream.
    ///
    /// # Errors
    /// [`Error::TimedOut`], or why the stream broke off.
    #[inline]
    pub fn read(&self, buffer: &mut [u8], timeout_ns: u64) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.call(|id, queues| read(id, queues, buffer, timeout_ns))
    }

    /// Takes as much of `data` as there is room for, waiting until there is some. It is sent when the thread next waits
    /// or yields.
    ///
    /// # Errors
    /// [`Error::TimedOut`], or why nothing can be sent.
    #[inline]
    pub fn write(&self, data: &[u8], timeout_ns: u64) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.call(|id, queues| write(id, queues, data, timeout_ns))
    }

    /// Ends the sending half after what was written; reading goes on.
    ///
    /// # Errors
    /// None, while the connection exists.
    pub fn shutdown_write(&self) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| with(|network| network.stack.tcp_shutdown_write(id)))
    }

    /// Ends the receiving half, for this side: whoever reads, now or later, finds the end.
    pub fn shutdown_read(&self) {
        let _kernel = depth::enter();
        self.0.queues.read_closed.store(true, Relaxed);
        let queues = Arc::clone(&self.0.queues);
        self.0.end(move |_| queues.readers.wake_all());
    }

    /// Our end, and the peer's.
    ///
    /// # Errors
    /// None, while the connection exists.
    pub fn ends(&self) -> Result<(SocketAddrV4, SocketAddrV4), Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| with(|network| network.stack.tcp_ends(id)))
    }

    /// Sends small writes at once instead of gathering them while others are under way.
    ///
    /// # Errors
    /// None, while the connection exists.
    pub fn set_no_delay(&self, on: bool) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| with(|network| network.stack.tcp_set_no_delay(id, on)))
    }

    /// Probes a silent peer at that interval, and gives it up after four; `None` switches it off.
    ///
    /// # Errors
    /// None, while the connection exists.
    pub fn set_keep_alive(&self, interval_ns: Option<u64>) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| with(|network| network.stack.tcp_set_keep_alive(id, interval_ns, time::now_ns())))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        self.0.end(|id| with(|network| network.stack.tcp_close(id, Ending::Orderly, time::now_ns())));
    }
}
