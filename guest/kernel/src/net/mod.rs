//! The network: `toro_netstack` between the card and the threads that wait.
//!
//! A call of a program ([`tcp`], [`udp`]) asks the stack, and waits on the socket's own queue while the stack says "not now".
//! Nothing is sent then: frames leave when the core has no thread to run ([`Link`]), so that one notification of the card
//! serves all threads that have written, and acknowledgements ride on answers. There is always a stack; without a card it
//! has loopback alone.
//!
//! Each core that uses the network has a stack, connections and, where the card has enough of them, a pair of queues of its
//! own ([`card`]); core 0 asks for the address and for neighbours. What arrives on a core that does not own it is handed
//! over ([`exchange`]), and so are the calls of threads on other cores ([`carry`]).

mod card;
mod carry;
mod exchange;
mod link;
mod sender;
mod sockets;
pub mod tcp;
pub mod udp;

pub use toro_netstack::{Address, Ending, Error, Statistics};

use crate::arch::cores::{self, CoreId};
use crate::arch::{SpinLock, core_local, depth, time};
use crate::boot::BootInfo;
use crate::drivers::{NetDevice, Pair};
use crate::sched::{self, WaitOutcome};
use crate::{console, random};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use card::Card;
use core::net::Ipv4Addr;
use exchange::{Letter, Letters};
use link::Link;
use sockets::Sockets;
use toro_abi::cmdline;
use toro_abi::control::Control;
use toro_abi::network::{Address as Choice, Ipv4};
use toro_netstack::{Config, Limits, Seat, Stack, Steering};

/// What this core knows of the network.
struct Network {
    stack: Stack,
    card: Card,
    sockets: Sockets,
    /// An address may still come.
    asks: bool,
    /// There are other cores.
    several: bool,
    /// Room for what they have to say.
    letters: Option<Box<Letters>>,
}

core_local! {
    static NETWORK: Option<&'static mut Network> = None;
}

/// What a core needs to know that begins later.
struct Beginning {
    config: Config,
    asks: bool,
    address: Option<Address>,
    /// Pairs of queues that no core has, the first of them last.
    pairs: Vec<Pair>,
    /// How many there are in all; 0 without a card.
    pairs_all: usize,
}

static BEGINNING: SpinLock<Option<Beginning>> = SpinLock::new(None);
static STEERING: Steering = Steering::new();
static LINK: Link = Link;

/// Starts the network on `device`, as the command line says: an address of its own, DHCP (the default), or nothing.
///
/// It begins on this core; another core's begins when a thread there first uses it.
#[cold]
pub fn init(device: Option<NetDevice>, boot: &BootInfo) {
    let command_line = boot.command_line();
    let choice = command_line.address().unwrap_or(Choice::Dhcp);
    let device = device.filter(|_| choice != Choice::None);
    let mut config =
        Config::new(device.as_ref().map_or([0; 6], |device| device.mac), core::array::from_fn(|_| random::number()));
    config.limits = Limits::for_memory(usize::try_from(boot.memory.bytes()).unwrap_or(usize::MAX));
    config.limits.memory_bytes /= cores::count();
    if let Some(device) = &device {
        config.mtu_bytes = device.mtu_bytes;
        config.checksum_offload = device.offloads.transmit_checksum;
    }
    let asks = choice == Choice::Dhcp && device.is_some();
    let has_card = device.is_some();
    let (mut pairs, control) = device.map_or((Vec::new(), None), |device| (device.pairs, device.control));
    let pairs_all = pairs.len();
    pairs.reverse();
    let card = pairs.pop().map_or(Card::NONE, |pair| Card::first(pair, control));
    if cores::count() > 1 {
        let beginning = Beginning { config: config.clone(), asks, address: None, pairs, pairs_all };
        BEGINNING.with(|place| *place = Some(beginning));
    }
    config.hostname = command_line.get(cmdline::HOSTNAME).map(|name| name.to_text()).unwrap_or_default();
    let mut network = Network::new(config, card, asks);
    match choice {
        Choice::Static { ip, prefix } if has_card => {
            let address = Address {
                ip: ip.0.into(),
                prefix_bits: prefix,
                gateway: command_line.gateway().map(|gateway| gateway.0.into()),
                dns: command_line.dns().map(|dns| dns.0.into()),
            };
            if !network.stack.set_address(address) {
                log::error!("{ip}/{prefix} cannot be the address of a machine; the network is not used");
            }
        }
        Choice::Dhcp if has_card => network.stack.start_dhcp(time::now_ns()),
        _ => {}
    }
    NETWORK.with(|stored| *stored = Some(Box::leak(Box::new(network))));
    sched::register(&LINK);
    sched::Poller::poll(&LINK, time::now_ns()); // the first question goes out while the program starts
}

