//! Random bytes from the kernel's generator, seeded by the processor or a virtio entropy device.
//!
//! On a machine that has neither they may be guessed, and the log says so once; whoever makes keys calls [`try_fill`],
//! which refuses then.
//!
//! ```no_run
//! # fn example() {
//! let mut token = [0; 16];
//! toro::random::fill(&mut token);
//! let die = 1 + toro::random::below(6);
//! # }
//! ```

use toro_kernel::random;

pub use toro_kernel::random::WeakSource;

/// Fills `bytes` with random ones that are good for keys.
///
/// # Errors
/// [`WeakSource`] when the machine has no source of them; `bytes` are as they were.
pub fn try_fill(bytes: &mut [u8]) -> Result<(), WeakSource> {
    random::fill_strong(bytes)
}

/// Fills `bytes`.
pub fn fill(bytes: &mut [u8]) {
    random::fill(bytes);
}

/// A random number, any with the same chance.
#[must_use]
pub fn u32() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

/// A random number, any with the same chance.
#[must_use]
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// A random number below `limit`, any with the same chance.
///
/// # Panics
/// When `limit` is 0.
#[must_use]
pub fn below(limit: u64) -> u64 {
    assert!(limit > 0, "there is no number below 0");
    // The high half of a product is unbiased but for the draws whose low half is below 2^64 mod limit (Lemire).
    let unfair = limit.wrapping_neg() % limit;
    loop {
        let product = u128::from(u64()) * u128::from(limit);
        if product as u64 >= unfair {
            return (product >> 64) as u64;
        }
    }
}
