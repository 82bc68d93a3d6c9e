//! What a virtio network device says over its queues: a header before each frame, and who does the checksums.
//!
//! [`Receive`] hands out each frame where the device wrote it, [`Transmit`] lets the caller write a frame where the
//! device reads it: no copy on either way. One frame is one buffer ([`BUFFER_BYTES`]); frames of the Ethernet
//! size always fit.

mod checksum;
mod receive;
mod transmit;

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
/// Header flag: the device has verified the checksum.
const DATA_VALID: u8 = 2;

/// What was negotiated, as far as it changes what is in the buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// `VIRTIO_NET_F_CSUM`: a frame may leave with its TCP or UDP checksum not yet computed.
    pub transmit_checksum: bool,
    /// `VIRTIO_NET_F_GUEST_CSUM`: frames may arrive so; the device vouches for those and for some others.
    pub receive_checksum: bool,
    /// `VIRTIO_NET_F_MRG_RXBUF`: the header says over how many buffers a frame is spread.
    pub merge_buffers: bool,
}
