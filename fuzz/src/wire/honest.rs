//! After all of it: sockets are closed, time passes, and nothing is left; then somebody who means no harm is served.

use super::frames::{honest, honest_arp};
use super::{SECOND_NS, World, own, peer};
use core::net::{Ipv6Addr, SocketAddr};
use toro_netstack::{Ending, Flushed, Received};

/// Longer than anything is waited for.
const PATIENCE_NS: u64 = 1200 * SECOND_NS;

impl World {
    pub(super) fn end(&mut self) {
        let now_ns = self.now_ns;
        for link in 0..self.links {
            self.core0().set_link(link, true, now_ns);
        }
        for id in core::mem::take(&mut self.connections) {
            self.stack.tcp_close(id, Ending::Orderly, self.now_ns);
        }
        if let Some(listener) = self.listener.take() {
            self.stack.tcp_close_listener(listener);
        }
        for socket in core::mem::take(&mut self.sockets) {
            self.stack.udp_close(socket);
        }
        self.rest();
        let left = self.stack.statistics();
        assert_eq!((left.connections, left.handshakes), (0, 0), "something is left: {left:?}");
        self.stack.assert_sound();
        // Of several cores, who is asked first depends on who listens; and without an address nobody is served.
        if self.other.is_none() && self.stack.address_on(0).is_some_and(|address| address.ip == own(0)) {
            self.serve_one();
        }
    }

    /// Time passes until nothing is waited for.
    fn rest(&mut self) {
        let end_ns = self.now_ns + PATIENCE_NS;
        let mut idle = 0;
        while self.now_ns < end_ns {
            while self.flush(200) != Flushed::Whole {}
            self.carry();
            if self.stack.has_work() {
                continue;
            }
            let next_ns = self.stack.next_deadline().unwrap_or(end_ns);
            // A clock that has come is looked at, and then it is another's turn.
            idle = if next_ns <= self.now_ns { idle + 1 } else { 0 };
            assert!(idle < 50, "a time that has come comes again: {next_ns} at {}", self.now_ns);
            self.now_ns = next_ns.clamp(self.now_ns + 1, end_ns);
        }
    }

    /// A connection, a word and its echo.
    fn serve_one(&mut self) {
        let (from, to) = (peer(0, 100), own(0));
        let listener = self.stack.tcp_listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 80), 8);
        self.listener = Some(listener.expect("the port is free"));
        self.stack.receive(&honest_arp(from, to), Received::Unverified, self.now_ns);
        let segment = |sequence: u32, acknowledgement: u32, flags: u8, data: &[u8]| {
            let head = [&4321u16.to_be_bytes()[..], &80u16.to_be_bytes(), &sequence.to_be_bytes()].concat();
            let rest = [0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
            honest(from, to, &[&head[..], &acknowledgement.to_be_bytes(), &rest, data].concat())
        };
        let theirs = self.say(&segment(1000, 0, 0x02, &[]));
        let (number, flags, _) = theirs.expect("an answer to the first segment");
        assert_eq!(flags, 0x12);
        let next = number.wrapping_add(1);
        self.say(&segment(1001, next, 0x10, &[]));
        self.serve(100);
        self.say(&segment(1001, next, 0x18, b"hello"));
        self.serve(100);
        let echo = self.say(&segment(1006, next, 0x10, &[]));
        assert_eq!(echo.map(|(.., data)| data), Some(b"hello".to_vec()));
        for id in core::mem::take(&mut self.connections) {
            self.stack.tcp_close(id, Ending::Reset, self.now_ns);
        }
        self.flush(200);
    }

    /// Says something; number, flags and data of the last answer.
    fn say(&mut self, frame: &[u8]) -> Option<(u32, u8, Vec<u8>)> {
        self.ports.0[0].sent = Some(Vec::new());
        self.stack.receive(frame, Received::Unverified, self.now_ns);
        self.flush(200);
        let sent = self.ports.0[0].sent.take()?;
        let is_ours =
            |frame: &&Vec<u8>| frame[12..14] == [8, 0] && frame[23] == 6 && frame[36..38] == 4321u16.to_be_bytes();
        let frame = sent.iter().rev().find(is_ours)?;
        let tcp = &frame[34..];
        let start = usize::from(tcp[12] >> 4) * 4;
        Some((u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]), tcp[13], tcp[start..].to_vec()))
    }
}
