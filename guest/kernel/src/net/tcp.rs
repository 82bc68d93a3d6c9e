//! TCP for threads: calls that wait until the stack has an answer or their time is over, and such that never wait.

pub use super::handle::NO_TIMEOUT;
pub use toro_netstack::{Info, KeepAlive, TcpOption, TcpState};

use super::handle::{Handle, Spot};
use super::ports::{Port, is_held};
use super::sockets::{Kind, Side};
use super::{Ending, Error, Readiness, Watcher, here, reach, wait_for_way};
use crate::arch::cores::CoreId;
use crate::arch::{depth, time};
use crate::console;
use alloc::sync::Arc;
use core::net::SocketAddr;
use toro_abi::control::{self, Control};
use toro_netstack::{ConnectionId, ListenerId, Protocol, Sharing, Stack};

/// How long a connection waits for an address of our own, when nobody sets a limit.
const ADDRESS_WAIT_NS: u64 = 15_000_000_000;

/// A listener; dropped, it listens no more.
#[derive(Debug)]
pub struct Listener(Handle<ListenerId>);

/// A connection; dropped, it is brought to its end in the background.
#[derive(Debug)]
pub struct Connection(Handle<ConnectionId>);

impl Handle<ListenerId> {
    #[inline]
    fn spot(&self) -> Spot {
        Spot { core: self.core, kind: Kind::Listener, index: self.id.index(), side: Side::Readers }
    }
}

impl Handle<ConnectionId> {
    #[inline]
    fn spot(&self, side: Side) -> Spot {
        Spot { core: self.core, kind: Kind::Connection, index: self.id.index(), side }
    }
}

/// Ends a listener that a thread has left behind.
fn end_listener(stack: &mut Stack, index: usize) {
    if let Some(id) = stack.tcp_listener_at(index) {
        stack.tcp_close_listener(id);
    }
}

/// Ends a connection that a thread has left behind: its peer must not wait for what will not come.
fn reset(stack: &mut Stack, index: usize) {
    if let Some(id) = stack.tcp_connection_at(index) {
        stack.tcp_close(id, Ending::Reset, time::now_ns());
    }
}

impl Listener {
    /// Listens on an address of ours, or on all; port 0 picks a free one. Waits for nothing, not even an address.
    ///
    /// It belongs to this core, and so do the connections it accepts. Other cores may listen on the same port.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or there is no memory.
    pub fn bind(address: SocketAddr, sharing: Sharing, backlog: usize) -> Result<Self, Error> {
        let _kernel = depth::enter();
        Listener::open(address, sharing, backlog)
    }

    /// Listens on a port that is held: on this core, as [`bind`](Self::bind).
    ///
    /// # Errors
    /// [`Error::AddressInUse`] when another holder listens, or does not agree; [`Error::OutOfMemory`].
    pub fn listen(port: &Port, backlog: usize) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let (address, sharing) = port.place(Protocol::Tcp)?;
        port.listen()?;
        Listener::open(address, sharing, backlog)
    }

    fn open(address: SocketAddr, sharing: Sharing, backlog: usize) -> Result<Self, Error> {
        let (listener, first) = here(|core, network| {
            let (id, first) = network.stack.tcp_listen_beside(address, sharing, backlog)?;
            let opened = network.sockets.open(Kind::Listener, id.index(), end_listener);
            Ok((Listener(Handle { core, id }), opened.map(|()| first)))
        })?;
        if first? {
            let port = listener.0.ask(|stack, id| stack.tcp_listener_address(id))?.port();
            console::control(&Control::Listen { protocol: control::Protocol::Tcp, port });
        }
        Ok(listener)
    }

    /// Waits for the next connection; with it comes its peer.
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub fn accept(&self, timeout_ns: u64) -> Result<(Connection, SocketAddr), Error> {
        let _kernel = depth::enter();
        let (id, peer) = self.0.spot().wait(timeout_ns, |stack| stack.tcp_accept(self.0.id))?;
        Ok((Connection::new(self.0.core, id)?, peer))
    }

    /// The next connection, if one waits; with it comes its peer.
    ///
    /// # Errors
    /// [`Error::WouldBlock`].
    pub fn try_accept(&self) -> Result<(Connection, SocketAddr), Error> {
        let _kernel = depth::enter();
        let (id, peer) = self.0.ask(|stack, id| stack.tcp_accept(id))?;
        Ok((Connection::new(self.0.core, id)?, peer))
    }

    /// Changes how many connections may wait to be accepted.
    ///
    /// # Errors
    /// None, while it exists.
    pub fn set_backlog(&self, backlog: usize) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_set_backlog(id, backlog))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None, while it exists.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_listener_address(id))
    }

    /// Whether somebody can be accepted, which is `readable`; arms the watcher for the next one.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_listener_readiness(id))
    }

    /// Has `watcher` told when somebody can be accepted; `None`: nobody any more.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn set_watcher(&self, watcher: Option<Arc<dyn Watcher>>) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.spot().watch(watcher)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        self.0.spot().end(|stack| stack.tcp_close_listener(self.0.id));
    }
}

