//! Which package may depend on which: read from the manifests, compared with the map's table.
//!
//! A row of the map begins with a back-ticked folder, and its last cell names, back-ticked, the folders that
//! packages in there may use: "| `vmm` | starts a guest | `crates/abi` |". A folder's packages may use each other.

use std::collections::BTreeMap;

use crate::tidy::tree::Tree;

const MAP: &str = "ARCHITECTURE.md";

/// A row of the map.
struct Row<'a> {
    folder: &'a str,
    may_use: Vec<&'a str>,
}

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let rows = tree.texts.get(MAP).map(|map| rows(map)).unwrap_or_default();
    let packages = packages(tree);
    let mut complaints = Vec::new();
    for (folder, manifest) in packages.values() {
        let Some(row) = row_of(&rows, folder) else {
            complaints.push(format!("{MAP}: no row of the map is about `{folder}`"));
            continue;
        };
        for dependency in dependencies(manifest) {
            let Some((target, _)) = packages.get(dependency) else { continue };
            let same_row = row_of(&rows, target).is_some_and(|other| other.folder == row.folder);
            if !same_row && !row.may_use.iter().any(|allowed| is_inside(target, allowed)) {
                complaints.push(format!(
                    "{MAP}: by its row `{}` may not depend on `{target}`, but {folder} does",
                    row.folder
                ));
            }
        }
    }
    complaints
}

fn rows(map: &str) -> Vec<Row<'_>> {
    map.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.split('|').collect();
            let folder = ticked(cells.first()?).next()?;
            Some(Row { folder, may_use: ticked(cells.last()?).collect() })
        })
        .collect()
}

fn ticked(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).map(|word| word.trim_end_matches('/'))
}

/// The row with the longest folder around `folder`.
fn row_of<'a, 'b>(rows: &'b [Row<'a>], folder: &str) -> Option<&'b Row<'a>> {
    rows.iter().filter(|row| is_inside(folder, row.folder)).max_by_key(|row| row.folder.len())
}

fn is_inside(folder: &str, around: &str) -> bool {
    let around = around.trim_end_matches("/*");
    folder == around || folder.strip_prefix(around).is_some_and(|rest| rest.starts_with('/'))
}

/// Folder and manifest of our packages, by name.
fn packages(tree: &Tree) -> BTreeMap<&str, (&str, &str)> {
    let manifests = tree.with_extension("/Cargo.toml");
    manifests
        .filter_map(|(path, text)| Some((package_name(text)?, (path.strip_suffix("/Cargo.toml")?, text))))
        .collect()
}

/// The entries of the sections that are wanted, of a manifest written one entry a line as all of ours are.
fn section(manifest: &str, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[') {
            inside = wanted(name.trim_end().trim_end_matches(']'));
        }
        if inside { line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) } else { None }
    })
}

fn package_name(manifest: &str) -> Option<&str> {
    let mut entries = section(manifest, |name| name == "package");
    entries.find(|(key, _)| *key == "name").map(|(_, value)| value.trim_matches('"'))
}

/// What a package is built with; development dependencies are no arrows.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let is_build =
        |name: &str| name == "dependencies" || name == "build-dependencies" || name.ends_with(".dependencies");
    section(manifest, is_build).map(|(key, value)| {
        let renamed = value.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
        renamed.unwrap_or_else(|| key.split('.').next().unwrap_or(key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VMM: &str = "[package]\nname = \"toro-vmm\"\n\n[dependencies]\nabi = { package = \"toro-abi\", path = \"\" }\nserde = \"1\"\n";
    const ABI: &str = "[package]\nname = \"toro-abi\"\n\n[dev-dependencies]\ntoro-vmm = \"1\"\n";

    #[test]
    fn manifests_must_keep_to_the_map() {
        let tree = |map: &str| Tree::of(&[(MAP, map), ("vmm/Cargo.toml", VMM), ("crates/abi/Cargo.toml", ABI)]);
        let abi = "| `crates/abi` | interface | nothing |\n";
        assert_eq!(check(&tree(&format!("{abi}| `vmm` | starts | `crates/*` |"))), Vec::<String>::new());
        assert_eq!(check(&tree(&format!("{abi}| `vmm` | starts | nothing |"))).len(), 1);
        assert_eq!(check(&tree(abi)).len(), 1, "no row about vmm");
    }
}
