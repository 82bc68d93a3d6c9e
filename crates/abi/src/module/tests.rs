//! What the writer writes is read back, and what nobody would write is refused.

use super::*;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::vec::Vec;

const FILE: Metadata = Metadata {
    mode: 0o4755,
    uid: 1000,
    gid: 100,
    mtime: Time { seconds: -1, nanoseconds: 999_999_999 },
    is_read_only: false,
};

fn written(tree: &Tree<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    tree.write(&mut bytes, |contents| Ok(io::Cursor::new(contents.clone()))).unwrap();
    assert_eq!(bytes.len() as u64, tree.module_bytes());
    bytes
}

fn file(tree: &mut Tree<Vec<u8>>, path: &str, contents: &[u8]) {
    tree.file(path.as_bytes(), FILE, contents.len() as u64, contents.to_vec()).unwrap();
}

fn paths<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<&'a str> {
    entries.map(|entry| core::str::from_utf8(entry.path).unwrap()).collect()
}

/// A tree with something of everything.
fn sample() -> Tree<Vec<u8>> {
    let mut tree = Tree::new();
    file(&mut tree, "bin/server", &[7; PAGE_BYTES + 1]);
    file(&mut tree, "bin.txt", b"page");
    file(&mut tree, "empty", b"");
    tree.hard_link(b"bin/alias", b"bin/server").unwrap();
    tree.symlink(b"latest", Metadata::with_mode(0o777), b"bin/server").unwrap();
    tree.directory(b"tmp", Metadata::with_mode(0o1777)).unwrap();
    tree.directory(b"data", Metadata { is_read_only: true, ..FILE }).unwrap();
    tree
}

