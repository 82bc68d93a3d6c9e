//! What the studies share: whom they compare, on which host, with what spread, and how it is told.
//!
//! A study measures several guests in turns, each round in another order, so that whatever the host does meets all of them.
//! What comes out is a [`Study`]: tables of figures with their spread, the series behind a picture, the commands that started
//! each guest, and the host. A guest that fails has a line that says why, and no figure.

pub mod host;
pub mod options;
pub mod plot;
pub mod progress;
pub mod spread;
pub mod subject;
pub mod write;

use serde::Serialize;

pub use host::Host;
pub use options::Options;
pub use progress::Progress;
pub use spread::Spread;
pub use subject::{Subject, Who};

/// All that a study has to tell.
#[derive(Debug, Serialize)]
pub struct Study {
    /// Name of the benchmark, and of its files.
    pub name: &'static str,
    /// What was done to the guests, in a sentence or two.
    pub load: String,
    /// Where.
    pub host: Host,
    /// The command line of each guest's VMM, by the guest's name.
    pub commands: Vec<(String, String)>,
    /// The figures.
    pub tables: Vec<Table>,
    /// What is behind the pictures.
    pub series: Vec<Series>,
    /// What could not be measured, and why.
    pub failures: Vec<Failure>,
}

/// Figures of some subjects, or of some settings.
#[derive(Debug, Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Name and unit of each column.
    pub columns: Vec<(String, String)>,
    /// Name and figures of each row; `None`: not measured.
    pub rows: Vec<(String, Vec<Option<Spread>>)>,
}

/// A curve.
#[derive(Debug, Serialize)]
pub struct Series {
    /// Which picture, or part of one.
    pub panel: String,
    /// Whose.
    pub name: String,
    /// What `x` and `y` are, with their units.
    pub axes: (String, String),
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// Something that could not be measured.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// Which guest.
    pub guest: String,
    /// Doing what.
    pub doing: String,
    /// What happened.
    pub why: String,
}

impl Study {
    /// An empty one.
    pub fn new(name: &'static str, load: String, options: &Options) -> anyhow::Result<Study> {
        let (commands, tables, series, failures) = Default::default();
        Ok(Study { name, load, host: Host::look(options)?, commands, tables, series, failures })
    }

    /// Notes the command line of a guest's VMM.
    pub fn note_command(&mut self, subject: &Subject, options: &Options) {
        self.commands.push((subject.name().to_owned(), subject.command(options, options.machine)));
    }

    /// What was measured, or a failure that is told at once and kept.
    pub fn keep<T>(&mut self, guest: &str, doing: &str, result: anyhow::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let why = format!("{error:#}");
                eprintln!("\r{guest}, {doing}: failed: {why}");
                self.failures.push(Failure { guest: guest.to_owned(), doing: doing.to_owned(), why });
                None
            }
        }
    }

    /// Takes out the figures of guests that failed: what is left of their runs would pass for all of them. Who failed in what
    /// one table shows has no figure there, who failed otherwise has none at all.
    fn withhold_failed(&mut self) {
        for Failure { guest, doing, .. } in &self.failures {
            let is_of_one_table = self.tables.iter().any(|table| table.title == *doing);
            for table in self.tables.iter_mut().filter(|table| !is_of_one_table || table.title == *doing) {
                let rows = table.rows.iter_mut().filter(|(name, _)| name.split(" / ").any(|part| part == guest));
                rows.for_each(|(_, figures)| figures.fill(None));
            }
            self.series.retain(|series| is_of_one_table || series.name != *guest);
        }
    }
}

impl Table {
    /// One without rows.
    pub fn new(title: impl Into<String>, columns: &[(&str, &str)]) -> Table {
        let columns = columns.iter().map(|(name, unit)| ((*name).to_owned(), (*unit).to_owned())).collect();
        Table { title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, name: impl Into<String>, figures: Vec<Option<Spread>>) {
        self.rows.push((name.into(), figures));
    }

    /// The median in this row and column.
    pub fn median(&self, row: &str, column: &str) -> Option<f64> {
        let column = self.columns.iter().position(|(name, _)| name == column)?;
        let (_, figures) = self.rows.iter().find(|(name, _)| name == row)?;
        Some(figures.get(column)?.as_ref()?.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_fails_says_why_and_has_no_figure() {
        let options = Options::parse(&["--accel", "tcg"]).unwrap();
        let mut study = Study::new("none", String::new(), &options).unwrap();
        for title in ["16 connections", "10000 connections"] {
            let mut table = Table::new(title, &[("CPU", "%")]);
            for row in ["toro", "linux-cloud", "linux-trimmed", "toro / linux-cloud"] {
                table.row(row, vec![Spread::one(1.0)]);
            }
            study.tables.push(table);
        }
        assert_eq!(study.keep("linux-cloud", "starting", Err::<(), _>(anyhow::anyhow!("it is not well"))), None);
        study.keep("linux-trimmed", "10000 connections", Err::<(), _>(anyhow::anyhow!("too many")));
        study.withhold_failed();
        let figures = |table: usize| study.tables[table].rows.iter().map(|(_, figures)| figures[0].is_some());
        assert_eq!(figures(0).collect::<Vec<_>>(), [true, false, true, false]);
        assert_eq!(figures(1).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(study.failures[0].why, "it is not well");
    }
}
