//! The tree of files: names, directories, links, and what is known of each file but its contents.
//!
//! Contents are the caller's [`Payload`]; so is where directories come from that are made up when they are looked at
//! (`/proc/self/fd`), which are [`Kind::Dynamic`] here. A file lives while a name leads to it or somebody
//! [holds](Tree::hold) it. The tree is one value, used by one at a time: `walk.rs` finds, `change.rs` changes.

mod access;
mod change;
#[cfg(test)]
mod tests;
mod walk;

pub use access::{Access, Who};
pub use change::{Exchange, New};
pub use walk::{Dynamic, Found, Last, Place};

use crate::layout::Timespec;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest path, with the zero at its end.
pub const PATH_BYTES_MAX: usize = 4096;

/// What is in a file.
pub trait Payload {
    /// The length that `stat` tells.
    fn bytes(&self) -> u64;
}

/// Bytes of a directory for each name in it, as Linux counts in memory.
const ENTRY_BYTES: u64 = 20;

/// A file of the tree, as long as a name or a hold keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u32);

/// Kinds of files, as the upper bits of their mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A pipe with a name.
    Fifo,
    /// A character device.
    Character,
    /// A directory.
    Directory,
    /// Bytes.
    Regular,
    /// A symbolic link.
    Link,
    /// A socket's name.
    Socket,
}

impl FileType {
    /// As in `st_mode`.
    #[must_use]
    pub const fn mode(self) -> u32 {
        (self.number() as u32) << 12
    }

    /// As in `d_type`.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Fifo => 1,
            Self::Character => 2,
            Self::Directory => 4,
            Self::Regular => 8,
            Self::Link => 10,
            Self::Socket => 12,
        }
    }
}

/// What a file is.
#[derive(Debug)]
pub enum Kind<P> {
    /// A directory.
    Directory {
        /// What is in it.
        entries: BTreeMap<Box<[u8]>, NodeId>,
        /// Where `..` leads.
        parent: NodeId,
    },
    /// A directory whose contents somebody else makes up: which one it is.
    Dynamic(u32),
    /// A symbolic link.
    Link(Box<[u8]>),
    /// Anything else.
    Other {
        /// What it is.
        file_type: FileType,
        /// A device's number.
        device: u64,
        /// What is in it.
        payload: P,
    },
}

/// When a file was used and changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Read.
    pub access: Timespec,
    /// Written.
    pub modify: Timespec,
    /// Changed in any way.
    pub change: Timespec,
}

/// A file.
#[derive(Debug)]
pub struct Node<P> {
    /// Its number.
    pub ino: u64,
    /// What it is.
    pub kind: Kind<P>,
    /// Permissions, the lower twelve bits of the mode.
    pub permissions: u32,
    /// Who owns it.
    pub uid: u32,
    /// Whose group owns it.
    pub gid: u32,
    /// How many names lead to it; for a directory `.` and the `..` of those inside count, too.
    pub links: u32,
    /// When it was used and changed.
    pub times: Times,
    /// Nothing about it can be changed.
    pub read_only: bool,
    holds: u32,
}

impl<P> Node<P> {
    /// What it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        match &self.kind {
            Kind::Directory { .. } | Kind::Dynamic(_) => FileType::Directory,
            Kind::Link(_) => FileType::Link,
            Kind::Other { file_type, .. } => *file_type,
        }
    }

    /// Type and permissions.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.file_type().mode() | self.permissions
    }

    /// What is in it, unless it is a directory or a link.
    #[must_use]
    pub fn payload(&self) -> Option<&P> {
        if let Kind::Other { payload, .. } = &self.kind { Some(payload) } else { None }
    }

    /// The same, to change.
    pub fn payload_mut(&mut self) -> Option<&mut P> {
        if let Kind::Other { payload, .. } = &mut self.kind { Some(payload) } else { None }
    }

    /// A device's number.
    #[must_use]
    pub fn device(&self) -> u64 {
        if let Kind::Other { device, .. } = &self.kind { *device } else { 0 }
    }
}