fn data<'a>(module: &Module<'a>, path: &str) -> &'a [u8] {
    match module.find(path.as_bytes()).unwrap().contents {
        Contents::File(file) => file.data(),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn a_tree_is_read_back() {
    let bytes = written(&sample());
    assert_eq!(bytes.len(), PAGE_BYTES * 4);
    let module = Module::parse(&bytes).unwrap();
    assert_eq!(
        paths(module.entries()),
        ["", "bin", "bin/alias", "bin/server", "bin.txt", "data", "empty", "latest", "tmp"]
    );
    assert_eq!(module.entries().len(), module.len());
    let server = module.find(b"bin/server").unwrap();
    assert_eq!((server.metadata, server.name(), server.parent()), (FILE, &b"server"[..], Some(&b"bin"[..])));
    assert_eq!(data(&module, "bin/server"), [7; PAGE_BYTES + 1]);
    assert_eq!(data(&module, "bin.txt"), b"page");
    assert_eq!(data(&module, "empty"), b"");
    assert_eq!(module.find(b"bin").unwrap().metadata, Metadata::with_mode(0o755), "made on the way");
    assert_eq!(module.find(b"tmp").unwrap().metadata.mode, 0o1777);
    assert!(module.find(b"data").unwrap().metadata.is_read_only);
    assert_eq!(module.find(b"latest").unwrap().contents, Contents::Symlink(b"bin/server"));
    assert!(module.find(b"bin/").is_none() && module.find(b"zzz").is_none() && module.get(9).is_none());
    assert_eq!(paths(module.inside(b"bin")), ["bin/alias", "bin/server"]);
    assert_eq!((module.inside(b"").len(), module.inside(b"tmp").len(), module.inside(b"zzz").len()), (8, 0, 0));
}

#[test]
fn data_begins_at_pages_and_ends_in_zeros() {
    let bytes = written(&sample());
    let module = Module::parse(&bytes).unwrap();
    for entry in module.entries() {
        let Contents::File(file) = entry.contents else { continue };
        let (start, pages) = (file.data().as_ptr().addr() - bytes.as_ptr().addr(), file.pages());
        assert!(pages.is_empty() || start.is_multiple_of(PAGE_BYTES), "{entry:?}");
        assert_eq!(pages.len(), file.data().len().next_multiple_of(PAGE_BYTES));
        assert!(pages[file.data().len()..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn hard_links_are_one_file() {
    let bytes = written(&sample());
    let module = Module::parse(&bytes).unwrap();
    let number = |path: &[u8]| match module.find(path).unwrap().contents {
        Contents::File(file) => (file.number, file.data().as_ptr()),
        other => panic!("{other:?}"),
    };
    assert_eq!(number(b"bin/alias"), number(b"bin/server"));
    assert_eq!(number(b"bin/alias").0, 2, "the first of them");
    assert_ne!(number(b"bin.txt"), number(b"empty"));
}

#[test]
fn what_comes_later_replaces_what_is_there() {
    let mut tree = sample();
    file(&mut tree, "bin", b"a file now");
    tree.directory(b"bin.txt", FILE).unwrap();
    tree.directory(b"tmp", FILE).unwrap();
    file(&mut tree, "tmp/kept", b"");
    tree.directory(b"tmp", Metadata::with_mode(0o700)).unwrap();
    tree.directory(b"", Metadata::with_mode(0o555)).unwrap();
    tree.remove(b"lat");
    let bytes = written(&tree);
    let module = Module::parse(&bytes).unwrap();
    assert_eq!(paths(module.entries()), ["", "bin", "bin.txt", "data", "empty", "latest", "tmp", "tmp/kept"]);
    assert_eq!(module.find(b"tmp").unwrap().metadata.mode, 0o700);
    assert_eq!(module.get(0).unwrap().metadata.mode, 0o555);
    assert_eq!(tree.target(b"latest"), Some(&b"bin/server"[..]));
    assert_eq!(tree.source(b"bin").unwrap().1, b"a file now");
    assert!(tree.source(b"tmp").is_none() && tree.target(b"bin").is_none() && tree.is_directory(b"tmp"));
}

#[test]
fn what_cannot_be_an_entry_is_refused() {
    let mut tree = sample();
    let long = [b'x'; NAME_BYTES_MAX + 1];
    for path in [&b"/bin"[..], b"bin/", b"a//b", b".", b"a/../b", b"a\0b", &long, &b"a/".repeat(2048)] {
        assert_eq!(tree.file(path, FILE, 0, Vec::new()), Err(Unfit::Path), "{}", path.escape_ascii());
    }
    assert_eq!(tree.file(b"", FILE, 0, Vec::new()), Err(Unfit::Root));
    assert_eq!(tree.file(b"bin/server/x", FILE, 0, Vec::new()), Err(Unfit::NotADirectory));
    assert_eq!(tree.directory(b"latest/x/y", FILE), Err(Unfit::NotADirectory));
    assert_eq!(tree.symlink(b"l", FILE, b""), Err(Unfit::Target));
    assert_eq!(tree.hard_link(b"l", b"tmp"), Err(Unfit::NoFile));
    Module::parse(&written(&tree)).unwrap();
}

#[test]
fn a_file_that_became_shorter_is_an_error_and_a_longer_one_is_cut() {
    let mut tree = Tree::new();
    tree.file(b"log", FILE, 5, ()).unwrap();
    let write = |contents: &'static [u8]| {
        let mut bytes = Vec::new();
        tree.write(&mut bytes, |()| Ok(contents)).map(|()| bytes)
    };
    assert_eq!(write(b"1234").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let bytes = write(b"123456").unwrap();
    assert_eq!(data(&Module::parse(&bytes).unwrap(), "log"), b"12345");
    let fails = tree.write(&mut Vec::new(), |()| Err::<io::Empty, _>(io::ErrorKind::PermissionDenied.into()));
    assert_eq!(fails.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn contents_are_read_only_when_they_are_written() {
    let mut tree = Tree::new();
    (0..3_u8).for_each(|number| tree.file(&[b'a' + number], FILE, 1 << 20, number).unwrap());
    let mut bytes = Vec::new();
    tree.write(&mut bytes, |number| Ok(io::repeat(*number).take(1 << 20))).unwrap();
    let module = Module::parse(&bytes).unwrap();
    assert!(data(&module, "c").iter().all(|byte| *byte == 2));
}

#[test]
fn bytes_that_are_no_module_are_named() {
    let whole = written(&sample());
    let parse = |bytes: &[u8]| Module::parse(bytes).map(|_| ()).unwrap_err();
    assert_eq!(parse(b""), Damaged::Magic);
    assert_eq!(parse(b"070701 an initrd"), Damaged::Magic);
    assert_eq!(parse(&whole[..20]), Damaged::Short);
    assert_eq!(parse(&whole[..whole.len() - 1]), Damaged::Short);
    assert!(Module::parse(&[&whole[..], b"more"].concat()).is_ok());
    let changed = |at: usize, bytes: &[u8]| {
        let mut module = whole.clone();
        module[at..at + bytes.len()].copy_from_slice(bytes);
        parse(&module)
    };
    assert_eq!(changed(8, &[2]), Damaged::Version(2));
    assert_eq!(changed(12, &[0]), Damaged::Short);
    assert_eq!(changed(12, &[255; 4]), Damaged::Short);
    assert_eq!(changed(16, &[255; 8]), Damaged::Short);
    let entry = |number: usize, field: usize| HEADER_BYTES + number * ENTRY_BYTES + field;
    let expect = |number: usize, field: usize, bytes: &[u8], what: &str| {
        let error = changed(entry(number, field), bytes);
        assert!(matches!(error, Damaged::Entry(at, why) if at == number && why.contains(what)), "{what}: {error}");
    };
    expect(0, 6, &[KIND_FILE], "not the root");
    expect(1, 0, &[255; 4], "path");
    expect(1, 4, &[0, 0], "out of order");
    expect(2, 6, &[9], "neither");
    expect(3, 20, &[255; 4], "time");
    expect(3, 48, &[4], "link to");
    expect(3, 48, &[1], "link to");
    expect(4, 32, &[1], "at a page");
    expect(4, 32, &[0, 0, 0, 0, 0, 0, 0, 255], "outside");
    expect(4, 40, &[255; 8], "outside");
    expect(7, 32, &[255; 8], "target");
    expect(7, 40, &[0], "target");
    // "latest", its target "bin/server" and "tmp" follow each other: "testbin/server".
    let latest_at = whole[entry(7, 0)];
    expect(8, 0, &[latest_at + 2, whole[entry(7, 1)], 0, 0, 14], "directory is none");
}

#[test]
fn any_byte_may_be_wrong() {
    let whole = written(&sample());
    for at in 0..PAGE_BYTES.min(HEADER_BYTES + 9 * ENTRY_BYTES + 200) {
        for value in [0, 1, b'/', 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let Ok(module) = Module::parse(&bytes) else { continue };
            let unique: BTreeMap<_, _> = module.entries().map(|entry| (entry.path, entry)).collect();
            assert_eq!(unique.len(), module.len());
            assert!(module.entries().all(|entry| module.find(entry.path) == Some(entry)));
        }
    }
}
