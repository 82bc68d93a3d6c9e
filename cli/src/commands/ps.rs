//! `toro ps`: the guests in the background, one a line.

use crate::args::PsArgs;
use crate::background::store::Store;
use crate::ui::Page;
use std::time::Duration;
use toro_vmm::Error;

/// Prints a table.
pub(crate) fn ps(args: &PsArgs) -> Result<u8, Error> {
    let guests = Store::open()?.list()?;
    let shown = guests.iter().filter(|(_, state)| args.all || !state.has_ended());
    let mut rows = vec![["NAME", "STATE", "UPTIME", "OUTCOME", "PORTS"].map(str::to_owned)];
    rows.extend(shown.map(|(entry, state)| {
        let uptime = state.uptime().map_or("?".into(), short);
        [entry.name().to_owned(), state.stage().to_owned(), uptime, state.outcome_text(), state.ports_text()]
    }));
    let mut page = Page::default();
    table(&rows).for_each(|line| page.line(line));
    page.print()?;
    Ok(0)
}

/// Lines with columns below each other.
fn table<const N: usize>(rows: &[[String; N]]) -> impl Iterator<Item = String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    rows.iter().map(move |row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    })
}

/// `41s`, `3m12s`, `2h5m`, `3d4h`.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (192, "3m12s"), (7500, "2h5m"), (273_600, "3d4h")] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["NAME", "STATE", ""], ["a-long-name", "up", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows).collect::<Vec<_>>(), ["NAME         STATE", "a-long-name  up"]);
    }
}
