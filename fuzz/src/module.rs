//! Boot modules made of arbitrary bytes, modules that the writer made with some bytes changed, and trees in any order.

use crate::Input;
use std::io::Cursor;
use toro_abi::module::{Contents, Metadata, Module, PAGE_BYTES, Tree};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => check(input.rest()),
        1 => {
            let mut bytes = written(&mut input, 6);
            while !input.is_empty() {
                let at = usize::from(input.u16()) % bytes.len();
                bytes[at] = input.byte();
            }
            check(&bytes);
        }
        _ => {
            let bytes = written(&mut input, usize::MAX);
            Module::parse(&bytes).expect("the writer writes what the reader reads");
            check(&bytes);
        }
    }
}

/// The module of a tree that as many steps made.
fn written(input: &mut Input<'_>, steps: usize) -> Vec<u8> {
    let mut tree = Tree::new();
    let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
    for _ in 0..steps.min(input.rest().len()) {
        let (kind, base, name) = (input.byte(), usize::from(input.byte()), input.byte());
        let mut path = paths[base % paths.len()].clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.push(name);
        let metadata = Metadata::with_mode(u16::from(kind) << 4);
        let put = match kind % 6 {
            0 | 1 => tree.directory(&path, metadata),
            2 => tree.file(&path, metadata, kind.into(), vec![name; kind.into()]),
            3 => tree.symlink(&path, metadata, &[name]),
            4 => tree.hard_link(&path, &paths[usize::from(name) % paths.len()]),
            _ => {
                tree.remove(&path);
                Ok(())
            }
        };
        if put.is_ok() {
            paths.push(path);
        }
    }
    let mut bytes = Vec::new();
    tree.write(&mut bytes, |contents| Ok(Cursor::new(contents.clone()))).expect("all contents are there");
    assert_eq!(bytes.len() as u64, tree.module_bytes());
    bytes
}

/// What is promised of a module that is accepted.
fn check(bytes: &[u8]) {
    let module = match Module::parse(bytes) {
        Ok(module) => module,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(module.entries().count(), module.len());
    for (number, entry) in module.entries().enumerate() {
        assert_eq!((module.find(entry.path), module.get(number)), (Some(entry), Some(entry)));
        match entry.parent() {
            None => assert_eq!(number, 0),
            Some(parent) => {
                let directory = module.find(parent).expect("the directory of each is there");
                assert_eq!(directory.contents, Contents::Directory);
                assert!(module.inside(parent).any(|inside| inside == entry));
            }
        }
        if let Contents::File(file) = entry.contents {
            assert!(file.number <= number && file.pages().len() == file.data().len().next_multiple_of(PAGE_BYTES));
            assert!(
                file.pages().is_empty() || (file.pages().as_ptr().addr() - bytes.as_ptr().addr()) % PAGE_BYTES == 0
            );
        }
    }
}
