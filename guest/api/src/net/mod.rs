//! TCP and UDP, shaped after `std::net`; IPv4 for now.
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
//! * There are no name look-ups yet: [`ToSocketAddrs`] knows numbers, not names.
//! * **A socket belongs to the core of the thread that made it**, and a connection to the core that accepted it: its threads
//!   use it without a lock. From other cores it works too, but each call is made by a thread over there, as dear as a
//!   [`spawn_on`](crate::thread::spawn_on) and its join. So a server for several cores binds the same port on each, and
//!   accepts there; whoever connects is given to one of them. On one core a port is taken once, as in `std`. A connection
//!   is over when its last handle is dropped, on whichever core.
//! * Listening waits for nothing: not for an address from DHCP either. Connecting does wait for it.

mod address;
mod tcp;
mod udp;

pub use address::ToSocketAddrs;
pub use core::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;

use crate::io::{self, ErrorKind};
use toro_kernel::net;

pub use toro_kernel::net::Statistics;

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

/// This machine's own address; `None` while DHCP has not given one.
#[must_use]
pub fn local_address() -> Option<Ipv4Addr> {
    net::address().map(|address| address.ip)
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
            return io::Error::with_message(ErrorKind::InvalidInput, "the datagram does not fit in one packet");
        }
        Reason::InvalidInput => ErrorKind::InvalidInput,
    };
    kind.into()
}
