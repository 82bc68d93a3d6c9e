//! How a link gets its addresses of IPv6 by itself (RFC 4862): one of its own at first, then those that routers make possible, each used
//! at once while the others on the link are asked whether they have it (RFC 4429), with routers, networks and name servers (RFC 4861, 8106).
//!
//! One core does this for all. It wakes for questions that are due. That something has expired is noticed when there is something else
//! to do, so that a machine sleeps though its addresses are on loan.

use crate::address6::{
    Few, NEVER, Network, Own6, Router, State6, common_bits, is_link_local, solicited_group, with_prefix,
};
use crate::discovery::{self, Nonce};
use crate::dns::names;
use crate::icmp6::PACKET_BYTES_MIN;
use crate::shared::Shared;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use toro_tcp::Ip;
use toro_tcp::packet::Packet;

const SECOND_NS: u64 = 1_000_000_000;
/// So long, and up to as much again, until the link is used: many machines may start at once, and all have better to do first.
const START_NS: u64 = 250_000_000;
/// How long others have time to object to an address.
const OBJECT_NS: u64 = SECOND_NS;
/// How often routers are asked for, and how long one of them has time to answer.
const SOLICITATIONS_MAX: u8 = 3;
const SOLICIT_AGAIN_NS: u64 = 4 * SECOND_NS;
/// What a router says of an address cannot make it end sooner (RFC 4862, 5.5.3).
const VALID_MIN_NS: u64 = 7200 * SECOND_NS;
const LINK_LOCAL: Ip = Ip::of_v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
const PREFIX_BITS: u8 = 64;
const SERVERS_MAX: usize = 3;
const DOMAINS_MAX: usize = 4;

/// Options of what routers say.
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const SERVERS: u8 = 25;
const DOMAINS: u8 = 31;
/// Flags of a prefix: it is on the link; addresses may be made of it.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// What has become of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// There are more, or other routers; those there were are still there.
    Gained,
    /// One is gone.
    Lost,
}

/// The state of a link.
#[derive(Debug)]
pub(crate) struct Autoconf {
    /// What routers say counts; without, addresses are those that somebody chose.
    listens: bool,
    /// When the link's own address is made; [`NEVER`] before and after.
    start_at_ns: u64,
    solicit_at_ns: u64,
    solicitations: u8,
    /// Something is due, or may have expired; and of that, what is due for certain.
    due_ns: u64,
    wake_ns: u64,
    /// Of the questions whether somebody has our addresses.
    nonce: Nonce,
    /// Somebody has the link's own address: none are made of it.
    collided: bool,
    servers: Few<(Ip, u64), SERVERS_MAX>,
    domains: Vec<(String, u64)>,
}

impl Autoconf {
    pub(crate) const fn new() -> Self {
        Autoconf {
            listens: false,
            start_at_ns: NEVER,
            solicit_at_ns: NEVER,
            solicitations: 0,
            due_ns: NEVER,
            wake_ns: NEVER,
            nonce: [0; 6],
            collided: false,
            servers: Few::new(),
            domains: Vec::new(),
        }
    }

    /// Begins, soon.
    pub(crate) fn start(&mut self, now_ns: u64, shared: &mut Shared) {
        self.listens = true;
        self.start_at_ns = now_ns + START_NS + shared.random.draw() % START_NS;
        self.watch(shared);
    }

