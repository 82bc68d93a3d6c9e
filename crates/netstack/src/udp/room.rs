//! Room for datagrams on their way out: who waits for it, and who is told.

use super::Udp;
use crate::event::{Event, Readiness, UdpId};
use crate::outbox::Outbox;
use crate::shared::Shared;

impl Udp {
    /// Tells those who found no room that there is some, on whichever link they wait for.
    #[inline]
    pub(crate) fn tell_room(&mut self, shared: &mut Shared) {
        let may_be = shared.outbox.takes_datagrams() || shared.has_several();
        if self.awaits_room && may_be && shared.loopback.ready() {
            self.tell_all_room(shared);
        }
    }

    #[cold]
    fn tell_all_room(&mut self, shared: &mut Shared) {
        self.awaits_room = false;
        for place in 0..self.ports.len() {
            let (_, index) = self.ports[place];
            let Some(key) = self.sockets.key(index) else { continue };
            if let Some(socket) = self.sockets.get_mut(index)
                && let Some(link) = socket.wants_write
            {
                if !takes_datagrams(shared, link) {
                    self.awaits_room = true;
                    continue;
                }
                socket.wants_write = None;
                shared.events.push(Event::Room(UdpId(key)));
            }
        }
    }

    /// What can be done with a socket now. Arms.
    pub(crate) fn readiness(&mut self, id: UdpId, shared: &Shared) -> Readiness {
        let Ok(socket) = self.get(id) else { return Readiness::GONE };
        let link = socket.peer.map_or(0, |peer| shared.link_for(socket.address.ip, peer.ip));
        let inside = socket.peer.is_some_and(|peer| shared.is_local(peer.ip));
        let writable = if inside { shared.loopback.ready() } else { takes_datagrams(shared, link) };
        socket.wants_read = true;
        if !writable {
            socket.wants_write = Some(link);
        }
        let readiness = Readiness {
            readable: !socket.queue.is_empty() || socket.error.is_some(),
            writable,
            error: socket.error.is_some(),
            ..Readiness::default()
        };
        self.awaits_room |= !writable;
        readiness
    }
}

/// Whether a link takes a datagram now.
fn takes_datagrams(shared: &Shared, link: u8) -> bool {
    shared.outbox_of(link).is_some_and(Outbox::takes_datagrams)
}
