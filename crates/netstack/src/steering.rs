//! Which core a packet belongs to, when the one that has it has no use for it.
//!
//! Each core has a stack of its own, with its own connections; all answer to the same addresses, and what they share is
//! [`Steering`]: who listens where. A core looks at home first. If nothing there knows the packet:
//!
//! * who **opens** a connection, or sends a datagram, is spread over the cores that listen on the port, by a hash of the
//!   flow; a core that listens and has a receive queue of its own keeps what its queue brought;
//! * any **other segment** goes to the likeliest core (the hash again, or the local port, whose value says which core
//!   chose it), and then round the cores that have a stack, each once. The last one refuses it.
//!
//! A packet carries the set of cores that have had it, so none sees it twice, and a listener that comes or goes costs its
//! living connections a detour and nothing else.

use crate::groups::Groups;
use crate::links::LINKS_MAX;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The most cores there can be.
pub const CORES_MAX: usize = 64;
/// The core that speaks with the link for all: neighbours, routers, DHCP, groups, and packets in pieces.
pub(crate) const CONTROL: u8 = 0;

/// Ports that can be listened on at the same time, on several cores; past it a program is refused.
const PORTS_MAX: usize = 256;

/// What a port is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp = 1,
    /// Datagrams.
    Udp = 2,
}

/// What the stacks of all cores share. Readers load; who begins or ends to listen takes a short turn.
#[derive(Debug)]
pub struct Steering {
    /// Cores that have a stack.
    present: AtomicU64,
    /// Protocol and port, 0 for none; found by probing on from the port's own place.
    ports: [AtomicU32; PORTS_MAX],
    /// The cores that listen there.
    cores: [AtomicU64; PORTS_MAX],
    changing: AtomicBool,
    /// Of each link.
    groups: [Groups; LINKS_MAX],
}

impl Steering {
    /// Nobody listens.
    #[must_use]
    pub const fn new() -> Self {
        Steering {
            present: AtomicU64::new(0),
            ports: [const { AtomicU32::new(0) }; PORTS_MAX],
            cores: [const { AtomicU64::new(0) }; PORTS_MAX],
            changing: AtomicBool::new(false),
            groups: [const { Groups::new() }; LINKS_MAX],
        }
    }

    /// The groups that the machine is in on a link.
    pub(crate) fn groups(&self, link: u8) -> &Groups {
        &self.groups[usize::from(link)]
    }

    /// The cores that listen on a port.
    fn listeners(&self, protocol: Protocol, port: u16) -> u64 {
        let wanted = key(protocol, port);
        for place in places(port) {
            match self.ports[place].load(Relaxed) {
                0 => return 0,
                found if found == wanted => return self.cores[place].load(Relaxed),
                _ => {}
            }
        }
        0
    }

    /// Adds a core to those that listen on a port, and says whether it is the first; `None` when the table is full.
    fn add(&self, protocol: Protocol, port: u16, core: u64) -> Option<bool> {
        self.change(|| {
            let wanted = key(protocol, port);
            let mut free = None;
            for place in places(port) {
                let found = self.ports[place].load(Relaxed);
                if found == wanted {
                    return Some(self.cores[place].fetch_or(core, Relaxed) == 0);
                }
                if self.cores[place].load(Relaxed) == 0 {
                    free = free.or(Some(place));
                }
                if found == 0 {
                    break;
                }
            }
            let place = free?;
            self.ports[place].store(wanted, Relaxed);
            self.cores[place].store(core, Relaxed);
            Some(true)
        })
    }

    fn remove(&self, protocol: Protocol, port: u16, core: u64) {
        self.change(|| {
            let wanted = key(protocol, port);
            // The port stays written, so that probing finds what stands behind it.
            if let Some(place) = places(port).find(|&place| self.ports[place].load(Relaxed) == wanted) {
                self.cores[place].fetch_and(!core, Relaxed);
            }
        });
    }

    fn change<R>(&self, change: impl FnOnce() -> R) -> R {
        use core::sync::atomic::Ordering::{Acquire, Release};
        while self.changing.swap(true, Acquire) {
            core::hint::spin_loop();
        }
        let result = change();
        self.changing.store(false, Release);
        result
    }
}

impl Default for Steering {
    fn default() -> Self {
        Self::new()
    }
}

fn key(protocol: Protocol, port: u16) -> u32 {
    (protocol as u32) << 16 | u32::from(port)
}

fn places(port: u16) -> impl Iterator<Item = usize> {
    (0..PORTS_MAX).map(move |step| (usize::from(port) + step) % PORTS_MAX)
}

/// Where a stack of several sits.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Its core.
    pub core: u8,
    /// How many cores there are, at most [`CORES_MAX`].
    pub cores: u8,
    /// What it shares with the others.
    pub steering: &'static Steering,
}

impl Seat {
    fn bit(&self) -> u64 {
        1 << self.core
    }

    /// Takes the seat: from now on others may hand packets over.
    pub(crate) fn take(&self) {
        self.steering.present.fetch_or(self.bit(), Relaxed);
    }

    /// The other cores that have a stack.
    pub(crate) fn others(&self) -> u64 {
        self.steering.present.load(Relaxed) & !self.bit()
    }

    pub(crate) fn listen(&self, protocol: Protocol, port: u16) -> Option<bool> {
        self.steering.add(protocol, port, self.bit())
    }

    pub(crate) fn unlisten(&self, protocol: Protocol, port: u16) {
        self.steering.remove(protocol, port, self.bit());
    }

