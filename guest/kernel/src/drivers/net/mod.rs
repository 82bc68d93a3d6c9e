//! The network card: what is agreed with it, and its pairs of queues, one for each core as far as it has them.
//!
//! A pair is two independent halves, [`Receiver`] and [`Transmitter`]: a core that has its own pair shares nothing. The
//! device uses the first pair only, until it is told over the [`ControlQueue`] to use more.

mod control;
mod pair;
mod watch;

pub use control::ControlQueue;
pub use pair::{Pair, Receiver, Transmitter};
pub use watch::LinkWatch;

use super::DeviceError;
use super::registers::Doorbell;
use super::shared::{SharedBuffers, SharedRing};
use super::transport::{Line, Transport};
use crate::arch::cores;
use crate::arch::interrupt;
use alloc::sync::Arc;
use alloc::vec::Vec;
use toro_abi::network::Mac;
use toro_virtqueue::net::{self, BUFFER_BYTES, FRAME_BYTES_MAX, HEADER_BYTES, Offloads};
use toro_virtqueue::spec::{feature, net_feature};
use toro_virtqueue::{Direction, Options, Queue};

const CONFIG_MAC: usize = 0;
const CONFIG_PAIRS_MAX: usize = 8;
const CONFIG_MTU: usize = 10;
const ETHERNET_HEADER_BYTES: usize = 14;
const ETHERNET_MTU_BYTES: usize = 1500;
/// A queue's buffers take at most this part of RAM: 16 slots up to 4 MiB. Firecracker passes frames on only when
/// 64 KiB of buffers are posted, which takes 64 slots, 8 MiB.
const MEMORY_BYTES_PER_SLOT: u64 = 128 << 10;
const SLOTS_MIN: u64 = 16;
const SLOTS_MAX: u64 = 64;
/// RAM there must be for frames that are longer than a buffer: the card cuts them, or makes them of several.
const MEMORY_BYTES_FOR_LARGE: u64 = 48 << 20;
/// Buffers for what is sent, then: eleven segments of the Ethernet size.
const LARGE_BUFFER_BYTES: usize = 16 << 10;
/// What the card makes of several: the longest IP packet.
const LARGE_FRAME_BYTES: usize = ETHERNET_HEADER_BYTES + u16::MAX as usize;
const JUMBO_MTU_BYTES: usize = 9000;
/// RAM there must be for each pair beyond the first.
const MEMORY_BYTES_PER_PAIR: u64 = 2 << 20;
/// What a device may say that it has is one more (virtio 1.2, 5.1.4); but then its control queue, behind them, has no number.
const PAIRS_MAX: u16 = 0x7fff;
const _: () = assert!(PAIRS_MAX.checked_mul(2).is_some());

/// A virtio network card.
#[derive(Debug)]
pub struct NetDevice {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The largest IP packet, in bytes.
    pub mtu_bytes: usize,
    /// The largest that it cuts into such; 0: it cuts none.
    pub large_bytes_max: usize,
    /// Who does the checksums.
    pub offloads: Offloads,
    /// The pairs of queues that it can use; one at least.
    pub pairs: Vec<Pair>,
    /// Where it is told how many of them it is to use, if there are several, and that the machine was announced, if it asks
    /// for that.
    pub control: Option<ControlQueue>,
    /// How its link is, if it says so.
    pub link: Option<LinkWatch>,
}

/// The device itself, held by all that works with its memory.
#[derive(Debug)]
struct Card(Transport);

