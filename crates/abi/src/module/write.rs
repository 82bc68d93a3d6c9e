//! Makes a module: first a tree in any order, then the bytes in one go, files read as they are written.

use super::{
    ENTRY_BYTES, FLAG_READ_ONLY, File, HEADER_BYTES, KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK, MAGIC, Metadata,
    PAGE_BYTES, VERSION, compare, is_inside, is_path, is_target, parent,
};
use core::cmp::Ordering;
use core::fmt;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::vec::Vec;

/// Why something cannot be put into a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The path is too long, or has parts that no entry can have.
    Path,
    /// The target of a symbolic link is empty, too long, or has a zero byte.
    Target,
    /// What stands in the place of a directory on the way is none.
    NotADirectory,
    /// The root is a directory.
    Root,
    /// There is no file of that path to link to.
    NoFile,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "the path is too long, or no path",
            Self::Target => "the link leads nowhere",
            Self::NotADirectory => "what it lies in is no directory",
            Self::Root => "the root must be a directory",
            Self::NoFile => "the file that it links to is not there",
        })
    }
}

impl std::error::Error for Unfit {}

/// A path in the order of entries.
#[derive(Debug, PartialEq, Eq)]
struct Path(Vec<u8>);

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug)]
enum Node {
    Directory(Metadata),
    /// The number of a file.
    File(usize),
    Symlink(Metadata, Vec<u8>),
}

#[derive(Debug)]
struct Contents<S> {
    metadata: Metadata,
    bytes: u64,
    source: S,
}

/// The files of a module to be. `S` says where a file's contents come from.
#[derive(Debug)]
pub struct Tree<S> {
    nodes: BTreeMap<Path, Node>,
    files: Vec<Contents<S>>,
}

impl<S> Default for Tree<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Tree<S> {
    /// A root that is empty.
    pub fn new() -> Self {
        let root = Node::Directory(Metadata::with_mode(0o755));
        Self { nodes: BTreeMap::from([(Path(Vec::new()), root)]), files: Vec::new() }
    }