    /// Whether [`run`](Self::run) has something to do.
    #[inline]
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        self.due_ns <= now_ns
    }

    /// When it must be run; [`NEVER`] if that is not certain.
    #[inline]
    pub(crate) fn next_deadline(&self) -> u64 {
        self.wake_ns
    }

    /// The link is up again, perhaps another one: whether somebody has our addresses is asked anew, and for routers.
    #[cold]
    pub(crate) fn confirm(&mut self, now_ns: u64, shared: &mut Shared) {
        if core::mem::take(&mut self.collided) && self.listens {
            self.start_at_ns = now_ns; // who had it may not be there
        }
        let Shared { addresses, outbox, config, .. } = shared;
        for own in addresses.six.own.iter_mut() {
            (own.state, own.sure_at_ns) = (State6::Optimistic, now_ns + OBJECT_NS);
            discovery::claim(outbox, config.link.mac, own.ip, self.nonce);
        }
        if self.listens && addresses.six.own.iter().next().is_some() {
            (self.solicitations, self.solicit_at_ns) = (0, now_ns);
        }
        self.watch(shared);
    }

    /// Does what is due, and lets go of what has expired.
    #[cold]
    pub(crate) fn run(&mut self, now_ns: u64, shared: &mut Shared) -> Change {
        let mut change = self.expire(now_ns, shared);
        if self.start_at_ns <= now_ns {
            self.start_at_ns = NEVER;
            self.solicit_at_ns = now_ns;
            change = change.max(self.add_made_of(LINK_LOCAL, (NEVER, NEVER), now_ns, shared));
        }
        if self.solicit_at_ns <= now_ns {
            self.solicit(now_ns, shared);
        }
        self.watch(shared);
        change
    }

    /// Asks for routers, at first as nobody: all of them hear it at once, and the address may yet turn out to be another's.
    fn solicit(&mut self, now_ns: u64, shared: &mut Shared) {
        let own = shared.addresses.six.own.iter().find(|own| is_link_local(own.ip) && own.state != State6::Optimistic);
        discovery::solicit_routers(&mut shared.outbox, shared.config.link.mac, own.map(|own| own.ip));
        self.solicitations += 1;
        let again = self.solicitations < SOLICITATIONS_MAX;
        self.solicit_at_ns = if again { now_ns + SOLICIT_AGAIN_NS } else { NEVER };
    }

    /// Notes when something is due next.
    fn watch(&mut self, shared: &Shared) {
        let six = &shared.addresses.six;
        let own = six.own.iter().map(|own| match own.state {
            State6::Deprecated => own.valid_until_ns,
            _ => own.valid_until_ns.min(own.preferred_until_ns),
        });
        let others = six.networks.iter().map(|network| network.until_ns);
        let routers = six.routers.iter().map(|router| router.until_ns);
        let servers = self.servers.iter().map(|(_, until_ns)| *until_ns);
        let domains = self.domains.iter().map(|(_, until_ns)| *until_ns);
        let expires_ns = own.chain(others).chain(routers).chain(servers).chain(domains).min().unwrap_or(NEVER);
        let unsure = six.own.iter().filter(|own| own.state == State6::Optimistic).map(|own| own.sure_at_ns).min();
        self.wake_ns = unsure.unwrap_or(NEVER).min(self.start_at_ns).min(self.solicit_at_ns);
        self.due_ns = expires_ns.min(self.wake_ns);
    }

    fn expire(&mut self, now_ns: u64, shared: &mut Shared) -> Change {
        let lives = |until_ns: u64| until_ns > now_ns;
        let six = &mut shared.addresses.six;
        let mut same = six.networks.retain(|network| lives(network.until_ns));
        same &= six.routers.retain(|router| lives(router.until_ns));
        same &= self.servers.retain(|(_, until_ns)| lives(*until_ns));
        self.domains.retain(|(_, until_ns)| lives(*until_ns));
        for own in six.own.iter_mut() {
            let state = match own.state {
                State6::Optimistic if lives(own.sure_at_ns) => State6::Optimistic,
                _ if !lives(own.preferred_until_ns) => State6::Deprecated,
                _ => State6::Preferred,
            };
            same &= core::mem::replace(&mut own.state, state) == state;
        }
        let over = six.own.iter().find(|own| !lives(own.valid_until_ns)).map(|own| own.ip);
        match over {
            Some(ip) => {
                self.remove(ip, shared);
                self.expire(now_ns, shared);
                Change::Lost
            }
            None if same => Change::None,
            None => Change::Gained,
        }
    }

    fn remove(&mut self, ip: Ip, shared: &mut Shared) {
        shared.addresses.six.own.retain(|own| own.ip != ip);
        shared.leave(solicited_group(ip));
    }

    /// Takes an address that is made of a prefix and the hardware address.
    fn add_made_of(&mut self, prefix: Ip, until: (u64, u64), now_ns: u64, shared: &mut Shared) -> Change {
        if self.collided {
            return Change::None;
        }
        self.add(with_prefix(prefix, shared.config.link.mac), PREFIX_BITS, until, now_ns, shared)
    }

    /// Takes an address, preferred and valid until then, and asks whether somebody else has it.
    pub(crate) fn add(
        &mut self,
        ip: Ip,
        prefix_bits: u8,
        (preferred_until_ns, valid_until_ns): (u64, u64),
        now_ns: u64,
        shared: &mut Shared,
    ) -> Change {
        let state = State6::Optimistic;
        let sure_at_ns = now_ns + OBJECT_NS;
        let own = Own6 { ip, prefix_bits, preferred_until_ns, valid_until_ns, state, sure_at_ns };
        if shared.addresses.six.is_own(ip) || !shared.addresses.six.own.push(own) {
            return Change::None;
        }
        if self.nonce == [0; 6] {
            self.nonce.copy_from_slice(&shared.random.draw().to_le_bytes()[..6]);
        }
        let _without_room_it_is_not_asked_for_by_name = shared.join(solicited_group(ip));
        discovery::claim(&mut shared.outbox, shared.config.link.mac, ip, self.nonce);
        self.watch(shared);
        Change::Gained
    }

    /// Whether a question for one of our addresses is our own, which the link has brought back.
    pub(crate) fn is_own(&self, nonce: Option<Nonce>) -> bool {
        nonce == Some(self.nonce)
    }

    /// Somebody else has an address that we were not sure of.
    #[cold]
    pub(crate) fn collide(&mut self, ip: Ip, shared: &mut Shared) -> Change {
        if !shared.addresses.six.is_optimistic(ip) {
            return Change::None;
        }
        self.collided |= ip == with_prefix(ip, shared.config.link.mac);
        self.remove(ip, shared);
        self.watch(shared);
        Change::Lost
    }

    /// Takes an intact message in which a router says something of itself and of the link.
    #[cold]
    pub(crate) fn advertised(&mut self, packet: &Packet<'_>, now_ns: u64, shared: &mut Shared) -> Option<Change> {
        let (head, list) = packet.payload.split_first_chunk::<16>()?;
        if !is_link_local(packet.source) || !discovery::is_from_link(packet) || !discovery::are_sound(list) {
            return None;
        }
        if !self.listens {
            return Some(Change::None);
        }
        // What has expired makes room.
        let mut change = self.expire(now_ns, shared);
        let lifetime_s = u16::from_be_bytes([head[6], head[7]]);
        if lifetime_s > 0 {
            self.solicit_at_ns = NEVER;
        }
        let until_ns = until(now_ns, lifetime_s.into());
        change = change.max(note_router(Router { ip: packet.source, until_ns }, now_ns, shared));
        for (kind, option) in discovery::options(list).flatten() {
            change = change.max(match kind {
                PREFIX => self.take_prefix(option, now_ns, shared).unwrap_or(Change::None),
                MTU => take_mtu(option, shared).unwrap_or(Change::None),
                SERVERS => self.take_servers(option, now_ns).unwrap_or(Change::None),
                DOMAINS => self.take_domains(option, now_ns).unwrap_or(Change::None),
                _ => Change::None,
            });
        }
        self.watch(shared);
        Some(change)
    }

    /// A network, of which addresses may be made (RFC 4861, 6.3.4; RFC 4862, 5.5.3).
    fn take_prefix(&mut self, option: &[u8], now_ns: u64, shared: &mut Shared) -> Option<Change> {
        let option = option.first_chunk::<32>()?;
        let (bits, flags, prefix) = (option[2], option[3], Ip::from_octets(*option[16..].first_chunk()?));
        let valid_until_ns = until(now_ns, long(&option[4..])?);
        let preferred_until_ns = until(now_ns, long(&option[8..])?);
        if bits > 128 || is_link_local(prefix) || prefix.is_multicast() || preferred_until_ns > valid_until_ns {
            return None;
        }
        let mut change = Change::None;
        if flags & ON_LINK != 0 {
            let network = Network { ip: masked(prefix, bits), bits, until_ns: valid_until_ns };
            change = note_network(network, now_ns, shared);
        }
        if flags & AUTONOMOUS == 0 || bits != PREFIX_BITS {
            return Some(change);
        }
        let ip = with_prefix(prefix, shared.config.link.mac);
        let known = shared.addresses.six.own.iter_mut().find(|own| own.ip == ip);
        let Some(own) = known else {
            let fresh = valid_until_ns > now_ns;
            let until = (preferred_until_ns, valid_until_ns);
            return Some(if fresh { change.max(self.add_made_of(prefix, until, now_ns, shared)) } else { change });
        };
        own.preferred_until_ns = preferred_until_ns;
        if valid_until_ns > own.valid_until_ns || valid_until_ns.saturating_sub(now_ns) > VALID_MIN_NS {
            own.valid_until_ns = valid_until_ns;
        } else if own.valid_until_ns.saturating_sub(now_ns) > VALID_MIN_NS {
            own.valid_until_ns = now_ns + VALID_MIN_NS;
        }
        if own.state == State6::Deprecated && preferred_until_ns > now_ns {
            own.state = State6::Preferred;
            change = Change::Gained;
        }
        Some(change)
    }

    /// Name servers (RFC 8106, 5.1).
    fn take_servers(&mut self, option: &[u8], now_ns: u64) -> Option<Change> {
        let until_ns = until(now_ns, long(option.get(4..)?)?);
        let mut change = Change::None;
        for octets in option.get(8..)?.as_chunks::<16>().0 {
            let ip = Ip::from_octets(*octets);
            if ip.is_multicast() || ip.is_unspecified() || ip.is_v4() {
                continue;
            }
            if let Some((_, known_ns)) = self.servers.iter_mut().find(|(known, _)| *known == ip) {
                *known_ns = until_ns;
            } else if until_ns > now_ns && self.servers.push((ip, until_ns)) {
                change = Change::Gained;
            }
        }
        Some(change)
    }

    /// Domains in which short names are looked for (RFC 8106, 5.2).
    fn take_domains(&mut self, option: &[u8], now_ns: u64) -> Option<Change> {
        let until_ns = until(now_ns, long(option.get(4..)?)?);
        for name in names(option.get(8..)?) {
            if let Some((_, known_ns)) = self.domains.iter_mut().find(|(known, _)| *known == name) {
                *known_ns = until_ns;
            } else if until_ns > now_ns && self.domains.len() < DOMAINS_MAX && self.domains.try_reserve(1).is_ok() {
                self.domains.push((name, until_ns));
            }
        }
        Some(Change::None)
    }

    /// Name servers, the first of them first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.servers.iter().map(|(ip, _)| ip.v6())
    }

    /// Domains in which short names are looked for.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(|(name, _)| name.as_str())
    }
}