impl<P: Payload> Node<P> {
    /// Its length in bytes, as `stat` tells it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::Directory { entries, .. } => ENTRY_BYTES * (2 + entries.len() as u64),
            Kind::Dynamic(_) => 0,
            Kind::Link(target) => target.len() as u64,
            Kind::Other { payload, .. } => payload.bytes(),
        }
    }
}

/// All files.
#[derive(Debug)]
pub struct Tree<P> {
    nodes: Vec<Option<Node<P>>>,
    free: Vec<u32>,
    next_ino: u64,
}

const ROOT: NodeId = NodeId(0);

impl<P> Tree<P> {
    /// A tree with an empty root directory, which belongs to user 0.
    #[must_use]
    pub fn new(now: Timespec) -> Self {
        let times = Times { access: now, modify: now, change: now };
        let root = Node {
            ino: 1,
            kind: Kind::Directory { entries: BTreeMap::new(), parent: ROOT },
            permissions: 0o755,
            uid: 0,
            gid: 0,
            links: 2,
            times,
            read_only: false,
            holds: 1,
        };
        Tree { nodes: alloc::vec![Some(root)], free: Vec::new(), next_ino: 2 }
    }

    /// The root directory.
    #[must_use]
    pub const fn root(&self) -> NodeId {
        ROOT
    }

    /// How many files there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// A file.
    ///
    /// # Panics
    /// When it is gone: nobody held it.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node<P> {
        self.nodes[id.0 as usize].as_ref().expect("a file that is held is there")
    }

    /// A file, to change.
    ///
    /// # Panics
    /// When it is gone: nobody held it.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node<P> {
        self.nodes[id.0 as usize].as_mut().expect("a file that is held is there")
    }

    /// Keeps a file though its last name may go.
    pub fn hold(&mut self, id: NodeId) {
        self.node_mut(id).holds += 1;
    }

    /// Takes one [`hold`](Self::hold) back.
    ///
    /// # Panics
    /// When nobody holds it.
    pub fn release(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.holds = node.holds.checked_sub(1).expect("a file is released as often as it was held");
        self.bury(id);
    }

    /// Removes a file that nobody can reach any more.
    fn bury(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.links == 0 && node.holds == 0 {
            self.nodes[id.0 as usize] = None;
            self.free.push(id.0);
        }
    }

    fn insert(&mut self, node: Node<P>) -> NodeId {
        match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = Some(node);
                NodeId(index)
            }
            None => {
                self.nodes.push(Some(node));
                NodeId(u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 files fit in memory"))
            }
        }
    }

    /// What is in a directory, `.` and `..` apart: name, number, type. Empty for anything else.
    pub fn list(&self, directory: NodeId) -> impl Iterator<Item = (&[u8], u64, FileType)> {
        let entries = match &self.node(directory).kind {
            Kind::Directory { entries, .. } => Some(entries),
            _ => None,
        };
        entries.into_iter().flatten().map(|(name, id)| {
            let node = self.node(*id);
            (&**name, node.ino, node.file_type())
        })
    }

    /// Where `..` leads.
    #[must_use]
    pub fn parent(&self, directory: NodeId) -> NodeId {
        match &self.node(directory).kind {
            Kind::Directory { parent, .. } => *parent,
            _ => directory,
        }
    }

    /// The path of a directory; `None` when it has been removed.
    #[must_use]
    pub fn path(&self, directory: NodeId) -> Option<Vec<u8>> {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = directory;
        while at != ROOT {
            let parent = self.parent(at);
            let Kind::Directory { entries, .. } = &self.node(parent).kind else { return None };
            names.push(entries.iter().find(|(_, id)| **id == at).map(|(name, _)| &**name)?);
            at = parent;
        }
        if names.is_empty() {
            return Some(b"/".to_vec());
        }
        Some(names.iter().rev().flat_map(|name| [b"/", *name]).flatten().copied().collect())
    }
}
