//! The network card: what is agreed with it, and its pairs of queues, one for each core as far as it has them.
//!
//! A pair is two independent halves, [`Receiver`] and [`Transmitter`]: a core that has its own pair shares nothing. The
//! device uses the first pair only, until it is told over the [`ControlQueue`] to use more.

mod control;
mod pair;

pub use control::ControlQueue;
pub use pair::{Pair, Receiver, Transmitter};

use super::DeviceError;
use super::registers::Doorbell;
use super::shared::{SharedBuffers, SharedRing};
use super::transport::{Line, Transport};
use crate::arch::cores;
use crate::arch::interrupt;
use alloc::sync::Arc;
use alloc::vec::Vec;
use toro_virtqueue::net::{self, BUFFER_BYTES, FRAME_BYTES_MAX, Offloads};
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
/// RAM there must be for each pair beyond the first.
const MEMORY_BYTES_PER_PAIR: u64 = 2 << 20;
/// What a device may say that it has (virtio 1.2, 5.1.4).
const PAIRS_MAX: u16 = 0x8000;

type Buffers = SharedBuffers<BUFFER_BYTES>;

/// A virtio network card.
#[derive(Debug)]
pub struct NetDevice {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The largest IP packet, in bytes.
    pub mtu_bytes: usize,
    /// Who does the checksums.
    pub offloads: Offloads,
    /// The pairs of queues that it can use; one at least.
    pub pairs: Vec<Pair>,
    /// Where it is told how many of them it is to use, if there are several.
    pub control: Option<ControlQueue>,
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
    /// reported, and left alone.
    #[cold]
    pub(super) fn start(transport: Transport, memory_bytes: u64) -> Option<NetDevice> {
        let pairs = (memory_bytes / MEMORY_BYTES_PER_PAIR).min(transport.lines().into());
        let pairs = pairs.min(cores::count() as u64).max(1) as u16;
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
        let ([a, b, c, d, e, f], pairs) = (device.mac, device.pairs.len());
        log::info!(
            "virtio-net {transport}, mac {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, {pairs} pairs of queues"
        );
        Some(device)
    }

    /// What is made before the device may work.
    #[cold]
    #[inline(never)]
    fn new(card: &Arc<Card>, memory_bytes: u64, pairs: u16) -> Result<NetDevice, DeviceError> {
        use net_feature::{CSUM, CTRL_VQ, GUEST_CSUM, MAC, MQ, MRG_RXBUF, MTU};
        let transport = &card.0;
        let several = if pairs > 1 { CTRL_VQ | MQ } else { 0 };
        let wanted = feature::EVENT_IDX | CSUM | GUEST_CSUM | MAC | MRG_RXBUF | MTU | several;
        let agreed = transport.negotiate(wanted)?;
        let has = |features| agreed & features == features;
        let offloads =
            Offloads { transmit_checksum: has(CSUM), receive_checksum: has(GUEST_CSUM), merge_buffers: has(MRG_RXBUF) };
        let mac =
            if has(MAC) { core::array::from_fn(|index| transport.config_u8(CONFIG_MAC + index)) } else { random_mac() };
        let mtu_bytes = if has(MTU) { usize::from(transport.config_u16(CONFIG_MTU)) } else { ETHERNET_MTU_BYTES };
        let mtu_bytes = mtu_bytes.clamp(576, FRAME_BYTES_MAX - ETHERNET_HEADER_BYTES);
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
            let start = |index, direction| -> Result<_, DeviceError> {
                let layout = transport.layout(index, slots)?;
                let ring = SharedRing::new(layout.bytes())?;
                let buffers = Buffers::new(layout.size())?;
                let doorbell = transport.start_queue(index, layout, &ring, Some(line))?;
                let options = Options { direction, event_index };
                Ok((Queue::new(ring, layout, options, &buffers), buffers, doorbell))
            };
            let (queue, buffers, doorbell) = start(2 * pair, Direction::FromDevice)?;
            let receive = net::Receive::new(queue, buffers, offloads);
            let receiver = Receiver::new(receive, doorbell, Arc::clone(card), line, vector);
            let (queue, buffers, doorbell) = start(2 * pair + 1, Direction::ToDevice)?;
            let transmitter = Transmitter::new(net::Transmit::new(queue, buffers, offloads), doorbell);
            pairs.push(Pair { receiver, transmitter });
        }
        let control = if count > 1 { Some(ControlQueue::start(transport, 2 * pairs_max, event_index)?) } else { None };
        Ok(NetDevice { mac, mtu_bytes, offloads, pairs, control })
    }
}

/// An address of our own for a card that has none: unicast, locally administered.
fn random_mac() -> [u8; 6] {
    let mut mac = [0; 6];
    crate::random::fill(&mut mac);
    mac[0] = mac[0] & !1 | 2;
    mac
}
