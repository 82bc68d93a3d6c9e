//! What the card says of its link: that it is up or down, and that it wants this machine to be announced.
//!
//! The card interrupts when that changes. Where it has an interrupt for it (PCI), that is when it is asked. Where the only line
//! means frames, too (MMIO), it is asked when an interrupt came without any: a question is an exit, and no frame is to cost
//! one more. What hides behind a frame is found by who asks now and then.

use super::Card;
use crate::arch::interrupt::{self, Vector};
use crate::drivers::transport::{Line, Transport};
use alloc::sync::Arc;
use toro_virtqueue::spec::net_status;

const CONFIG_STATUS: usize = 6;

/// Asks the card how its link is, when there may be news.
#[derive(Debug)]
pub struct LinkWatch {
    card: Arc<Card>,
    /// An interrupt of this kind may mean news; if nothing else raises it, it does.
    vector: Vector,
    alone: bool,
    /// Interrupts taken when they were last looked at.
    taken: u64,
    /// There was one for nothing else.
    told: bool,
    up: bool,
}

/// What the card says.
#[derive(Clone, Copy, Debug)]
pub struct LinkState {
    /// It carries frames.
    pub up: bool,
    /// This machine may be somewhere else than before, and is to tell everybody.
    pub announce: bool,
}

impl LinkWatch {
    /// News come by `line`, if the card has one for them; else by that of `shared`.
    #[cold]
    pub(super) fn start(card: &Arc<Card>, line: Line, shared: Vector) -> LinkWatch {
        let own = own_vector(&card.0, line);
        let vector = own.unwrap_or(shared);
        LinkWatch { card: Arc::clone(card), vector, alone: own.is_some(), taken: 0, told: false, up: true }
    }

    /// Whether an interrupt may have meant news, since this was asked last; so many frames have come with it.
    #[inline]
    #[must_use]
    pub fn may_have_news(&mut self, frames: usize) -> bool {
        let taken = interrupt::count(self.vector);
        if taken == self.taken {
            return false;
        }
        self.taken = taken;
        self.told |= self.alone;
        self.alone || frames == 0
    }

    /// Asks the card; `None` when there is no news.
    #[cold]
    pub fn ask(&mut self) -> Option<LinkState> {
        // The link as it was, and an interrupt for nothing else: it has been down meanwhile.
        let moved = core::mem::take(&mut self.told);
        let status = self.card.0.config_u16(CONFIG_STATUS);
        let state = LinkState { up: status & net_status::LINK_UP != 0, announce: status & net_status::ANNOUNCE != 0 };
        let changed = core::mem::replace(&mut self.up, state.up) != state.up;
        (changed || moved || state.announce).then_some(state)
    }
}

/// A vector for changes of the configuration alone.
#[cold]
fn own_vector(transport: &Transport, line: Line) -> Option<Vector> {
    if line.0 >= transport.lines() {
        transport.route_changes(Line::FIRST);
        return None;
    }
    let vector = interrupt::allocate("virtio-net link")?;
    (transport.route_interrupts(line, vector).is_ok() && transport.route_changes(line)).then_some(vector)
}
