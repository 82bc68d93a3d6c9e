//! SYN cookies (RFC 4987, 3.6): when too many handshakes are under way, our first number itself remembers the next one, so a
//! flood costs answers and no memory, and whoever shows that it receives them still gets in.
//!
//! The number holds five bits of time, three for the largest segment, and 24 that nobody else can make. What else the peer's
//! SYN said is in the low bits of our stamp, which the peer echoes; without stamps it is given up.

use crate::shared::Shared;
use toro_tcp::segment::Segment;
use toro_tcp::{Handshake, SynOptions, Tuple, ticks};

/// How long a cookie is good for, in steps of time: at least one step, at most two.
const STEP_NS: u64 = 64_000_000_000;
const STEPS_MAX: u32 = 2;
/// The longest that one is good for.
pub(super) const GOOD_NS: u64 = STEPS_MAX as u64 * STEP_NS;
/// What a peer may say that it takes in one segment, rounded down.
const SEGMENT_BYTES: [u16; 8] = [536, 1024, 1220, 1360, 1440, 1452, 1460, 8960];
/// Low bits of a stamp: selective acknowledgements, then the window's shift; 15 for none.
const STAMP_BITS: u32 = 5;
const NO_SHIFT: u32 = 15;

fn step(now_ns: u64) -> u32 {
    (now_ns / STEP_NS) as u32
}

/// 24 bits that only we can make for this peer at this time.
fn seal(tuple: &Tuple, peer_isn: u32, step: u32, size: u32, shared: &Shared) -> u32 {
    let ends = tuple.with_words(|words| shared.random.hash(words));
    let rest = u64::from(peer_isn) << 32 | u64::from(step << 3 | size);
    shared.random.hash(&[ends, rest]) as u32 >> 8
}

/// Our first number for a peer whose handshake is not remembered.
pub(super) fn make(tuple: &Tuple, peer_isn: u32, options: &SynOptions, now_ns: u64, shared: &Shared) -> u32 {
    let wanted = options.max_segment_bytes.unwrap_or(SEGMENT_BYTES[0]);
    let size = SEGMENT_BYTES.iter().rposition(|&bytes| bytes <= wanted).unwrap_or(0) as u32;
    let step = step(now_ns);
    (step & 31) << 27 | size << 24 | seal(tuple, peer_isn, step, size, shared)
}

/// Our stamp with what the peer said in its low bits; never later than the true one.
pub(super) fn stamp(true_stamp: u32, options: &SynOptions) -> u32 {
    let shift = options.window_shift.map_or(NO_SHIFT, u32::from);
    let said = shift << 1 | u32::from(options.selective);
    let stamp = true_stamp & !((1 << STAMP_BITS) - 1) | said;
    if stamp.wrapping_sub(true_stamp) as i32 > 0 { stamp.wrapping_sub(1 << STAMP_BITS) } else { stamp }
}

/// The handshake that a segment completes whose beginning was not remembered; `None`: it completes none of ours.
pub(super) fn open(segment: &Segment<'_>, now_ns: u64, shared: &Shared) -> Option<Handshake> {
    let isn = segment.acknowledgement.wrapping_sub(1);
    let peer_isn = segment.sequence.wrapping_sub(1);
    let now = step(now_ns);
    let age = now.wrapping_sub(isn >> 27) & 31;
    let size = isn >> 24 & 7;
    let good =
        age < STEPS_MAX && seal(&segment.tuple, peer_isn, now.wrapping_sub(age), size, shared) == isn & 0xff_ffff;
    if !good {
        return None;
    }
    let mut peer_options =
        SynOptions { max_segment_bytes: Some(SEGMENT_BYTES[size as usize]), ..SynOptions::default() };
    if let Some((value, echo)) = SynOptions::parse(segment.options)?.stamp {
        peer_options.stamp = Some((value, echo));
        peer_options.selective = echo & 1 != 0;
        let shift = echo >> 1 & NO_SHIFT;
        peer_options.window_shift = (shift != NO_SHIFT).then_some(shift as u8);
    }
    let stamp_offset = super::handshake::stamp_offset(&segment.tuple, shared);
    Some(Handshake { tuple: segment.tuple, isn, peer_isn, peer_window: segment.window, peer_options, stamp_offset })
}

/// What our clock shows to a peer.
pub(super) fn true_stamp(tuple: &Tuple, now_ns: u64, shared: &Shared) -> u32 {
    ticks(now_ns).wrapping_add(super::handshake::stamp_offset(tuple, shared))
}
