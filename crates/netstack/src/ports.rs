//! Ports that programs hold by name, of the whole machine: what `bind` gives before anybody listens or connects.
//!
//! Stacks know their own listeners, sockets and connections. What they do not know is a port that a program took and does
//! nothing with yet, nor what another core's program consented to.

use crate::error::Error;
use crate::sharing::{Claim, Sharing};
use crate::steering::Protocol;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// A port that is held.
#[derive(Debug)]
struct Held {
    protocol: Protocol,
    port: u16,
    number: u64,
    claim: Claim,
}

/// All of them, in order of protocol and port.
#[derive(Debug)]
pub struct Ports {
    held: Vec<Held>,
    last: u64,
}

impl Ports {
    /// Nobody holds a port.
    #[must_use]
    pub const fn new() -> Self {
        Ports { held: Vec::new(), last: 0 }
    }

    fn at(&self, protocol: Protocol, port: u16) -> core::ops::Range<usize> {
        let key = (protocol as u8, port);
        let start = self.held.partition_point(|held| (held.protocol as u8, held.port) < key);
        let end = start + self.held[start..].partition_point(|held| (held.protocol as u8, held.port) == key);
        start..end
    }

    /// Whether somebody holds the port.
    #[must_use]
    pub fn has(&self, protocol: Protocol, port: u16) -> bool {
        !self.at(protocol, port).is_empty()
    }

    /// Holds a port; returns its number.
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::OutOfMemory`].
    pub fn hold(&mut self, protocol: Protocol, address: SocketAddr, sharing: Sharing) -> Result<u64, Error> {
        let claim = Claim { ip: address.ip().into(), sharing, exclusive: false };
        let place = self.at(protocol, address.port());
        if self.held[place.clone()].iter().any(|other| other.claim.conflicts(&claim)) {
            return Err(Error::AddressInUse);
        }
        self.held.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.last += 1;
        self.held.insert(place.end, Held { protocol, port: address.port(), number: self.last, claim });
        Ok(self.last)
    }

    /// The holder of a TCP port listens from now on, which fewer others agree with.
    ///
    /// # Errors
    /// [`Error::AddressInUse`].
    pub fn listen(&mut self, port: u16, number: u64) -> Result<(), Error> {
        let place = self.at(Protocol::Tcp, port);
        let all = &mut self.held[place];
        let Some(index) = all.iter().position(|held| held.number == number) else { return Err(Error::NotConnected) };
        let claim = Claim { exclusive: true, ..all[index].claim };
        if all.iter().any(|other| other.number != number && other.claim.conflicts(&claim)) {
            return Err(Error::AddressInUse);
        }
        all[index].claim = claim;
        Ok(())
    }

    /// Lets go of a port.
    pub fn release(&mut self, protocol: Protocol, port: u16, number: u64) {
        let place = self.at(protocol, port);
        if let Some(index) = self.held[place.clone()].iter().position(|held| held.number == number) {
            self.held.remove(place.start + index);
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::new()
    }
}

/// All ports that a program did not choose itself, from a random one on.
pub fn ephemeral_ports(random: u64) -> impl Iterator<Item = u16> {
    crate::tcp::ephemeral_ports(random)
}

#[cfg(test)]
mod tests {
    use super::Ports;
    use crate::steering::Protocol::{Tcp, Udp};
    use crate::{Error, Sharing};
    use core::net::{Ipv4Addr, SocketAddr};

    #[test]
    fn ports_are_held_shared_and_let_go() {
        let mut ports = Ports::new();
        let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let alone = Sharing::default();
        let address = Sharing { reuse_address: true, ..alone };
        let port = Sharing { reuse_port: true, ..alone };
        let first = ports.hold(Tcp, any(80), alone).unwrap();
        assert_eq!(ports.hold(Tcp, any(80), address), Err(Error::AddressInUse));
        let other = ports.hold(Udp, any(80), alone).unwrap();
        assert!(ports.has(Tcp, 80) && ports.has(Udp, 80) && !ports.has(Tcp, 81));
        ports.release(Tcp, 80, first);
        ports.release(Tcp, 80, other);
        assert!(!ports.has(Tcp, 80) && ports.has(Udp, 80));
        // Two hold it, one of them listens.
        let one = ports.hold(Tcp, any(80), address).unwrap();
        let two = ports.hold(Tcp, any(80), address).unwrap();
        assert_eq!(ports.listen(80, one), Err(Error::AddressInUse));
        ports.release(Tcp, 80, two);
        assert_eq!(ports.listen(80, one), Ok(()));
        assert_eq!(ports.hold(Tcp, any(80), address), Err(Error::AddressInUse));
        // Both listen.
        let one = ports.hold(Tcp, any(90), port).unwrap();
        let two = ports.hold(Tcp, any(90), port).unwrap();
        assert_eq!((ports.listen(90, one), ports.listen(90, two)), (Ok(()), Ok(())));
    }
}