    /// Puts a directory at `path`. What is in one that is there stays; anything else that is there is replaced. So it is with
    /// all of these; directories on the way are made, root's and with mode 755.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn directory(&mut self, path: &[u8], metadata: Metadata) -> Result<(), Unfit> {
        if path.is_empty() {
            self.nodes.insert(Path(Vec::new()), Node::Directory(metadata));
            return Ok(());
        }
        self.insert(path, Node::Directory(metadata))
    }

    /// Puts a file at `path`, of as many bytes, which `source` will give.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn file(&mut self, path: &[u8], metadata: Metadata, bytes: u64, source: S) -> Result<(), Unfit> {
        self.insert(path, Node::File(self.files.len()))?;
        self.files.push(Contents { metadata, bytes, source });
        Ok(())
    }

    /// Puts a symbolic link at `path`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn symlink(&mut self, path: &[u8], metadata: Metadata, target: &[u8]) -> Result<(), Unfit> {
        if !is_target(target) {
            return Err(Unfit::Target);
        }
        self.insert(path, Node::Symlink(metadata, target.to_vec()))
    }

    /// Makes `path` another name of the file at `of`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn hard_link(&mut self, path: &[u8], of: &[u8]) -> Result<(), Unfit> {
        match self.nodes.get(&Path(of.to_vec())) {
            Some(Node::File(number)) => self.insert(path, Node::File(*number)),
            _ => Err(Unfit::NoFile),
        }
    }

    /// Takes out what is at `path`, and all that is in it.
    pub fn remove(&mut self, path: &[u8]) {
        self.nodes.retain(|there, _| there.0.is_empty() || there.0 != path && !is_inside(&there.0, path));
    }

    /// Whether there is anything at `path`.
    pub fn contains(&self, path: &[u8]) -> bool {
        self.nodes.contains_key(&Path(path.to_vec()))
    }

    /// Whether there is a directory at `path`.
    pub fn is_directory(&self, path: &[u8]) -> bool {
        matches!(self.nodes.get(&Path(path.to_vec())), Some(Node::Directory(_)))
    }

    /// Where a symbolic link at `path` leads; `None` when there is none.
    pub fn target(&self, path: &[u8]) -> Option<&[u8]> {
        match self.nodes.get(&Path(path.to_vec())) {
            Some(Node::Symlink(_, target)) => Some(target),
            _ => None,
        }
    }

    /// Where the contents of a file at `path` come from, and who may do what with it; `None` when there is none.
    pub fn source(&self, path: &[u8]) -> Option<(&Metadata, &S)> {
        match self.nodes.get(&Path(path.to_vec())) {
            Some(Node::File(number)) => self.files.get(*number).map(|file| (&file.metadata, &file.source)),
            _ => None,
        }
    }

    fn insert(&mut self, path: &[u8], node: Node) -> Result<(), Unfit> {
        if !is_path(path) {
            return Err(Unfit::Path);
        }
        let directory = parent(path).ok_or(Unfit::Root)?;
        match self.nodes.get(&Path(directory.to_vec())) {
            Some(Node::Directory(_)) => {}
            Some(_) => return Err(Unfit::NotADirectory),
            None => self.insert(directory, Node::Directory(Metadata::with_mode(0o755)))?,
        }
        let stays = matches!(node, Node::Directory(_)) && self.is_directory(path);
        if self.contains(path) && !stays {
            self.remove(path);
        }
        self.nodes.insert(Path(path.to_vec()), node);
        Ok(())
    }

    /// Bytes of the module.
    pub fn module_bytes(&self) -> u64 {
        self.layout().total
    }

    /// Writes the module. `open` gives a file's contents, of which as many bytes are taken as were said.
    ///
    /// # Errors
    /// Those of `out` and of what is read; [`io::ErrorKind::UnexpectedEof`] when a file has fewer bytes than were said, and
    /// [`io::ErrorKind::FileTooLarge`] when paths or files are more than a module can hold.
    pub fn write<W: Write, R: Read>(&self, out: &mut W, mut open: impl FnMut(&S) -> io::Result<R>) -> io::Result<()> {
        let layout = self.layout();
        if u32::try_from(layout.text_end).is_err() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.write_tables(&layout, out)?;
        write_zeros(out, layout.data_at - layout.text_end)?;
        for number in &layout.order {
            let file = &self.files[*number];
            let copied = io::copy(&mut open(&file.source)?.take(file.bytes), out)?;
            if copied != file.bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            write_zeros(out, padded(file.bytes) - file.bytes)?;
        }
        Ok(())
    }

    fn layout(&self) -> Layout {
        let text_at = (HEADER_BYTES + self.nodes.len() * ENTRY_BYTES) as u64;
        let text = self.nodes.iter().map(|(path, node)| path.0.len() + text_bytes(node));
        let text_end = text_at + text.sum::<usize>() as u64;
        let data_at = padded(text_end);
        let mut layout =
            Layout { text_at, text_end, data_at, total: data_at, order: Vec::new(), places: BTreeMap::new() };
        for (entry, node) in self.nodes.values().enumerate() {
            if let Node::File(number) = node
                && !layout.places.contains_key(number)
            {
                let bytes = self.files[*number].bytes;
                let at = if bytes == 0 { 0 } else { layout.total };
                layout.places.insert(*number, Place { entry: entry as u32, at });
                layout.order.push(*number);
                layout.total += padded(bytes);
            }
        }
        layout
    }

    fn write_tables(&self, layout: &Layout, out: &mut impl Write) -> io::Result<()> {
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend((self.nodes.len() as u32).to_le_bytes());
        header.extend(layout.total.to_le_bytes());
        header.resize(HEADER_BYTES, 0);
        out.write_all(&header)?;
        let mut text_at = layout.text_at;
        for (path, node) in &self.nodes {
            let target_at = text_at + path.0.len() as u64;
            let (kind, metadata, at, bytes, first) = match node {
                Node::Directory(metadata) => (KIND_DIRECTORY, metadata, 0, 0, 0),
                Node::Symlink(metadata, target) => (KIND_SYMLINK, metadata, target_at, target.len() as u64, 0),
                Node::File(number) => {
                    let (file, place) = (&self.files[*number], &layout.places[number]);
                    (KIND_FILE, &file.metadata, place.at, file.bytes, place.entry)
                }
            };
            let mut entry = Vec::with_capacity(ENTRY_BYTES);
            entry.extend((text_at as u32).to_le_bytes());
            entry.extend((path.0.len() as u16).to_le_bytes());
            entry.extend([kind, if metadata.is_read_only { FLAG_READ_ONLY } else { 0 }]);
            entry.extend(u32::from(metadata.mode & 0o7777).to_le_bytes());
            entry.extend(metadata.uid.to_le_bytes());
            entry.extend(metadata.gid.to_le_bytes());
            entry.extend(metadata.mtime.nanoseconds.to_le_bytes());
            entry.extend(metadata.mtime.seconds.to_le_bytes());
            entry.extend(at.to_le_bytes());
            entry.extend(bytes.to_le_bytes());
            entry.extend(first.to_le_bytes());
            entry.resize(ENTRY_BYTES, 0);
            out.write_all(&entry)?;
            text_at = target_at + text_bytes(node) as u64;
        }
        for (path, node) in &self.nodes {
            out.write_all(&path.0)?;
            if let Node::Symlink(_, target) = node {
                out.write_all(target)?;
            }
        }
        Ok(())
    }
}

/// Where everything goes.
struct Layout {
    text_at: u64,
    text_end: u64,
    data_at: u64,
    total: u64,
    /// Files in the order of their data.
    order: Vec<usize>,
    places: BTreeMap<usize, Place>,
}

struct Place {
    entry: u32,
    at: u64,
}

/// Bytes of text that an entry has beside its path.
fn text_bytes(node: &Node) -> usize {
    if let Node::Symlink(_, target) = node { target.len() } else { 0 }
}

/// A length in whole pages; one that has none fits nowhere, and is refused where it is written.
fn padded(bytes: u64) -> u64 {
    File::in_pages(bytes).unwrap_or(bytes)
}

fn write_zeros(out: &mut impl Write, count: u64) -> io::Result<()> {
    debug_assert!(count < PAGE_BYTES as u64, "{count} zeros fill a page");
    out.write_all(&[0; PAGE_BYTES][..count as usize])
}
