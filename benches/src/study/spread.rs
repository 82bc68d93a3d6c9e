//! A figure with its spread: the median of several runs, the lowest and the highest.

use serde::Serialize;

/// Several runs of one measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The run in the middle.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// All of them, in order of time.
    pub runs: Vec<f64>,
}

impl Spread {
    /// Of these runs; `None` when there are none.
    pub fn of(runs: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let runs: Vec<f64> = runs.into_iter().filter(|run| run.is_finite()).collect();
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        Some(Spread { median: quantile(&sorted, 0.5), low, high, runs })
    }

    /// Of one run.
    pub fn one(value: f64) -> Option<Spread> {
        Spread::of([value])
    }

    /// The value that this share of the runs does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        quantile(&sorted, share)
    }
}

/// Of sorted values: the mean of the two in the middle, where there are two; else by rank.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// What each run of `one` is of the run of `other` beside it: pairs, so that a busy minute of the host meets both.
pub fn ratios(one: &[f64], other: &[f64]) -> Option<Spread> {
    Spread::of(one.iter().zip(other).map(|(one, other)| one / other))
}

/// The same, as differences.
pub fn differences(one: &[f64], other: &[f64]) -> Option<Spread> {
    Spread::of(one.iter().zip(other).map(|(one, other)| one - other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends_are_found() {
        let spread = Spread::of([3.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!((spread.median, spread.low, spread.high), (2.5, 1.0, 10.0));
        assert_eq!(spread.quantile(1.0), 10.0);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN]), None, "a figure that is none");
    }

    #[test]
    fn pairs_are_compared_one_by_one() {
        let slow_minute = [1.0, 10.0, 1.0];
        let other = [2.0, 20.0, 2.0];
        assert_eq!(ratios(&slow_minute, &other).unwrap().runs, [0.5, 0.5, 0.5]);
        assert_eq!(differences(&other, &slow_minute).unwrap().runs, [1.0, 10.0, 1.0]);
    }
}
