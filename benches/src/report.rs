//! Rows of figures, printed beside their targets and written as JSON.

use std::fmt::Write;

use serde::Serialize;

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Only to be seen.
    None,
}

impl Target {
    fn met_by(self, value: f64) -> Option<bool> {
        match self {
            Target::AtMost(limit) => Some(value <= limit),
            Target::AtLeast(limit) => Some(value >= limit),
            Target::None => None,
        }
    }
}

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name in the baseline and in JSON.
    pub key: &'static str,
    /// What was measured, for a reader.
    pub what: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// The figure; the median where several runs were made.
    pub value: f64,
    /// What it must be.
    pub target: Target,
    /// True for figures that do not depend on how busy the host is: the baseline holds them.
    pub steady: bool,
}

/// The rows of one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// In the order of measuring.
    pub rows: Vec<Row>,
    /// Measurements that could not be made, and why.
    pub failures: Vec<(&'static str, String)>,
}

impl Report {
    /// Adds a figure, or why there is none; and says so at once, since a whole run takes minutes.
    pub fn add(&mut self, row: Row, value: anyhow::Result<f64>) {
        match value {
            Ok(value) => {
                let row = Row { value, ..row };
                eprintln!("  {}: {} {}", row.what, number(value), row.unit);
                self.rows.push(row);
            }
            Err(error) => {
                eprintln!("  {}: failed: {error:#}", row.what);
                self.failures.push((row.key, format!("{error:#}")));
            }
        }
    }

    /// A figure that was measured before.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.key == key).map(|row| row.value)
    }

    /// The rows as a table.
    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let target = match row.target {
                Target::AtMost(limit) => format!("at most {}", number(limit)),
                Target::AtLeast(limit) => format!("at least {}", number(limit)),
                Target::None => String::new(),
            };
            let verdict = row.target.met_by(row.value).map_or("", |met| if met { "reached" } else { "NOT reached" });
            let (what, value, unit) = (row.what, number(row.value), row.unit);
            // Writing to a string cannot fail.
            writeln!(text, "{what:width$}  {value:>12} {unit:<14} {target:<18} {verdict}").unwrap_or_default();
        }
        for (key, why) in &self.failures {
            writeln!(text, "{key}: not measured: {why}").unwrap_or_default();
        }
        text
    }
}

/// What came of a measurement that has several figures, for one of them: each tells the error.
pub(crate) fn shared<T>(result: &anyhow::Result<T>) -> anyhow::Result<&T> {
    result.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// A figure with as many digits as it deserves and its thousands apart.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < 100.0 {
        let text = format!("{value:.3}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let cases = [(0.0, "0"), (1.0, "1"), (0.0251, "0.025"), (999.6, "1,000"), (1_234_567.0, "1,234,567")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_target_on_the_line_is_met() {
        assert_eq!(Target::AtMost(2.0).met_by(2.0), Some(true));
        assert_eq!(Target::AtMost(2.0).met_by(2.1), Some(false));
        assert_eq!(Target::AtLeast(2.0).met_by(1.9), Some(false));
        assert_eq!(Target::None.met_by(1.0), None);
    }
}
