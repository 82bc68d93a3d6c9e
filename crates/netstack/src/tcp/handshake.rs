//! Handshakes that others began: a few numbers each, until the third segment makes a connection of them.
//!
//! No buffer is given to a peer that has not shown that it receives at the address it claims. The table is bounded; when
//! it is full, newcomers are not remembered at all (`cookies.rs`).

use super::cookies;
use crate::shared::Shared;
use crate::slab::{Key, Slab};
use alloc::collections::VecDeque;
use toro_tcp::Handshake;
use toro_tcp::SynOptions;
use toro_tcp::segment::{self, ACK, Control, SYN, Tuple};
use toro_tcp::{Terms, packet};

const SECOND_NS: u64 = 1_000_000_000;
/// A new handshake needs a turn after this.
pub(super) const FIRST_NS: u64 = SECOND_NS;
/// The answer is sent again after 1, 2, 4 and 8 seconds.
const TRIES_MAX: usize = 5;

/// A handshake whose third segment has not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfOpen {
    pub(super) handshake: Handshake,
    pub(super) listener: Key,
}

/// All handshakes under way.
#[derive(Debug)]
pub(super) struct HalfOpens {
    slab: Slab<HalfOpen>,
    /// Who was answered so often, and until when the peer has time. Everybody in a queue has the same time, so each is in
    /// order; what is no more leaves a stale key behind.
    queues: [VecDeque<(u64, Key)>; TRIES_MAX],
}

impl HalfOpens {
    pub(super) fn new() -> Self {
        HalfOpens { slab: Slab::new(), queues: Default::default() }
    }

