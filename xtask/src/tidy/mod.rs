//! `cargo xtask tidy`: rules about documents and sources that a machine can hold.
//!
//! Each rule looks at the whole tree and gives complaints, one line each; `tree` reads the files once.

mod crates;
mod documents;
mod sources;
mod tree;

use anyhow::{Result, bail};

use tree::Tree;

/// Runs all rules.
pub(crate) fn tidy() -> Result<()> {
    let complaints = complaints(&Tree::read(&crate::run::root())?);
    for complaint in &complaints {
        println!("tidy: {complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => bail!("{count} places are not tidy"),
    }
}

fn complaints(tree: &Tree) -> Vec<String> {
    [documents::check(tree), crates::check(tree), sources::check(tree)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let tree = Tree::read(&crate::run::root()).unwrap();
        assert_eq!(complaints(&tree), Vec::<String>::new());
    }
}
