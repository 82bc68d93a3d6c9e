//! A stream's bytes between two ends: a ring over a buffer that is there only while there are bytes.

use alloc::boxed::Box;

/// Bytes in order, and perhaps more beyond a gap. Without a buffer it is empty.
#[derive(Debug, Default)]
pub(super) struct Ring {
    buffer: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn has_buffer(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Gives an empty ring something to hold bytes in.
    pub(super) fn give(&mut self, buffer: Box<[u8]>) {
        debug_assert!(!self.has_buffer());
        self.buffer = buffer;
        self.start = 0;
        self.len = 0;
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
    use alloc::collections::VecDeque;

    #[test]
    fn it_is_a_queue_whatever_its_place() {
        let mut ring = Ring::default();
        ring.give(vec![0; 13].into());
        let mut model = VecDeque::new();
        for round in 0..1000usize {
            let room = 13 - ring.len();
            let data: Vec<u8> = (0..(round * 7) % (room + 1)).map(|byte| (byte + round) as u8).collect();
            ring.write(ring.len(), &data);
            ring.extend(data.len());
            model.extend(data);
            let take = (round * 5) % (ring.len() + 1);
            let mut out = vec![0; take];
            ring.copy(0, &mut out);
            ring.consume(take);
            assert_eq!(out, model.drain(..take).collect::<Vec<_>>(), "round {round}");
        }
    }
}
