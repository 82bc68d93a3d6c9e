//! Packets made outside a connection's own turn to send: answers, datagrams, ARP and DHCP frames, loopback.
//!
//! They wait here until the next flush, because whoever makes them holds no device. The queues are bounded: past the bound
//! a packet is lost and counted, as on any link. Buffers are kept and used again.

use crate::device::Checksum;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Where a connection's segments, or answers to them, are written.
///
/// A trait object, so that the engine's code exists once and not once for each kind of sink.
pub(crate) trait PacketSink {
    /// What is to be done about the TCP checksum of a packet written here.
    fn checksum(&self) -> TcpChecksum;

    /// Whether there is room for one packet.
    fn ready(&mut self) -> bool;

    /// Calls `fill` once with the place of an IP packet of that length, and sends it; not at all when it is lost.
    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8]));
}

/// Who looks after the TCP checksum of an outgoing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpChecksum {
    /// It must be complete.
    Complete,
    /// The device completes it from the pseudo header's sum.
    ByDevice,
    /// Nobody will look.
    Ignored,
}

/// Something to send.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// A whole Ethernet frame.
    Frame(Vec<u8>),
    /// An IP packet that still needs a next hop.
    Packet(Vec<u8>),
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
        if self.0.len() < SPARES_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            self.0.push(buffer);
        }
    }
}

/// Packets and frames for the device.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<Parcel>,
    spares: Spares,
    parcels_max: usize,
    pub(crate) dropped: u64,
}

impl Outbox {
    pub(crate) fn new(parcels_max: usize) -> Self {
        Outbox { queue: VecDeque::new(), spares: Spares::default(), parcels_max, dropped: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a whole frame.
    pub(crate) fn frame(&mut self, len_bytes: usize, fill: impl FnOnce(&mut [u8])) {
        if let Some(mut buffer) = self.buffer(len_bytes) {
            fill(&mut buffer);
            self.queue.push_back(Parcel::Frame(buffer));
        }
    }

    /// Queues an IP packet that was kept elsewhere meanwhile.
    pub(crate) fn queue(&mut self, packet: Vec<u8>) {
        if self.ready() {
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

    fn buffer(&mut self, len_bytes: usize) -> Option<Vec<u8>> {
        let buffer = if self.ready() { self.spares.take(len_bytes) } else { None };
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
        self.queue.len() < self.parcels_max
    }

    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        if let Some(mut buffer) = self.buffer(len_bytes) {
            fill(&mut buffer);
            self.queue.push_back(Parcel::Packet(buffer));
        }
    }
}

/// Packets from this machine to itself.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    queue: VecDeque<Vec<u8>>,
    spares: Spares,
    pub(crate) dropped: u64,
}

const LOOPBACK_PACKETS_MAX: usize = 256;

impl Loopback {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        self.queue.pop_front()
    }

    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        self.spares.put(buffer);
    }
}

impl PacketSink for Loopback {
    fn checksum(&self) -> TcpChecksum {
        TcpChecksum::Ignored
    }

    fn ready(&mut self) -> bool {
        self.queue.len() < LOOPBACK_PACKETS_MAX
    }

    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let room = if self.ready() { self.spares.take(len_bytes) } else { None };
        if let Some(mut buffer) = room {
            fill(&mut buffer);
            self.queue.push_back(buffer);
        } else {
            self.dropped += 1;
        }
    }
}

/// How a frame with a TCP segment is described to a device that completes its checksum.
pub(crate) const TCP_CHECKSUM_BY_DEVICE: Checksum = Checksum::Partial { start_bytes: 34, offset_bytes: 16 };
