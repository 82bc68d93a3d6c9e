//! The link goes down, and comes up again.
//!
//! While it is down nothing goes into it: datagrams and answers are dropped and counted, as on Linux, and connections keep what
//! they have, with their patience running. Once it is up, everybody on it is told where we are, who we are is confirmed, and
//! who waited for an answer asks at once instead of at its timer's end: what was under way is lost.

use crate::event::Event;
use crate::message::Content;
use crate::stack::Stack;

impl Stack {
    /// A link went down, or is up (again: it may have been down meanwhile). The stacks of other cores hear of it from core 0's.
    #[cold]
    pub fn set_link(&mut self, link: usize, up: bool, now_ns: u64) {
        self.enter(link, |stack| stack.set_carrier(up, now_ns));
    }

    pub(crate) fn set_carrier(&mut self, up: bool, now_ns: u64) {
        let was_up = core::mem::replace(&mut self.shared.link_up, up);
        self.shared.tell_others(|| Content::Link(up));
        // Others may be at the other end by now. What waited for an answer is as lost as what was on the link.
        self.shared.statistics.link_dropped += self.neighbors.clear();
        if up {
            if !was_up {
                self.tcp.resume(now_ns, &self.shared);
                if let Some(dhcp) = &mut self.dhcp {
                    dhcp.confirm(now_ns);
                }
                if self.shared.speaks_for_all() {
                    self.autoconf.confirm(now_ns, &mut self.shared);
                }
            }
            self.say_where();
        }
        if up != was_up {
            self.shared.events.push(Event::Link(self.shared.at().into(), up));
        }
    }

    /// Whether a link is up; one that there is not is down.
    #[must_use]
    pub fn link_is_up(&self, link: usize) -> bool {
        self.shared.is_up(link)
    }

    /// Tells everybody on a link where this machine is: switches that it has moved, neighbours its hardware address, routers
    /// its groups.
    #[cold]
    pub fn announce(&mut self, link: usize) {
        self.enter(link, Stack::say_where);
    }

    fn say_where(&mut self) {
        if self.shared.speaks_for_all() {
            let (own, outbox) = self.shared.own();
            self.neighbors.announce(own, outbox);
            self.shared.report_all_groups();
        }
    }

    /// Drops what waits for a link that is down.
    #[cold]
    pub(crate) fn drop_outbox(&mut self) {
        while let Some(parcel) = self.shared.outbox.pop() {
            self.shared.statistics.link_dropped += 1;
            self.shared.outbox.recycle(parcel.into_bytes());
        }
    }
}
