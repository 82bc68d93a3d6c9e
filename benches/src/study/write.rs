//! A study told: as a table for the terminal, as JSON and CSV, or as one file to send in.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Host, Options, Spread, Study, Table};
use crate::report::number;

impl Study {
    /// Prints the tables, and writes the files that the options ask for. `draw` makes the pictures, in that folder; of one
    /// to send in there are none, since they can be made from it.
    pub fn tell(
        mut self,
        options: &Options,
        draw: impl FnOnce(&Study, &std::path::Path) -> Result<()>,
    ) -> Result<bool> {
        self.withhold_failed();
        // A thousandth of a second or of a per cent is what anybody can see.
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        for series in &mut self.series {
            series.points.iter_mut().for_each(|point| *point = (rounded(point.0), rounded(point.1)));
        }
        println!("{}\n{}\n", self.host.line(), self.load);
        for table in &self.tables {
            println!("{}", table.text());
        }
        for failure in &self.failures {
            println!("{}, {}: no figure: {}", failure.guest, failure.doing, failure.why);
        }
        let folder = options.folder();
        fs::create_dir_all(&folder)?;
        let json = serde_json::to_string_pretty(&self)? + "\n";
        let written = if options.report {
            let file = PathBuf::from(report_name(self.name, &self.host));
            fs::write(&file, json).with_context(|| file.display().to_string())?;
            file.display().to_string()
        } else {
            fs::write(folder.join(format!("{}.json", self.name)), json)?;
            fs::write(folder.join(format!("{}.csv", self.name)), self.figures_csv())?;
            if !self.series.is_empty() {
                fs::write(folder.join(format!("{}-series.csv", self.name)), self.series_csv())?;
            }
            draw(&self, &folder)?;
            format!("{}/{}.*", folder.display(), self.name)
        };
        eprintln!("written: {written}");
        Ok(self.failures.is_empty())
    }

    fn figures_csv(&self) -> String {
        let mut text = "table,row,column,unit,median,low,high,runs\n".to_owned();
        for table in &self.tables {
            for (row, figures) in &table.rows {
                for ((column, unit), figure) in table.columns.iter().zip(figures) {
                    let Some(Spread { median, low, high, runs }) = figure else { continue };
                    let runs: Vec<String> = runs.iter().map(f64::to_string).collect();
                    let words = [&table.title, row, column, unit].map(|word| quoted(word)).join(",");
                    // Writing to a string cannot fail.
                    writeln!(text, "{words},{median},{low},{high},{}", runs.join(" ")).unwrap_or_default();
                }
            }
        }
        text
    }

    fn series_csv(&self) -> String {
        let mut text = "panel,name,x,y\n".to_owned();
        for series in &self.series {
            let name = [&series.panel, &series.name].map(|word| quoted(word)).join(",");
            for (x, y) in &series.points {
                writeln!(text, "{name},{x},{y}").unwrap_or_default();
            }
        }
        text
    }
}

fn quoted(word: &str) -> String {
    if word.contains([',', '"']) { format!("\"{}\"", word.replace('"', "\"\"")) } else { word.to_owned() }
}

/// Name of the file to send in.
pub fn report_name(study: &str, host: &Host) -> String {
    format!("toro-{study}-{}.json", stamp(&host.processor, &host.date))
}

/// A part of a file's name.
fn stamp(processor: &str, date: &str) -> String {
    let plain = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-").to_lowercase()
    };
    format!("{}-{}", plain(processor), plain(date))
}

impl Table {
    /// For the terminal: rows below each other, each figure with its spread if it has one.
    pub fn text(&self) -> String {
        let cell = |figure: &Option<Spread>| match figure {
            None => "-".to_owned(),
            Some(figure) if figure.runs.len() < 2 => number(figure.median),
            Some(Spread { median, low, high, .. }) => {
                format!("{} [{}..{}]", number(*median), number(*low), number(*high))
            }
        };
        let rows: Vec<(String, Vec<String>)> =
            self.rows.iter().map(|(name, figures)| (name.clone(), figures.iter().map(cell).collect())).collect();
        let name_width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let heads: Vec<String> = self.columns.iter().map(|(name, unit)| format!("{name}, {unit}")).collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|(_, cells)| cells.get(column)).map(String::len);
            cells.chain([heads[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let line = |name: &str, cells: &[String]| {
            let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            format!("{name:name_width$}  {}\n", cells.join("  "))
        };
        let mut text = format!("{}\n{}", self.title, line("", &heads));
        rows.iter().for_each(|(name, cells)| text.push_str(&line(name, cells)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_columns_below_each_other() {
        let mut table = Table::new("idle", &[("CPU", "%"), ("wake-ups", "a second")]);
        table.row("toro", vec![Spread::of([0.5, 0.25, 1.0]), Spread::one(0.0)]);
        table.row("linux", vec![None, Spread::one(8.25)]);
        let text = "idle\n              CPU, %  wake-ups, a second\ntoro   0.5 [0.25..1]                   0\n\
                    linux              -                8.25\n";
        assert_eq!(table.text(), text);
        assert_eq!(table.median("toro", "CPU"), Some(0.5));
        assert_eq!(table.median("linux", "CPU"), None);
    }

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(stamp("Intel(R) Xeon(R) @ 2.0GHz", "2026-01-02 03:04"), "intel-r-xeon-r-2-0ghz-2026-01-02-03-04");
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
