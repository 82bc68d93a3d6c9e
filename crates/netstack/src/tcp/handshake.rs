//! Handshakes that others began: a few numbers each, until the third segment makes a connection of them.
//!
//! No buffer is given to a peer that has not shown that it receives at the address it claims. The table is bounded; when
//! it is full a newcomer takes the place of a random one, so that under a flood a peer that answers quickly still gets in.

use super::engine::Handshake;
use super::options::SynOptions;
use super::segment::{ACK, Control, SYN, Tuple};
use crate::shared::Shared;
use crate::slab::{Key, Slab};

const SECOND_NS: u64 = 1_000_000_000;
/// The answer is sent again after 1, 2, 4 and 8 seconds.
const TRIES_MAX: u8 = 5;

/// A handshake whose third segment has not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfOpen {
    pub(super) handshake: Handshake,
    pub(super) listener: Key,
    again_at_ns: u64,
    tries: u8,
}

/// All handshakes under way.
#[derive(Debug)]
pub(super) struct HalfOpens {
    slab: Slab<HalfOpen>,
    /// No entry is due before.
    next_ns: u64,
}

impl HalfOpens {
    pub(super) fn new() -> Self {
        HalfOpens { slab: Slab::new(), next_ns: u64::MAX }
    }

    pub(super) fn get(&self, index: u32) -> Option<&HalfOpen> {
        self.slab.get(index)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<HalfOpen> {
        let removed = self.slab.remove(index);
        if self.slab.len() == 0 {
            self.next_ns = u64::MAX;
        }
        removed
    }

    /// Makes room for one more: the place of the one that has to go, if one has.
    pub(super) fn crowded_out(&self, shared: &mut Shared) -> Option<u32> {
        if self.slab.len() < shared.config.limits.half_open_max {
            return None;
        }
        let start = (shared.random.draw() % u64::from(self.slab.places().max(1))) as u32;
        let places = self.slab.places();
        (0..places).map(|step| (start + step) % places).find(|&index| self.slab.get(index).is_some())
    }

    /// Adds a handshake and answers its first segment. `None` when there is no memory.
    pub(super) fn begin(
        &mut self,
        handshake: Handshake,
        listener: Key,
        now_ns: u64,
        shared: &mut Shared,
    ) -> Option<u32> {
        let half_open = HalfOpen { handshake, listener, again_at_ns: now_ns + SECOND_NS, tries: 1 };
        let key = self.slab.insert(half_open).ok()?;
        self.next_ns = self.next_ns.min(half_open.again_at_ns);
        answer(&half_open.handshake, shared);
        Some(key.index)
    }

    /// Answers once more, because the peer asked once more.
    pub(super) fn repeat(&self, index: u32, shared: &mut Shared) {
        if let Some(half_open) = self.slab.get(index) {
            answer(&half_open.handshake, shared);
        }
    }

    /// When [`run`](Self::run) has something to do; `u64::MAX` for never.
    pub(super) fn next_deadline(&self) -> u64 {
        self.next_ns
    }

    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        self.next_ns <= now_ns
    }

    /// Repeats answers that are due; calls `gone` for each handshake that is given up.
    pub(super) fn run(&mut self, now_ns: u64, shared: &mut Shared, mut gone: impl FnMut(u32, Tuple)) {
        self.next_ns = u64::MAX;
        for index in 0..self.slab.places() {
            let Some(half_open) = self.slab.get_mut(index) else { continue };
            if half_open.again_at_ns <= now_ns {
                if half_open.tries == TRIES_MAX {
                    let tuple = half_open.handshake.tuple;
                    self.slab.remove(index);
                    gone(index, tuple);
                    continue;
                }
                half_open.again_at_ns = now_ns + (SECOND_NS << half_open.tries);
                half_open.tries += 1;
                answer(&half_open.handshake, shared);
            }
            self.next_ns = self.next_ns.min(half_open.again_at_ns);
        }
    }

    /// The handshakes of one listener.
    pub(super) fn of_listener(&self, listener: Key) -> alloc::vec::Vec<u32> {
        self.slab.iter().filter(|(_, half_open)| half_open.listener == listener).map(|(index, _)| index).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }
}

/// Sends SYN and ACK.
fn answer(handshake: &Handshake, shared: &mut Shared) {
    let peer = handshake.peer_options;
    let ours = SynOptions {
        max_segment_bytes: Some(max_segment_bytes(shared)),
        // Our windows fit in 16 bits, so our shift is 0; saying so lets the peer scale its own.
        window_shift: peer.window_shift.map(|_| 0),
        selective: peer.selective,
    };
    let mut options = [0; SynOptions::BYTES_MAX];
    let options_bytes = ours.write(&mut options);
    let window = shared.receive_bytes();
    let control = Control {
        tuple: handshake.tuple,
        sequence: handshake.isn,
        acknowledgement: handshake.peer_isn.wrapping_add(1),
        flags: SYN | ACK,
        window: window as u16,
        options: &options[..options_bytes],
    };
    shared.send(handshake.tuple.remote, control.packet_bytes(), &mut |packet| control.write(packet));
}

fn max_segment_bytes(shared: &Shared) -> u16 {
    (shared.config.mtu_bytes - 40).min(usize::from(u16::MAX)) as u16
}

/// RFC 6528: unpredictable to others, growing with time for the same pair of ends.
pub(super) fn initial_sequence(tuple: &Tuple, now_ns: u64, shared: &Shared) -> u32 {
    (shared.random.hash(tuple.words()) as u32).wrapping_add((now_ns >> 12) as u32)
}