    pub(super) fn get(&self, index: u32) -> Option<&HalfOpen> {
        self.slab.get(index)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<HalfOpen> {
        self.slab.remove(index)
    }

    /// Whether no more can be remembered.
    pub(super) fn is_full(&self, shared: &Shared) -> bool {
        self.slab.len() >= shared.config.limits.half_open_max
    }

    /// Adds a handshake and answers its first segment. `None` when there is no memory.
    pub(super) fn begin(
        &mut self,
        handshake: Handshake,
        listener: Key,
        now_ns: u64,
        shared: &mut Shared,
    ) -> Option<u32> {
        let key = self.slab.insert(HalfOpen { handshake, listener }).ok()?;
        if !self.wait(0, key, now_ns) {
            self.slab.remove(key.index);
            return None;
        }
        answer(&handshake, cookies::true_stamp(&handshake.tuple, now_ns, shared), shared);
        Some(key.index)
    }

    /// Gives a peer its time after the first answer, or after as many more; `false` when there is no memory.
    fn wait(&mut self, step: usize, key: Key, now_ns: u64) -> bool {
        let (slab, queue) = (&self.slab, &mut self.queues[step]);
        while queue.front().is_some_and(|&(_, key)| slab.get_key(key).is_none()) {
            queue.pop_front();
        }
        if queue.len() == queue.capacity() && queue.len() >= 2 * slab.len() {
            // More than half are stale.
            queue.retain(|&(_, key)| slab.get_key(key).is_some());
        }
        let room = queue.try_reserve(1).is_ok();
        if room {
            queue.push_back((now_ns + (SECOND_NS << step), key));
        }
        room
    }

    /// Answers once more, because the peer asked once more.
    pub(super) fn repeat(&mut self, index: u32, stamp: Option<(u32, u32)>, now_ns: u64, shared: &mut Shared) {
        if let Some(half_open) = self.slab.get_mut(index) {
            let known = &mut half_open.handshake.peer_options.stamp;
            *known = known.and(stamp).or(*known);
            answer(&half_open.handshake, cookies::true_stamp(&half_open.handshake.tuple, now_ns, shared), shared);
        }
    }

    /// When [`run`](Self::run) has something to do; `u64::MAX` for never.
    pub(super) fn next_deadline(&mut self) -> u64 {
        let mut next_ns = u64::MAX;
        if self.slab.len() == 0 {
            return next_ns;
        }
        for queue in &mut self.queues {
            // What is no more must not wake an idle machine.
            while let Some(&(at_ns, key)) = queue.front() {
                if self.slab.get_key(key).is_some() {
                    next_ns = next_ns.min(at_ns);
                    break;
                }
                queue.pop_front();
            }
        }
        next_ns
    }

    /// Repeats answers that are due; calls `gone` for each handshake that is given up.
    pub(super) fn run(&mut self, now_ns: u64, shared: &mut Shared, mut gone: impl FnMut(u32, Tuple)) {
        if self.slab.len() == 0 {
            return;
        }
        for step in 0..TRIES_MAX {
            while let Some(&(at_ns, key)) = self.queues[step].front()
                && at_ns <= now_ns
            {
                self.queues[step].pop_front();
                let Some(half_open) = self.slab.get_key(key).copied() else { continue };
                if step + 1 < TRIES_MAX && self.wait(step + 1, key, now_ns) {
                    let stamp = cookies::true_stamp(&half_open.handshake.tuple, now_ns, shared);
                    let link = shared.link_of(half_open.handshake.tuple.local).unwrap_or(0);
                    shared.with_link(link, |shared| answer(&half_open.handshake, stamp, shared));
                } else {
                    self.slab.remove(key.index);
                    gone(key.index, half_open.handshake.tuple);
                }
            }
        }
    }

    /// Takes out the handshakes of one listener; calls `gone` for each.
    pub(super) fn remove_all_of(&mut self, listener: Key, mut gone: impl FnMut(&Tuple)) {
        for index in 0..self.slab.places() {
            if self.slab.get(index).is_some_and(|half_open| half_open.listener == listener)
                && let Some(half_open) = self.slab.remove(index)
            {
                gone(&half_open.handshake.tuple);
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }
}

/// Sends SYN and ACK.
pub(super) fn answer(handshake: &Handshake, our_stamp: u32, shared: &mut Shared) {
    let (peer, terms) = (handshake.peer_options, shared.terms(handshake.tuple.remote));
    let ours = SynOptions {
        max_segment_bytes: Some(max_segment_bytes(&terms, &handshake.tuple)),
        window_shift: peer.window_shift.map(|_| terms.window_shift()),
        selective: peer.selective,
        stamp: peer.stamp.map(|(value, _)| (our_stamp, value)),
    };
    let mut options = [0; SynOptions::BYTES_MAX];
    let options_bytes = ours.write(&mut options);
    let control = Control {
        tuple: handshake.tuple,
        sequence: handshake.isn,
        acknowledgement: handshake.peer_isn.wrapping_add(1),
        flags: SYN | ACK,
        window: terms.receive_bytes.min(u16::MAX.into()) as u16,
        options: &options[..options_bytes],
    };
    shared.send(handshake.tuple.remote, control.packet_bytes(), &mut |packet| control.write(packet));
}

fn max_segment_bytes(terms: &Terms, tuple: &Tuple) -> u16 {
    (terms.mtu_bytes - packet::header_bytes(tuple.remote) - segment::HEADER_BYTES).min(usize::from(u16::MAX)) as u16
}

/// By how much the stamps of a connection are off our clock, so that they do not tell how long this machine has been up, nor
/// which connections are of one machine (RFC 7323, 7.1).
pub(super) fn stamp_offset(tuple: &Tuple, shared: &Shared) -> u32 {
    (tuple.with_words(|words| shared.random.hash(words)) >> 32) as u32
}

/// RFC 6528: unpredictable to others, growing with time for the same pair of ends.
pub(super) fn initial_sequence(tuple: &Tuple, now_ns: u64, shared: &Shared) -> u32 {
    (tuple.with_words(|words| shared.random.hash(words)) as u32).wrapping_add((now_ns >> 12) as u32)
}
