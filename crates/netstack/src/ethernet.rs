//! The Ethernet header, and packets written behind one straight into the device's buffer.

use crate::device::{Checksum, Device};
use toro_tcp::{Cut, Ip, PacketSink, TcpChecksum};

pub(crate) const HEADER_BYTES: usize = 14;
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;

/// Hardware address of one end of a link.
pub(crate) type Mac = [u8; 6];

/// The address of a group (RFC 1112, 6.4; RFC 2464, 7).
pub(crate) fn group(ip: Ip) -> Mac {
    let [.., a, b, c, d] = ip.octets();
    if ip.is_v4() { [0x01, 0x00, 0x5e, b & 0x7f, c, d] } else { [0x33, 0x33, a, b, c, d] }
}

/// What a packet to an address is, to the link.
#[inline]
pub(crate) fn kind(ip: Ip) -> u16 {
    if ip.is_v4() { IPV4 } else { IPV6 }
}

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
    /// Where the device finds the segment whose checksum it completes, if it does that.
    pub(crate) offload: Option<u16>,
    pub(crate) large_bytes_max: usize,
}

/// Place of the checksum in the header of TCP.
const TCP_CHECKSUM: u16 = 16;

impl<D: Device> PacketSink for FrameSink<'_, D> {
    fn checksum(&self) -> TcpChecksum {
        if self.offload.is_some() { TcpChecksum::ByDevice } else { TcpChecksum::Complete }
    }

    fn ready(&mut self) -> bool {
        self.device.ready()
    }

    fn large_bytes_max(&self) -> usize {
        self.large_bytes_max
    }

    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let checksum = match self.offload {
            Some(start_bytes) => Checksum::Partial { start_bytes, offset_bytes: TCP_CHECKSUM },
            None => Checksum::Complete,
        };
        self.put(len_bytes, checksum, fill);
    }

    fn large_packet(&mut self, len_bytes: usize, cut: Cut, fill: &mut dyn FnMut(&mut [u8])) {
        let headers_bytes = (HEADER_BYTES + cut.headers_bytes) as u16;
        let Some(start_bytes) = self.offload else { return };
        let (offset_bytes, segment_bytes) = (TCP_CHECKSUM, cut.segment_bytes as u16);
        let checksum = Checksum::Segments { start_bytes, offset_bytes, headers_bytes, segment_bytes };
        self.put(len_bytes, checksum, fill);
    }
}

impl<D: Device> FrameSink<'_, D> {
    #[inline]
    fn put(&mut self, len_bytes: usize, checksum: Checksum, fill: &mut dyn FnMut(&mut [u8])) {
        // Full after `ready` said otherwise: the packet is lost, as on any link, and TCP sends it again.
        let _ = self.device.transmit(HEADER_BYTES + len_bytes, checksum, |frame| {
            let (header, packet) = frame.split_at_mut(HEADER_BYTES);
            header.copy_from_slice(&self.header);
            fill(packet);
        });
    }
}
