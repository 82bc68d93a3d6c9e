//! Where a core's frames go on a card: a queue of its own, or one that several cores use by turns.

use super::exchange;
use crate::arch::{SpinLock, cores};
use crate::drivers::{self, Transmitter};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use toro_abi::network::CARDS_MAX;
use toro_netstack::{Checksum, Device, Full};

/// Where this core's frames go.
pub(super) enum Sender {
    /// There is no card: what was meant for it is gone.
    Nowhere,
    /// Into a queue of this core alone.
    Own(Transmitter),
    /// Into core 0's, with others.
    Shared(Share),
    /// Core 0 has been asked for one or the other.
    Awaited(Option<Transmitter>),
}

/// A core's use of a card's shared queue.
pub(super) struct Share {
    card: usize,
    /// There is room for the next frame.
    promised: bool,
    /// There was none.
    refused: bool,
    /// Frames were written since the last flush.
    wrote: bool,
}

/// A shared queue, and for how many frames there is room that was promised.
struct Queue {
    transmitter: Transmitter,
    promised: u16,
}

/// The shared queue of each card.
static QUEUES: [SpinLock<Option<Queue>>; CARDS_MAX] = [const { SpinLock::new(None) }; CARDS_MAX];
/// Cores that found no room, and are to hear when there is some.
static REFUSED: [AtomicU64; CARDS_MAX] = [const { AtomicU64::new(0) }; CARDS_MAX];

/// Runs `f` on a card's shared queue. Short: one frame at most is written meanwhile.
fn with<R>(card: usize, f: impl FnOnce(&mut Queue) -> R) -> Option<R> {
    QUEUES[card].with(|queue| queue.as_mut().map(f))
}

impl Sender {
    /// A card's queue that another core shares.
    pub(super) const fn shared(card: usize) -> Sender {
        Sender::Shared(Share { card, promised: false, refused: false, wrote: false })
    }

    /// Shares this core's own queue of that card from now on.
    #[cold]
    #[inline(never)]
    pub(super) fn share(&mut self, card: usize) {
        match core::mem::replace(self, Sender::shared(card)) {
            Sender::Own(transmitter) => QUEUES[card].with(|queue| *queue = Some(Queue { transmitter, promised: 0 })),
            before => *self = before,
        }
    }

    /// This core's frames go by the first card's shared queue from now on.
    #[cold]
    #[inline(never)]
    pub(super) fn use_shared(&mut self) {
        if matches!(self, Sender::Awaited(_)) {
            *self = Sender::shared(0);
        }
    }

    /// What was awaited has come about: this core's own queue is used.
    #[cold]
    #[inline(never)]
    pub(super) fn own(&mut self) {
        if let Sender::Awaited(transmitter) = self
            && let Some(transmitter) = transmitter.take()
        {
            *self = Sender::Own(transmitter);
        }
    }

    /// Whether the next frame will find room.
    #[inline]
    pub(super) fn is_ready(&mut self) -> bool {
        match self {
            Sender::Own(transmitter) => transmitter.ready(),
            Sender::Nowhere => true,
            Sender::Shared(share) => share.is_ready(),
            Sender::Awaited(_) => false,
        }
    }

    /// Shows the card what was written since the last call: one notification for all, if it wants one.
    #[inline]
    pub(super) fn finish(&mut self) {
        match self {
            Sender::Own(transmitter) => transmitter.flush(),
            Sender::Shared(share) => share.finish(),
            Sender::Nowhere | Sender::Awaited(_) => {}
        }
    }

    /// Asks for an interrupt when there is room again, if there was none; `true` when there is already.
    pub(super) fn enable_interrupts(&mut self) -> bool {
        match self {
            Sender::Own(transmitter) => transmitter.enable_interrupts(),
            Sender::Shared(share) => share.refused && share.await_room(),
            Sender::Nowhere | Sender::Awaited(_) => false,
        }
    }

    /// See [`Transmitter::look_again`]. A shared queue is one of several processors, where nothing is left out.
    #[inline]
    pub(super) fn look_again(&mut self) {
        if let Sender::Own(transmitter) = self {
            transmitter.look_again();
        }
    }

