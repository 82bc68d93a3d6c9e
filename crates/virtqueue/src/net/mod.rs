//! What a virtio network device says over its queues: a header before each frame, and who does the checksums.
//!
//! [`Receive`] hands out each frame where the device wrote it, [`Transmit`] lets the caller write a frame where the
//! device reads it: no copy on either way. A frame of the Ethernet size is one buffer ([`BUFFER_BYTES`]); longer ones, which
//! the device has made of several segments or is to cut into such, are put together from several, or get a larger one. A device with several pairs of queues is told over [`Control`] how many to use.

mod control;
mod receive;
mod transmit;

pub use control::{Answer, Control};
pub use receive::{Receive, ReceiveCounters};
pub use transmit::{Full, Transmit};

/// Bytes of the header before each frame.
pub const HEADER_BYTES: usize = 12;
/// Bytes of each buffer: header and frame.
pub const BUFFER_BYTES: usize = 2048;
/// The longest frame that fits in a buffer.
pub const FRAME_BYTES_MAX: usize = BUFFER_BYTES - HEADER_BYTES;

/// Header flag: the checksum from `csum_start` on is still to be computed; inbound, the sender is local.
const NEEDS_CSUM: u8 = 1;
/// What the frame is to be cut into, or was made of: TCP over IPv4.
const SEGMENTS_TCP4: u8 = 1;
/// The same over IPv6.
const SEGMENTS_TCP6: u8 = 4;
/// Header flag: the device has verified the checksum.
const DATA_VALID: u8 = 2;

/// What was negotiated, as far as it changes what is in the buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// `VIRTIO_NET_F_CSUM`: a frame may leave with its checksum [`Partial`](Checksum::Partial).
    pub transmit_checksum: bool,
    /// `VIRTIO_NET_F_GUEST_CSUM`: a frame may arrive with its checksum partial, or verified by the device.
    pub receive_checksum: bool,
    /// `VIRTIO_NET_F_MRG_RXBUF`: the header says over how many buffers a frame is spread.
    pub merge_buffers: bool,
    /// Those that are spread over several are put together: up to so many bytes, 0 for none.
    pub receive_bytes_max: usize,
    /// `VIRTIO_NET_F_HOST_TSO4`: a frame may leave that is to be [cut](Checksum::Segments).
    pub segmentation: bool,
    /// `VIRTIO_NET_F_HOST_TSO6`: the same of IPv6.
    pub segmentation6: bool,
}

/// What the device still has to do to the TCP or UDP checksum of a frame that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing.
    Complete,
    /// Sum up from `start_bytes` of the frame to its end, and put the complement `offset_bytes` further on, where the
    /// sum of the pseudo header stands already. Only where [`Offloads::transmit_checksum`] was agreed.
    Partial {
        /// First summed byte, from the start of the frame.
        start_bytes: u16,
        /// Place of the checksum, from `start_bytes`.
        offset_bytes: u16,
    },
    /// As `Partial`, and the frame is to be cut: each piece gets its headers, and so much of the rest. Only where
    /// [`Offloads::segmentation`] was agreed, or of IPv6 [`Offloads::segmentation6`].
    Segments {
        /// As above.
        start_bytes: u16,
        /// As above.
        offset_bytes: u16,
        /// The headers' length.
        headers_bytes: u16,
        /// Payload of each piece.
        segment_bytes: u16,
    },
}

/// What is known about the TCP or UDP checksum of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: whoever cares has to verify it.
    Unverified,
    /// The device vouches for it, or the frame comes from its own host and carries only part of one.
    Verified,
}
