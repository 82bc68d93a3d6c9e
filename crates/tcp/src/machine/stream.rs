//! The two streams as the program sees them: bytes taken out of one ring, and put into the other.

use super::{Machine, Owed, State};
use crate::answers::Read;
use crate::memory::Memory;
use crate::segment::after;

impl Machine {
    /// Why there is nothing to read.
    pub(super) fn read_nothing(&self) -> Read {
        match self.state {
            _ if self.peer_ended => Read::End,
            State::Closed => Read::Broken,
            _ => Read::Empty,
        }
    }

    /// The program took `bytes`.
    #[inline]
    pub(super) fn after_read(&mut self, bytes: usize, memory: &mut Memory) -> Read {
        self.receive.consume(bytes);
        if after(self.expected.wrapping_sub(self.receive.len() as u32), self.window_mark) {
            self.look_at_window(memory);
        }
        if self.receive.len() == 0 && self.gaps.is_empty() {
            memory.put(self.receive.take());
        }
        if self.right_edge().wrapping_sub(self.promised) as usize * 2 >= self.receive_bytes
            && matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
        {
            self.owed = Owed::Now;
            return Read::Opening(bytes);
        }
        Read::Bytes(bytes)
    }

    /// The program has read another half window: if that came within about the time that an answer takes, it is the window
    /// that the peer waits for, or soon will be.
    #[cold]
    fn look_at_window(&mut self, memory: &Memory) {
        let took_ns = self.heard_at_ns.saturating_sub(self.window_mark_ns);
        if memory.is_scarce() {
            self.receive_bytes = (self.receive_bytes / 2).max(2 * self.segment_bytes as usize);
        } else if took_ns <= self.round_trip.smoothed_ns() / 4 * 5 {
            self.receive_bytes = (2 * self.receive_bytes).min(self.receive_max_bytes);
        }
        let read = self.expected.wrapping_sub(self.receive.len() as u32);
        self.window_mark = read.wrapping_add(self.receive_bytes as u32 / 2);
        self.window_mark_ns = self.heard_at_ns;
    }

    /// How many of so many bytes can be written now, for which there is a buffer then; `None` when the sending half is closed.
    #[inline]
    pub(super) fn room_for(&mut self, bytes: usize, memory: &mut Memory) -> Option<usize> {
        if !matches!(self.state, State::Established | State::CloseWait) {
            return None;
        }
        let bytes = bytes.min(self.writable_bytes());
        self.send.reserve(self.send.len() + bytes, memory);
        Some(bytes.min(self.send.capacity() - self.send.len()))
    }

    /// Shows what there is, where it is.
    pub(super) fn read_in_place(
        &mut self,
        bytes_max: usize,
        take: &mut dyn FnMut(&[u8]) -> usize,
        memory: &mut Memory,
    ) -> Read {
        let bytes = self.receive.len().min(bytes_max);
        if bytes == 0 {
            return self.read_nothing();
        }
        let mut taken = 0;
        for piece in self.receive.pieces(bytes).into_iter().filter(|piece| !piece.is_empty()) {
            let more = take(piece).min(piece.len());
            taken += more;
            if more < piece.len() {
                break;
            }
        }
        self.after_read(taken, memory)
    }

    /// Has it written where it goes.
    pub(super) fn write_in_place(
        &mut self,
        bytes_max: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
        memory: &mut Memory,
    ) -> Option<usize> {
        let bytes = match self.room_for(bytes_max, memory) {
            Some(bytes @ 1..) => bytes,
            answer => return answer,
        };
        let mut filled = 0;
        for piece in self.send.free_pieces(bytes).into_iter().filter(|piece| !piece.is_empty()) {
            let room = piece.len();
            let more = fill(piece).min(room);
            filled += more;
            if more < room {
                break;
            }
        }
        self.send.extend(filled);
        if self.send.len() == 0 {
            memory.put(self.send.take());
        }
        Some(filled)
    }
}
