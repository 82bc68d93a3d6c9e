//! Addresses as programs write them.

use super::lookup::lookup_host;
use super::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use crate::io::{self, ErrorKind};
use alloc::string::String;
use alloc::vec::{self, Vec};
use core::{array, option, slice};

/// What can be the address of a socket: `"10.0.2.15:80"`, `("example.org", 80)`, an address and a port, a socket address.
pub trait ToSocketAddrs {
    /// One address after the other.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses that are meant.
    ///
    /// # Errors
    /// The text is no address, or a name that has none.
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

one!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(Vec::from([address]).into_iter());
        }
        let (name, port) = self.rsplit_once(':').ok_or_else(no_address)?;
        (name, port.parse().map_err(|_| no_address())?).to_socket_addrs()
    }
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (name, port) = *self;
        let addresses = lookup_host(name)?;
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>().into_iter())
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

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
    io::Error::with_message(ErrorKind::InvalidInput, "not an address or name with a port, as 10.0.2.2:80")
}

/// Tries one address after the other; the last error, if none will do.
pub(super) fn first_of<R>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(result) => return Ok(result),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_address))
}