impl Drop for Card {
    /// The card must not write into memory that is given back.
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl NetDevice {
    /// Starts the card behind `transport`, with buffers that suit a machine of `memory_bytes`. One that cannot be used is
    /// reported, and left alone. Only the first, number 0, gets more pairs than one.
    #[cold]
    pub(super) fn start(transport: Transport, memory_bytes: u64, number: usize) -> Option<NetDevice> {
        let pairs = (memory_bytes / MEMORY_BYTES_PER_PAIR).min(transport.lines().into());
        let pairs = if number == 0 { pairs.min(cores::count() as u64).max(1) as u16 } else { 1 };
        let card = Arc::new(Card(transport));
        let mut made = NetDevice::new(&card, memory_bytes, pairs);
        if pairs > 1 && made.is_err() {
            made = NetDevice::new(&card, memory_bytes, 1);
        }
        let transport = &card.0;
        let mut device = match made {
            Ok(device) => device,
            Err(error) => {
                log::error!("virtio-net {transport}: {error}");
                return None;
            }
        };
        transport.start();
        device.pairs.iter_mut().for_each(|pair| pair.receiver.publish());
        let (mac, pairs) = (Mac(device.mac), device.pairs.len());
        log::info!("eth{number}: virtio-net {transport}, mac {mac}, {pairs} pairs of queues");
        Some(device)
    }

    /// What is made before the device may work.
    #[cold]
    #[inline(never)]
    fn new(card: &Arc<Card>, memory_bytes: u64, pairs: u16) -> Result<NetDevice, DeviceError> {
        use net_feature::{
            CSUM, CTRL_VQ, GUEST_ANNOUNCE, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6, MAC, MQ,
            MRG_RXBUF, MTU, STATUS,
        };
        let transport = &card.0;
        let several = if pairs > 1 { CTRL_VQ | MQ } else { 0 };
        // The longest frame has to fit into the buffers that there are, or the card waits for ever.
        let roomy = memory_bytes >= MEMORY_BYTES_FOR_LARGE
            && memory_bytes / MEMORY_BYTES_PER_SLOT / u64::from(pairs) >= SLOTS_MAX;
        let wanted = feature::EVENT_IDX | CSUM | GUEST_CSUM | MAC | MRG_RXBUF | MTU | STATUS | several;
        // Long frames come in several buffers, or not at all.
        let both = |offered: u64, features| if roomy && offered & features == features { features } else { 0 };
        let agreed = transport.negotiate_by(|offered| {
            let announce = CTRL_VQ | STATUS | GUEST_ANNOUNCE;
            let announce = if offered & announce == announce { announce } else { 0 };
            let (receive, send) = (GUEST_TSO4 | GUEST_CSUM | MRG_RXBUF, HOST_TSO4 | CSUM);
            let six = both(offered, receive | GUEST_TSO6) | both(offered, send | HOST_TSO6);
            wanted | announce | both(offered, receive) | both(offered, send) | six
        })?;
        let has = |features| agreed & features == features;
        let receive_bytes_max = if roomy && has(MRG_RXBUF) { LARGE_FRAME_BYTES } else { 0 };
        let offloads = Offloads {
            transmit_checksum: has(CSUM),
            receive_checksum: has(GUEST_CSUM),
            merge_buffers: has(MRG_RXBUF),
            receive_bytes_max,
            segmentation: has(HOST_TSO4),
            segmentation6: has(HOST_TSO6),
        };
        let mac =
            if has(MAC) { core::array::from_fn(|index| transport.config_u8(CONFIG_MAC + index)) } else { random_mac() };
        let mtu_bytes = if has(MTU) { usize::from(transport.config_u16(CONFIG_MTU)) } else { ETHERNET_MTU_BYTES };
        let frame_bytes_max =
            if receive_bytes_max > 0 { JUMBO_MTU_BYTES } else { FRAME_BYTES_MAX - ETHERNET_HEADER_BYTES };
        let mtu_bytes = mtu_bytes.clamp(576, frame_bytes_max);
        let frame_bytes = mtu_bytes + ETHERNET_HEADER_BYTES;
        let transmit_bytes = match frame_bytes {
            _ if has(HOST_TSO4) => LARGE_BUFFER_BYTES,
            0..=FRAME_BYTES_MAX => BUFFER_BYTES,
            longer => (longer + HEADER_BYTES).next_power_of_two(),
        };

        let event_index = has(feature::EVENT_IDX);
        let pairs_max =
            if several != 0 && has(several) { transport.config_u16(CONFIG_PAIRS_MAX).clamp(1, PAIRS_MAX) } else { 1 };
        let count = pairs.min(pairs_max);
        let vector = interrupt::allocate("virtio-net").ok_or(DeviceError::Interrupt)?;
        transport.route_interrupts(Line::FIRST, vector)?;

        let slots = (memory_bytes / MEMORY_BYTES_PER_SLOT / u64::from(count)).clamp(SLOTS_MIN, SLOTS_MAX) as u16;
        let mut pairs = Vec::new();
        for pair in 0..count {
            let line = Line(pair);
            let start = |index, direction, bytes| -> Result<_, DeviceError> {
                let layout = transport.layout(index, slots)?;
                let ring = SharedRing::new(layout.bytes())?;
                if receive_bytes_max > 0 && u64::from(layout.size()) < SLOTS_MAX {
                    return Err(DeviceError::Queue(index));
                }
                let buffers = SharedBuffers::new(layout.size(), bytes)?;
                let doorbell = transport.start_queue(index, layout, &ring, Some(line))?;
                let options = Options { direction, event_index };
                Ok((Queue::new(ring, layout, options, &buffers), buffers, doorbell))
            };
            let (queue, buffers, doorbell) = start(2 * pair, Direction::FromDevice, BUFFER_BYTES)?;
            let receive = net::Receive::new(queue, buffers, offloads);
            let receiver = Receiver::new(receive, doorbell, Arc::clone(card), line, vector);
            let (queue, buffers, doorbell) = start(2 * pair + 1, Direction::ToDevice, transmit_bytes)?;
            let transmitter = Transmitter::new(net::Transmit::new(queue, buffers, offloads), doorbell);
            pairs.push(Pair { receiver, transmitter });
        }
        let has_control = count > 1 || has(CTRL_VQ | GUEST_ANNOUNCE);
        let control =
            if has_control { Some(ControlQueue::start(transport, 2 * pairs_max, event_index)?) } else { None };
        let link = has(STATUS).then(|| LinkWatch::start(card, Line(count), vector));
        let large_bytes_max =
            if has(HOST_TSO4) { LARGE_BUFFER_BYTES - HEADER_BYTES - ETHERNET_HEADER_BYTES } else { 0 };
        Ok(NetDevice { mac, mtu_bytes, large_bytes_max, offloads, pairs, control, link })
    }
}

/// An address of our own for a card that has none: unicast, locally administered.
fn random_mac() -> [u8; 6] {
    let mut mac = [0; 6];
    crate::random::fill(&mut mac);
    mac[0] = mac[0] & !1 | 2;
    mac
}
