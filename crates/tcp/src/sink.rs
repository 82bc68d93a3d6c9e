//! Where segments are written.

/// Where a connection's segments, or answers to them, are written.
///
/// A trait object, so that the engine's code exists once and not once for each kind of sink.
pub trait PacketSink {
    /// What is to be done about the TCP checksum of a packet written here.
    fn checksum(&self) -> TcpChecksum;

    /// Whether there is room for one packet.
    fn ready(&mut self) -> bool;

    /// Calls `fill` once with the place of an IP packet of that length, and sends it; not at all when it is lost.
    fn packet(&mut self, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8]));

    /// The longest packet that is cut into segments behind this; 0, unless somebody there does.
    fn large_bytes_max(&self) -> usize {
        0
    }

    /// As [`packet`](Self::packet), of one that is to be cut: no longer than [`large_bytes_max`](Self::large_bytes_max).
    fn large_packet(&mut self, len_bytes: usize, cut: Cut, fill: &mut dyn FnMut(&mut [u8])) {
        let _nobody_cuts = (len_bytes, cut, fill);
    }
}

/// Into what a packet is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its headers, of IP and TCP, which each piece gets.
    pub headers_bytes: usize,
    /// Payload of each piece.
    pub segment_bytes: u32,
}

/// Who looks after the TCP checksum of an outgoing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpChecksum {
    /// It must be complete.
    Complete,
    /// The device completes it from the pseudo header's sum.
    ByDevice,
    /// Nobody will look.
    Ignored,
}
