//! TCP sockets.

use super::ends::Kind;
use super::ip_options::{check_level, ip_option, set_ip_option, set_v6_only};
use super::options::{Options, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, Shared};
use super::tcp_options::{SECOND_NS, TcpOptions};
use super::{Half, Received, Receiving, Sending, Socket, Told, errno, events, next_ino};
use crate::interfaces;
use crate::memory::Transfer;
use crate::objects::{Object, OpenFile};
use crate::task::Task;
use crate::watch::{Events, Source};
use core::net::SocketAddr;
use toro::net::socket as network;
use toro::net::socket::tcp::{Connection, Listener, TcpOption, TcpState};
use toro::net::socket::{Error, Port, Protocol, Sharing, Watcher};
use toro::prelude::*;
use toro::sync::atomic::{AtomicBool, Ordering::Relaxed};
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::address::{Address, Family};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::raw::{ioctl, net};

/// What a socket has become.
#[derive(Clone)]
pub(super) enum State {
    /// Nothing yet.
    Fresh,
    /// It has a port.
    Bound(Arc<Port>),
    /// It listens.
    Listening(Arc<Port>, Arc<Listener>),
    /// It connects, or is connected.
    Connected(Arc<Connection>),
    /// It was connected, and could not be.
    Failed,
}

/// A TCP socket.
pub(crate) struct TcpSocket {
    pub(super) family: Family,
    pub(super) state: SpinLock<State>,
    /// The connection was begun, and its outcome not yet asked for.
    pub(super) is_connecting: SpinLock<bool>,
    /// What was sent last said that more would follow.
    pub(super) holds_back: AtomicBool,
    pub(super) told: Arc<Told>,
    pub(super) options: Shared,
    pub(super) tcp: SpinLock<TcpOptions>,
    pub(super) ino: u64,
}

impl TcpSocket {
    /// A socket that is nothing yet.
    pub(crate) fn new(family: Family) -> Self {
        TcpSocket {
            family,
            state: SpinLock::new(State::Fresh),
            is_connecting: SpinLock::new(false),
            holds_back: AtomicBool::new(false),
            told: Arc::new(Told(Source::new())),
            options: Shared::new(),
            tcp: SpinLock::new(TcpOptions::new()),
            ino: next_ino(),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state.with(|state| state.clone())
    }

    pub(super) fn become_state(&self, new: State) {
        drop(self.state.with(|state| core::mem::replace(state, new))); // outside the lock
    }

    pub(super) fn connection(&self) -> Result<Arc<Connection>, Errno> {
        let connection = self.state.with(|state| match state {
            State::Connected(connection) => Some(Arc::clone(connection)),
            _ => None,
        });
        connection.ok_or(Errno::NOTCONN)
    }

    pub(super) fn watcher(&self) -> Option<Arc<dyn Watcher>> {
        Some(Arc::clone(&self.told) as Arc<dyn Watcher>)
    }

    pub(super) fn sharing(&self) -> Sharing {
        let Options { reuse_address, reuse_port, v6_only, .. } = self.options.get();
        Sharing { reuse_address, reuse_port, v6_only }
    }

    fn ends(&self) -> Kind {
        Kind { family: self.family, v6_only: self.options.get().v6_only, stream: true }
    }

    /// Sets all options that differ from what a connection begins with.
    pub(super) fn apply(&self, connection: &Connection) -> Result<(), Errno> {
        let (options, tcp) = (self.options.get(), self.tcp.with(|tcp| *tcp));
        let fresh = TcpOptions::new();
        let mut wanted = Vec::new();
        if tcp.no_delay {
            wanted.push(TcpOption::NoDelay(true));
        }
        if tcp.cork {
            wanted.push(TcpOption::Cork(true));
        }
        if options.keep_alive {
            wanted.push(TcpOption::KeepAlive(Some(tcp.keep_alive)));
        }
        if tcp.user_timeout_ms > 0 {
            wanted.push(TcpOption::UserTimeout(Some(tcp.user_timeout_ms as u64 * 1_000_000)));
        }
        if tcp.hops != fresh.hops {
            wanted.push(TcpOption::Hops(tcp.hops as u8));
        }
        if tcp.service != 0 {
            wanted.push(TcpOption::Service(tcp.service as u8));
        }
        let usual = Options::new();
        if options.buffers.0 != usual.buffers.0 {
            wanted.push(TcpOption::SendBuffer(options.buffers.0 as usize / 2));
        }
        if options.buffers.1 != usual.buffers.1 {
            wanted.push(TcpOption::ReceiveBuffer(options.buffers.1 as usize / 2));
        }
        wanted.into_iter().try_for_each(|option| connection.set(option)).map_err(errno)
    }

    /// Sets an option on the connection, if there is one.
    pub(super) fn apply_one(&self, option: TcpOption) -> Result<(), Errno> {
        match self.connection() {
            Ok(connection) => connection.set(option).map_err(errno),
            Err(_) => Ok(()),
        }
    }

    /// A port for whoever has none: `EADDRINUSE` and others.
    pub(super) fn port(&self, address: SocketAddr) -> Result<Arc<Port>, Errno> {
        Port::reserve(Protocol::Tcp, address, self.sharing()).map(Arc::new).map_err(errno)
    }

    /// The pending error, which asking clears.
    fn take_error(&self) -> i32 {
        let error = self.connection().ok().and_then(|connection| connection.take_error());
        if error.is_some() {
            self.is_connecting.with(|is_connecting| *is_connecting = false);
        }
        error.map_or(0, |error| errno(error).number().into())
    }
}

impl Socket for TcpSocket {
    fn family(&self) -> Family {
        self.family
    }

