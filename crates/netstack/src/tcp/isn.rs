//! Chooses the initial sequence number that smoltcp will draw.
//!
//! RFC 6528 wants a keyed function of the addresses plus a clock; smoltcp draws from a small generator that is seeded when
//! an interface is made. The generator can be run backwards, so here is the seed whose draw is the number we want. That is
//! what allows a handshake without a connection behind it (`handshake.rs`): the connection is made later, and agrees.

const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;
const INVERSE: u64 = inverse(MULTIPLIER);

/// The inverse of an odd number modulo 2^64, by Newton's method.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

const fn before(state: u64) -> u64 {
    state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE)
}

const fn output(state: u64) -> u32 {
    (state >> (29 - (state >> 61))) as u32
}

/// The seed with which the first sequence number that an interface draws is `isn`. `salt` fills the bits that do not matter.
pub(super) fn seed_for(isn: u32, salt: u64) -> u64 {
    let mut salt = salt & 0x1fff_ffff;
    loop {
        // The interface draws a packet identifier first, and again when that is 0.
        let identifier_state = before(u64::from(isn) << 29 | salt);
        let draw = output(identifier_state);
        if (draw ^ (draw >> 16)) as u16 != 0 {
            return before(identifier_state);
        }
        salt = (salt + 1) & 0x1fff_ffff;
    }
}

#[cfg(test)]
mod tests {
    use super::{INCREMENT, MULTIPLIER, output, seed_for};

    #[test]
    fn the_generator_runs_backwards() {
        for (isn, salt) in [(0, 0), (1, 7), (0x8000_0000, u64::MAX), (u32::MAX, 0x1234_5678_9abc)] {
            let mut state = seed_for(isn, salt);
            for _ in 0..2 {
                state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
            }
            assert_eq!(output(state), isn);
        }
    }
}
