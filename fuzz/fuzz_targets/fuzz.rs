//! libFuzzer's program: the target is named by `TORO_FUZZ_TARGET`.
#![no_main]

use std::sync::LazyLock;
use toro_fuzz::{TARGETS, Target, target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TORO_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("TORO_FUZZ_TARGET={name:?}: give one of {}", names.join(", "))
    })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHOSEN.1(data));
