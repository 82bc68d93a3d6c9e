//! Ports that programs take before they listen or connect. Who listens or connects without one has the stack choose.

use super::{Error, NETWORKS, here};
use crate::arch::{depth, time};
use crate::random;
use crate::sched::Guarded;
use core::net::{IpAddr, SocketAddr};
use toro_netstack::{Ports, Protocol, Sharing};

static PORTS: Guarded<Ports, true> = Guarded::new(Ports::new());

/// A port of the machine that is held; dropped, it is free. It is kept as long as the socket that has it.
#[derive(Debug)]
pub struct Port {
    protocol: Protocol,
    address: SocketAddr,
    sharing: Sharing,
    number: u64,
    /// Nobody asked for it by its number.
    picked: bool,
}

impl Port {
    /// Holds a port of an address of ours, or of all; port 0 picks a free one.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] when somebody has it, or, unless addresses are reused, when connections have it, of which some
    /// may have ended lately; [`Error::AddressNotAvailable`], [`Error::OutOfMemory`].
    pub fn reserve(protocol: Protocol, address: SocketAddr, sharing: Sharing) -> Result<Port, Error> {
        let _kernel = depth::enter();
        if !here(|_, network| network.stack.can_bind(protocol, address.ip())) {
            return Err(Error::AddressNotAvailable);
        }
        if address.port() == 0 {
            return Port::pick(protocol, address.ip(), sharing);
        }
        let in_use = protocol == Protocol::Tcp && !sharing.reuse_address && has_connections(address, sharing);
        if in_use { Err(Error::AddressInUse) } else { Port::hold(protocol, address, sharing) }
    }

    fn pick(protocol: Protocol, ip: IpAddr, sharing: Sharing) -> Result<Port, Error> {
        for port in toro_netstack::ephemeral_ports(random::number()) {
            let nobody_listens = here(|_, network| network.stack.may_choose(protocol, port));
            if !nobody_listens || is_held(protocol, port) {
                continue;
            }
            match Port::hold(protocol, SocketAddr::new(ip, port), sharing) {
                Err(Error::AddressInUse) => {}
                answer => {
                    return answer.map(|mut port| {
                        port.picked = true;
                        port
                    });
                }
            }
        }
        Err(Error::AddressInUse)
    }

    fn hold(protocol: Protocol, address: SocketAddr, sharing: Sharing) -> Result<Port, Error> {
        let number = PORTS.enter(|ports| ports.hold(protocol, address, sharing))?;
        Ok(Port { protocol, address, sharing, number, picked: false })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn place(&self, protocol: Protocol) -> Result<(SocketAddr, Sharing), Error> {
        if self.protocol == protocol { Ok((self.address, self.sharing)) } else { Err(Error::InvalidInput) }
    }

    /// Whether nobody asked for it by its number.
    pub(super) fn was_picked(&self) -> bool {
        self.picked
    }

    /// Its holder listens from now on.
    pub(super) fn listen(&self) -> Result<(), Error> {
        PORTS.enter(|ports| ports.listen(self.address.port(), self.number))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        PORTS.enter(|ports| ports.release(self.protocol, self.address.port(), self.number));
    }
}

/// Whether somebody holds a port.
pub(super) fn is_held(protocol: Protocol, port: u16) -> bool {
    PORTS.enter(|ports| ports.has(protocol, port))
}

/// Whether connections of any core have that port.
fn has_connections(address: SocketAddr, sharing: Sharing) -> bool {
    let now_ns = time::now_ns();
    NETWORKS.iter().any(|place| {
        place.0.enter(|network| {
            network.as_deref().is_some_and(|network| network.stack.tcp_has_port(address, sharing, now_ns))
        })
    })
}
