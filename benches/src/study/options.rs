//! What was typed behind a study's name.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use toro_vmm::{Accelerator, MachineType, probe, qemu};

use super::Who;
use crate::artifact;

/// How a study is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What executes the guests.
    pub accelerator: Accelerator,
    /// Board and firmware, where the study does not try several.
    pub machine: MachineType,
    /// How often each measurement is made; `None`: as often as the study does by itself.
    pub runs: Option<usize>,
    /// The shortest run that shows that all of it works. Its figures are worth nothing, and are not written.
    pub smoke: bool,
    /// All in one file for somebody else, instead of the files in `docs/benchmarks`.
    pub report: bool,
    /// Who is left out.
    pub without: Vec<Who>,
}

impl Options {
    /// Their description.
    pub const USAGE: &str = "\
  --runs N           how often each measurement is made
  --machine TYPE     microvm, q35, pc, ..: where the study does not try several [default: microvm]
  --accel ACCEL      auto, tcg or kvm [default: auto]
  --without WHO      leaves a guest out: toro, toro-spin, toro-linux, linux-cloud, linux-trimmed; may be repeated
  --report           writes one file with everything, to send in, instead of those in docs/benchmarks
  --smoke            the shortest run, whose figures are worth nothing: shows that all of it works";

    /// Reads them.
    pub fn parse(words: &[&str]) -> Result<Options> {
        let mut options = Options {
            accelerator: Accelerator::Auto,
            machine: MachineType::Microvm,
            runs: None,
            smoke: false,
            report: false,
            without: Vec::new(),
        };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().copied().with_context(|| format!("{word} needs a value"));
            match *word {
                "--runs" => {
                    let runs = value()?.parse().ok().filter(|runs| *runs > 0);
                    options.runs = Some(runs.context("--runs takes a number")?);
                }
                "--machine" => options.machine = MachineType::parse(value()?).context("no such machine")?,
                "--accel" => {
                    let (name, all) = (value()?, [Accelerator::Auto, Accelerator::Tcg, Accelerator::Kvm]);
                    let found = all.into_iter().find(|accelerator| accelerator.name() == name);
                    options.accelerator = found.context("--accel takes auto, tcg or kvm")?;
                }
                "--without" => {
                    let name = value()?;
                    options.without.push(Who::parse(name).with_context(|| format!("there is no guest {name}"))?);
                }
                "--report" => options.report = true,
                "--smoke" => options.smoke = true,
                other => bail!("unknown option {other}\n{}", Self::USAGE),
            }
        }
        if options.accelerator == Accelerator::Auto {
            let choice = probe::choose(&qemu::program(None)).map_err(|error| anyhow::anyhow!("{error}"))?;
            options.accelerator = choice.accelerator;
        }
        Ok(options)
    }

    /// How often a measurement is made that the study would make `usual` times.
    pub fn runs(&self, usual: usize) -> usize {
        if self.smoke { 1 } else { self.runs.unwrap_or(usual) }
    }

    /// Where files go.
    pub fn folder(&self) -> PathBuf {
        let root = artifact::root();
        if self.smoke || self.report { root.join("target/bench") } else { root.join("docs/benchmarks") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_mistakes_named() {
        let options = Options::parse(&["--accel", "tcg", "--runs", "3", "--without", "toro-spin", "--report"]).unwrap();
        assert_eq!((options.runs(9), options.report, options.without), (3, true, vec![Who::ToroSpin]));
        for (words, named) in [(&["--runs", "0"][..], "--runs"), (&["--without", "me"], "me"), (&["--fast"], "--fast")]
        {
            let words = [&["--accel", "tcg"], words].concat();
            assert!(Options::parse(&words).unwrap_err().to_string().contains(named), "{words:?}");
        }
    }
}
