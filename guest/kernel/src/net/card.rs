//! A core's share of the network card: what it receives from, and what it sends to.
//!
//! The card begins with one pair of queues, which core 0 has to itself. A core that begins to use the network later takes a
//! pair of its own, if the card has one left, and asks core 0 to have the card use it; else core 0 shares its sending half.
//! So a core that stays away from the network is never disturbed by it, and a machine that uses one core pays for no other.

use super::exchange::{self, Letter};
use super::sender::Sender;
use crate::arch::cores::{self, CORES_MAX};
use crate::drivers::{ControlQueue, LinkWatch, Pair, Receiver, Transmitter};
use toro_netstack::Stack;

/// What this core has of the card.
pub(super) struct Card {
    pub(super) receiver: Option<Receiver>,
    pub(super) sender: Sender,
    /// On core 0, if the card has several pairs, or wants to hear of announcements.
    control: Option<Control>,
    /// On core 0, if the card says how its link is.
    pub(super) link: Option<LinkWatch>,
    /// Interrupts were asked for.
    pub(super) interrupts: bool,
}

/// How many pairs of queues the card uses.
struct Control {
    queue: ControlQueue,
    /// The last command told of an announcement: nobody waits for its answer.
    announced: bool,
    used: u16,
    asked: u16,
    /// It did not do as it was told.
    refuses: bool,
    /// Who has each pair; 0 for nobody yet, and for the first, which is core 0's.
    holders: [u8; CORES_MAX],
}

impl Card {
    /// No card.
    pub(super) const NONE: Card =
        Card { receiver: None, sender: Sender::Nowhere, control: None, link: None, interrupts: false };

    /// The card's first pair, for core 0.
    pub(super) fn first(pair: Pair, control: Option<ControlQueue>, link: Option<LinkWatch>) -> Card {
        let control = control.map(|queue| Control {
            queue,
            announced: false,
            used: 1,
            asked: 1,
            refuses: false,
            holders: [0; CORES_MAX],
        });
        let Pair { receiver, transmitter } = pair;
        Card { receiver: Some(receiver), sender: Sender::Own(transmitter), control, link, interrupts: false }
    }

    /// What another core begins with: a pair of its own, if there is one left. It waits for core 0.
    #[cold]
    pub(super) fn later(pair: Option<Pair>) -> Card {
        let (receiver, transmitter): (_, Option<Transmitter>) =
            pair.map(|pair| (pair.receiver, pair.transmitter)).unzip();
        if receiver.as_ref().is_some_and(|receiver| !receiver.adopt()) {
            log::error!("virtio-net has no interrupt for core {}", cores::current());
        }
        Card { receiver, sender: Sender::Awaited(transmitter), control: None, link: None, interrupts: false }
    }

    /// A further card, as another core has it: its frames go by core 0's queue.
    #[cold]
    pub(super) fn shared(number: usize) -> Card {
        Card { sender: Sender::shared(number), ..Card::NONE }
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
            self.sender.share(0);
            exchange::send(core.into(), Letter::Shared);
        }
    }

    /// Looks for the card's answer; `true` when it uses more pairs from now on. Core 0 only.
    #[inline]
    pub(super) fn hear(&mut self) -> bool {
        self.control.as_ref().is_some_and(|control| control.queue.is_asked() && !control.announced)
            && self.hear_answer()
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
                self.sender.share(0);
                for holder in control.holders[usize::from(control.used)..].iter().filter(|holder| **holder != 0) {
                    exchange::send((*holder).into(), Letter::Shared);
                }
                control.refuses = true;
                false
            }
        }
    }

    /// Asks the card to interrupt; `waits`: something waits for room on it. `true` when there is something to do already.
    #[inline(always)]
    pub(super) fn enable_interrupts(&mut self, waits: bool) -> bool {
        self.interrupts = true;
        let received = match &mut self.receiver {
            Some(receiver) => receiver.enable_interrupts(),
            None => false,
        };
        let answered = match &mut self.control {
            Some(control) if control.announced => control.forget_announcement(),
            Some(control) if control.queue.is_asked() => control.queue.enable_interrupts(),
            _ => false,
        };
        self.sender.enable_interrupts() || received || answered || waits && self.sender.is_ready()
    }

    /// A second look at the queues, after all else and right before the core sleeps; `true` when there is something to do.
    #[inline(always)] // once for the first card, and once for all others
    pub(super) fn look_again(&mut self) -> bool {
        self.sender.look_again();
        self.receiver.as_mut().is_some_and(Receiver::look_again)
    }

    /// The core is awake and looks by itself; `true` when it may have slept before.
    #[inline(always)] // once for the first card, and once for all others
    pub(super) fn disable_interrupts(&mut self) -> bool {
        let slept = core::mem::take(&mut self.interrupts);
        if slept {
            if let Some(receiver) = &mut self.receiver {
                receiver.disable_interrupts();
            }
            self.sender.disable_interrupts();
        }
        slept
    }

    /// Whether the card has interrupted because of its link, as far as that can be told; so many frames have come with that.
    #[inline]
    pub(super) fn may_have_news(&mut self, frames: usize) -> bool {
        self.link.as_mut().is_some_and(|watch| watch.may_have_news(frames))
    }

    /// Asks the card how its link is, and tells the stack what is new.
    #[cold]
    #[inline(never)]
    pub(super) fn ask_link(&mut self, link: usize, stack: &mut Stack, now_ns: u64) {
        let Some(state) = self.link.as_mut().and_then(LinkWatch::ask) else { return };
        if state.announce {
            stack.announce(link);
            self.acknowledge_announcement();
        }
        if !state.announce || state.up != stack.link_is_up(link) {
            stack.set_link(link, state.up, now_ns);
        }
    }

    /// Tells the card that this machine was announced. While another command is under way it is not told, and asks again.
    #[cold]
    fn acknowledge_announcement(&mut self) {
        if let Some(control) = &mut self.control {
            control.forget_announcement();
            control.announced |= control.queue.acknowledge_announcement();
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

    /// Takes the answer about an announcement, if it is there, and goes on with what had to wait for it; `false`: nobody has to
    /// look for anything.
    #[cold]
    #[inline(never)]
    fn forget_announcement(&mut self) -> bool {
        if self.announced && self.queue.answer().is_some() {
            self.announced = false;
            self.tell();
        }
        false
    }
}