    /// Whether this core may choose the port for itself: the value says whose it is, and nobody listens there.
    pub(crate) fn may_choose(&self, protocol: Protocol, port: u16) -> bool {
        self.chooser(port) == self.core && self.steering.listeners(protocol, port) == 0
    }

    /// The core that would have chosen an ephemeral port.
    fn chooser(&self, port: u16) -> u8 {
        (port % u16::from(self.cores)) as u8
    }

    /// Where somebody goes who opens a flow; `None`: nowhere else than here. `seen` are the cores that had the packet
    /// before, `keeps` says that this core listens, and `prefers` that it would rather keep it than share.
    pub(crate) fn opening(
        &self,
        protocol: Protocol,
        port: u16,
        flow: u64,
        seen: u64,
        keeps: bool,
        prefers: bool,
    ) -> Option<u8> {
        if keeps && (seen != 0 || prefers) {
            return None;
        }
        let listeners = self.steering.listeners(protocol, port);
        if listeners == 0 && !keeps && protocol == Protocol::Udp && crate::tcp::is_ephemeral(port) {
            // A port that nobody asked for by number stands in no table.
            let chooser = self.chooser(port);
            return (self.others() & !seen & 1 << chooser != 0).then_some(chooser);
        }
        let here = if keeps { self.bit() } else { 0 };
        pick(listeners & !seen & !self.bit() | here, flow).filter(|&core| core != self.core)
    }

    /// Where a segment goes that is unknown here; `None` when all cores have had it.
    pub(crate) fn stray(&self, port: u16, flow: u64, seen: u64) -> Option<u8> {
        let left = self.others() & !seen;
        if left == 0 {
            return None;
        }
        let listeners = self.steering.listeners(Protocol::Tcp, port);
        let guess = if listeners == 0 && crate::tcp::is_ephemeral(port) {
            Some(self.chooser(port))
        } else {
            pick(listeners, flow)
        };
        guess.filter(|&core| left & 1 << core != 0).or(Some(left.trailing_zeros() as u8))
    }
}

/// One of a set of cores, the same one for the same flow.
fn pick(cores: u64, flow: u64) -> Option<u8> {
    let skipped = ((flow >> 32) * u64::from(cores.count_ones())) >> 32;
    let left = (0..skipped).fold(cores, |left, _| left & left.wrapping_sub(1));
    (left != 0).then(|| left.trailing_zeros() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(core: u8, steering: &'static Steering) -> Seat {
        let seat = Seat { core, cores: 4, steering };
        seat.take();
        seat
    }

    fn table() -> &'static Steering {
        Box::leak(Box::default())
    }

    #[test]
    fn ports_come_and_go_and_the_table_has_an_end() {
        let steering = table();
        let seat = seat(1, steering);
        for port in 0..PORTS_MAX as u16 {
            assert_eq!(seat.listen(Protocol::Tcp, 1000 + 3 * port), Some(true), "{port}");
        }
        assert_eq!(seat.listen(Protocol::Udp, 1000), None, "another protocol is another port");
        assert_eq!(steering.listeners(Protocol::Tcp, 1003), 2);
        seat.unlisten(Protocol::Tcp, 1003);
        assert_eq!(steering.listeners(Protocol::Tcp, 1003), 0);
        assert_eq!(seat.listen(Protocol::Udp, 1000), Some(true));
        assert_eq!(seat.listen(Protocol::Udp, 1000), Some(false));
        assert_eq!((steering.listeners(Protocol::Udp, 1000), steering.listeners(Protocol::Tcp, 1000)), (2, 2));
    }

    #[test]
    fn flows_are_spread_over_those_who_listen() {
        let steering = table();
        let seats = [0, 1, 2, 3].map(|core| seat(core, steering));
        for seat in &seats[1..] {
            assert_eq!(seat.listen(Protocol::Tcp, 80), Some(seat.core == 1));
        }
        let mut counts = [0; 4];
        for flow in 0..3000u64 {
            let hash = flow.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let to = seats[0].opening(Protocol::Tcp, 80, hash, 0, false, false).expect("core 0 does not listen");
            assert_eq!(seats[usize::from(to)].opening(Protocol::Tcp, 80, hash, 1, true, false), None, "there it stays");
            assert_eq!(seats[0].stray(80, hash, 0), Some(to), "what follows goes the same way");
            counts[usize::from(to)] += 1;
        }
        assert!(counts[0] == 0 && counts[1..].iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert_eq!(seats[2].opening(Protocol::Tcp, 80, 7, 0, true, true), None, "who has a queue keeps what it brings");
        assert_eq!(seats[0].opening(Protocol::Tcp, 81, 7, 0, false, true), None, "nobody listens: refused at once");
    }

    #[test]
    fn a_stray_segment_visits_each_core_once() {
        let steering = table();
        let seats = [0, 1, 2, 3].map(|core| seat(core, steering));
        for (port, first) in [(80, 1), (32768 + 4 * 50 + 2, 2)] {
            let (mut core, mut seen, mut way) = (0u8, 0, vec![]);
            while let Some(next) = seats[usize::from(core)].stray(port, 0, seen) {
                seen |= 1 << core;
                assert_eq!(seen & 1 << next, 0, "{way:?} {next}");
                way.push(next);
                core = next;
            }
            assert_eq!((way.len(), way[0]), (3, first));
        }
    }
}
