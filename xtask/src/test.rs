//! `cargo xtask test`: everything that CI runs, with a summary at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::run::{self, cargo};
use crate::{bench, packages, tidy};

/// One check.
struct Step {
    name: &'static str,
    action: Action,
}

enum Action {
    Command(Command),
    Function(fn() -> Result<()>),
}

impl Step {
    fn cargo(name: &'static str, folder: &str, arguments: &[&str]) -> Step {
        Step { name, action: Action::Command(cargo(folder, arguments)) }
    }

    fn run(self) -> Result<()> {
        match self.action {
            Action::Command(mut command) => run::check(&mut command),
            Action::Function(function) => function(),
        }
    }
}

fn steps() -> Vec<Step> {
    let warnings = ["--", "-D", "warnings"];
    let clippy =
        |name, folder, what: &[&str]| Step::cargo(name, folder, &[&["clippy", "-q"], what, &warnings].concat());
    vec![
        Step { name: "packages", action: Action::Function(packages::setup) },
        Step::cargo("format", "", &["fmt", "--all", "--check"]),
        Step::cargo("format guest", "guest", &["fmt", "--all", "--check"]),
        Step::cargo("format fuzz", "fuzz", &["fmt", "--all", "--check"]),
        Step::cargo("format programs", "tests/linux/rust", &["fmt", "--all", "--check"]),
        Step { name: "tidy", action: Action::Function(tidy::tidy) },
        clippy("lint", "", &["--workspace", "--all-targets"]),
        clippy("lint guest", "guest", &["--workspace"]),
        Step::cargo(
            "host tests",
            "",
            &["test", "-q", "--no-fail-fast", "--workspace", "--exclude", "toro-tests", "--exclude", "toro-mailbox"],
        ),
        // All orders in which cores may meet: a few seconds that stand for themselves.
        Step::cargo("models", "", &["test", "-q", "-p", "toro-mailbox"]),
        Step::cargo("guest examples", "guest", &["test", "-q", "--doc", "-p", "toro-unikernel"]),
        Step::cargo("corpus replay", "fuzz", &["test", "-q", "--workspace"]),
        Step::cargo(
            "guest build",
            "guest",
            &["build", "-q", "--workspace", "--exclude", "toro-test-guests", "--release"],
        ),
        Step::cargo("machine tests", "", &["test", "-q", "-p", "toro-tests"]),
        Step { name: "quick counts", action: Action::Function(bench::check_counts) },
        Step { name: "studies", action: Action::Function(bench::smoke) },
    ]
}

/// Runs the steps, all of them even when one fails; `options` name the ones wanted.
pub(crate) fn test(options: &[&str]) -> Result<()> {
    let start = Instant::now();
    let mut results: Vec<(&str, Duration, Option<String>)> = Vec::new();
    let known: Vec<&str> = steps().iter().map(|step| step.name).collect();
    if let Some(unknown) = options.iter().find(|option| !known.contains(option)) {
        bail!("no step {unknown:?}; there are: {}", known.join(", "));
    }
    for step in steps() {
        if !options.is_empty() && !options.contains(&step.name) {
            continue;
        }
        println!("== {}", step.name);
        let (name, began) = (step.name, Instant::now());
        let failure = step.run().err().map(|error| format!("{error:#}"));
        if let Some(failure) = &failure {
            println!("{name} failed: {failure}");
        }
        results.push((name, began.elapsed(), failure));
    }
    println!("\n== summary");
    for (name, took, failure) in &results {
        let verdict = if failure.is_some() { "FAILED" } else { "ok" };
        println!("{name:<16} {verdict:<7} {:>7.1} s", took.as_secs_f64());
    }
    println!("{:<16} {:<7} {:>7.1} s", "all", "", start.elapsed().as_secs_f64());
    let failed: Vec<&str> = results.iter().filter(|result| result.2.is_some()).map(|result| result.0).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
