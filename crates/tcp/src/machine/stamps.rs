//! Time stamps (RFC 7323): each segment tells its sender's clock, and echoes the peer's. They tell old segments from new ones
//! when numbers have come round (PAWS), and how long an answer takes though the segment went out more than once.

use super::Machine;
use crate::segment::{RST, Segment, after};

/// Bytes of the option, padded.
pub(super) const BYTES: usize = 12;
/// The option's padding, kind and length.
pub(super) const HEAD: u32 = 0x0101_080a;
/// What the peer's clock showed is good for so long: half a turn of a clock that ticks each millisecond (RFC 7323, 5.5).
const RECENT_NS: u64 = 24 * 86_400 * 1_000_000_000;
/// One tick of our clock, as a shift: a millisecond or so.
const TICK_SHIFT: u32 = 20;

/// What our clock shows, but for the connection's own offset.
#[must_use]
pub fn ticks(now_ns: u64) -> u32 {
    (now_ns >> TICK_SHIFT) as u32
}

/// What a segment's stamp says: the peer's clock, and what it heard of ours.
#[inline]
fn read(options: &[u8]) -> Option<(u32, u32)> {
    if let [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3] = *options {
        return Some((u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3])));
    }
    find(options)
}

/// As [`read`], beside other options.
#[cold]
fn find(options: &[u8]) -> Option<(u32, u32)> {
    crate::options::SynOptions::parse(options)?.stamp
}

impl Machine {
    /// Our clock's stamp.
    #[inline]
    pub(super) fn stamp(&self, now_ns: u64) -> u32 {
        ticks(now_ns).wrapping_add(self.stamp_offset)
    }

    /// Looks at a segment's stamp. `false`: it is older than what has been heard since, and no reset.
    #[inline]
    pub(super) fn is_timely(&mut self, segment: &Segment<'_>, now_ns: u64) -> bool {
        // One without a stamp is let in: some boxes on the way take them out.
        let Some((value, echo)) = read(segment.options) else { return true };
        if after(self.recent, value) && now_ns.saturating_sub(self.recent_at_ns) < RECENT_NS {
            return segment.has(RST);
        }
        if !after(segment.sequence, self.acknowledged) {
            self.recent = value;
            self.recent_at_ns = now_ns;
        }
        self.echo = echo;
        if self.round_trip.smoothed_ns() == 0 {
            self.measure_echo(now_ns);
        }
        true
    }

    /// How long the answer took that the peer gave last.
    #[cold]
    pub(super) fn measure_echo(&mut self, now_ns: u64) {
        let took = self.stamp(now_ns).wrapping_sub(self.echo);
        // What is no echo of ours says nothing.
        if took < 1 << 16 {
            self.round_trip.measure(u64::from(took.max(1)) << TICK_SHIFT);
        }
    }
}
