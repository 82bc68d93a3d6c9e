//! DHCP client (RFC 2131): asks for an address in the background, keeps it renewed, and drops it when its time is over.

mod search;

use crate::address::Address;
use crate::datagram;
use crate::ethernet;
use crate::shared::Shared;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};
use toro_tcp::ipv4;

pub(crate) const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;
const SECOND_NS: u64 = 1_000_000_000;
const ASK_AGAIN_MAX_NS: u64 = 64 * SECOND_NS;
const REFUSED_WAIT_NS: u64 = 2 * SECOND_NS;
const REQUEST_TRIES_MAX: u8 = 4;
const RENEW_AGAIN_MIN_NS: u64 = 60 * SECOND_NS;
/// The shortest lease that is worth having: what renews it goes out once a second at most.
const LEASE_MIN_S: u32 = 4;
const ROUTER_OPTION: u8 = 3;
/// Subnet mask, router, name server, domains.
const WANTED: &[u8] = &[1, ROUTER_OPTION, 6, search::DOMAIN_OPTION, search::SEARCH_OPTION];
const HOSTNAME_OPTION: u8 = 12;
/// As long as a label of a domain name.
const HOSTNAME_BYTES_MAX: usize = 63;

/// An offer that we asked to have.
#[derive(Clone, Copy, Debug)]
struct Offer {
    ip: Ipv4Addr,
    server: Ipv4Addr,
}

/// An address on loan.
#[derive(Clone, Copy, Debug)]
struct Lease {
    offer: Offer,
    rebind_at_ns: u64,
    ends_at_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Asking {
        tries: u8,
    },
    Requesting {
        offer: Offer,
        tries: u8,
    },
    Bound(Lease),
    Renewing(Lease),
    /// The link was down: whether the address is still good here (RFC 2131, 3.2).
    Confirming {
        lease: Lease,
        tries: u8,
    },
}

/// The client.
#[derive(Debug)]
pub(crate) struct Dhcp {
    state: State,
    transaction: u32,
    began_ns: u64,
    /// When the next message is due; `None` when the lease has no end.
    next_ns: Option<u64>,
    /// Domains in which short names are looked for.
    domains: Vec<String>,
}

impl Dhcp {
    pub(crate) fn new(now_ns: u64) -> Self {
        Dhcp {
            state: State::Asking { tries: 0 },
            transaction: 0,
            began_ns: now_ns,
            next_ns: Some(now_ns),
            domains: Vec::new(),
        }
    }

    /// Domains in which short names are looked for, as the server says.
    pub(crate) fn domains(&self) -> &[String] {
        &self.domains
    }

    /// When [`run`](Self::run) has something to do; `u64::MAX` for never.
    #[inline]
    pub(crate) fn next_deadline(&self) -> u64 {
        self.next_ns.unwrap_or(u64::MAX)
    }

    /// The link is up again, perhaps another one: asks at once, for the address that there is, if there is one.
    pub(crate) fn confirm(&mut self, now_ns: u64) {
        match self.state {
            State::Bound(lease) | State::Renewing(lease) | State::Confirming { lease, .. } => {
                self.state = State::Confirming { lease, tries: 0 };
                self.next_ns = Some(now_ns);
            }
            State::Asking { .. } | State::Requesting { .. } => self.start_again(now_ns),
        }
    }

