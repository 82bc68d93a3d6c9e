//! The hash function: SipHash-1-3 with a random key, so that nobody outside can make keys that collide.

use crate::random;
use crate::sync::OnceLock;
use core::hash::BuildHasher;
use siphasher::sip::SipHasher13;

/// Makes hashers that share one random key, drawn at the program's first use of a hash table.
#[derive(Clone, Copy, Debug)]
pub struct RandomState {
    key: (u64, u64),
}

static KEY: OnceLock<(u64, u64)> = OnceLock::new();

impl RandomState {
    /// The program's key.
    #[must_use]
    pub fn new() -> Self {
        RandomState { key: *KEY.get_or_init(|| (random::u64(), random::u64())) }
    }
}

impl Default for RandomState {
    fn default() -> Self {
        Self::new()
    }
}

impl BuildHasher for RandomState {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}
