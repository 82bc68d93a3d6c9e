//! Packets made outside a connection's own turn to send: answers, datagrams, ARP and DHCP frames, loopback.
//!
//! They wait here until the next flush, because whoever makes them holds no device. The queues are bounded: past the bound
//! a program is told to wait, and an answer is lost and counted, as on any link. Buffers are kept and used again.

use crate::message::Messages;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use toro_tcp::{Cut, PacketSink, TcpChecksum};

/// Something to send.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// A whole Ethernet frame.
    Frame(Vec<u8>),
    /// An IP packet that still needs a next hop.
    Packet(Vec<u8>),
}

impl Parcel {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let (Parcel::Frame(bytes) | Parcel::Packet(bytes)) = self;
        bytes
    }
}

/// Buffers to use again.
#[derive(Debug, Default)]
struct Spares(Vec<Vec<u8>>);

const SPARES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 2048;

impl Spares {
    fn take(&mut self, len_bytes: usize) -> Option<Vec<u8>> {
        let mut buffer = self.0.pop().unwrap_or_default();
        buffer.clear();
        buffer.try_reserve_exact(len_bytes.max(128)).ok()?;
        buffer.resize(len_bytes, 0);
        Some(buffer)
    }

    fn put(&mut self, buffer: Vec<u8>) {
        let wanted = self.0.len() < SPARES_MAX && buffer.capacity() <= SPARE_BYTES_MAX;
        if wanted && self.0.try_reserve(1).is_ok() {
            self.0.push(buffer);
        }
    }
}

/// Who wants a place in the outbox. Each stops while there are places left for the next: the datagrams of programs, which
/// can wait, do not keep answers back, and neither keeps ARP and DHCP back, without which nothing goes at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenant {
    Datagram,
    Answer,
    Frame,
}

/// Packets and frames for the device.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<Parcel>,
    spares: Spares,
    parcels_max: usize,
    pub(crate) dropped: u64,
    /// For the stacks of other cores.
    pub(crate) messages: Messages,
}

impl Outbox {
    pub(crate) fn new(link: u8, parcels_max: usize) -> Self {
        Outbox {
            queue: VecDeque::new(),
            spares: Spares::default(),
            parcels_max,
            dropped: 0,
            messages: Messages::about(link),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a whole frame.
    pub(crate) fn frame(&mut self, len_bytes: usize, fill: impl FnOnce(&mut [u8])) {
        if let Some(mut buffer) = self.buffer(len_bytes, Tenant::Frame) {
            fill(&mut buffer);
            self.queue.push_back(Parcel::Frame(buffer));
        }
    }

    /// Whether a program's datagram may be queued.
    pub(crate) fn takes_datagrams(&self) -> bool {
        self.has_room(Tenant::Datagram)
    }

    fn has_room(&self, tenant: Tenant) -> bool {
        let eighths = match tenant {
            Tenant::Datagram => 6,
            Tenant::Answer => 7,
            Tenant::Frame => 8,
        };
        self.queue.len() < (self.parcels_max * eighths).div_ceil(8)
    }

    /// Queues a piece of a packet that had its place.
    pub(crate) fn piece(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        match self.spares.take(len_bytes) {
            Some(mut buffer) => {
                fill(&mut buffer);
                self.queue(buffer);
            }
            None => self.dropped += 1,
        }
    }

    /// Queues an IP packet that was kept elsewhere meanwhile. It had its place here once, and those kept are bounded, so
    /// it is not turned away for what has come since.
    pub(crate) fn queue(&mut self, packet: Vec<u8>) {
        if self.queue.try_reserve(1).is_ok() {
            self.queue.push_back(Parcel::Packet(packet));
        } else {
            self.dropped += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Parcel> {
        self.queue.pop_front()
    }

    /// Puts back what the device had no room for.
    pub(crate) fn unpop(&mut self, parcel: Parcel) {
        self.queue.push_front(parcel);
    }

    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        self.spares.put(buffer);
    }

    /// A copy of what arrived, for another core.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = self.spares.take(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Some(buffer)
    }

    /// See [`Stack::assert_sound`](crate::Stack::assert_sound).
    pub(crate) fn assert_sound(&self) {
        // Those kept for neighbours had their places, as have the pieces of a packet that had one.
        assert!(self.queue.len() <= 4 * self.parcels_max, "{} parcels", self.queue.len());
        assert!(self.spares.0.len() <= SPARES_MAX);
    }

    fn buffer(&mut self, len_bytes: usize, tenant: Tenant) -> Option<Vec<u8>> {
        let place = self.has_room(tenant) && self.queue.try_reserve(1).is_ok();
        let buffer = if place { self.spares.take(len_bytes) } else { None };
        if buffer.is_none() {
            self.dropped += 1;
        }
        buffer
    }
}

impl PacketSink for Outbox {
    fn checksum(&self) -> TcpChecksum {
        TcpChecksum::Complete
    }

    fn ready(&mut self) -> bool {
        self.has_room(Tenant::Answer)
    }

    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        if let Some(mut buffer) = self.buffer(len_bytes, Tenant::Answer) {
            fill(&mut buffer);
            self.queue.push_back(Parcel::Packet(buffer));
        }
    }
}

/// Packets from this machine to itself.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    spares: Spares,
    pub(crate) dropped: u64,
}

const LOOPBACK_PACKETS_MAX: usize = 256;
/// What a connection sends in one piece.
const LOOPBACK_SEGMENT_BYTES_MAX: usize = 16 << 10;
/// Past so much only what is there is taken in first.
const LOOPBACK_BYTES_MAX: usize = 512 << 10;

impl Loopback {
    /// Whether there is room for one packet.
    pub(crate) fn ready(&self) -> bool {
        self.queue.len() < LOOPBACK_PACKETS_MAX && self.queued_bytes < LOOPBACK_BYTES_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let packet = self.queue.pop_front()?;
        self.queued_bytes -= packet.len();
        Some(packet)
    }

    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        self.spares.put(buffer);
    }
}

impl PacketSink for Loopback {
    fn checksum(&self) -> TcpChecksum {
        TcpChecksum::Ignored
    }

    /// Nobody has to cut what never leaves the machine.
    fn large_bytes_max(&self) -> usize {
        LOOPBACK_SEGMENT_BYTES_MAX
    }

    fn large_packet(&mut self, len_bytes: usize, _cut: Cut, fill: &mut dyn FnMut(&mut [u8])) {
        self.packet(len_bytes, fill);
    }

    fn ready(&mut self) -> bool {
        Loopback::ready(self)
    }

    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let place = Loopback::ready(self) && self.queue.try_reserve(1).is_ok();
        let room = if place { self.spares.take(len_bytes) } else { None };
        if let Some(mut buffer) = room {
            fill(&mut buffer);
            self.queued_bytes += buffer.len();
            self.queue.push_back(buffer);
        } else {
            self.dropped += 1;
        }
    }
}
