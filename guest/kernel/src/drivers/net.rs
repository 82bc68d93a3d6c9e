//! The network card: frames in and out, in place.

use super::DeviceError;
use super::registers::Doorbell;
use super::shared::{SharedBuffers, SharedRing};
use super::transport::Transport;
use crate::arch::interrupt::{self, Vector};
use toro_virtqueue::net::{self, BUFFER_BYTES, Checksum, FRAME_BYTES_MAX, Full, Offloads, Verification};
use toro_virtqueue::spec::{feature, net_feature};
use toro_virtqueue::{Broken, Direction, Interrupts, Notify, Options, Queue};

const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;
const CONFIG_MTU: usize = 10;
const LINK_UP: u16 = 1;
const ETHERNET_HEADER_BYTES: usize = 14;
const ETHERNET_MTU_BYTES: usize = 1500;
/// A queue's buffers take at most this part of RAM: 16 slots up to 4 MiB. Firecracker passes frames on only when
/// 64 KiB of buffers are posted, which takes 64 slots, 8 MiB.
const MEMORY_BYTES_PER_SLOT: u64 = 128 << 10;
const SLOTS_MIN: u64 = 16;
const SLOTS_MAX: u64 = 64;

type Buffers = SharedBuffers<BUFFER_BYTES>;

/// A virtio network card.
#[derive(Debug)]
pub struct NetDevice {
    receive: net::Receive<SharedRing, Buffers>,
    transmit: net::Transmit<SharedRing, Buffers>,
    receive_doorbell: Doorbell,
    transmit_doorbell: Doorbell,
    transport: Transport,
    vector: Vector,
    /// Interrupts taken when the device was last told so.
    acknowledged: u64,
    mac: [u8; 6],
    mtu_bytes: usize,
    says_link: bool,
    offloads: Offloads,
    reported: bool,
}

impl NetDevice {
    /// Starts the card behind `transport`, with buffers that suit a machine of `memory_bytes`.
    #[cold]
    pub(super) fn start(transport: Transport, memory_bytes: u64) -> Result<NetDevice, (Transport, DeviceError)> {
        match Setup::new(&transport, memory_bytes) {
            Ok(setup) => Ok(setup.finish(transport)),
            Err(error) => {
                transport.stop();
                Err((transport, error))
            }
        }
    }