    fn kind(&self) -> u32 {
        net::SOCK_STREAM
    }

    fn protocol(&self) -> u32 {
        net::IPPROTO_TCP as u32
    }

    fn bind(&self, address: &Address) -> Result<(), Errno> {
        let address = self.ends().local(address)?;
        if !matches!(self.state(), State::Fresh) {
            return Err(Errno::INVAL);
        }
        let port = self.port(address)?;
        self.become_state(State::Bound(port));
        Ok(())
    }

    fn listen(&self, backlog: usize) -> Result<(), Errno> {
        let port = match self.state() {
            State::Fresh => self.port(self.ends().anywhere())?,
            State::Bound(port) => port,
            State::Listening(_, listener) => return listener.set_backlog(backlog).map_err(errno),
            State::Connected(_) | State::Failed => return Err(Errno::INVAL),
        };
        let listener = Listener::listen(&port, backlog).map_err(errno)?;
        listener.set_watcher(self.watcher()).map_err(errno)?;
        self.become_state(State::Listening(port, Arc::new(listener)));
        self.told.0.notify();
        Ok(())
    }

    fn accept(&self) -> Result<(Box<dyn Object>, Address), Errno> {
        let State::Listening(_, listener) = self.state() else { return Err(Errno::INVAL) };
        let (connection, peer) = listener.try_accept().map_err(errno)?;
        let socket = TcpSocket {
            family: self.family,
            state: SpinLock::new(State::Fresh),
            is_connecting: SpinLock::new(false),
            holds_back: AtomicBool::new(false),
            told: Arc::new(Told(Source::new())),
            options: Shared::like(&self.options),
            tcp: SpinLock::new(self.tcp.with(|tcp| *tcp)),
            ino: next_ino(),
        };
        socket.apply(&connection)?;
        connection.set_watcher(socket.watcher()).map_err(errno)?;
        socket.become_state(State::Connected(Arc::new(connection)));
        Ok((Box::new(socket), Address::Inet(peer)))
    }

    fn connect(&self, address: &Address) -> Result<(), Errno> {
        if *address == Address::Unspecified {
            self.become_state(State::Fresh); // the connection ends, and the socket is as new
            return Ok(());
        }
        let local = match self.state() {
            State::Fresh | State::Failed => None,
            State::Bound(port) => Some(port),
            State::Listening(..) => return Err(Errno::ISCONN),
            State::Connected(_) => {
                return match self.finish_connect() {
                    Err(Errno::INPROGRESS) => Err(Errno::ALREADY),
                    Err(error) if self.is_connecting.with(|is_connecting| *is_connecting) => Err(error),
                    _ => {
                        let was_connecting =
                            self.is_connecting.with(|is_connecting| core::mem::replace(is_connecting, false));
                        if was_connecting { Ok(()) } else { Err(Errno::ISCONN) }
                    }
                };
            }
        };
        let address = self.ends().remote(address)?;
        if address.port() == 0 {
            return Err(Errno::CONNREFUSED); // nobody can listen there
        }
        let connection = Connection::start(local.as_deref(), address).map_err(errno)?;
        self.apply(&connection)?;
        connection.set_watcher(self.watcher()).map_err(errno)?;
        self.is_connecting.with(|is_connecting| *is_connecting = true);
        self.become_state(State::Connected(Arc::new(connection)));
        Err(Errno::INPROGRESS)
    }

