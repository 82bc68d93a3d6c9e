//! The poller: takes what has arrived, wakes whom it concerns, sends what threads have written.

use super::addresses::{announce, announce6};
use super::exchange::{self, Letter};
use super::{Network, News, reach, touched};
use crate::arch::cores;
use crate::arch::counters::Counter;
use crate::drivers::Verification;
use crate::sched::{Poller, Wakes};
use toro_netstack::{Event, Received};

/// The network, as the scheduler sees it.
pub(super) struct Link;

impl Poller for Link {
    fn timer(&self) -> Counter {
        Counter::TimerNetwork
    }

    fn poll(&self, now_ns: u64) {
        let here = cores::current();
        let (news, several) = reach(here, |network, wakes| (network.poll(now_ns, wakes), network.several));
        if news {
            tell_outside(here);
        }
        if several {
            touched::flush(now_ns);
        }
    }

    fn prepare_idle(&self) -> Option<u64> {
        let deadline_ns = reach(cores::current(), |network, _| network.prepare_idle());
        match touched::next_deadline() {
            None => deadline_ns,
            Some(other_ns) => Some(deadline_ns.unwrap_or(u64::MAX).min(other_ns)),
        }
    }
}

/// Tells those who hear of it outside the lock, because they are not the network's: the log, the console, watchers.
#[cold]
#[inline(never)]
pub(super) fn tell_outside(core: cores::CoreId) {
    let News { events, addresses6 } = reach(core, |network, _| core::mem::take(&mut network.news));
    for event in events {
        announce(core, event);
    }
    if addresses6 {
        announce6(core);
    }
    while let Some(watcher) = reach(core, |network, _| network.sockets.next_call()) {
        watcher.changed();
    }
}

impl Network {
    /// Receives and sends; `true` when somebody outside is to be told of something.
    fn poll(&mut self, now_ns: u64, wakes: &mut Wakes) -> bool {
        let woke = self.cards.disable_interrupts();
        self.sleeps_until_ns = 0;
        if self.several {
            self.listen_to_cores(now_ns);
        }
        let Network { stack, cards, .. } = self;
        let mut frames = 0;
        if let Some(receiver) = &mut cards.first.receiver {
            // A ring full at most; what comes meanwhile is seen before the core sleeps.
            frames = receiver.receive(|frame, verification| stack.receive(frame, known(verification), now_ns));
        }
        if woke && cards.first.may_have_news(frames) {
            cards.ask_links_at_ns = 0;
        }
        if cards.has_further() {
            cards.receive_further(stack, now_ns, woke);
        }
        if now_ns >= cards.ask_links_at_ns {
            cards.ask_links(stack, now_ns);
        }
        self.send(now_ns, wakes)
    }

    /// Sends; `true` when somebody outside is to be told of something.
    #[inline(always)]
    pub(super) fn send(&mut self, now_ns: u64, wakes: &mut Wakes) -> bool {
        self.stack.flush(&mut self.cards, now_ns);
        self.cards.finish();
        if self.several && self.stack.has_messages() {
            self.tell_cores();
        }
        self.stack.has_events() && self.tell(wakes)
    }

    fn prepare_idle(&mut self) -> Option<u64> {
        if self.cards.enable_interrupts(&self.stack) || self.several && exchange::is_waiting() {
            return Some(0);
        }
        let deadline_ns = self.stack.next_deadline();
        if self.cards.look_again() {
            return Some(0);
        }
        self.sleeps_until_ns = deadline_ns.unwrap_or(u64::MAX);
        deadline_ns
    }

    /// Wakes those whom events concern; `true` when somebody outside is to be told of something.
    pub(super) fn tell(&mut self, wakes: &mut Wakes) -> bool {
        while let Some(event) = self.stack.next_event() {
            if matches!(event, Event::Address(..) | Event::Link(..)) && self.news.events.try_reserve(1).is_ok() {
                self.news.events.push(event);
            }
            self.news.addresses6 |= event == Event::Addresses6;
            self.sockets.tell(event, wakes);
        }
        !self.news.events.is_empty() || self.news.addresses6 || self.sockets.has_calls()
    }

    /// What other cores have to say, and the card about its queues.
    #[inline]
    fn listen_to_cores(&mut self, now_ns: u64) {
        if exchange::is_waiting() {
            self.read_letters(now_ns);
        }
        self.cards.tell_refused();
        if self.cards.first.hear() {
            self.stack.set_own_queue(true);
        }
    }

    #[inline(never)]
    fn read_letters(&mut self, now_ns: u64) {
        let Network { stack, cards, letters, .. } = self;
        let card = &mut cards.first;
        let Some(letters) = letters else { return };
        letters.exchange();
        for letter in letters.read() {
            match letter {
                Letter::Stack(message) => stack.deliver(message, now_ns),
                Letter::Join { core, pair } => card.join(core, pair),
                Letter::Active => {
                    card.sender.own();
                    stack.set_own_queue(true);
                }
                Letter::Shared => card.sender.use_shared(),
            }
        }
    }

    #[inline(never)]
    fn tell_cores(&mut self) {
        let mut cores = 0;
        while let Some((core, message)) = self.stack.next_message() {
            exchange::put(core, Letter::Stack(message));
            cores |= 1 << core;
        }
        exchange::ring(cores);
    }
}

/// What the stack is to know of a frame's checksum.
pub(super) fn known(verification: Verification) -> Received {
    match verification {
        Verification::Verified => Received::Verified,
        Verification::Unverified => Received::Unverified,
    }
}