impl Network {
    fn new(mut config: Config, card: Card, asks: bool) -> Self {
        let several = cores::count() > 1;
        if several {
            let (core, cores) = (cores::current().index() as u8, cores::count() as u8);
            config.seat = Some(Seat { core, cores, steering: &STEERING });
        }
        Network {
            stack: Stack::new(config),
            card,
            sockets: Sockets::new(),
            asks,
            several,
            letters: several.then(exchange::open),
        }
    }
}

/// The network of a core that begins to use it.
#[cold]
#[inline(never)]
fn begin() -> &'static mut Network {
    let core = cores::current().index();
    let begun = BEGINNING.with(|beginning| {
        let beginning = beginning.as_mut()?;
        let number = beginning.pairs_all - beginning.pairs.len();
        let pair = beginning.pairs.pop();
        Some((beginning.config.clone(), beginning.asks, beginning.address, pair, number, beginning.pairs_all > 0))
    });
    let (config, asks, address, pair, number, has_card) =
        begun.expect("the network is started before the first thread of another core");
    let numbered = pair.is_some().then_some(number as u16);
    let card = if has_card { Card::later(pair) } else { Card::NONE };
    let mut network = Network::new(config, card, asks);
    if let Some(address) = address {
        network.stack.set_address(address);
    }
    if has_card {
        exchange::send(0, Letter::Join { core: core as u8, pair: numbered });
    }
    sched::register(&LINK);
    Box::leak(Box::new(network))
}

/// Runs `f` on this core's network.
fn with<R>(f: impl FnOnce(&mut Network) -> R) -> R {
    NETWORK.with(|network| {
        let network = match network {
            Some(network) => network,
            None => network.insert(begin()),
        };
        f(network)
    })
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
        let waiters = with(|network| match network.stack.address() {
            None if network.asks => Ok(Arc::clone(&network.sockets.address)),
            address => Err(address.is_some()),
        });
        match waiters {
            Err(has_address) => return has_address,
            Ok(waiters) if waiters.wait(deadline_ns) == WaitOutcome::TimedOut => return false,
            Ok(_) => {}
        }
    }
}

/// What this core's network has done since the start.
#[must_use]
pub fn statistics() -> Statistics {
    let _kernel = depth::enter();
    let mut statistics = with(|network| network.stack.statistics());
    statistics.posts_dropped += exchange::dropped();
    statistics
}

/// Tells host and log about our address.
fn announce(address: Option<Address>) {
    if cores::current() != CoreId::BOOT {
        return; // the core that asked for it speaks for all
    }
    BEGINNING.with(|beginning| {
        if let Some(beginning) = beginning {
            beginning.address = address;
        }
    });
    match address {
        Some(Address { ip, prefix_bits, gateway, .. }) => {
            let gateway_text = gateway.map_or(String::from("none"), |gateway| alloc::format!("{gateway}"));
            log::info!("address {ip}/{prefix_bits}, gateway {gateway_text}");
            console::control(&Control::Address { ip: wire(ip), gateway: gateway.map(wire) });
        }
        None => log::warn!("the address was lost; asking for another"),
    }
}

fn wire(ip: Ipv4Addr) -> Ipv4 {
    Ipv4(ip.octets())
}
