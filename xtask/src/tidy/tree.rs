//! The repository's text files, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

/// Extensions that are read; other files are only known to exist.
const TEXT: &[&str] = &["rs", "md", "toml", "lock", "ld", "json"];
/// Folders that are no part of the sources.
const SKIPPED: &[&str] = &["target", ".git"];

/// Every file, by its path from the root with `/` between.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) files: BTreeSet<String>,
    pub(crate) folders: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.walk(root, "")?;
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.walk(&entry.path(), &format!("{path}/"))?;
                    self.folders.insert(path);
                }
                continue;
            }
            let is_text = name.rsplit_once('.').is_some_and(|(_, extension)| TEXT.contains(&extension));
            if is_text {
                let text = std::fs::read_to_string(entry.path()).with_context(|| path.clone())?;
                self.texts.insert(path.clone(), text);
            }
            self.files.insert(path);
        }
        Ok(())
    }

    /// A tree of the given texts, for tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(texts: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in texts {
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
            tree.files.insert((*path).to_owned());
            for (end, _) in path.match_indices('/') {
                tree.folders.insert(path[..end].to_owned());
            }
        }
        tree
    }

    /// The texts whose path ends in `extension`.
    pub(crate) fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let texts = self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        texts.filter(move |(path, _)| path.ends_with(extension))
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains(path) || self.folders.contains(path)
    }
}
