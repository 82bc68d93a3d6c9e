//! What a queue needs of the memory that it shares with the device.

/// The memory of one ring, addressed by byte offset.
///
/// The device reads and writes it at any time, so each access is one volatile (or atomic) load or store of exactly
/// the named width. Offsets are always naturally aligned and below the [`Layout::bytes`](crate::Layout::bytes)
/// that the queue was made with; an implementation may panic on any other.
pub trait RingMemory {
    /// Loads the `u16` at `offset`.
    fn load_u16(&self, offset: usize) -> u16;
    /// Loads the two `u32` at `offset` and after it.
    fn load_u32_pair(&self, offset: usize) -> (u32, u32);
    /// Stores a `u16` at `offset`.
    fn store_u16(&mut self, offset: usize, value: u16);
    /// Stores a `u32` at `offset`.
    fn store_u32(&mut self, offset: usize, value: u32);
    /// Stores a `u64` at `offset`.
    fn store_u64(&mut self, offset: usize, value: u64);
}

/// Equal buffers, one for each slot of a queue.
///
/// A slot's bytes are touched only while the slot is not posted, so the device does not use them meanwhile.
pub trait Buffers {
    /// The length of each buffer.
    fn bytes_per_slot(&self) -> usize;
    /// Where the device finds the buffer of `slot`.
    fn device_address(&self, slot: u16) -> u64;
    /// The buffer of `slot`.
    fn bytes(&mut self, slot: u16) -> &mut [u8];
}