impl Connection {
    /// Gives a connection of the stack of `core` its place.
    fn new(core: CoreId, id: ConnectionId) -> Result<Self, Error> {
        let connection = Connection(Handle { core, id });
        reach(core, |network, _| network.sockets.open(Kind::Connection, id.index(), reset))?;
        Ok(connection)
    }

    /// Connects, waiting first for an address of our own if one may still come.
    ///
    /// # Errors
    /// Why it did not come about; [`Error::TimedOut`].
    pub fn connect(remote: SocketAddr, timeout_ns: u64) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let start_ns = time::now_ns();
        if !wait_for_way(remote.ip(), Some(start_ns + ADDRESS_WAIT_NS.min(timeout_ns))) {
            return Err(Error::NetworkUnreachable);
        }
        let waited_ns = if timeout_ns == NO_TIMEOUT { 0 } else { time::now_ns() - start_ns };
        let (core, id) = here(|core, network| Ok((core, network.stack.tcp_connect(remote, time::now_ns())?)))?;
        let connection = Connection::new(core, id)?;
        let left_ns = timeout_ns.saturating_sub(waited_ns);
        connection.0.spot(Side::Writers).wait(left_ns, |stack| stack.tcp_connected(id))?;
        Ok(connection)
    }

    /// Begins to connect, from a port that is held or from one that is picked, and waits for nothing:
    /// [`finish_connect`](Self::finish_connect) says how it ended.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`], [`Error::AddressInUse`] when no port is left, [`Error::AddressNotAvailable`] when there
    /// is a connection between these ends, [`Error::InvalidInput`], [`Error::OutOfMemory`].
    pub fn start(local: Option<&Port>, remote: SocketAddr) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let local = local.map(|port| port.place(Protocol::Tcp)).transpose()?.map(|(address, _)| address);
        let (core, id) = here(|core, network| {
            let taken = |port| is_held(Protocol::Tcp, port);
            Ok((core, network.stack.tcp_connect_from(local, remote, &taken, time::now_ns())?))
        })?;
        Connection::new(core, id)
    }

    /// How [`start`](Self::start) ended.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] while it is not decided: the watcher will be told. Else why it failed, once.
    pub fn finish_connect(&self) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_connected(id))
    }

    /// Reads what has come, waiting until something has; 0 at the end of the peer's stream.
    ///
    /// # Errors
    /// [`Error::TimedOut`], or why the stream broke off: once, and then there is the end.
    #[inline]
    pub fn read(&self, buffer: &mut [u8], timeout_ns: u64) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.spot(Side::Readers).wait(timeout_ns, |stack| stack.tcp_read(self.0.id, buffer))
    }

    /// As [`read`](Self::read), without waiting.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]; else as there.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_read(id, buffer))
    }

    /// As [`try_read`](Self::try_read), but what was read stays there.
    ///
    /// # Errors
    /// As there.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_peek(id, buffer))
    }

    /// As [`try_read`](Self::try_read), without a copy in between: `take` sees what there is, in one piece or two and
    /// `bytes_max` at most, and says how much it took. It runs under the stack's lock: it must not wait nor use the network.
    ///
    /// # Errors
    /// As there.
    pub fn try_read_with(&self, bytes_max: usize, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_read_with(id, bytes_max, take))
    }

    /// As [`read`](Self::read), but what was read stays there.
    ///
    /// # Errors
    /// As there.
    pub fn peek(&self, buffer: &mut [u8], timeout_ns: u64) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.spot(Side::Readers).wait(timeout_ns, |stack| stack.tcp_peek(self.0.id, buffer))
    }

    /// Takes as much of `data` as there is room for, waiting until there is some. It is sent when the thread next waits
    /// or yields.
    ///
    /// # Errors
    /// [`Error::TimedOut`], or why nothing can be sent.
    #[inline]
    pub fn write(&self, data: &[u8], timeout_ns: u64) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.spot(Side::Writers).wait(timeout_ns, |stack| stack.tcp_write(self.0.id, data))
    }

    /// As [`write`](Self::write), without waiting.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]; else as there.
    pub fn try_write(&self, data: &[u8]) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_write(id, data))
    }

    /// As [`try_write`](Self::try_write), without a copy in between: `fill` writes into the room there is, in one piece or two
    /// and `bytes_max` at most, and says how much it wrote. It runs under the stack's lock: it must not wait nor use the
    /// network.
    ///
    /// # Errors
    /// As there.
    pub fn try_write_with(&self, bytes_max: usize, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<usize, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_write_with(id, bytes_max, fill))
    }

    /// Bytes that can be read now.
    #[must_use]
    pub fn readable_bytes(&self) -> usize {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_readable_bytes(id))
    }

    /// Bytes that were written and are not acknowledged.
    #[must_use]
    pub fn unacknowledged_bytes(&self) -> usize {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_pending_bytes(id).0)
    }

    /// Bytes that were written and never sent.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_pending_bytes(id).1)
    }

    /// Takes the reason why the connection broke, if no call has told it yet.
    #[must_use]
    pub fn take_error(&self) -> Option<Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_take_error(id))
    }

    /// What can be done now; arms the watcher for what comes next.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_readiness(id))
    }

    /// Has `watcher` told when what can be done may have changed; `None`: nobody any more.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn set_watcher(&self, watcher: Option<Arc<dyn Watcher>>) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.spot(Side::Readers).watch(watcher)
    }

    /// How it stands.
    ///
    /// # Errors
    /// None, while it exists.
    pub fn info(&self) -> Result<Info, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_info(id))
    }

    /// Does as an option says; nothing happens to a connection that is over.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a time or count of 0.
    pub fn set(&self, option: TcpOption) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_set(id, option, time::now_ns()))
    }

    /// Ends the sending half after what was written; reading goes on.
    ///
    /// # Errors
    /// None, while the connection exists.
    pub fn shutdown_write(&self) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.tell(|stack, id| stack.tcp_shutdown_write(id))
    }

    /// Ends the receiving half, for this side: what has come can still be read, and then there is the end.
    pub fn shutdown_read(&self) {
        let _kernel = depth::enter();
        self.0.tell(|stack, id| stack.tcp_shutdown_read(id));
    }

    /// Waits until all that was written is acknowledged, or never will be; after a shutdown, the end as well.
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub fn drain(&self, timeout_ns: u64) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.spot(Side::Writers).wait(timeout_ns, |stack| stack.tcp_drained(self.0.id))
    }

    /// The same without waiting: the watcher will be told.
    ///
    /// # Errors
    /// [`Error::WouldBlock`].
    pub fn try_drain(&self) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_drained(id))
    }

    /// Ends it at once; the peer sees a reset. Dropping it instead ends it in order.
    pub fn reset(self) {
        let _kernel = depth::enter();
        self.0.spot(Side::Readers).end(|stack| stack.tcp_close(self.0.id, Ending::Reset, time::now_ns()));
        core::mem::forget(self); // its end was this one
    }

    /// Our end, and the peer's.
    ///
    /// # Errors
    /// None, while the connection exists.
    pub fn ends(&self) -> Result<(SocketAddr, SocketAddr), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.tcp_ends(id))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        self.0.spot(Side::Readers).end(|stack| stack.tcp_close(self.0.id, Ending::Orderly, time::now_ns()));
    }
}
