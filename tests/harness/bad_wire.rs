//! A bad wire between a guest and the host's Linux: frames are lost, doubled, damaged and held up, as a seed says.
//!
//! `tc netem` would do the same, but is not in every host's kernel. This stands between the VMM's socket and a TAP interface.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use smoltcp::phy::{self, Device, Medium, RxToken, TunTapInterface, TxToken};

use crate::End;
use crate::frames::Wire;

/// How bad it is: frames of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Which of them.
    pub seed: u64,
    /// They do not arrive.
    pub lost: u64,
    /// They arrive twice.
    pub doubled: u64,
    /// A byte of them is another one.
    pub damaged: u64,
    /// They are held up so long that others overtake them.
    pub held_up: u64,
    /// How long each is on its way.
    pub delay: Duration,
}

const HELD_UP_MS_MAX: u64 = 20;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Guest,
    Host,
}

/// A frame on its way: when it arrives, its number, whom it is for.
type Flight = (Instant, u64, To, Vec<u8>);

struct Relay {
    wire: Wire,
    tap: TunTapInterface,
    weather: Weather,
    random: u64,
    frames: u64,
    on_the_way: BinaryHeap<Reverse<Flight>>,
}

/// Runs `test` while frames go to and fro between the guest on `wire` and this interface of the private network that this thread
/// is in.
pub fn between<R>(wire: Wire, tap: &str, weather: Weather, test: impl FnOnce() -> R) -> R {
    let is_over = AtomicBool::new(false);
    let is_over = &is_over;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let tap = TunTapInterface::new(tap, Medium::Ethernet).unwrap_or_else(|error| panic!("{tap}: {error}"));
            let (random, on_the_way) = (weather.seed | 1, BinaryHeap::new());
            let mut relay = Relay { wire, tap, weather, random, frames: 0, on_the_way };
            while !is_over.load(Relaxed) {
                relay.turn();
            }
        });
        let _end = End(is_over);
        test()
    })
}

impl Relay {
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn happens(&mut self, per_mille: u64) -> bool {
        self.draw() % 1000 < per_mille
    }

    fn turn(&mut self) {
        // A wire on which a frame takes a millisecond: long enough to wait for one side and then look at the other.
        let _ready = phy::wait(self.tap.as_raw_fd(), Some(smoltcp::time::Duration::from_millis(1)));
        while let Some(frame) = self.wire.take() {
            self.set_out(To::Host, &frame);
        }
        while let Some((frame, _)) = self.tap.receive(smoltcp::time::Instant::ZERO) {
            let frame = frame.consume(<[u8]>::to_vec);
            self.set_out(To::Guest, &frame);
        }
        let now = Instant::now();
        while self.on_the_way.peek().is_some_and(|Reverse((due, ..))| *due <= now)
            && let Some(Reverse((_, _, to, frame))) = self.on_the_way.pop()
        {
            match to {
                To::Guest => self.wire.pass_on(&frame),
                To::Host => {
                    if let Some(place) = self.tap.transmit(smoltcp::time::Instant::ZERO) {
                        place.consume(frame.len(), |bytes| bytes.copy_from_slice(&frame));
                    }
                }
            }
        }
    }

    /// A frame begins its way, if it does.
    fn set_out(&mut self, to: To, frame: &[u8]) {
        if self.happens(self.weather.lost) {
            return;
        }
        for _ in 0..=u64::from(self.happens(self.weather.doubled)) {
            let mut frame = frame.to_vec();
            if self.happens(self.weather.damaged) {
                // Behind the hardware addresses, where checksums look.
                let at = 14 + self.draw() as usize % (frame.len() - 14);
                frame[at] ^= 1 << (self.draw() % 8);
            }
            let held_up = if self.happens(self.weather.held_up) { 1 + self.draw() % HELD_UP_MS_MAX } else { 0 };
            let delay = self.weather.delay + Duration::from_millis(held_up);
            self.frames += 1;
            let due = Instant::now() + delay;
            self.on_the_way.push(Reverse((due, self.frames, to, frame)));
        }
    }
}
