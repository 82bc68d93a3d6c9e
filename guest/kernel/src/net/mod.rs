//! The network: `toro_netstack` between the card and the threads that wait.
//!
//! A call of a program ([`tcp`], [`udp`]) asks the stack, and waits on the socket's own queue while the stack says "not now".
//! Nothing is sent then: frames leave when the core has no thread to run ([`Link`]), so that one notification of the card
//! serves all threads that have written, and acknowledgements ride on answers. There is always a stack; without a card it
//! has loopback alone.

mod link;
mod sockets;
pub mod tcp;
pub mod udp;

pub use toro_netstack::{Address, Ending, Error, Statistics};

use crate::arch::{core_local, depth, time};
use crate::boot::BootInfo;
use crate::drivers::NetDevice;
use crate::sched::{self, WaitOutcome, WaitQueue};
use crate::{console, random};
use alloc::string::String;
use core::net::Ipv4Addr;
use link::{Card, Link};
use sockets::Sockets;
use toro_abi::cmdline;
use toro_abi::control::Control;
use toro_abi::network::{Address as Choice, Ipv4};
use toro_netstack::{Config, Limits, Stack};

/// What this core knows of the network.
struct Network {
    stack: Stack,
    card: Card,
    sockets: Sockets,
    /// An address may still come.
    asks: bool,
}

core_local! {
    static NETWORK: Option<Network> = None;
}
/// Those who cannot go on without an address.
static ADDRESS_WAITERS: WaitQueue = WaitQueue::new();
static LINK: Link = Link;

/// Starts the network on `card`, as the command line says: an address of its own, DHCP (the default), or nothing.
#[cold]
pub fn init(card: Option<NetDevice>, boot: &BootInfo) {
    let command_line = boot.command_line();
    let choice = command_line.address().unwrap_or(Choice::Dhcp);
    let card = card.filter(|_| choice != Choice::None);
    let mut config =
        Config::new(card.as_ref().map_or([0; 6], NetDevice::mac), core::array::from_fn(|_| random::number()));
    config.limits = Limits::for_memory(usize::try_from(boot.memory.bytes()).unwrap_or(usize::MAX));
    if let Some(card) = &card {
        config.mtu_bytes = card.mtu();
        config.checksum_offload = card.offloads().transmit_checksum;
    }
    config.hostname = command_line.get(cmdline::HOSTNAME).map(|name| name.to_text()).unwrap_or_default();
    let mut stack = Stack::new(config);
    match choice {
        Choice::Static { ip, prefix } if card.is_some() => {
            let address = Address {
                ip: ip.0.into(),
                prefix_bits: prefix,
                gateway: command_line.gateway().map(|gateway| gateway.0.into()),
                dns: command_line.dns().map(|dns| dns.0.into()),
            };
            if !stack.set_address(address) {
                log::error!("{ip}/{prefix} cannot be the address of a machine; the network is not used");
            }
        }
        Choice::Dhcp if card.is_some() => stack.start_dhcp(time::now_ns()),
        _ => {}
    }
    let asks = choice == Choice::Dhcp && card.is_some();
    let network = Network { stack, card: Card::new(card), sockets: Sockets::new(), asks };
    NETWORK.with(|stored| *stored = Some(network));
    sched::register(&LINK);
    sched::Poller::poll(&LINK); // the first question goes out while the program starts
}

/// Runs `f` on this core's network.
fn with<R>(f: impl FnOnce(&mut Network) -> R) -> R {
    NETWORK.with(|network| f(network.as_mut().expect("the network is started before the first thread")))
}

/// Our address, once there is one.
#[must_use]
pub fn address() -> Option<Address> {
    let _kernel = depth::enter();
    with(|network| network.stack.address())
}

/// Waits for an address; `false` when none has come until `deadline_ns`, or none will.
pub fn wait_for_address(deadline_ns: Option<u64>) -> bool {
    let _kernel = depth::enter();
    loop {
        let (address, asks) = with(|network| (network.stack.address(), network.asks));
        if address.is_some() || !asks {
            return address.is_some();
        }
        if ADDRESS_WAITERS.wait(deadline_ns) == WaitOutcome::TimedOut {
            return false;
        }
    }
}

/// Counts since the start, for reports.
#[must_use]
pub fn statistics() -> Statistics {
    let _kernel = depth::enter();
    with(|network| network.stack.statistics())
}

/// Tells host and log about our address, and whoever waits for it.
fn announce(address: Option<Address>) {
    match address {
        Some(Address { ip, prefix_bits, gateway, .. }) => {
            let gateway_text = gateway.map_or(String::from("none"), |gateway| alloc::format!("{gateway}"));
            log::info!("address {ip}/{prefix_bits}, gateway {gateway_text}");
            console::control(&Control::Address { ip: wire(ip), gateway: gateway.map(wire) });
        }
        None => log::warn!("the address was lost; asking for another"),
    }
    ADDRESS_WAITERS.wake_all();
}

fn wire(ip: Ipv4Addr) -> Ipv4 {
    Ipv4(ip.octets())
}
