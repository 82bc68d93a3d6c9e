//! Keyed pseudo-randomness: SipHash-2-4 over short inputs, for sequence numbers, ports and transaction identifiers.
//!
//! The secret comes from the kernel's generator at start; an observer of outputs learns nothing about later ones.

/// The keyed function and a counter of draws.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    key: [u64; 2],
    draws: u64,
}

impl Random {
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Random { key, draws: 0 }
    }

    /// A new pseudo-random number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.draws += 1;
        self.hash(&[self.draws, u64::MAX])
    }

    /// The same number for the same input, for as long as this secret lives.
    pub(crate) fn hash(&self, words: &[u64]) -> u64 {
        let [k0, k1] = self.key;
        let mut v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        for word in words.iter().copied().chain([(words.len() as u64 * 8) << 56]) {
            v[3] ^= word;
            round(&mut v);
            round(&mut v);
            v[0] ^= word;
        }
        v[2] ^= 0xff;
        for _ in 0..4 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn is_siphash_2_4() {
        // Vector of the SipHash paper's reference code: key 00..0f, input 00..0f (16 bytes).
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(Random::new(key).hash(&key), 0x3f2a_cc7f_57c2_9bdb);
    }

    #[test]
    fn draws_differ() {
        let mut random = Random::new([1, 2]);
        assert_ne!(random.draw(), random.draw());
    }
}
