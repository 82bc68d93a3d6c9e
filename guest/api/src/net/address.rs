//! Addresses as programs write them.

use super::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use crate::io::{self, ErrorKind};
use alloc::string::String;
use alloc::vec::Vec;
use core::{array, option, slice};

/// What can be the address of a socket: `"10.0.2.15:80"`, `("10.0.2.15", 80)`, an address and a port, a socket address.
pub trait ToSocketAddrs {
    /// One address after the other.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses that are meant.
    ///
    /// # Errors
    /// The text is no address (a name, say: those are not looked up yet).
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

macro_rules! one {
    ($($kind:ty),*) => {$(
        impl ToSocketAddrs for $kind {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )*};
}

one!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16));

impl ToSocketAddrs for str {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Some(port) = self.strip_prefix("localhost:") {
            return ("localhost", port.parse().map_err(|_| no_address())?).to_socket_addrs();
        }
        Ok(Some(self.parse::<SocketAddr>().map_err(|_| no_address())?).into_iter())
    }
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let ip = match self.0 {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            text => text.parse().map_err(|_| no_address())?,
        };
        (ip, self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = core::iter::Copied<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}

impl<const N: usize> ToSocketAddrs for [SocketAddr; N] {
    type Iter = array::IntoIter<SocketAddr, N>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok((*self).into_iter())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

fn no_address() -> io::Error {
    io::Error::with_message(
        ErrorKind::InvalidInput,
        "not an address with a port, as 10.0.2.2:80; names are not looked up",
    )
}

/// The IPv4 addresses among those meant.
pub(super) fn ipv4(addresses: impl ToSocketAddrs) -> io::Result<Vec<SocketAddrV4>> {
    let mut found = Vec::new();
    for address in addresses.to_socket_addrs()? {
        match address {
            SocketAddr::V4(address) => found.push(address),
            SocketAddr::V6(_) => {}
        }
    }
    if found.is_empty() {
        return Err(io::Error::with_message(ErrorKind::Unsupported, "there is no IPv6 yet: give an IPv4 address"));
    }
    Ok(found)
}

/// Tries one address after the other; the last error, if none will do.
pub(super) fn first_of<R>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddrV4) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for address in ipv4(addresses)? {
        match attempt(address) {
            Ok(result) => return Ok(result),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_address))
}
