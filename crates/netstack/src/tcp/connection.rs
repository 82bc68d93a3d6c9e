//! One connection: the engine, and what the table around it has to remember.

use super::engine::{BufferSizes, Engine, Phase, Sent, TcpEngine};
use super::segment::Tuple;
use crate::error::Error;
use crate::ethernet::Mac;
use crate::slab::Key;
use core::mem::size_of;
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

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) engine: TcpEngine,
    pub(super) key: Key,
    pub(super) tuple: Tuple,
    /// As last reported.
    pub(super) phase: Phase,
    pub(super) turn: Turn,
    /// No program holds it any more.
    pub(super) orphan: bool,
    /// A reader found nothing and wants to hear.
    pub(super) wants_read: bool,
    /// A writer found no room, or waits for the connection to open.
    pub(super) wants_write: bool,
    /// The program ended its sending half.
    pub(super) write_closed: bool,
    /// Data came that was not acknowledged yet: when it has to be, at the latest.
    pub(super) acknowledge_by_ns: Option<u64>,
    /// It stands in the queue of those, perhaps with an earlier time.
    pub(super) in_acknowledge_queue: bool,
    /// Keep-alive is on, so even silence has a deadline.
    pub(super) keeps_alive: bool,
    /// Written by the program and not yet sent once.
    pub(super) unsent_bytes: usize,
    pub(super) hop: Hop,
    pub(super) timer: Option<(TimerKey, u64)>,
    pub(super) listener: Option<Key>,
    pub(super) error: Option<Error>,
    pub(super) heard_at_ns: u64,
    pub(super) last_sent: Sent,
    pub(super) isn: u32,
}

impl Connection {
    pub(super) fn new(engine: TcpEngine, tuple: Tuple) -> Self {
        Connection {
            engine,
            key: Key::NOWHERE,
            tuple,
            phase: Phase::Opening,
            turn: Turn::None,
            orphan: false,
            wants_read: false,
            wants_write: false,
            write_closed: false,
            acknowledge_by_ns: None,
            in_acknowledge_queue: false,
            keeps_alive: false,
            unsent_bytes: 0,
            hop: Hop::default(),
            timer: None,
            listener: None,
            error: None,
            heard_at_ns: 0,
            last_sent: Sent::default(),
            isn: 0,
        }
    }

    /// Makes it as new, for another tuple; the engine keeps its buffers.
    pub(super) fn renew(&mut self, tuple: Tuple, isn: u32, now_ns: u64) {
        self.tuple = tuple;
        self.phase = Phase::Opening;
        self.turn = Turn::None;
        self.orphan = false;
        self.wants_read = false;
        self.wants_write = false;
        self.write_closed = false;
        self.acknowledge_by_ns = None;
        self.in_acknowledge_queue = false;
        self.keeps_alive = false;
        self.unsent_bytes = 0;
        self.hop = Hop::default();
        self.timer = None;
        self.listener = None;
        self.error = None;
        self.heard_at_ns = now_ns;
        self.last_sent = Sent::default();
        self.isn = isn;
    }

    /// What it counts for in the network's share of memory.
    pub(super) fn cost_bytes(sizes: BufferSizes) -> usize {
        // The engine's socket is a separate allocation of about half a KiB.
        size_of::<Connection>() + 640 + sizes.receive_bytes + sizes.send_bytes
    }

    /// Whether it may want a turn to send although nothing happens.
    pub(super) fn needs_timer(&self) -> bool {
        self.keeps_alive
            || self.engine.unacknowledged_bytes() > 0
            || matches!(self.phase, Phase::Opening | Phase::Closing)
    }
}
