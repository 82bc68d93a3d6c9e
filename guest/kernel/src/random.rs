//! Random bytes that nobody can predict: a ChaCha20 generator, seeded by whatever the machine has.
//!
//! Sources: the processor (`rdseed`, `rdrand`), a virtio entropy source, and the jitter of the clock. The last is
//! mixed in but counts for nothing: with it alone the generator is [`Quality::Weak`], and says so once.
//!
//! The machine has one seed, and each core a generator of its own: ChaCha20 has 2^64 streams to a key, and each
//! generator gets one that no other had, so they share no lock and repeat nothing of each other.

use crate::arch::{SpinLock, core_local, cpu, depth};
use crate::drivers::RngDevice;
use core::fmt;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Looks at the clock when there is nothing better: each is worth a bit at most.
const JITTER_SAMPLES: usize = 64;
/// Odd, and otherwise arbitrary: the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

static SOURCES: SpinLock<Sources> =
    SpinLock::new(Sources { device: None, quality: Quality::Weak, seed: None, streams: 0 });

core_local! {
    /// Made at first use.
    static GENERATOR: Option<ChaCha20Rng> = None;
}

struct Sources {
    device: Option<RngDevice>,
    /// As found when the seed was made.
    quality: Quality,
    /// Made at first use.
    seed: Option<[u8; 32]>,
    /// Streams of the seed that were given to generators.
    streams: u64,
}

/// What the generators were seeded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// A hardware source: good for keys.
    Strong,
    /// Only the time at which things happened: good against accidents, not against an attacker.
    Weak,
}

/// There is no hardware source, and the caller needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakSource;

impl fmt::Display for WeakSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no hardware source of random numbers: use -cpu max, or -device virtio-rng-device or -pci")
    }
}

impl core::error::Error for WeakSource {}

/// Uses this entropy source too. Before the first [`fill`], and before there are other cores.
pub fn init(device: Option<RngDevice>) {
    SOURCES.with(|sources| {
        sources.device = device;
        sources.seed = None; // one that a driver made use of before lacks this source
    });
    GENERATOR.with(|generator| *generator = None);
}

/// Fills `bytes` with random ones. On a machine without a source they may be guessed, which is warned of once; whoever
/// makes keys calls [`fill_strong`].
pub fn fill(bytes: &mut [u8]) {
    generate(|generator| generator.fill_bytes(bytes));
}

/// Fills `bytes` with random ones that are good for keys.
///
/// # Errors
/// [`WeakSource`] when the machine has no source of them.
pub fn fill_strong(bytes: &mut [u8]) -> Result<(), WeakSource> {
    match quality() {
        Quality::Strong => {
            fill(bytes);
            Ok(())
        }
        Quality::Weak => Err(WeakSource),
    }
}

/// A random number; for the seeds of hash tables.
pub fn number() -> u64 {
    generate(Rng::next_u64)
}

/// What the generators are seeded from.
pub fn quality() -> Quality {
    let _kernel = depth::enter();
    SOURCES.with(|sources| {
        sources.seed();
        sources.quality
    })
}

fn generate<R>(f: impl FnOnce(&mut ChaCha20Rng) -> R) -> R {
    let _kernel = depth::enter();
    GENERATOR.with(|generator| f(generator.get_or_insert_with(|| SOURCES.with(Sources::generator))))
}

impl Sources {
    /// A generator that goes on like no other.
    #[cold]
    #[inline(never)]
    fn generator(&mut self) -> ChaCha20Rng {
        let mut generator = ChaCha20Rng::from_seed(self.seed());
        generator.set_stream(self.streams);
        self.streams += 1;
        generator
    }

    fn seed(&mut self) -> [u8; 32] {
        let seed = self.seed.unwrap_or_else(|| self.gather());
        self.seed = Some(seed);
        seed
    }

    #[cold]
    fn gather(&mut self) -> [u8; 32] {
        let mut pool = Pool::default();
        let from_processor: [Option<u64>; 4] = core::array::from_fn(|_| cpu::random64());
        from_processor.into_iter().flatten().for_each(|value| pool.add(value));
        if from_processor.iter().all(Option::is_some) {
            self.quality = Quality::Strong;
        }
        if let Some(device) = &mut self.device {
            let mut words = 0;
            device.take(|bytes| {
                for chunk in bytes.as_chunks::<8>().0 {
                    pool.add(u64::from_le_bytes(*chunk));
                    words += 1;
                }
            });
            if words >= 4 {
                self.quality = Quality::Strong;
            }
        }
        let samples = if self.quality == Quality::Strong { 4 } else { JITTER_SAMPLES };
        for _ in 0..samples {
            pool.add(cpu::ticks());
        }
        if self.quality == Quality::Weak {
            log::warn!("secrets may be guessed: {WeakSource}");
        }
        pool.finish()
    }
}

/// 32 bytes that depend on everything added. Each step is a bijection of what was there, so nothing is lost; that
/// the result cannot be traced back is the work of ChaCha, whose key it becomes.
#[derive(Default)]
struct Pool {
    words: [u64; 4],
    added: usize,
}

impl Pool {
    #[inline(never)]
    fn add(&mut self, value: u64) {
        let before = self.words[(self.added + 3) % 4];
        let word = &mut self.words[self.added % 4];
        *word = (word.rotate_left(23) ^ value).wrapping_mul(MULTIPLIER) ^ before >> 29;
        self.added += 1;
    }

    fn finish(self) -> [u8; 32] {
        let mut seed = [0; 32];
        for (bytes, word) in seed.as_chunks_mut::<8>().0.iter_mut().zip(self.words) {
            *bytes = word.to_le_bytes();
        }
        seed
    }
}
