//! Options that all sockets of the network have, as they are set before there is anything to set them on.

use toro::prelude::*;
use toro::sync::SpinLock;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Linger, Timeval};
use toro_linux_abi::raw::net;
use zerocopy::{FromBytes, IntoBytes};

/// Levels of options.
pub(crate) const SOL_SOCKET: u32 = net::SOL_SOCKET;
/// IP.
pub(crate) const SOL_IP: u32 = 0;
/// IPv6.
pub(crate) const SOL_IPV6: u32 = 41;
/// TCP.
pub(crate) const SOL_TCP: u32 = 6;

/// Options of the level of sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// `SO_REUSEADDR`.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// `SO_KEEPALIVE`.
    pub keep_alive: bool,
    /// `SO_BROADCAST`.
    pub broadcast: bool,
    /// `SO_LINGER`: seconds.
    pub linger: Option<i32>,
    /// `SO_RCVTIMEO`, `SO_SNDTIMEO`, in ns; 0: for ever.
    pub patience_ns: (u64, u64),
    /// `SO_SNDBUF`, `SO_RCVBUF`: as asked for.
    pub buffers: (u32, u32),
    /// `SO_PASSCRED`.
    pub pass_credentials: bool,
    /// `IPV6_V6ONLY`.
    pub v6_only: bool,
    /// `IP_MTU_DISCOVER` and `IPV6_MTU_DISCOVER`: whether datagrams may be divided.
    pub divides: Divides,
    /// `SO_PRIORITY` and `SO_MARK`: kept.
    pub priority: i32,
    /// See there.
    pub mark: i32,
}

/// Whether a packet may be divided on its way, by the numbers of `ip(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Divides(pub i32);

impl Divides {
    /// By this machine, if need be.
    const WANT: Self = Divides(1);

    /// Whether this machine may divide it.
    pub(crate) const fn here(self) -> bool {
        self.0 < 2
    }
}

/// What sockets have when nothing is set: Linux doubles what is asked for.
const BUFFERS: (u32, u32) = (87_040, 131_072);

impl Options {
    /// None set.
    pub(crate) const fn new() -> Self {
        Options {
            reuse_address: false,
            reuse_port: false,
            keep_alive: false,
            broadcast: false,
            linger: None,
            patience_ns: (0, 0),
            buffers: BUFFERS,
            pass_credentials: false,
            v6_only: false,
            divides: Divides::WANT,
            priority: 0,
            mark: 0,
        }
    }
}

/// A number that a program gave.
pub(crate) fn number(value: &[u8]) -> Result<i32, Errno> {
    i32::read_from_prefix(value).map(|(number, _)| number).map_err(|_| Errno::INVAL)
}

/// Options in a place of their own.
pub(crate) struct Shared(SpinLock<Options>);

impl Shared {
    /// None set.
    pub(crate) const fn new() -> Self {
        Shared(SpinLock::new(Options::new()))
    }

    /// Those of another socket, for one that it accepted.
    pub(crate) fn like(other: &Shared) -> Self {
        Shared(SpinLock::new(other.get()))
    }

    /// As they are.
    pub(crate) fn get(&self) -> Options {
        self.0.with(|options| *options)
    }

    /// How long a read, and a write, may wait.
    pub(crate) fn patience_ns(&self) -> (Option<u64>, Option<u64>) {
        let (read, write) = self.get().patience_ns;
        let limit = |ns: u64| (ns != 0).then_some(ns);
        (limit(read), limit(write))
    }

    /// Sets one of the level of sockets; `ENOPROTOOPT` for one that is not known.
    pub(crate) fn set(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let patience = || {
            let (time, _) = Timeval::read_from_prefix(value).map_err(|_| Errno::INVAL)?;
            time.to_ns().ok_or(Errno::DOM)
        };
        self.0.with(|options| {
            match name {
                net::SO_REUSEADDR => options.reuse_address = number(value)? != 0,
                net::SO_REUSEPORT => options.reuse_port = number(value)? != 0,
                net::SO_KEEPALIVE => options.keep_alive = number(value)? != 0,
                net::SO_BROADCAST => options.broadcast = number(value)? != 0,
                net::SO_LINGER => {
                    let (linger, _) = Linger::read_from_prefix(value).map_err(|_| Errno::INVAL)?;
                    options.linger = (linger.onoff != 0).then_some(linger.linger);
                }
                net::SO_RCVTIMEO_OLD => options.patience_ns.0 = patience()?,
                net::SO_SNDTIMEO_OLD => options.patience_ns.1 = patience()?,
                net::SO_SNDBUF | net::SO_SNDBUFFORCE => options.buffers.0 = doubled(number(value)?),
                net::SO_RCVBUF | net::SO_RCVBUFFORCE => options.buffers.1 = doubled(number(value)?),
                net::SO_PASSCRED => options.pass_credentials = number(value)? != 0,
                net::SO_PRIORITY => options.priority = number(value)?,
                net::SO_MARK => options.mark = number(value)?,
                // What it asks for is what is done: nothing is queued for who does not listen.
                net::SO_OOBINLINE if number(value)? == 1 => {}
                net::SO_DONTROUTE if number(value)? == 0 => {}
                _ => return Err(Errno::NOPROTOOPT),
            }
            Ok(())
        })
    }

    /// `IP_MTU_DISCOVER`.
    pub(crate) fn set_divides(&self, divides: Divides) {
        self.0.with(|options| options.divides = divides);
    }

    /// `IPV6_V6ONLY`.
    pub(crate) fn set_v6_only(&self, on: bool) {
        self.0.with(|options| options.v6_only = on);
    }

    /// One of the level of sockets.
    pub(crate) fn option(&self, name: u32) -> Result<Vec<u8>, Errno> {
        let options = self.get();
        let time = |ns: u64| Timeval::from_ns(ns).as_bytes().to_vec();
        let number = match name {
            net::SO_REUSEADDR => options.reuse_address.into(),
            net::SO_REUSEPORT => options.reuse_port.into(),
            net::SO_KEEPALIVE => options.keep_alive.into(),
            net::SO_BROADCAST => options.broadcast.into(),
            net::SO_SNDBUF => options.buffers.0 as i32,
            net::SO_RCVBUF => options.buffers.1 as i32,
            net::SO_PASSCRED => options.pass_credentials.into(),
            net::SO_PRIORITY => options.priority,
            net::SO_MARK => options.mark,
            net::SO_OOBINLINE => 1,
            net::SO_DONTROUTE => 0,
            net::SO_RCVLOWAT | net::SO_SNDLOWAT => 1,
            net::SO_RCVTIMEO_OLD => return Ok(time(options.patience_ns.0)),
            net::SO_SNDTIMEO_OLD => return Ok(time(options.patience_ns.1)),
            net::SO_LINGER => {
                let linger = Linger { onoff: options.linger.is_some().into(), linger: options.linger.unwrap_or(0) };
                return Ok(linger.as_bytes().to_vec());
            }
            _ => return Err(Errno::NOPROTOOPT),
        };
        Ok(number.to_le_bytes().to_vec())
    }
}

/// Linux keeps twice as much as was asked for, for its own bookkeeping, and shows that.
fn doubled(bytes: i32) -> u32 {
    const MAX: u32 = 212_992 * 2;
    const MIN: u32 = 4608;
    (bytes.max(0) as u32).saturating_mul(2).clamp(MIN, MAX)
}
