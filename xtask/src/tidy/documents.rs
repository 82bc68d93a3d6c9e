//! Documents name only what exists, and the map names everything.

use crate::syscalls;
use crate::tidy::tree::Tree;

const MAP: &str = "ARCHITECTURE.md";
/// A generated page says so, and from what, on its first line.
const GENERATED: &str = "<!-- generated from ";

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    [paths_exist(tree), map_is_complete(tree), generated_pages_are_fresh(tree), calls_are_fresh(tree)].concat()
}

/// Every back-ticked path in a document exists.
fn paths_exist(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (document, text) in tree.with_extension(".md") {
        for (number, line) in text.lines().enumerate() {
            for path in ticked(line).filter(|word| is_path(tree, word)) {
                // A document below the root may name its neighbours.
                let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
                if !tree.exists(path) && !tree.exists(&format!("{folder}/{path}")) {
                    complaints.push(format!("{document}:{}: `{path}` does not exist", number + 1));
                }
            }
        }
    }
    complaints
}

/// What stands between single back ticks on a line.
fn ticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A word that starts with one of our top folders, or names a document, is meant as a path.
fn is_path(tree: &Tree, word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    if word.is_empty() || !word.bytes().all(plain) || word.starts_with("target/") {
        return false;
    }
    match word.split_once('/') {
        Some((first, _)) => tree.folders.contains(first),
        None => word.ends_with(".md"),
    }
}

/// Every top folder is named in the map, itself or by a folder in it. (`crates` asks a row for each package.)
fn map_is_complete(tree: &Tree) -> Vec<String> {
    let Some(map) = tree.texts.get(MAP) else { return vec![format!("{MAP} does not exist")] };
    let named: Vec<&str> = map.lines().flat_map(ticked).collect();
    let is_named = |folder: &str| named.iter().any(|path| path.split('/').next() == Some(folder));
    let top = tree.folders.iter().filter(|folder| !folder.contains('/') && !folder.starts_with('.'));
    top.filter(|folder| !is_named(folder)).map(|folder| format!("{MAP}: `{folder}/` is not in the map")).collect()
}

/// A page generated from a file has that file's `//!` header as its text.
fn generated_pages_are_fresh(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (page, text) in tree.with_extension(".md") {
        let Some((first, body)) = text.split_once('\n') else {
            continue;
        };
        let Some(source) = first.strip_prefix(GENERATED).and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        match tree.texts.get(source) {
            None => complaints.push(format!("{page}: its source {source} does not exist")),
            Some(source_text) if header(source_text) != body.trim() => {
                complaints.push(format!("{page} differs from the header of {source}"));
            }
            Some(_) => {}
        }
    }
    complaints
}

/// The page of system calls is what their table says.
fn calls_are_fresh(tree: &Tree) -> Vec<String> {
    match tree.texts.get(syscalls::PAGE) {
        Some(text) if *text == syscalls::page() => Vec::new(),
        _ => vec![format!("{} differs from the table of calls; `cargo xtask syscalls` writes it", syscalls::PAGE)],
    }
}

fn header(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_found() {
        let tree = Tree::of(&[
            ("README.md", "see `vmm/src/lib.rs`, `vmm/src/gone.rs`, `cargo run`, `GONE.md` and `not/ours`"),
            ("vmm/src/lib.rs", ""),
        ]);
        let complaints = paths_exist(&tree);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].contains("`vmm/src/gone.rs`") && complaints[1].contains("`GONE.md`"));
    }

    #[test]
    fn a_folder_missing_from_the_map_is_found() {
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", "`crates/abi` is the interface; `vmm` starts"),
            ("crates/abi/Cargo.toml", ""),
            ("vmm/Cargo.toml", ""),
            ("docs/page.md", ""),
        ]);
        assert_eq!(map_is_complete(&tree), ["ARCHITECTURE.md: `docs/` is not in the map"]);
    }

    #[test]
    fn a_page_differs_from_its_source() {
        let page = "<!-- generated from a/b.rs -->\nRole.\n\nMore.\n";
        let fresh = Tree::of(&[("docs/b.md", page), ("a/b.rs", "//! Role.\n//!\n//! More.\n")]);
        assert_eq!(generated_pages_are_fresh(&fresh), Vec::<String>::new());
        let stale = Tree::of(&[("docs/b.md", page), ("a/b.rs", "//! Another role.\n")]);
        assert_eq!(generated_pages_are_fresh(&stale).len(), 1);
    }
}
