//! TCP and UDP, shaped after `std::net`.
//!
//! ```no_run
//! # fn example() -> toro::io::Result<()> {
//! use toro::io::{Read, Write};
//! use toro::net::TcpListener;
//!
//! let listener = TcpListener::bind("0.0.0.0:7")?;
//! for stream in listener.incoming() {
//!     let mut stream = stream?;
//!     toro::thread::spawn(move || {
//!         let mut buffer = [0; 1024];
//!         while let Ok(count @ 1..) = stream.read(&mut buffer) {
//!             if stream.write_all(&buffer[..count]).is_err() {
//!                 break;
//!             }
//!         }
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What differs from `std`:
//! * What a thread writes is sent **when it next waits or yields**, together with what the other threads have written: one
//!   notification of the network card serves them all. A thread that writes and then computes for long calls
//!   [`yield_now`](crate::thread::yield_now) in between.
//! * A name is looked up when it is used ([`lookup_host`]), each time anew. Addresses as text bring the look-up into the image, 10 KB;
//!   `(Ipv4Addr, u16)` does not.
//! * **A socket belongs to the core of the thread that made it**, and a connection to the core that accepted it: what
//!   arrives is taken in there. Threads of other cores may use it as well, but the two cores then wait for each other's
//!   short sections, and a wake-up goes from core to core. So a server for several cores binds the same port on each, and
//!   accepts there; whoever connects is given to one of them. On one core a port is taken once, as in `std`. A connection
//!   is over when its last handle is dropped, on whichever core.
//! * What is bound to `::` takes IPv4, too, and shows its addresses as what they are, unless it is bound by [`TcpListener::bind_only_v6`].
//! * Listening waits for nothing: not for an address from DHCP either. Connecting does wait for it.

mod address;
mod lookup;
mod name_server;
mod tcp;
mod udp;

pub use address::ToSocketAddrs;
pub use core::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use lookup::{lookup_host, name_servers, search_domains};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use toro_abi::cards::Card;
pub use udp::UdpSocket;

use crate::io::{self, ErrorKind};
use crate::prelude::Vec;
use crate::time::Instant;
use toro_kernel::net::{self, Sharing};

pub use toro_kernel::net::Statistics;

/// What lies below: sockets that never wait, tell of their readiness, share ports and have all options. For runtimes and
/// personalities that wait in their own way; most programs need none of it.
pub mod socket {
    pub use toro_kernel::net::{Error, Port, Protocol, Readiness, Sharing, Watcher, flush, tcp, udp};
}

/// What is bound to all addresses of IPv6 is not bound to those of IPv4.
const ONLY_V6: Sharing = Sharing { reuse_address: false, reuse_port: false, v6_only: true };

/// Which half of a connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more will be read.
    Read,
    /// Nothing more will be written; the peer reads the end.
    Write,
    /// Both.
    Both,
}

/// This machine's own address of IPv4; `None` while DHCP has not given one.
#[must_use]
pub fn local_address() -> Option<Ipv4Addr> {
    net::address().map(|address| address.ip)
}

/// The address that this machine speaks to another from; `None` when there is no way to it.
#[must_use]
pub fn source_for(remote: IpAddr) -> Option<IpAddr> {
    net::source_for(remote)
}

/// Waits until this machine has an address, for so long at most; `false` when it has none then, or will never have one.
pub fn wait_for_address(until: Instant) -> bool {
    net::wait_for_address(Some(until.as_nanos()))
}

/// The network cards that are used, and how each stands: `eth0` first.
#[must_use]
pub fn cards() -> Vec<Card> {
    net::cards()
}

/// What the network of this core has done since the start, and what there is now.
#[must_use]
pub fn statistics() -> Statistics {
    net::statistics()
}

/// The kernel's reason in the words of `io`.
fn error(error: net::Error) -> io::Error {
    use net::Error as Reason;
    let kind = match error {
        Reason::WouldBlock => ErrorKind::WouldBlock,
        Reason::NotConnected => ErrorKind::NotConnected,
        Reason::ConnectionRefused => ErrorKind::ConnectionRefused,
        Reason::ConnectionReset => ErrorKind::ConnectionReset,
        Reason::ConnectionAborted => ErrorKind::ConnectionAborted,
        Reason::BrokenPipe => ErrorKind::BrokenPipe,
        Reason::TimedOut => ErrorKind::TimedOut,
        Reason::AddressInUse => ErrorKind::AddrInUse,
        Reason::AddressNotAvailable => ErrorKind::AddrNotAvailable,
        Reason::NetworkUnreachable => ErrorKind::NetworkUnreachable,
        Reason::HostUnreachable => ErrorKind::HostUnreachable,
        Reason::OutOfMemory => {
            return io::Error::with_message(ErrorKind::OutOfMemory, "the memory set aside for the network is used up");
        }
        Reason::MessageTooLong => {
            return io::Error::with_message(ErrorKind::InvalidInput, "no datagram, or none on that way, is so long");
        }
        Reason::InvalidInput => ErrorKind::InvalidInput,
        Reason::PermissionDenied => ErrorKind::PermissionDenied,
        Reason::Unsupported => ErrorKind::Unsupported,
    };
    kind.into()
}