    /// Sends what is due. `true` when the address is lost.
    pub(crate) fn run(&mut self, now_ns: u64, shared: &mut Shared) -> bool {
        if self.next_ns.is_none_or(|at_ns| now_ns < at_ns) {
            return false;
        }
        match self.state {
            State::Asking { tries } => {
                if tries == 0 {
                    self.begin(now_ns, shared);
                }
                self.state = State::Asking { tries: tries.saturating_add(1).min(16) };
                self.next_ns = Some(now_ns + back_off(tries, shared));
                self.send(DhcpMessageType::Discover, None, now_ns, shared);
            }
            State::Requesting { tries: REQUEST_TRIES_MAX, .. } => self.start_again(now_ns),
            State::Requesting { offer, tries } => {
                self.state = State::Requesting { offer, tries: tries + 1 };
                self.next_ns = Some(now_ns + back_off(tries, shared));
                self.send(DhcpMessageType::Request, Some(offer), now_ns, shared);
            }
            State::Bound(lease) | State::Renewing(lease) | State::Confirming { lease, .. }
                if now_ns >= lease.ends_at_ns =>
            {
                self.start_again(now_ns);
                return true;
            }
            State::Confirming { lease, tries } if tries < REQUEST_TRIES_MAX => {
                if tries == 0 {
                    self.begin(now_ns, shared);
                }
                self.state = State::Confirming { lease, tries: tries + 1 };
                self.next_ns = Some((now_ns + back_off(tries, shared)).min(lease.ends_at_ns));
                self.send(DhcpMessageType::Request, Some(lease.offer), now_ns, shared);
            }
            // Without an answer it is used as long as it was lent.
            State::Bound(lease) | State::Renewing(lease) | State::Confirming { lease, .. } => {
                if !matches!(self.state, State::Renewing(_)) {
                    self.begin(now_ns, shared);
                }
                self.state = State::Renewing(lease);
                // Halfway to the next stage, but not more than once a minute.
                let stage_ns = if now_ns < lease.rebind_at_ns { lease.rebind_at_ns } else { lease.ends_at_ns };
                let again_ns = now_ns + ((stage_ns - now_ns) / 2).max(RENEW_AGAIN_MIN_NS);
                self.next_ns = Some(again_ns.min(stage_ns));
                self.send(DhcpMessageType::Request, Some(lease.offer), now_ns, shared);
            }
        }
        false
    }

    fn begin(&mut self, now_ns: u64, shared: &mut Shared) {
        self.transaction = shared.random.draw() as u32;
        self.began_ns = now_ns;
    }

    fn start_again(&mut self, at_ns: u64) {
        self.state = State::Asking { tries: 0 };
        self.next_ns = Some(at_ns);
    }

    /// Takes a datagram for the client port; returns the new address, or `Some(None)` when ours was refused.
    pub(crate) fn receive(&mut self, data: &[u8], now_ns: u64, shared: &mut Shared) -> Option<Option<Address>> {
        let packet = DhcpPacket::new_checked(data).ok()?;
        let message = DhcpRepr::parse(&packet).ok()?;
        if message.transaction_id != self.transaction
            || message.client_hardware_address != EthernetAddress(shared.config.link.mac)
        {
            return None;
        }
        match (self.state, message.message_type) {
            (State::Asking { tries: 1.. }, DhcpMessageType::Offer) => {
                let offer = Offer { ip: message.your_ip, server: message.server_identifier? };
                address_of(&message, &packet)?;
                self.state = State::Requesting { offer, tries: 0 };
                self.next_ns = Some(now_ns);
                self.run(now_ns, shared);
                None
            }
            (
                State::Requesting { offer, .. }
                | State::Renewing(Lease { offer, .. })
                | State::Confirming { lease: Lease { offer, .. }, .. },
                DhcpMessageType::Ack,
            ) => {
                let address = address_of(&message, &packet)?;
                let server = message.server_identifier.unwrap_or(offer.server);
                self.bind(&message, Offer { ip: message.your_ip, server }, now_ns);
                self.domains = search::domains(packet.options());
                Some(Some(address))
            }
            // Not at once: a server that always refuses would have us ask as fast as it answers.
            (State::Requesting { .. }, DhcpMessageType::Nak) => {
                self.start_again(now_ns + REFUSED_WAIT_NS);
                None
            }
            (State::Renewing(_) | State::Confirming { .. }, DhcpMessageType::Nak) => {
                self.start_again(now_ns + REFUSED_WAIT_NS);
                Some(None)
            }
            _ => None,
        }
    }

    fn bind(&mut self, message: &DhcpRepr<'_>, offer: Offer, now_ns: u64) {
        let lease_s = u64::from(message.lease_duration.unwrap_or(u32::MAX));
        // Times that make no sense beside that of the lease are not believed: each stage comes before the next.
        let rebind_s = message.rebind_duration.map_or(lease_s * 7 / 8, u64::from).clamp(lease_s / 2, lease_s * 7 / 8);
        let renew_s = message.renew_duration.map_or(lease_s / 2, u64::from).clamp(lease_s / 4, rebind_s);
        let at = |seconds: u64| now_ns.saturating_add(seconds.saturating_mul(SECOND_NS));
        self.next_ns = (lease_s != u64::from(u32::MAX)).then(|| at(renew_s));
        self.state = State::Bound(Lease { offer, rebind_at_ns: at(rebind_s), ends_at_ns: at(lease_s) });
    }

