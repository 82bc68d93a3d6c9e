//! The network: `toro_netstack` between the card and the threads that wait.
//!
//! A call of a program ([`tcp`], [`udp`]) asks the stack, and waits on the socket's own queue while the stack says "not now".
//! Nothing is sent then: frames leave when the core has no thread to run ([`Link`]), so that one notification of the card
//! serves all threads that have written, and acknowledgements ride on answers. There is always a stack; without a card it
//! has loopback alone.
//!
//! Each core that uses the network has a stack, connections and, where the card has enough of them, a pair of queues of its
//! own ([`card`]); core 0 asks for the address and for neighbours. What arrives on a core that does not own it is handed
//! over ([`exchange`]). A core's network stands under a lock, which threads of other cores take, too, when they use its
//! sockets ([`handle`]); what they write leaves from where they are ([`touched`]).

mod addresses;
mod card;
mod cards;
mod exchange;
mod handle;
mod link;
mod ports;
mod report;
mod sender;
mod sockets;
pub mod tcp;
mod touched;
pub mod udp;

pub use addresses::{address, name_servers, search_domains, source_for, wait_for_address, wait_for_name_servers};
pub use ports::Port;
pub use report::cards;
pub(crate) use report::tell;
pub use sockets::Watcher;
pub use toro_netstack::{Address, Ending, Error, Protocol, Readiness, Sharing, Statistics, dns};

use crate::arch::cores::{self, CORES_MAX, CoreId};
use crate::arch::{SpinLock, depth, time};
use crate::boot::BootInfo;
use crate::drivers::{NetDevice, Pair};
use crate::mm::stack::Stack as ThreadStack;
use crate::sched::{self, Guarded, Wakes};
use crate::{fault, random};
use addresses::wait_for_way;
use alloc::boxed::Box;
use alloc::vec::Vec;
use card::Card;
use cards::Cards;
use core::net::Ipv6Addr;
use exchange::{Letter, Letters};
use link::Link;
use sockets::Sockets;
use toro_abi::cmdline;
use toro_abi::network::{Address as Choice, Address6 as Choice6, CARDS_MAX};
use toro_netstack::{Config, Event, LINKS_MAX, Limits, LinkConfig, Seat, Stack, Steering};

/// What a core knows of the network.
struct Network {
    stack: Stack,
    cards: Cards,
    sockets: Sockets,
    /// What may still come.
    asks: Asks,
    /// There are other cores.
    several: bool,
    /// Room for what they have to say.
    letters: Option<Box<Letters>>,
    /// To be told outside the lock.
    news: News,
    /// The address of IPv6 of each card that was told last.
    told6: [Option<Ipv6Addr>; CARDS_MAX],
    /// The core sleeps, and looks at its network by itself no sooner than at this time; 0: it is awake.
    sleeps_until_ns: u64,
}

/// What the core's log and the host are told.
#[derive(Default)]
struct News {
    /// Addresses of IPv4 and links.
    events: Vec<Event>,
    /// Addresses of IPv6 changed.
    addresses6: bool,
}

