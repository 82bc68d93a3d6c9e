//! The counts recorded in the repository: none may grow by more than 5 % (a few that move with the host: more) unless they are recorded anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::artifact;
use crate::report::{Report, number};

/// Growth that fails the check.
const GROWTH_MAX: f64 = 1.05;
/// More is allowed to these: a host decides which packets of a connection's beginning and end arrive together.
const LOOSE: [(&str, f64); 1] = [("connection_tenth", 1.15)];
/// Figures this small (wake-ups, exits a request) are compared with a margin of their own.
const MARGIN: f64 = 0.05;

/// Figures by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    counts: BTreeMap<String, f64>,
}

fn path() -> PathBuf {
    artifact::root().join("benches/baseline.json")
}

fn growth_max(key: &str) -> f64 {
    LOOSE.iter().find(|(loose, _)| *loose == key).map_or(GROWTH_MAX, |&(_, growth)| growth)
}

impl Baseline {
    /// The recorded figures.
    pub fn load() -> Result<Baseline> {
        let path = path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a baseline", path.display()))
    }

    /// The steady figures of a run.
    pub fn of(report: &Report) -> Baseline {
        let steady = report.rows.iter().filter(|row| row.steady);
        let rounded = |value: f64| {
            if value < 100.0 { (value * 100.0).round() / 100.0 } else { value.round() }
        };
        Baseline { counts: steady.map(|row| (row.key.to_owned(), rounded(row.value))).collect() }
    }

    /// Of each figure the lower one, of two runs; one that only one of them has, as it is.
    #[must_use]
    pub fn lower_of(&self, other: &Baseline) -> Baseline {
        let mut lower = self.clone();
        for (key, &value) in &other.counts {
            lower.counts.entry(key.clone()).and_modify(|known| *known = known.min(value)).or_insert(value);
        }
        lower
    }

    /// Writes the figures into the repository.
    pub fn record(&self) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path(), text).context("cannot write the baseline")
    }

    /// One line for each figure that grew too much or is missing on one side.
    pub fn compare(&self, now: &Baseline) -> Vec<String> {
        let mut complaints = Vec::new();
        for (key, &recorded) in &self.counts {
            match now.counts.get(key) {
                None => complaints.push(format!("{key}: recorded as {}, not measured now", number(recorded))),
                Some(&value) if value > recorded * growth_max(key) + MARGIN => {
                    let percent = (value / recorded - 1.0) * 100.0;
                    let (value, recorded) = (number(value), number(recorded));
                    complaints.push(format!("{key}: {value}, recorded {recorded} ({percent:+.1} %)"));
                }
                Some(_) => {}
            }
        }
        let unknown = now.counts.keys().filter(|key| !self.counts.contains_key(*key));
        complaints.extend(unknown.map(|key| format!("{key}: measured, but not in the baseline")));
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(counts: &[(&str, f64)]) -> Baseline {
        Baseline { counts: counts.iter().map(|&(key, value)| (key.to_owned(), value)).collect() }
    }

    #[test]
    fn growth_beyond_five_percent_is_named() {
        let recorded = baseline(&[("a", 1000.0), ("b", 0.0), ("c", 10.0)]);
        let fine = baseline(&[("a", 1049.0), ("b", 0.0), ("c", 2.0)]);
        assert_eq!(recorded.compare(&fine), Vec::<String>::new());
        let grown = baseline(&[("a", 1051.0), ("b", 0.2), ("c", 10.0)]);
        let complaints = recorded.compare(&grown);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("a: 1,051, recorded 1,000 (+5.1 %)"), "{complaints:?}");
    }

    #[test]
    fn what_moves_with_the_host_may_grow_more() {
        let recorded = baseline(&[("connection_tenth", 1000.0)]);
        assert_eq!(recorded.compare(&baseline(&[("connection_tenth", 1140.0)])), Vec::<String>::new());
        assert_eq!(recorded.compare(&baseline(&[("connection_tenth", 1160.0)])).len(), 1);
    }

    #[test]
    fn of_two_runs_the_lower_figures_count() {
        let lower = baseline(&[("a", 3.0), ("b", 1.0)]).lower_of(&baseline(&[("a", 2.0), ("b", 4.0), ("c", 5.0)]));
        assert_eq!(lower, baseline(&[("a", 2.0), ("b", 1.0), ("c", 5.0)]));
    }

    #[test]
    fn a_figure_on_one_side_only_is_named() {
        let complaints = baseline(&[("a", 1.0)]).compare(&baseline(&[("b", 1.0)]));
        assert_eq!(complaints.len(), 2, "{complaints:?}");
    }
}
