//! Which package may depend on which: read from the manifests, compared with the map's list of arrows.
//!
//! The map has one line for each package that depends on others of this repository:
//! "- `toro-vmm` -> `toro-abi`". A package without a line depends on none.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::tree::Tree;

const MAP: &str = "ARCHITECTURE.md";

/// Dependencies on packages of this repository, by package.
type Arrows = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let drawn = tree.texts.get(MAP).map(|map| drawn(map)).unwrap_or_default();
    let real = real(tree);
    let mut complaints = Vec::new();
    for (package, targets) in &real {
        let allowed = drawn.get(package).cloned().unwrap_or_default();
        for target in targets.difference(&allowed) {
            complaints.push(format!("{MAP}: no arrow `{package}` -> `{target}`, but the manifest has it"));
        }
    }
    for (package, targets) in &drawn {
        let there = real.get(package).cloned().unwrap_or_default();
        for target in targets.difference(&there) {
            complaints.push(format!("{MAP}: arrow `{package}` -> `{target}` is in no manifest"));
        }
    }
    complaints
}

fn drawn(map: &str) -> Arrows {
    let mut arrows = Arrows::new();
    for line in map.lines() {
        let Some((from, to)) = line.trim_start_matches(['-', '*', ' ']).split_once(" -> ") else {
            continue;
        };
        let name = |text: &str| text.trim().strip_prefix('`')?.split_once('`').map(|(name, _)| name.to_owned());
        let Some(from) = name(from) else { continue };
        arrows.entry(from).or_default().extend(to.split(',').filter_map(name));
    }
    arrows
}

fn real(tree: &Tree) -> Arrows {
    let manifests: Vec<&str> =
        tree.with_extension("Cargo.toml").map(|(_, text)| text).filter(|text| text.contains("[package]")).collect();
    let ours: BTreeSet<&str> = manifests.iter().filter_map(|text| package_name(text)).collect();
    let mut arrows = Arrows::new();
    for manifest in manifests {
        let Some(package) = package_name(manifest) else {
            continue;
        };
        for dependency in dependencies(manifest).filter(|name| ours.contains(name)) {
            arrows.entry(package.to_owned()).or_default().insert(dependency.to_owned());
        }
    }
    arrows
}

/// The lines of a section, of a manifest written one entry a line as all of ours are.
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
    section(manifest, |name| name == "package")
        .find(|(key, _)| *key == "name")
        .map(|(_, value)| value.trim_matches('"'))
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
    fn arrows_and_manifests_must_agree() {
        let tree = |map: &str| Tree::of(&[(MAP, map), ("vmm/Cargo.toml", VMM), ("abi/Cargo.toml", ABI)]);
        assert_eq!(check(&tree("- `toro-vmm` -> `toro-abi`")), Vec::<String>::new());
        assert_eq!(check(&tree("")).len(), 1);
        assert_eq!(check(&tree("- `toro-vmm` -> `toro-abi`\n- `toro-abi` -> `toro-vmm`")).len(), 1);
    }
}
