//! `cargo xtask soak`: every machine with every QEMU, then the long versions of the machine tests: calls of Linux programs with
//! hostile arguments, handlers that fault, and a server that stays up under connections and requests without an end.

use anyhow::Result;

use crate::{bench, machines, run};

pub(crate) fn soak(options: &[&str]) -> Result<()> {
    machines::machines(&[])?;
    let tests = ["linux_hostile::an_hour_of_hostile_arguments", "soak::faults_lose_their_own_answers_alone"];
    for test in tests {
        let arguments = ["test", "--release", "-p", "toro-tests", "--", "--ignored", "--exact", test, "--nocapture"];
        run::check(&mut run::cargo("", &arguments))?;
    }
    // A million connections and ten million requests, unless told how many tenths of them.
    let rounds = options.first().map_or(Vec::new(), |rounds| vec!["--runs", rounds]);
    bench::bench(&[&["churn"], &rounds[..]].concat())
}