    #[inline]
    pub(super) fn disable_interrupts(&mut self) {
        if let Sender::Own(transmitter) = self {
            transmitter.disable_interrupts();
        }
    }

    /// Tells those who found no room that there is some. On the core that the queue interrupts.
    #[inline]
    pub(super) fn tell_refused(&self) {
        if let Sender::Shared(share) = self
            && REFUSED[share.card].load(Relaxed) != 0
        {
            tell_refused(share.card);
        }
    }
}

#[cold]
fn tell_refused(card: usize) {
    let cores = with(card, |queue| {
        // Others may have taken the room that this interrupt was about: another one is asked for.
        let room = queue.transmitter.ready_beside(queue.promised) || queue.transmitter.enable_interrupts();
        if room { REFUSED[card].swap(0, Relaxed) } else { 0 }
    });
    exchange::ring(cores.unwrap_or(0));
}

impl Share {
    #[cold]
    fn is_ready(&mut self) -> bool {
        if !self.promised {
            self.promised = with(self.card, |queue| {
                let room = queue.transmitter.ready_beside(queue.promised);
                queue.promised += u16::from(room);
                room
            })
            .unwrap_or(false);
            self.refused = !self.promised;
        }
        self.promised
    }

    #[cold]
    fn finish(&mut self) {
        if self.promised || self.wrote {
            with(self.card, |queue| {
                queue.promised -= u16::from(self.promised);
                queue.transmitter.flush();
            });
            (self.promised, self.wrote) = (false, false);
        }
    }

    #[cold]
    fn await_room(&mut self) -> bool {
        with(self.card, |queue| {
            // First the name on the list, then the look: whoever makes room sees one or the other.
            REFUSED[self.card].fetch_or(1 << cores::current().index(), Relaxed);
            queue.transmitter.ready_beside(queue.promised) || queue.transmitter.enable_interrupts()
        })
        .unwrap_or(false)
    }
}

impl Device for Sender {
    #[inline]
    fn ready(&mut self) -> bool {
        self.is_ready()
    }

    #[inline]
    fn transmit(&mut self, len_bytes: usize, checksum: Checksum, fill: impl FnOnce(&mut [u8])) -> Result<(), Full> {
        let mut fill = Some(fill);
        self.put(len_bytes, checksum, &mut |buffer| {
            if let Some(fill) = fill.take() {
                fill(buffer);
            }
        })
    }
}

impl Sender {
    /// One copy for all that writes frames.
    fn put(&mut self, len_bytes: usize, checksum: Checksum, fill: &mut dyn FnMut(&mut [u8])) -> Result<(), Full> {
        match self {
            Sender::Own(transmitter) => put(transmitter, len_bytes, checksum, fill),
            Sender::Nowhere => Ok(()),
            Sender::Awaited(_) => Err(Full),
            Sender::Shared(share) => {
                let promised = core::mem::take(&mut share.promised);
                share.wrote = true;
                let sent = with(share.card, |queue| {
                    queue.promised -= u16::from(promised);
                    put(&mut queue.transmitter, len_bytes, checksum, fill)
                });
                sent.unwrap_or(Err(Full))
            }
        }
    }
}

fn put(
    transmitter: &mut Transmitter,
    len_bytes: usize,
    checksum: Checksum,
    fill: &mut dyn FnMut(&mut [u8]),
) -> Result<(), Full> {
    let checksum = match checksum {
        Checksum::Complete => drivers::Checksum::Complete,
        Checksum::Partial { start_bytes, offset_bytes } => drivers::Checksum::Partial { start_bytes, offset_bytes },
        Checksum::Segments { start_bytes, offset_bytes, headers_bytes, segment_bytes } => {
            drivers::Checksum::Segments { start_bytes, offset_bytes, headers_bytes, segment_bytes }
        }
    };
    let sent = transmitter.transmit(len_bytes, checksum, |buffer| {
        fill(&mut buffer[..len_bytes]);
        len_bytes
    });
    sent.map_err(|_| Full)
}
