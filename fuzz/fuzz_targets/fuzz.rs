//! libFuzzer's program: the target is named by `TORO_FUZZ_TARGET`. Each input is in the file that `TORO_FUZZ_LAST` names, if it names one: a
//! stack that ends leaves nobody to write it afterwards.
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

static LAST: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("TORO_FUZZ_LAST").ok());

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(path) = &*LAST {
        std::fs::write(path, data).expect("a file to write to");
    }
    CHOSEN.1(data)
});
