//! A core's share of the network card: what it receives from, and what it sends to.
//!
//! The card begins with one pair of queues, which core 0 has to itself. A core that begins to use the network later takes a
//! pair of its own, if the card has one left, and asks core 0 to have the card use it; else core 0 shares its sending half.
//! So a core that stays away from the network is never disturbed by it, and a machine that uses one core pays for no other.

use super::exchange::{self, Letter};
use super::sender::Sender;
use crate::arch::cores::{self, CORES_MAX};
use crate::drivers::{ControlQueue, Pair, Receiver, Transmitter};

/// What this core has of the card.
pub(super) struct Card {
    pub(super) receiver: Option<Receiver>,
    pub(super) sender: Sender,
    /// On core 0, if the card has several pairs.
    control: Option<Control>,
    /// Interrupts were asked for.
    pub(super) interrupts: bool,
}

/// How many pairs of queues the card uses.
struct Control {
    queue: ControlQueue,
    used: u16,
    asked: u16,
    /// It did not do as it was told.
    refuses: bool,
    /// Who has each pair; 0 for nobody yet, and for the first, which is core 0's.
    holders: [u8; CORES_MAX],
}

impl Card {
    /// No card.
    pub(super) const NONE: Card = Card { receiver: None, sender: Sender::Nowhere, control: None, interrupts: false };

    /// The card's first pair, for core 0.
    pub(super) fn first(pair: Pair, control: Option<ControlQueue>) -> Card {
        let control =
            control.map(|queue| Control { queue, used: 1, asked: 1, refuses: false, holders: [0; CORES_MAX] });
        let Pair { receiver, transmitter } = pair;
        Card { receiver: Some(receiver), sender: Sender::Own(transmitter), control, interrupts: false }
    }

    /// What another core begins with: a pair of its own, if there is one left. It waits for core 0.
    #[cold]
    pub(super) fn later(pair: Option<Pair>) -> Card {
        let (receiver, transmitter): (_, Option<Transmitter>) =
            pair.map(|pair| (pair.receiver, pair.transmitter)).unzip();
        if receiver.as_ref().is_some_and(|receiver| !receiver.adopt()) {
            log::error!("virtio-net has no interrupt for core {}", cores::current());
        }
        Card { receiver, sender: Sender::Awaited(transmitter), control: None, interrupts: false }
    }

    /// A core has begun, with that pair or without. Core 0 only.
    #[cold]
    pub(super) fn join(&mut self, core: u8, pair: Option<u16>) {
        let holder = self.control.as_mut().filter(|control| !control.refuses).zip(pair);
        if let Some((control, pair)) = holder
            && let Some(holder) = control.holders.get_mut(usize::from(pair))
        {
            *holder = core;
            control.tell();
        } else {
            self.sender.share();
            exchange::send(core.into(), Letter::Shared);
        }
    }

    /// Looks for the card's answer; `true` when it uses more pairs from now on. Core 0 only.
    #[inline]
    pub(super) fn hear(&mut self) -> bool {
        self.control.as_ref().is_some_and(|control| control.queue.is_asked()) && self.hear_answer()
    }

    #[cold]
    fn hear_answer(&mut self) -> bool {
        let Some(control) = &mut self.control else { return false };
        match control.queue.answer() {
            None => false,
            Some(true) => {
                for pair in control.used..control.asked {
                    exchange::send(control.holders[usize::from(pair)].into(), Letter::Active);
                }
                control.used = control.asked;
                control.tell();
                true
            }
            Some(false) => {
                log::error!("virtio-net does not use its pairs of queues: the first is shared");
                self.sender.share();
                for holder in control.holders[usize::from(control.used)..].iter().filter(|holder| **holder != 0) {
                    exchange::send((*holder).into(), Letter::Shared);
                }
                control.refuses = true;
                false
            }
        }
    }

    /// Asks the card to interrupt; `true` when there is something to do already.
    pub(super) fn enable_interrupts(&mut self, has_work: bool) -> bool {
        self.interrupts = true;
        let received = self.receiver.as_mut().is_some_and(Receiver::enable_interrupts);
        let answered = match &mut self.control {
            Some(control) if control.queue.is_asked() => control.queue.enable_interrupts(),
            _ => false,
        };
        self.sender.enable_interrupts() || received || answered || has_work && self.sender.is_ready()
    }

    /// The core is awake and looks by itself.
    #[inline]
    pub(super) fn disable_interrupts(&mut self) {
        if core::mem::take(&mut self.interrupts) {
            if let Some(receiver) = &mut self.receiver {
                receiver.disable_interrupts();
            }
            self.sender.disable_interrupts();
        }
    }
}

impl Control {
    /// Has the card use all pairs that cores have taken, one after the other without a gap.
    #[cold]
    #[inline(never)]
    fn tell(&mut self) {
        let taken = 1 + self.holders[1..].iter().take_while(|holder| **holder != 0).count() as u16;
        if taken > self.used && self.queue.set_pairs(taken) {
            self.asked = taken;
        }
    }
}