    fn finish_connect(&self) -> Result<(), Errno> {
        let connection = self.connection()?;
        match connection.finish_connect() {
            Ok(()) => Ok(()),
            Err(Error::WouldBlock) => Err(Errno::INPROGRESS),
            Err(error) => {
                self.become_state(State::Failed);
                Err(errno(error))
            }
        }
    }

    fn local(&self) -> Result<Address, Errno> {
        let address = match self.state() {
            State::Fresh | State::Failed => self.ends().anywhere(),
            State::Bound(port) | State::Listening(port, _) => port.address(),
            State::Connected(connection) => connection.ends().map_err(errno)?.0,
        };
        Ok(Address::Inet(address))
    }

    fn peer(&self) -> Result<Address, Errno> {
        let connection = self.connection()?;
        if self.is_connecting.with(|is_connecting| *is_connecting) && connection.finish_connect().is_err() {
            return Err(Errno::NOTCONN);
        }
        if connection.info().is_ok_and(|info| info.state == TcpState::Closed) {
            return Err(Errno::NOTCONN);
        }
        connection.ends().map(|(_, peer)| Address::Inet(peer)).map_err(|_| Errno::NOTCONN)
    }

    fn send(&self, from: &mut Transfer<'_>, sending: &Sending) -> Result<usize, Errno> {
        let connection = match self.state() {
            State::Connected(connection) => connection,
            _ => return Err(Errno::PIPE),
        };
        if !sending.files.is_empty() {
            return Err(Errno::INVAL);
        }
        if from.left() == 0 {
            return Ok(0);
        }
        if sending.more && !self.holds_back.swap(true, Relaxed) {
            connection.set(TcpOption::Cork(true)).map_err(errno)?;
        }
        let sent = connection.try_write_with(from.left(), &mut |room| from.take(room));
        if !sending.more && self.holds_back.swap(false, Relaxed) {
            // What was held back goes now, unless the program wants it held.
            let cork = self.tcp.with(|tcp| tcp.cork);
            connection.set(TcpOption::Cork(cork)).map_err(errno)?;
        }
        sent.map_err(errno)
    }

    fn receive(&self, to: &mut Transfer<'_>, how: Receiving) -> Result<Received, Errno> {
        let connection = self.connection()?;
        if to.left() == 0 {
            return Ok(Received::default());
        }
        let bytes = if how.peek {
            // One at least, to hear why there is nothing.
            let room = to.left().min(connection.readable_bytes().max(1));
            let mut seen = Vec::new();
            seen.try_reserve_exact(room).map_err(|_| Errno::NOMEM)?;
            seen.resize(room, 0);
            let bytes = connection.try_peek(&mut seen).map_err(errno)?;
            to.give(&seen[..bytes])
        } else if how.discard {
            let mut read = |bytes: &[u8]| to.skip(bytes.len());
            connection.try_read_with(usize::MAX, &mut read).map_err(errno)?
        } else {
            connection.try_read_with(to.left(), &mut |bytes| to.give(bytes)).map_err(errno)?
        };
        Ok(Received { bytes, whole: bytes, ..Received::default() })
    }

