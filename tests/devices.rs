//! Entropy: from the processor, from a device, or said to be missing.

use toro_tests::{MACHINES, guest};

/// A processor without `rdrand` and `rdseed`.
const WITHOUT_RANDOM: [&str; 2] = ["-cpu", "max,-rdrand,-rdseed"];

#[test]
fn a_device_gives_entropy_to_a_processor_that_has_none() {
    for machine in MACHINES {
        let spec = guest("random").cpus(2).machine(machine).command_line("log=warn").qemu(&WITHOUT_RANDOM);
        let run = spec
            .with(|mut machine| {
                machine.rng = true;
                machine
            })
            .run()
            .expect_status(0);
        assert!(!run.exit.log_text().contains("guessed"), "{}", run.exit.log_text());
    }
}

#[test]
fn missing_entropy_is_said() {
    guest("random").command_line("log=warn").qemu(&WITHOUT_RANDOM).run().expect_log("may be guessed");
}
