//! The network cards, as a core has them: of the first a pair of queues, if it has one for each core; any other is core 0's,
//! which receives for all and lets them send.

use super::card::Card;
use super::link::known;
use super::sender::Sender;
use alloc::vec::Vec;
use toro_netstack::{Devices, Stack};

/// Cards are asked how their links are no less often, while the core is awake: a change may hide behind a frame.
const ASK_LINKS_NS: u64 = 1_000_000_000;

/// A core's share of all cards; the number of each is that of its link.
pub(super) struct Cards {
    pub(super) first: Card,
    further: Vec<Card>,
    /// When cards are to be asked next how their links are: 0 when one may have news, never when none would say.
    pub(super) ask_links_at_ns: u64,
}

impl Devices for Cards {
    type Device = Sender;

    #[inline]
    fn device(&mut self, link: usize) -> &mut Sender {
        match link {
            0 => &mut self.first.sender,
            further => &mut self.further[further - 1].sender,
        }
    }
}

impl Cards {
    pub(super) fn new(cards: Vec<Card>) -> Cards {
        let mut cards = cards.into_iter();
        let first = cards.next().unwrap_or(Card::NONE);
        let mut cards = Cards { first, further: cards.collect(), ask_links_at_ns: u64::MAX };
        if cards.each().any(|(_, card)| card.link.is_some()) {
            cards.ask_links_at_ns = 0;
        }
        cards
    }

    /// All of them, each with the number of its link.
    pub(super) fn each(&mut self) -> impl Iterator<Item = (usize, &mut Card)> {
        core::iter::once(&mut self.first).chain(&mut self.further).enumerate()
    }

    /// Whether there are cards beside the first.
    #[inline]
    pub(super) fn has_further(&self) -> bool {
        !self.further.is_empty()
    }

    /// Takes in what has come on them.
    #[cold]
    #[inline(never)]
    pub(super) fn receive_further(&mut self, stack: &mut Stack, now_ns: u64, woke: bool) {
        let mut news = false;
        for (link, card) in self.further() {
            let Some(receiver) = &mut card.receiver else { continue };
            let frames = stack
                .enter(link, |stack| receiver.receive(|frame, checksum| stack.receive(frame, known(checksum), now_ns)));
            news |= woke && card.may_have_news(frames.unwrap_or(0));
        }
        if news {
            self.ask_links_at_ns = 0;
        }
    }

    #[inline]
    fn further(&mut self) -> impl Iterator<Item = (usize, &mut Card)> {
        (1..).zip(&mut self.further)
    }

    /// Shows the cards what was written since the last call.
    #[inline]
    pub(super) fn finish(&mut self) {
        self.first.sender.finish();
        if self.has_further() {
            self.for_further(|card| card.sender.finish());
        }
    }

    /// Tells those who found no room that there is some.
    #[inline]
    pub(super) fn tell_refused(&mut self) {
        self.first.sender.tell_refused();
        if self.has_further() {
            self.for_further(|card| card.sender.tell_refused());
        }
    }

    /// Asks the cards to interrupt; `true` when there is something to do already.
    #[inline]
    pub(super) fn enable_interrupts(&mut self, stack: &Stack) -> bool {
        let busy = self.first.enable_interrupts(stack.waits_for(0));
        if self.has_further() { self.enable_further(stack) || busy } else { busy }
    }

    #[cold]
    #[inline(never)]
    fn enable_further(&mut self, stack: &Stack) -> bool {
        self.further().fold(false, |busy, (link, card)| card.enable_interrupts(stack.waits_for(link)) | busy)
    }

    /// A second look at the queues, after all else and right before the core sleeps; `true` when there is something to do.
    #[inline]
    pub(super) fn look_again(&mut self) -> bool {
        let mut busy = self.first.look_again();
        if self.has_further() {
            self.for_further(|card| busy |= card.look_again());
        }
        busy
    }

    /// The core is awake and looks by itself; `true` when it may have slept before.
    #[inline]
    pub(super) fn disable_interrupts(&mut self) -> bool {
        let slept = self.first.disable_interrupts();
        if slept && self.has_further() {
            self.for_further(|card| {
                card.disable_interrupts();
            });
        }
        slept
    }

    #[cold]
    #[inline(never)]
    fn for_further(&mut self, f: impl FnMut(&mut Card)) {
        self.further.iter_mut().for_each(f);
    }

    /// Asks the cards how their links are, and tells the stack what is new.
    #[cold]
    #[inline(never)]
    pub(super) fn ask_links(&mut self, stack: &mut Stack, now_ns: u64) {
        self.ask_links_at_ns = now_ns + ASK_LINKS_NS;
        for (link, card) in self.each() {
            card.ask_link(link, stack, now_ns);
        }
    }
}
