//! The Ethernet header, and packets written behind one straight into the device's buffer.

use crate::device::{Checksum, Device};
use crate::outbox::{PacketSink, TCP_CHECKSUM_BY_DEVICE, TcpChecksum};

pub(crate) const HEADER_BYTES: usize = 14;
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;

/// Hardware address of one end of a link.
pub(crate) type Mac = [u8; 6];

/// Whether an address names one station.
pub(crate) fn is_unicast(mac: Mac) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

/// A header of that kind.
pub(crate) fn header(destination: Mac, source: Mac, kind: u16) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..6].copy_from_slice(&destination);
    header[6..12].copy_from_slice(&source);
    header[12..].copy_from_slice(&kind.to_be_bytes());
    header
}

/// A device, as seen by the packets for one next hop.
pub(crate) struct FrameSink<'a, D> {
    pub(crate) device: &'a mut D,
    pub(crate) header: [u8; HEADER_BYTES],
    pub(crate) offload: bool,
}

impl<D: Device> PacketSink for FrameSink<'_, D> {
    fn checksum(&self) -> TcpChecksum {
        if self.offload { TcpChecksum::ByDevice } else { TcpChecksum::Complete }
    }

    fn ready(&mut self) -> bool {
        self.device.ready()
    }

    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let checksum = if self.offload { TCP_CHECKSUM_BY_DEVICE } else { Checksum::Complete };
        // Full after `ready` said otherwise: the packet is lost, as on any link, and TCP sends it again.
        let _ = self.device.transmit(HEADER_BYTES + len_bytes, checksum, |frame| {
            let (header, packet) = frame.split_at_mut(HEADER_BYTES);
            header.copy_from_slice(&self.header);
            fill(packet);
        });
    }
}