    fn shutdown(&self, half: Half) -> Result<(), Errno> {
        if let State::Listening(port, _) = self.state() {
            // Whoever waits for a connection hears that there will be none.
            if half != Half::Write {
                self.become_state(State::Bound(port));
                self.told.0.notify();
            }
            return Ok(());
        }
        let connection = self.connection()?;
        if connection.info().is_ok_and(|info| matches!(info.state, TcpState::Closed | TcpState::TimeWait)) {
            return Err(Errno::NOTCONN);
        }
        if matches!(half, Half::Write | Half::Both) {
            connection.shutdown_write().map_err(errno)?;
        }
        if matches!(half, Half::Read | Half::Both) {
            connection.shutdown_read();
        }
        self.told.0.notify();
        Ok(())
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        check_level(level, self.family, Errno::NOPROTOOPT)?;
        let is_bound = !matches!(self.state(), State::Fresh);
        if let Some(answer) = set_v6_only(level, name, value, &self.options, is_bound) {
            return answer;
        }
        match level {
            SOL_SOCKET => {
                self.options.set(name, value)?;
                let options = self.options.get();
                match name {
                    net::SO_KEEPALIVE => {
                        let keep_alive = self.tcp.with(|tcp| tcp.keep_alive);
                        self.apply_one(TcpOption::KeepAlive(options.keep_alive.then_some(keep_alive)))
                    }
                    net::SO_SNDBUF => self.apply_one(TcpOption::SendBuffer(options.buffers.0 as usize / 2)),
                    net::SO_RCVBUF => self.apply_one(TcpOption::ReceiveBuffer(options.buffers.1 as usize / 2)),
                    _ => Ok(()),
                }
            }
            SOL_TCP => self.set_tcp_option(name, value),
            SOL_IP | SOL_IPV6 => set_ip_option(level, name, value, &self.options, |hops, service| {
                if let Some(hops) = hops {
                    self.tcp.with(|tcp| tcp.hops = hops.into());
                    self.apply_one(TcpOption::Hops(hops))?;
                }
                if let Some(service) = service {
                    self.tcp.with(|tcp| tcp.service = service.into());
                    self.apply_one(TcpOption::Service(service))?;
                }
                Ok(())
            }),
            _ => Err(Errno::NOPROTOOPT),
        }
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        check_level(level, self.family, Errno::OPNOTSUPP)?;
        let number = match (level, name) {
            (SOL_SOCKET, net::SO_ERROR) => self.take_error(),
            (SOL_SOCKET, net::SO_ACCEPTCONN) => i32::from(matches!(self.state(), State::Listening(..))),
            (SOL_SOCKET, name) => return self.options.option(name),
            (SOL_TCP, name) => return self.tcp_option(name),
            (level, name) => {
                let tcp = self.tcp.with(|tcp| *tcp);
                ip_option(level, name, &self.options, tcp.hops, tcp.service)?
            }
        };
        Ok(number.to_le_bytes().to_vec())
    }

    fn linger(&self, deadline_ns: &mut dyn FnMut(u64) -> u64) -> Option<u64> {
        let seconds = u64::try_from(self.options.get().linger?).ok().filter(|seconds| *seconds > 0)?;
        let connection = self.connection().ok()?;
        connection.shutdown_write().ok()?;
        Some(deadline_ns(seconds.saturating_mul(SECOND_NS)))
    }

    fn is_drained(&self) -> bool {
        self.connection().map_or(true, |connection| connection.try_drain() != Err(Error::WouldBlock))
    }
}

impl Object for TcpSocket {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        self.receive(to, Receiving::default()).map(|received| received.bytes)
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        self.send(from, &Sending::default())
    }

    fn readiness(&self) -> Events {
        match self.state() {
            State::Fresh | State::Bound(_) => Events::OUT.and(Events::HUP),
            State::Failed => Events::IN.and(Events::OUT).and(Events::HUP).and(Events::READ_HUP),
            State::Listening(_, listener) => events(listener.readiness()),
            State::Connected(connection) => events(connection.readiness()),
        }
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.told.0)
    }

    fn status(&self) -> Stat {
        super::status(self.ino)
    }

    fn control(&self, task: &mut Task, request: u32, argument: u64) -> Result<u64, Errno> {
        let connection = self.connection();
        let bytes = match request {
            ioctl::FIONREAD => connection.map_err(|_| Errno::INVAL)?.readable_bytes(),
            ioctl::TIOCOUTQ => connection.map_or(0, |connection| connection.unacknowledged_bytes()),
            SIOCOUTQNSD => connection.map_or(0, |connection| connection.unsent_bytes()),
            SIOCATMARK => 0,
            _ => return interfaces::control(task, request, argument),
        };
        task.process.memory.put(argument, &(bytes as i32)).map(|()| 0)
    }

    fn patience_ns(&self) -> (Option<u64>, Option<u64>) {
        self.options.patience_ns()
    }

    fn name(&self) -> Vec<u8> {
        super::name(self.ino)
    }

    fn as_socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }
}

/// `ioctl` requests that only TCP has.
const SIOCOUTQNSD: u32 = 0x894b;
const SIOCATMARK: u32 = 0x8905;

impl Drop for TcpSocket {
    fn drop(&mut self) {
        let state = self.state.with(|state| core::mem::replace(state, State::Fresh));
        match state {
            // With a linger time of 0 the peer sees a reset.
            State::Connected(connection) if self.options.get().linger == Some(0) => {
                if let Some(connection) = Arc::into_inner(connection) {
                    connection.reset();
                }
            }
            state => drop(state),
        }
        network::flush(); // the end goes out now, whatever the program does next
    }
}