fn until(now_ns: u64, seconds: u32) -> u64 {
    if seconds == u32::MAX { NEVER } else { now_ns.saturating_add(u64::from(seconds) * SECOND_NS) }
}

fn long(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn masked(ip: Ip, bits: u8) -> Ip {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    Ip::of_v6(Ipv6Addr::from_bits(ip.to_bits() & mask))
}

/// A router offers itself, or no longer does.
pub(crate) fn note_router(router: Router, now_ns: u64, shared: &mut Shared) -> Change {
    let routers = &mut shared.addresses.six.routers;
    if router.until_ns <= now_ns {
        return if routers.retain(|known| known.ip != router.ip) { Change::None } else { Change::Gained };
    }
    if let Some(known) = routers.iter_mut().find(|known| known.ip == router.ip) {
        known.until_ns = router.until_ns;
        return Change::None;
    }
    if routers.push(router) { Change::Gained } else { Change::None }
}

/// A network is on the link, or no longer.
pub(crate) fn note_network(network: Network, now_ns: u64, shared: &mut Shared) -> Change {
    let networks = &mut shared.addresses.six.networks;
    let is_it =
        |known: &Network| known.bits == network.bits && common_bits(known.ip, network.ip) >= network.bits.into();
    if network.until_ns <= now_ns {
        return if networks.retain(|known| !is_it(known)) { Change::None } else { Change::Gained };
    }
    if let Some(known) = networks.iter_mut().find(|known| is_it(known)) {
        known.until_ns = network.until_ns;
        return Change::None;
    }
    if networks.push(network) { Change::Gained } else { Change::None }
}

/// What every machine of the link can take (RFC 4861, 6.3.4).
fn take_mtu(option: &[u8], shared: &mut Shared) -> Option<Change> {
    let bytes = long(option.get(4..)?)?;
    let sound = (PACKET_BYTES_MIN..=shared.config.link.mtu_bytes).contains(&(bytes as usize));
    let before = shared.addresses.six.mtu_bytes;
    if !sound || before == Some(bytes) {
        return None;
    }
    shared.addresses.six.mtu_bytes = Some(bytes);
    Some(Change::Gained)
}
