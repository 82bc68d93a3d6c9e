//! A stream's bytes between two ends: a ring over a buffer that is there only while there are bytes, and grows with them.

use crate::memory::Memory;
use alloc::boxed::Box;

/// Bytes in order, and perhaps more beyond a gap. Without a buffer it is empty.
#[derive(Debug, Default)]
pub(super) struct Ring {
    buffer: Box<[u8]>,
    start: usize,
    len: usize,
    /// How large the next buffer is at least, because the last ones were.
    usual: u32,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn has_buffer(&self) -> bool {
        !self.buffer.is_empty()
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Makes sure of room for so many bytes from the first on; `false` when there is no memory for that.
    #[inline]
    pub(super) fn reserve(&mut self, bytes: usize, memory: &mut Memory) -> bool {
        bytes <= self.buffer.len() || self.grow(bytes, memory)
    }

    fn grow(&mut self, bytes: usize, memory: &mut Memory) -> bool {
        if self.has_buffer() {
            return self.enlarge(bytes, memory);
        }
        let wanted = if memory.is_scarce() { bytes } else { bytes.max(self.usual as usize) };
        let Some(buffer) = memory.take(wanted) else { return false };
        // Half as much will do when it has done some dozen times.
        self.usual -= self.usual / 16;
        self.start = 0;
        self.buffer = buffer;
        true
    }

    #[cold]
    fn enlarge(&mut self, bytes: usize, memory: &mut Memory) -> bool {
        let Some(mut buffer) = memory.take(bytes) else { return false };
        // Whatever is in it, in order or beyond a gap.
        let (tail, head) = self.buffer.split_at(self.start);
        buffer[..head.len()].copy_from_slice(head);
        buffer[head.len()..self.buffer.len()].copy_from_slice(tail);
        self.usual = buffer.len() as u32;
        self.start = 0;
        memory.put(core::mem::replace(&mut self.buffer, buffer));
        true
    }

    /// Takes the buffer away, with what is in it.
    pub(super) fn take(&mut self) -> Box<[u8]> {
        self.start = 0;
        self.len = 0;
        core::mem::take(&mut self.buffer)
    }

    fn place(&self, offset: usize) -> usize {
        let place = self.start + offset;
        if place >= self.buffer.len() { place - self.buffer.len() } else { place }
    }

    /// Writes `data` at `offset` past the first byte, which must leave it inside the buffer. The bytes count once
    /// [`extend`](Self::extend) reaches them.
    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        debug_assert!(offset + data.len() <= self.buffer.len());
        let place = self.place(offset);
        let first = data.len().min(self.buffer.len() - place);
        self.buffer[place..place + first].copy_from_slice(&data[..first]);
        if first < data.len() {
            self.buffer[..data.len() - first].copy_from_slice(&data[first..]);
        }
    }

    /// Counts `bytes` more, which were written.
    pub(super) fn extend(&mut self, bytes: usize) {
        debug_assert!(self.len + bytes <= self.buffer.len());
        self.len += bytes;
    }

    /// Copies out what stands at `offset`.
    pub(super) fn copy(&self, offset: usize, out: &mut [u8]) {
        debug_assert!(offset + out.len() <= self.len);
        let place = self.place(offset);
        let first = out.len().min(self.buffer.len() - place);
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.buffer[place..place + first]);
        if !tail.is_empty() {
            tail.copy_from_slice(&self.buffer[..tail.len()]);
        }
    }

    /// The first `bytes` bytes, in one piece or two.
    pub(super) fn pieces(&self, bytes: usize) -> [&[u8]; 2] {
        debug_assert!(bytes <= self.len);
        let first = bytes.min(self.buffer.len() - self.start);
        [&self.buffer[self.start..self.start + first], &self.buffer[..bytes - first]]
    }

    /// The next `bytes` free places, in one piece or two; what is written there counts once [`extend`](Self::extend) reaches
    /// it.
    pub(super) fn free_pieces(&mut self, bytes: usize) -> [&mut [u8]; 2] {
        debug_assert!(self.len + bytes <= self.buffer.len());
        let place = self.place(self.len);
        let (head, tail) = self.buffer.split_at_mut(place);
        let first = bytes.min(tail.len());
        [&mut tail[..first], &mut head[..bytes - first]]
    }

    /// Forgets the first bytes.
    pub(super) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.len);
        self.start = self.place(bytes);
        self.len -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use crate::memory::Memory;
    use alloc::collections::VecDeque;

    #[test]
    fn it_is_a_queue_whatever_its_place_and_size() {
        let mut ring = Ring::default();
        let mut memory = Memory::new(1 << 20);
        let mut model = VecDeque::new();
        let room = 20_000;
        for round in 0..3000usize {
            let most = if round % 400 < 200 { room } else { 1500 };
            let free = most.max(ring.len()) - ring.len();
            let data: Vec<u8> = (0..(round * 997) % (free + 1)).map(|byte| (byte + round) as u8).collect();
            assert!(ring.reserve(ring.len() + data.len(), &mut memory));
            ring.write(ring.len(), &data);
            ring.extend(data.len());
            model.extend(data);
            let free = ring.free_pieces(ring.capacity() - ring.len()).map(|piece| piece.len());
            assert_eq!(free.iter().sum::<usize>(), ring.capacity() - ring.len());
            let take = (round * 1501) % (ring.len() + 1);
            let mut out = vec![0; take];
            ring.copy(0, &mut out);
            assert_eq!(ring.pieces(take).concat(), out);
            ring.consume(take);
            assert_eq!(out, model.drain(..take).collect::<Vec<_>>(), "round {round}");
            if ring.len() == 0 {
                memory.put(ring.take());
            }
        }
        memory.put(ring.take());
        assert!(memory.used_bytes() <= 256 << 10, "{}", memory.used_bytes());
    }

    #[test]
    fn what_lies_beyond_a_gap_moves_along() {
        let mut ring = Ring::default();
        let mut memory = Memory::new(1 << 20);
        assert!(ring.reserve(2000, &mut memory));
        ring.extend(1900);
        ring.consume(1800);
        ring.write(100 + 500, &[7; 900]);
        assert!(ring.reserve(100 + 500 + 2000, &mut memory));
        ring.write(100, &[1; 500]);
        ring.extend(1400);
        let mut out = vec![0; 1400];
        ring.copy(100, &mut out);
        assert_eq!(out, [[1; 500].as_slice(), &[7; 900]].concat());
    }
}
