//! One connection: the engine, and what the table around it has to remember.

use crate::error::Error;
use crate::ethernet::Mac;
use crate::slab::Key;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::size_of;
use core::ops::{Deref, DerefMut};
use toro_tcp::segment::Tuple;
use toro_tcp::{Machine, Phase};
use toro_timers::TimerKey;

/// Why a connection gets a turn to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// None is due.
    None,
    /// The program wrote, and that is all: stop when it is sent.
    Written,
    /// Something else may have become possible: go on until there is nothing more to send.
    Everything,
}

/// The hardware address of the next hop, as good as the neighbour table's epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hop {
    pub(super) mac: Mac,
    pub(super) epoch: u32,
}

/// How long a connection that nobody holds keeps what its peer does not take.
const ORPHAN_STALL_NS: u64 = 300_000_000_000;
/// How long it waits for the peer to take its end, or to end its own half.
const ORPHAN_END_NS: u64 = 60_000_000_000;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) engine: Machine,
    pub(super) key: Key,
    pub(super) tuple: Tuple,
    /// As last reported.
    pub(super) phase: Phase,
    pub(super) turn: Turn,
    /// No program holds it any more.
    pub(super) orphan: bool,
    /// A reader found nothing and wants to hear, of more than had arrived then.
    pub(super) wants_read: bool,
    pub(super) read_mark: u32,
    /// A writer found no room, or waits for the connection to open.
    pub(super) wants_write: bool,
    /// Somebody waits until all that was written is acknowledged.
    pub(super) wants_drained: bool,
    /// The program has read enough.
    pub(super) read_closed: bool,
    /// The program ended its sending half.
    pub(super) write_closed: bool,
    /// Something was sent.
    pub(super) spoke: bool,
    /// It stands in the queue of those that owe an acknowledgement.
    pub(super) in_acknowledge_queue: bool,
    /// It stands in these queues of those that may have to send again soon.
    pub(super) in_soon_queues: u8,
    /// Written by the program and not yet sent once.
    pub(super) unsent_bytes: usize,
    /// The link by which it speaks.
    pub(super) link: u8,
    pub(super) hop: Hop,
    pub(super) timer: Option<(TimerKey, u64)>,
    pub(super) listener: Option<Key>,
    pub(super) error: Option<Error>,
    pub(super) heard_at_ns: u64,
    pub(super) isn: u32,
}

/// What a connection without buffers counts for in the network's share of memory: with its place in the tables.
pub(crate) const COST_BYTES: usize = size_of::<Connection>() + 64;

/// A connection at a place of its own: an array of one, because the memory for a plain box cannot be refused, and it is a
/// packet that asks for it.
#[derive(Debug)]
pub(super) struct Boxed(Box<[Connection; 1]>);

impl Boxed {
    /// `None` when there is no memory.
    pub(super) fn new(connection: Connection) -> Option<Self> {
        let mut one = Vec::new();
        one.try_reserve_exact(1).ok()?;
        one.push(connection);
        one.try_into().ok().map(Boxed)
    }
}

impl Deref for Boxed {
    type Target = Connection;

    #[inline]
    fn deref(&self) -> &Connection {
        let [connection] = &*self.0;
        connection
    }
}

impl DerefMut for Boxed {
    #[inline]
    fn deref_mut(&mut self) -> &mut Connection {
        let [connection] = &mut *self.0;
        connection
    }
}

impl Connection {
    pub(super) fn new(tuple: Tuple, isn: u32, now_ns: u64) -> Self {
        Connection {
            engine: Machine::new(),
            key: Key::NOWHERE,
            tuple,
            phase: Phase::Opening,
            turn: Turn::None,
            orphan: false,
            wants_read: false,
            read_mark: 0,
            wants_write: false,
            wants_drained: false,
            read_closed: false,
            write_closed: false,
            spoke: false,
            in_acknowledge_queue: false,
            in_soon_queues: 0,
            unsent_bytes: 0,
            link: 0,
            hop: Hop::default(),
            timer: None,
            listener: None,
            error: None,
            heard_at_ns: now_ns,
            isn,
        }
    }

    /// Whether both sides know of each other, and neither has given up.
    pub(super) fn is_synchronised(&self) -> bool {
        !matches!(self.phase, Phase::Opening | Phase::TimeWait | Phase::Closed)
    }

    /// Whether nobody holds it and nothing is left to bring over: at most a last word, which may be lost.
    pub(super) fn is_over(&self) -> bool {
        self.orphan && matches!(self.phase, Phase::Closed | Phase::TimeWait)
    }

    /// How long an orphan waits for a peer that takes nothing, or does not end its half.
    pub(super) fn stall_ns(&self) -> u64 {
        if self.engine.unacknowledged_bytes() > 0 { ORPHAN_STALL_NS } else { ORPHAN_END_NS }
    }

    /// Whether there is something that a peer has to answer.
    pub(super) fn waits_for_peer(&self) -> bool {
        self.engine.unacknowledged_bytes() > 0 || matches!(self.phase, Phase::Opening | Phase::Closing)
    }
}