    fn send(&self, kind: DhcpMessageType, offer: Option<Offer>, now_ns: u64, shared: &mut Shared) {
        let renewing = match self.state {
            State::Renewing(lease) => Some(lease),
            _ => None,
        };
        let chosen = matches!(self.state, State::Requesting { .. });
        let mac = EthernetAddress(shared.config.link.mac);
        let mut hostname = [0; HOSTNAME_BYTES_MAX];
        let name = shared.config.hostname.as_bytes();
        let named = !name.is_empty() && name.len() <= HOSTNAME_BYTES_MAX;
        let hostname = &mut hostname[..if named { name.len() } else { 0 }];
        hostname.copy_from_slice(&name[..hostname.len()]);
        let options = [DhcpOption { kind: HOSTNAME_OPTION, data: hostname }];
        let message = DhcpRepr {
            message_type: kind,
            transaction_id: self.transaction,
            secs: (now_ns.saturating_sub(self.began_ns) / SECOND_NS).min(u64::from(u16::MAX)) as u16,
            client_hardware_address: mac,
            client_ip: renewing.map_or(Ipv4Addr::UNSPECIFIED, |lease| lease.offer.ip),
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            // A renewal names its address as the sender's, and no server; whoever only confirms one names none, either (RFC
            // 2131, 4.3.2).
            requested_ip: offer.filter(|_| renewing.is_none()).map(|offer| offer.ip),
            client_identifier: Some(mac),
            server_identifier: offer.filter(|_| chosen).map(|offer| offer.server),
            parameter_request_list: Some(WANTED),
            dns_servers: None,
            max_size: Some((shared.config.link.mtu_bytes - ipv4::HEADER_BYTES - 8).min(usize::from(u16::MAX)) as u16),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: if named { &options } else { &[] },
        };
        let mut data = Vec::new();
        if data.try_reserve_exact(message.buffer_len()).is_err() {
            // As if it were lost on the way: it is due again.
            shared.statistics.out_of_memory += 1;
            return;
        }
        data.resize(message.buffer_len(), 0);
        if message.emit(&mut DhcpPacket::new_unchecked(&mut data[..])).is_err() {
            return;
        }
        let ports = (CLIENT_PORT, SERVER_PORT);
        let packet_bytes = ipv4::HEADER_BYTES + 8 + data.len();
        match renewing.filter(|lease| now_ns < lease.rebind_at_ns) {
            Some(Lease { offer, .. }) => shared.send(offer.server.into(), packet_bytes, &mut |packet| {
                datagram::write(packet, offer.ip.into(), offer.server.into(), ports, &data);
            }),
            None => shared.outbox.frame(ethernet::HEADER_BYTES + packet_bytes, |frame| {
                let (header, packet) = frame.split_at_mut(ethernet::HEADER_BYTES);
                header.copy_from_slice(&ethernet::header(ethernet::BROADCAST, mac.0, ethernet::IPV4));
                datagram::write(packet, message.client_ip.into(), Ipv4Addr::BROADCAST.into(), ports, &data);
            }),
        }
    }
}

/// 1, 2, 4 ... 64 seconds, each up to an eighth longer, so that many guests started together do not ask together.
fn back_off(tries: u8, shared: &mut Shared) -> u64 {
    let step_ns = (SECOND_NS << tries.min(6)).min(ASK_AGAIN_MAX_NS);
    step_ns + shared.random.draw() % (step_ns / 8)
}

/// The address that a message gives us, if it makes sense.
fn address_of(message: &DhcpRepr<'_>, packet: &DhcpPacket<&[u8]>) -> Option<Address> {
    if message.lease_duration.is_some_and(|seconds| seconds < LEASE_MIN_S) {
        return None;
    }
    let mask = message.subnet_mask.unwrap_or(Ipv4Addr::new(255, 255, 255, 0)).to_bits();
    if mask.leading_ones() != mask.count_ones() {
        return None;
    }
    let address = Address {
        ip: message.your_ip,
        prefix_bits: mask.leading_ones() as u8,
        // The parsed message has a router only where it is the sole one; the first is the preferred (RFC 2132, 3.5).
        gateway: packet
            .options()
            .find(|option| option.kind == ROUTER_OPTION)
            .and_then(|option| option.data.first_chunk::<4>().copied().map(Ipv4Addr::from)),
        dns: core::array::from_fn(|place| message.dns_servers.as_ref()?.get(place).copied()),
    };
    address.is_usable().then_some(address)
}
