//! All studies, one after the other, each by a process of its own: one that fails does not take the others with it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::NAMES;
use crate::study::{Host, Options, write};

/// Runs them with these options, which are `words`, too. With `--report` there is one file of all, beside whoever calls.
pub fn run(options: &Options, words: &[&str]) -> Result<bool> {
    let program = std::env::current_exe().context("where is this program?")?;
    let here = std::env::current_dir().context("where am I?")?;
    let scratch = here.join(write::report_name("parts", &Host::look(options)?)).with_extension("");
    let folder = if options.report { &scratch } else { &here };
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut all_measured = true;
    for name in NAMES {
        eprintln!("{name}");
        let status = Command::new(&program).arg(name).args(words).current_dir(folder).status();
        all_measured &= status.with_context(|| program.display().to_string())?.success();
    }
    if options.report {
        let file = here.join(write::report_name("all", &Host::look(options)?));
        fs::write(&file, serde_json::to_string_pretty(&merged(&scratch)?)? + "\n")
            .with_context(|| file.display().to_string())?;
        fs::remove_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
        eprintln!("written: {}", file.display());
    }
    Ok(all_measured)
}

/// What the studies wrote there, in their order.
fn merged(folder: &Path) -> Result<Vec<Value>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let read = |path: &Path| Ok::<Value, anyhow::Error>(serde_json::from_str(&fs::read_to_string(path)?)?);
    let mut studies = entries
        .flatten()
        .map(|entry| read(&entry.path()).with_context(|| entry.path().display().to_string()))
        .collect::<Result<Vec<Value>>>()?;
    studies.sort_by_key(|study| NAMES.iter().position(|name| study["name"] == **name));
    Ok(studies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_become_one_in_the_order_of_the_studies() {
        let folder = std::env::temp_dir().join(format!("toro-all-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["idle", "cpu-usage"] {
            fs::write(folder.join(format!("{name}.json")), format!("{{\"name\": \"{name}\"}}")).unwrap();
        }
        let studies = merged(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            studies.iter().map(|study| study["name"].as_str()).collect::<Vec<_>>(),
            [Some("cpu-usage"), Some("idle")]
        );
    }
}
