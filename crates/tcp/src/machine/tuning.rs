//! What programs ask for beyond the usual, and what is rarely due: probes of a silent peer, the end of patience, a cork.
//!
//! None of it is timed by itself: one time says when to look at all of it again, and mostly the look finds that the peer has
//! spoken meanwhile.

use super::{Machine, State};
use crate::answers::NEVER;
use crate::info::Info;
use crate::memory::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, Memory};
use crate::tune::{KeepAlive, TcpOption};

/// How long a cork holds back the last piece, as Linux.
const CORK_NS: u64 = 200_000_000;

/// What a program asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    keep_alive: Option<KeepAlive>,
    /// Probes since the peer was heard last.
    probes: u32,
    /// A probe is due.
    pub(super) probe: bool,
    /// Acknowledgements wait for nothing.
    pub(super) quick: bool,
    /// Only full segments go out, until this time.
    pub(super) corked: bool,
    cork_until_ns: u64,
    /// How long something written may stay unacknowledged.
    pub(super) user_timeout_ns: u64,
}

impl Tuning {
    pub(super) const NONE: Tuning = Tuning {
        keep_alive: None,
        probes: 0,
        probe: false,
        quick: false,
        corked: false,
        cork_until_ns: NEVER,
        user_timeout_ns: NEVER,
    };
}

impl Machine {
    /// Makes sure that what is rarely due is looked at no later than then.
    pub(super) fn check_by(&mut self, at_ns: u64) {
        self.check_at_ns = self.check_at_ns.min(at_ns);
    }

    /// Looks at what is rarely due; `true` when there is something to be said.
    #[cold]
    pub(super) fn check(&mut self, now_ns: u64, memory: &mut Memory) -> bool {
        self.check_at_ns = NEVER;
        if self.state == State::Closed {
            return false;
        }
        let silent_ns = now_ns.saturating_sub(self.heard_at_ns);
        let unanswered = self.waiting_since_ns != NEVER && self.state != State::FinWait2;
        let unanswered_ns = if unanswered { now_ns.saturating_sub(self.waiting_since_ns) } else { 0 };
        let Tuning { user_timeout_ns, keep_alive, probes, .. } = self.tuning;
        let over = silent_ns >= self.patience_ns
            || unanswered_ns >= user_timeout_ns
            || keep_alive.is_some_and(|keep_alive| {
                self.is_quiet() && probes > 0 && silent_ns >= keep_alive.patience_ns().min(user_timeout_ns)
            });
        if over {
            self.reset = self.state != State::SynSent;
            self.silent = true;
            self.die(memory);
            return self.reset;
        }
        self.check_by(self.heard_at_ns.saturating_add(self.patience_ns));
        if unanswered {
            self.check_by(self.waiting_since_ns.saturating_add(user_timeout_ns));
        }
        if let Some(keep_alive) = keep_alive {
            self.keep_alive(keep_alive, silent_ns, now_ns);
        }
        let uncorked = self.tuning.corked && self.tuning.cork_until_ns <= now_ns;
        if !uncorked {
            self.check_by(self.tuning.cork_until_ns);
        }
        self.tuning.probe || uncorked
    }

    /// Nothing is under way that the peer would have to answer anyhow.
    fn is_quiet(&self) -> bool {
        self.top == self.una && self.send.len() == 0
    }

    fn keep_alive(&mut self, keep_alive: KeepAlive, silent_ns: u64, now_ns: u64) {
        if silent_ns < keep_alive.idle_ns || !self.is_quiet() {
            self.tuning.probes = 0;
            let heard_ns = if self.is_quiet() { self.heard_at_ns } else { now_ns };
            return self.check_by(heard_ns.saturating_add(keep_alive.idle_ns));
        }
        let probes = u64::from(self.tuning.probes);
        let due_ns = keep_alive.idle_ns.saturating_add(keep_alive.interval_ns.saturating_mul(probes));
        if silent_ns >= due_ns {
            self.tuning.probes += 1;
            self.tuning.probe = true;
            self.check_by(now_ns.saturating_add(keep_alive.interval_ns));
        } else {
            self.check_by(self.heard_at_ns.saturating_add(due_ns));
        }
    }

    /// Whether a cork holds a piece back.
    #[cold]
    pub(super) fn holds_back(&mut self, bytes: u32, now_ns: u64) -> bool {
        if bytes >= self.segment_bytes || self.closing || self.tuning.cork_until_ns <= now_ns {
            self.tuning.cork_until_ns = NEVER;
            return false;
        }
        if self.tuning.cork_until_ns == NEVER {
            self.tuning.cork_until_ns = now_ns + CORK_NS;
        }
        self.check_by(self.tuning.cork_until_ns);
        true
    }

    /// Does as an option says.
    pub(super) fn set(&mut self, option: TcpOption, now_ns: u64) {
        match option {
            TcpOption::NoDelay(on) => self.no_delay = on,
            TcpOption::QuickAck(on) => self.tuning.quick = on,
            TcpOption::Cork(on) => {
                self.tuning.corked = on;
                self.tuning.cork_until_ns = NEVER;
            }
            TcpOption::KeepAlive(keep_alive) => {
                self.tuning.keep_alive = keep_alive;
                self.tuning.probes = 0;
                if let Some(keep_alive) = keep_alive {
                    self.check_by(now_ns.saturating_add(keep_alive.idle_ns));
                }
            }
            TcpOption::UserTimeout(timeout_ns) => {
                self.tuning.user_timeout_ns = timeout_ns.unwrap_or(NEVER);
                self.check_by(now_ns.saturating_add(self.tuning.user_timeout_ns));
            }
            TcpOption::Hops(hops) => self.template.mark(Some(hops), None),
            TcpOption::Service(service) => self.template.mark(None, Some(service)),
            // Who says how much means it: it does not grow by itself any more.
            TcpOption::SendBuffer(bytes) => {
                self.send_bytes = bytes.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
                self.send_max_bytes = self.send_bytes;
            }
            TcpOption::ReceiveBuffer(bytes) => {
                // Before the handshake is over nobody knows whether more can be told.
                let told_max = (usize::from(u16::MAX) << self.shift).min(BUFFER_BYTES_MAX);
                self.receive_bytes = bytes.clamp(BUFFER_BYTES_MIN, told_max);
                self.receive_max_bytes = self.receive_bytes;
            }
        }
    }

    /// How it stands.
    pub(super) fn info(&self) -> Info {
        Info {
            state: self.state,
            segment_bytes: self.segment_bytes,
            round_trip_ns: self.round_trip.smoothed_ns(),
            round_trip_deviation_ns: self.round_trip.deviation_ns(),
            retransmit_timeout_ns: self.round_trip.timeout_ns(),
            congestion_window_bytes: self.congestion.window_bytes,
            slow_start_threshold_bytes: self.congestion.threshold_bytes,
            peer_window_bytes: self.window,
            receive_window_bytes: self.promised.wrapping_sub(self.expected),
            flight_bytes: self.flight_bytes(),
            retransmitted_segments: self.retransmitted,
        }
    }
}