    /// The hardware address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The largest IP packet, in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu_bytes
    }

    /// Is the cable plugged in? Cards that do not say so always are. Asks the device.
    pub fn link_is_up(&self) -> bool {
        !self.says_link || self.transport.config_u16(CONFIG_STATUS) & LINK_UP != 0
    }

    /// Who does the checksums.
    pub fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Shows `handle` each frame that has arrived, in place, and what is known of its checksum; gives the buffers back
    /// and returns how many frames there were. At most a queue full, so call again until it returns 0.
    #[inline]
    pub fn receive(&mut self, handle: impl FnMut(&mut [u8], Verification)) -> usize {
        let frames = match self.receive.receive(handle) {
            Ok(frames) => frames,
            Err(broken) => {
                self.report(broken);
                0
            }
        };
        if self.receive.publish() == Notify::Needed {
            self.receive_doorbell.ring();
        }
        frames
    }

    /// Will the next [`transmit`](Self::transmit) find room? If not, a completion will interrupt.
    #[inline]
    pub fn ready(&mut self) -> bool {
        self.transmit.ready()
    }

    /// Lets `write` fill a buffer of at most `bytes_max` and return the frame's length. The frame leaves at the next
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Full`] when every buffer is with the device; `write` was not called.
    ///
    /// # Panics
    /// As [`toro_virtqueue::net::Transmit::transmit`], on lengths and checksums that the card cannot have.
    #[inline]
    pub fn transmit(
        &mut self,
        bytes_max: usize,
        checksum: Checksum,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Full> {
        let result = self.transmit.transmit(bytes_max, checksum, write);
        if result.is_err()
            && let Some(broken) = self.transmit.broken()
        {
            self.report(broken);
        }
        result
    }

    /// Shows the card what was transmitted since the last call: one notification for all, if it wants one.
    #[inline]
    pub fn flush(&mut self) {
        if self.transmit.publish() == Notify::Needed {
            self.transmit_doorbell.ring();
        }
    }

    /// Asks for an interrupt at the next frame, and at the next completion when somebody was refused room. True when
    /// something is there already: do not sleep.
    pub fn enable_interrupts(&mut self) -> bool {
        // A line that stays high gives no further edge, so it is lowered before anything new can come.
        let taken = interrupt::count(self.vector);
        if taken != self.acknowledged {
            self.acknowledged = taken;
            self.transport.acknowledge_interrupt();
        }
        let transmit = self.transmit.enable_interrupts();
        let receive = self.receive.enable_interrupts();
        receive == Interrupts::Pending || transmit == Interrupts::Pending
    }

    /// Asks for no more interrupts: the core is awake and polls.
    #[inline]
    pub fn disable_interrupts(&mut self) {
        self.receive.disable_interrupts();
        self.transmit.disable_interrupts();
    }

    /// Frames that could not be used.
    pub fn counters(&self) -> net::ReceiveCounters {
        self.receive.counters()
    }

    #[cold]
    fn report(&mut self, broken: Broken) {
        if !self.reported {
            self.reported = true;
            log::error!("virtio-net {}: {broken}; the network has stopped", self.transport);
        }
    }
}

impl Drop for NetDevice {
    /// The card must not write into memory that is given back.
    fn drop(&mut self) {
        self.transport.stop();
    }
}

/// What is made before the device may work.
struct Setup {
    receive: net::Receive<SharedRing, Buffers>,
    transmit: net::Transmit<SharedRing, Buffers>,
    receive_doorbell: Doorbell,
    transmit_doorbell: Doorbell,
    vector: Vector,
    mac: [u8; 6],
    mtu_bytes: usize,
    says_link: bool,
    offloads: Offloads,
}

impl Setup {
    #[cold]
    fn new(transport: &Transport, memory_bytes: u64) -> Result<Setup, DeviceError> {
        use net_feature::{CSUM, GUEST_CSUM, MAC, MRG_RXBUF, MTU, STATUS};
        let wanted = feature::EVENT_IDX | CSUM | GUEST_CSUM | MAC | MRG_RXBUF | MTU | STATUS;
        let agreed = transport.negotiate(wanted)?;
        let has = |feature| agreed & feature != 0;
        let offloads =
            Offloads { transmit_checksum: has(CSUM), receive_checksum: has(GUEST_CSUM), merge_buffers: has(MRG_RXBUF) };
        let mac =
            if has(MAC) { core::array::from_fn(|index| transport.config_u8(CONFIG_MAC + index)) } else { random_mac() };
        let mtu_bytes = if has(MTU) { usize::from(transport.config_u16(CONFIG_MTU)) } else { ETHERNET_MTU_BYTES };
        let mtu_bytes = mtu_bytes.clamp(576, FRAME_BYTES_MAX - ETHERNET_HEADER_BYTES);
        let vector = interrupt::allocate("virtio-net").ok_or(DeviceError::Interrupt)?;
        transport.route_interrupts(vector)?;

        let slots = (memory_bytes / MEMORY_BYTES_PER_SLOT).clamp(SLOTS_MIN, SLOTS_MAX) as u16;
        let start = |index, direction| -> Result<_, DeviceError> {
            let layout = transport.layout(index, slots)?;
            let ring = SharedRing::new(layout.bytes())?;
            let buffers = Buffers::new(layout.size())?;
            let doorbell = transport.start_queue(index, layout, &ring, Some(vector))?;
            let options = Options { direction, event_index: has(feature::EVENT_IDX) };
            Ok((Queue::new(ring, layout, options, &buffers), buffers, doorbell))
        };
        let (queue, buffers, receive_doorbell) = start(RECEIVE_QUEUE, Direction::FromDevice)?;
        let receive = net::Receive::new(queue, buffers, offloads);
        let (queue, buffers, transmit_doorbell) = start(TRANSMIT_QUEUE, Direction::ToDevice)?;
        let transmit = net::Transmit::new(queue, buffers, offloads);
        Ok(Setup {
            receive,
            transmit,
            receive_doorbell,
            transmit_doorbell,
            vector,
            mac,
            mtu_bytes,
            says_link: has(STATUS),
            offloads,
        })
    }

    fn finish(mut self, transport: Transport) -> NetDevice {
        transport.start();
        if self.receive.publish() == Notify::Needed {
            self.receive_doorbell.ring();
        }
        let [a, b, c, d, e, f] = self.mac;
        log::info!("virtio-net {transport}, mac {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        NetDevice {
            receive: self.receive,
            transmit: self.transmit,
            receive_doorbell: self.receive_doorbell,
            transmit_doorbell: self.transmit_doorbell,
            transport,
            vector: self.vector,
            acknowledged: u64::MAX, // whatever raised the line before
            mac: self.mac,
            mtu_bytes: self.mtu_bytes,
            says_link: self.says_link,
            offloads: self.offloads,
            reported: false,
        }
    }
}

/// An address of our own for a card that has none: unicast, locally administered.
fn random_mac() -> [u8; 6] {
    let mut mac = [0; 6];
    crate::random::fill(&mut mac);
    mac[0] = mac[0] & !1 | 2;
    mac
}
