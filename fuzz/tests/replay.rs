//! Replays the corpus of every target: what fuzzing once found stays found, without a fuzzer.

use std::path::Path;
use toro_fuzz::TARGETS;

#[test]
fn the_corpus_of_every_target_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let mut inputs: Vec<_> = std::fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
            .map(|entry| entry.expect("a readable folder").path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "corpus/{name} is empty");
        for input in &inputs {
            eprintln!("corpus/{name}/{}", input.file_name().unwrap_or_default().display());
            run(&std::fs::read(input).expect("a readable input"));
        }
    }
}

/// A fuzzer of a second or two: pseudo-random inputs, the same ones in every run.
#[test]
fn plain_random_inputs_pass() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..4000 {
        let mut input: Vec<u8> = (0..next() % 600).map(|_| next() as u8).collect();
        for (name, run) in TARGETS {
            if let Err(panic) = std::panic::catch_unwind(|| run(&input)) {
                panic!("{name}, round {round}, input {input:02x?}: {panic:?}");
            }
            if !input.is_empty() {
                input.rotate_left(1);
            }
        }
    }
}