/// The network of a core, in cache lines of its own; `None` until the core uses it.
#[repr(align(64))]
struct Place(Guarded<Option<&'static mut Network>, true>);

static NETWORKS: [Place; CORES_MAX] = [const { Place(Guarded::new(None)) }; CORES_MAX];

/// Which addresses may still come.
#[derive(Clone, Debug)]
struct Asks {
    /// Links on which DHCP is asked.
    links: Vec<usize>,
    /// Until when one of IPv6 is waited for: routers answer soon, if there are any. 0: none will come.
    until6_ns: u64,
}

impl Asks {
    fn new(choices: &[(Choice, Choice6)]) -> Self {
        let asks = |(link, (choice, _)): (usize, &(Choice, Choice6))| (*choice == Choice::Dhcp).then_some(link);
        let listens = choices.iter().any(|(_, choice)| *choice == Choice6::Auto);
        Asks {
            links: choices.iter().enumerate().filter_map(asks).collect(),
            until6_ns: if listens { time::now_ns() + ROUTER_PATIENCE_NS } else { 0 },
        }
    }
}

/// What a core needs to know that begins later.
struct Beginning {
    config: Config,
    links: Vec<LinkConfig>,
    asks: Asks,
    addresses: [Option<Address>; CARDS_MAX],
    /// Pairs of queues of the first card that no core has, the first of them last.
    pairs: Vec<Pair>,
    /// How many there are in all.
    pairs_all: usize,
    /// Which cards are used.
    present: Vec<bool>,
}

static BEGINNING: SpinLock<Option<Beginning>> = SpinLock::new(None);
static STEERING: Steering = Steering::new();
static LINK: Link = Link;

const _: () = assert!(CARDS_MAX <= LINKS_MAX, "each card has a link of its own");

/// How long routers have to say which addresses of IPv6 there are, before nobody waits for that any more.
const ROUTER_PATIENCE_NS: u64 = 5_000_000_000;

/// Starts the network on these cards, each as the command line says: addresses of its own, DHCP and what routers say (the default), or
/// nothing.
///
/// It begins on this core; another core's begins when a thread there first uses it.
#[cold]
pub fn init(devices: Vec<Option<NetDevice>>, boot: &BootInfo) {
    let command_line = boot.command_line();
    let mut config = Config::new([0; 6], core::array::from_fn(|_| random::number()));
    config.limits = Limits::for_memory(usize::try_from(boot.memory.bytes()).unwrap_or(usize::MAX));
    config.limits.memory_bytes /= cores::count();
    let (mut choices, mut links, mut cards, mut pairs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, device) in devices.into_iter().enumerate() {
        let choice = command_line.address(number).unwrap_or(Choice::Dhcp);
        let device = device.filter(|_| choice != Choice::None);
        links.push(device.as_ref().map_or_else(|| LinkConfig::new([0; 6]), link_of));
        let choice6 = command_line.address6(number).unwrap_or(Choice6::Auto);
        choices.push(device.as_ref().map_or((Choice::None, Choice6::None), |_| (choice, choice6)));
        cards.push(device.map_or(Card::NONE, |device| begin_card(device, number, &mut pairs)));
    }
    if let Some(first) = links.first() {
        config.link = first.clone();
    }
    let asks = Asks::new(&choices);
    if cores::count() > 1 {
        let pairs_all = pairs.len() + 1;
        pairs.reverse();
        let present = cards.iter().map(|card| card.receiver.is_some()).collect();
        let beginning = Beginning {
            config: config.clone(),
            links: links.clone(),
            asks: asks.clone(),
            addresses: [None; CARDS_MAX],
            pairs,
            pairs_all,
            present,
        };
        BEGINNING.with(|place| *place = Some(beginning));
    }
    config.hostname = command_line.get(cmdline::HOSTNAME).map(|name| name.to_text()).unwrap_or_default();
    let mut network = Network::new(config, links, Cards::new(cards), asks);
    for (link, (choice, choice6)) in choices.into_iter().enumerate() {
        match choice {
            Choice::Static { ip, prefix } => {
                let address = Address {
                    ip: ip.0.into(),
                    prefix_bits: prefix,
                    gateway: command_line.gateway(link).map(|gateway| gateway.0.into()),
                    dns: [None; 3], // the command line is read by who asks them
                };
                if !network.stack.set_address(link, address) {
                    log::error!("{ip}/{prefix} cannot be the address of a machine; eth{link} is not used");
                }
            }
            Choice::Dhcp => network.stack.start_dhcp(link, time::now_ns()),
            Choice::None => {}
        }
        network.begin_ipv6(link, choice6, command_line.gateway6(link));
    }
    network.register();
    sched::Poller::poll(&LINK, time::now_ns()); // the first question goes out while the program starts
}

fn link_of(device: &NetDevice) -> LinkConfig {
    LinkConfig {
        mac: device.mac,
        mtu_bytes: device.mtu_bytes,
        checksum_offload: device.offloads.transmit_checksum,
        large_bytes_max: device.large_bytes_max,
        large_bytes_max6: if device.offloads.segmentation6 { device.large_bytes_max } else { 0 },
    }
}

/// Core 0's share of a card. The pairs that it does not need are for other cores; of a further card, they all use the one.
fn begin_card(device: NetDevice, number: usize, pairs: &mut Vec<Pair>) -> Card {
    let mut own = device.pairs.into_iter();
    let Some(first) = own.next() else { return Card::NONE };
    pairs.extend(own);
    let mut card = Card::first(first, device.control, device.link);
    if number > 0 && cores::count() > 1 {
        card.sender.share(number);
    }
    card
}

impl Network {
    /// In the heap from the start: it is large for a stack of the boot core's size.
    #[inline(never)]
    fn new(mut config: Config, links: Vec<LinkConfig>, cards: Cards, asks: Asks) -> Box<Self> {
        let several = cores::count() > 1;
        if several {
            let (core, cores) = (cores::current().index() as u8, cores::count() as u8);
            config.seat = Some(Seat { core, cores, steering: &STEERING });
        }
        let mut stack = Stack::new(config);
        for link in links.into_iter().skip(1) {
            stack.add_link(link);
        }
        Box::new(Network {
            stack,
            cards,
            sockets: Sockets::default(),
            asks,
            several,
            letters: several.then(exchange::open),
            news: News::default(),
            told6: [None; CARDS_MAX],
            sleeps_until_ns: 0,
        })
    }

    /// Makes it this core's.
    fn register(self: Box<Self>) {
        let network = Box::leak(self);
        NETWORKS[cores::current().index()].0.enter(|place| *place = Some(network));
        sched::register(&LINK);
        fault::at_end_of_thread(end_sockets_of);
    }
}

/// What [`begin_here`] may take of a stack: more than a thread has to have.
const BEGIN_STACK_BYTES: usize = 32 << 10;

/// The network of this core, which begins to use it.
#[cold]
#[inline(never)]
fn begin() {
    let stack = ThreadStack::new(BEGIN_STACK_BYTES);
    stack.unwrap_or_else(|_| panic!("memory allocation of {BEGIN_STACK_BYTES} bytes failed")).call(begin_here);
}

extern "C" fn begin_here() {
    let core = cores::current().index();
    let begun = BEGINNING.with(|beginning| {
        let beginning = beginning.as_mut()?;
        let number = beginning.pairs_all - beginning.pairs.len();
        let pair = beginning.pairs.pop();
        let (config, links) = (beginning.config.clone(), beginning.links.clone());
        let pair = pair.map(|pair| (number as u16, pair));
        Some((config, links, beginning.present.clone(), beginning.asks.clone(), beginning.addresses, pair))
    });
    let (config, links, present, asks, addresses, pair) =
        begun.expect("the network is started before the first thread of another core");
    let (number, pair) = pair.unzip();
    let has_first = present.first() == Some(&true);
    let first = if has_first { Card::later(pair) } else { Card::NONE };
    let further = present.iter().enumerate().skip(1);
    let further = further.map(|(number, present)| if *present { Card::shared(number) } else { Card::NONE });
    let cards = Cards::new(core::iter::once(first).chain(further).collect());
    let mut network = Network::new(config, links, cards, asks);
    for (link, address) in addresses.into_iter().enumerate() {
        if let Some(address) = address {
            network.stack.set_address(link, address);
        }
    }
    if has_first {
        exchange::send(0, Letter::Join { core: core as u8, pair: number });
    }
    network.register();
}

/// Runs `f` on the network of a core that uses it: the core of a socket, or one that polls.
#[inline]
fn reach<R>(core: CoreId, f: impl FnOnce(&mut Network, &mut Wakes) -> R) -> R {
    NETWORKS[core.index()].0.with(|network, wakes| f(begun(network), wakes))
}

#[inline]
fn begun<'a>(network: &'a mut Option<&'static mut Network>) -> &'a mut Network {
    network.as_deref_mut().expect("a core that has sockets has a network")
}

/// Runs `f` on this core's network, which begins now if it has not.
fn here<R>(f: impl FnOnce(CoreId, &mut Network) -> R) -> R {
    let core = cores::current();
    if NETWORKS[core.index()].0.enter(|network| network.is_none()) {
        begin();
    }
    reach(core, |network, _| f(core, network))
}

/// Ends the sockets that a thread was the last to use, which has ended by a fault. Connections are reset, so that no peer waits for
/// what will not come; others who hold one of them find it gone.
#[cold]
fn end_sockets_of(thread: u64) {
    for core in cores::all().filter(|core| NETWORKS[core.index()].0.enter(|network| network.is_some())) {
        let mut place = (0, 0);
        let mut end_next = || {
            reach(core, |network, wakes| {
                let (kind, index, end) = network.sockets.next_of(thread, &mut place, wakes)?;
                end(&mut network.stack, index);
                Some((network.sockets.unwatch(kind, index), network.stack.has_events() && network.tell(wakes)))
            })
        };
        while let Some((watcher, news)) = end_next() {
            touched::note(core);
            drop(watcher);
            if news {
                link::tell_outside(core);
            }
        }
    }
}

/// What this core's network has done since the start.
#[must_use]
pub fn statistics() -> Statistics {
    let _kernel = depth::enter();
    let mut statistics = here(|_, network| network.stack.statistics());
    statistics.posts_dropped += exchange::dropped();
    statistics
}

/// Sends what calls made on this core have left to be sent. Frames leave by themselves when a thread waits or yields; who goes
/// on for long without either, as a program in ring 3, says so.
pub fn flush() {
    let _kernel = depth::enter();
    let core = cores::current();
    let to_send = NETWORKS[core.index()]
        .0
        .enter(|network| network.as_deref().is_some_and(|network| network.stack.has_work()).then(time::now_ns));
    if let Some(now_ns) = to_send
        && reach(core, |network, wakes| network.send(now_ns, wakes))
    {
        link::tell_outside(core);
    }
    if touched::any() {
        touched::flush(time::now_ns());
    }
}
