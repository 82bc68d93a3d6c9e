//! What the host is told of the network when it asks: what each core has counted, and how cards and sockets stand.

use super::{NETWORKS, Network};
use crate::arch::{cores, depth};
use crate::console;
use alloc::vec::Vec;
use toro_abi::cards::Card;
use toro_abi::control;
use toro_abi::network::Mac;
use toro_abi::sockets::Socket;
use toro_netstack::{LinkReport, Protocol, SocketReport};

/// Sockets of a core that are described; of the others the host learns how many there are.
const SOCKETS_MAX: usize = 256;

/// Tells the host.
#[cold]
pub(crate) fn tell() {
    cards().iter().for_each(console::card);
    for core in cores::all() {
        let found = NETWORKS[core.index()].0.enter(|network| network.as_deref().map(describe));
        let Some((figures, sockets, all)) = found else { continue };
        for (name, value) in figures.named() {
            console::stat(Some(core.index()), "net.", name, &value);
        }
        console::stat(Some(core.index()), "net.", "sockets", &all);
        for socket in &sockets {
            console::socket(&told(core.index() as u8, socket));
        }
    }
    console::network_end();
}

/// What is to be told of a core, taken down under its lock: telling it takes long.
fn describe(network: &Network) -> (toro_netstack::Statistics, Vec<SocketReport>, usize) {
    let (mut sockets, mut all) = (Vec::new(), 0);
    network.stack.report_sockets(&mut |socket| {
        all += 1;
        if sockets.len() < SOCKETS_MAX && sockets.try_reserve(1).is_ok() {
            sockets.push(socket);
        }
    });
    (network.stack.statistics(), sockets, all)
}

/// The network cards that are used.
#[must_use]
pub fn cards() -> Vec<Card> {
    let _kernel = depth::enter();
    NETWORKS[0].0.enter(|network| network.as_deref_mut().map(describe_cards)).unwrap_or_default()
}

fn describe_cards(network: &mut Network) -> Vec<Card> {
    let Network { cards, stack, .. } = network;
    let used = cards.each().filter(|(_, card)| card.receiver.is_some());
    used.filter_map(|(link, _)| {
        let LinkReport { mac, mtu_bytes, up, address } = stack.report_link(link)?;
        Some(Card {
            number: link as u8,
            mac: Mac(mac),
            mtu_bytes: mtu_bytes as u32,
            up,
            addresses: address
                .iter()
                .map(|address| (address.ip.into(), address.prefix_bits))
                .chain(stack.addresses6(link).map(|address| (address.ip.into(), address.prefix_bits)))
                .collect(),
            gateways: address
                .iter()
                .filter_map(|address| address.gateway)
                .map(Into::into)
                .chain(stack.routers6(link).map(Into::into))
                .collect(),
        })
    })
    .collect()
}

fn told(core: u8, report: &SocketReport) -> Socket {
    Socket {
        core,
        protocol: match report.protocol {
            Protocol::Tcp => control::Protocol::Tcp,
            Protocol::Udp => control::Protocol::Udp,
        },
        state: report.state.into(),
        local: report.local,
        remote: report.remote,
        unread: report.unread as u64,
        unsent: report.unsent as u64,
        retransmitted: report.retransmitted,
        round_trip_ns: report.round_trip_ns,
        window_bytes: report.window_bytes,
    }
}
