//! The link, as the stack sees it: room for a frame, or none.

/// What the device still has to do to a frame's TCP or UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: the frame is complete.
    Complete,
    /// Sum from `start_bytes` of the frame to its end and put the complement `offset_bytes` further on,
    /// where the sum of the pseudo header stands already.
    Partial {
        /// First summed byte, from the start of the frame.
        start_bytes: u16,
        /// Place of the checksum, from `start_bytes`.
        offset_bytes: u16,
    },
    /// As `Partial`, and the frame, a TCP segment that is longer than the link carries, is to be cut: each piece gets the
    /// headers, with its own numbers, and so much of the rest. Only where [`LinkConfig`](crate::LinkConfig) says that the device does that.
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
pub enum Received {
    /// Nothing: the stack verifies it.
    Unverified,
    /// The device vouches for it, or the frame never left this host and carries none.
    Verified,
}

/// The device has no room for a frame now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Where frames go. The stack asks [`ready`](Device::ready) before each [`transmit`](Device::transmit).
pub trait Device {
    /// Whether the next `transmit` will find room.
    fn ready(&mut self) -> bool;

    /// Hands `fill` the place of a frame of `len_bytes` bytes, which it writes completely, and takes the frame. A device
    /// that drops the frame need not have it written.
    ///
    /// # Errors
    /// [`Full`] when there is no room; `fill` was not called.
    fn transmit(&mut self, len_bytes: usize, checksum: Checksum, fill: impl FnOnce(&mut [u8])) -> Result<(), Full>;
}

/// The devices of all links; one that is alone is that of any link.
pub trait Devices {
    /// Each of them.
    type Device: Device;

    /// The device of the link with this number.
    fn device(&mut self, link: usize) -> &mut Self::Device;
}

impl<D: Device> Devices for D {
    type Device = D;

    #[inline]
    fn device(&mut self, _: usize) -> &mut D {
        self
    }
}

/// No link at all: loopback still works, and what was meant for a link is gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDevice;

impl Device for NoDevice {
    fn ready(&mut self) -> bool {
        true
    }

    /// Takes the frame, which nobody will see: one that stayed would be tried again for ever.
    fn transmit(&mut self, _: usize, _: Checksum, _: impl FnOnce(&mut [u8])) -> Result<(), Full> {
        Ok(())
    }
}
