//! Files as the program sees them: the tree of names (`toro_linux_abi::tree`), what is in them, and where the program is.
//!
//! `data.rs` has the contents of regular files, `open.rs` how one is opened, `generated.rs` what the kernel makes up
//! (`/proc`), `start.rs` what is there at the beginning.

mod data;
mod generated;
mod open;
mod start;

pub(crate) use data::{FileData, Moved, View};
pub(crate) use generated::{Directory as DynamicDirectory, Generated, Made};
pub(crate) use start::{Resolver, Start, begin, resolver};

use crate::objects::device::Device;
use crate::objects::pipe::Pipe;
use crate::process::{self, Process};
use crate::sockets::unix_core::Bound;
use crate::time;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use toro::sync::{Arc, Mutex, MutexGuard, SpinLock};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Stat, Timespec};
use toro_linux_abi::tree::{self, Dynamic, FileType, Found, Last, NodeId, Place, Tree, Who};

/// What is in a file.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Bytes.
    Data(Arc<FileData>),
    /// A text that is made when it is read.
    Generated(Generated),
    /// A device.
    Device(Device),
    /// A pipe with a name, once it was opened.
    Fifo(Arc<Pipe>),
    /// A socket that was bound to the name.
    Socket(Bound),
}

impl tree::Payload for Payload {
    fn bytes(&self) -> u64 {
        match self {
            Self::Data(data) => data.bytes(),
            _ => 0,
        }
    }
}

/// The device that files say they are on.
pub(crate) const DEVICE: u64 = 1;
/// Bytes of a block, as `stat` has it.
const BLOCK_BYTES: i64 = 4096;

/// All files.
#[derive(Debug)]
pub(crate) struct Files {
    tree: Mutex<Tree<Payload>>,
    current: SpinLock<NodeId>,
    next_anonymous: AtomicU64,
}

/// Where a path begins, and how it is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    /// The directory.
    pub start: NodeId,
    /// What becomes of a link at its end.
    pub last: Last,
}

impl Files {
    /// Those of a tree, the program being at its root.
    pub(crate) fn new(tree: Tree<Payload>) -> Self {
        let mut tree = tree;
        let root = tree.root();
        tree.hold(root);
        Files { tree: Mutex::new(tree), current: SpinLock::new(root), next_anonymous: AtomicU64::new(1 << 32) }
    }

    /// The tree, for one at a time.
    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree<Payload>> {
        self.tree.lock()
    }

    /// A number for what has no name.
    pub(crate) fn next_ino(&self) -> u64 {
        self.next_anonymous.fetch_add(1, Relaxed)
    }

    /// Where the program is.
    pub(crate) fn current(&self) -> NodeId {
        self.current.with(|current| *current)
    }

    /// Puts the program there.
    pub(crate) fn set_current(&self, directory: NodeId) {
        let mut tree = self.tree();
        tree.hold(directory);
        let before = self.current.with(|current| core::mem::replace(current, directory));
        tree.release(before);
    }

    /// Whether a file is a directory.
    pub(crate) fn is_directory(&self, node: NodeId) -> bool {
        matches!(self.tree().node(node).file_type(), FileType::Directory)
    }

    /// What `stat` tells of a file.
    pub(crate) fn status(&self, node: NodeId) -> Stat {
        let tree = self.tree();
        let node = tree.node(node);
        let mut times = node.times;
        let mut blocks = 0;
        let bytes = node.bytes();
        match node.payload() {
            Some(Payload::Data(data)) => {
                blocks = data.pages_used() * (BLOCK_BYTES as u64 / 512);
                if let Some(ns) = data.written_ns() {
                    (times.modify, times.change) = (Timespec::from_ns(ns), Timespec::from_ns(ns));
                }
            }
            // It may be another each time: nobody is to keep what was in it.
            Some(Payload::Generated(Generated::Resolver)) => times.modify = time::wall(),
            _ => {}
        }
        Stat {
            dev: DEVICE,
            ino: node.ino,
            nlink: node.links.into(),
            mode: node.mode(),
            uid: node.uid,
            gid: node.gid,
            rdev: node.device(),
            size: bytes as i64,
            blksize: BLOCK_BYTES,
            blocks: blocks as i64,
            atime: times.access,
            mtime: times.modify,
            ctime: times.change,
            ..Stat::default()
        }
    }
}

/// What `stat` tells of what has no name: a pipe, a socket.
pub(crate) fn anonymous_status(file_type: FileType, permissions: u32, ino: u64) -> Stat {
    Stat { dev: DEVICE, ino, nlink: 1, mode: file_type.mode() | permissions, blksize: BLOCK_BYTES, ..Stat::default() }
}

impl Process {
    /// Follows a path.
    pub(crate) fn walk(&self, from: From, path: &[u8]) -> Result<Found, Errno> {
        let identity = self.identity.with(|identity| identity.clone());
        self.files.tree().walk(from.start, path, from.last, identity.who())
    }

    /// Follows a path to a file that is there, and holds it; or to one that is made up.
    pub(crate) fn find(&self, from: From, path: &[u8]) -> Result<Target, Errno> {
        let identity = self.identity.with(|identity| identity.clone());
        let mut tree = self.files.tree();
        match tree.walk(from.start, path, from.last, identity.who())? {
            Found::Place(Place { node: Some(node), .. }) => {
                tree.hold(node);
                Ok(Target::Node(Held { node }))
            }
            Found::Place(_) => Err(Errno::NOENT),
            Found::Dynamic(dynamic) => Ok(Target::Dynamic(dynamic)),
        }
    }

    /// Changes the tree at a path, as the program.
    pub(crate) fn change<R>(
        &self,
        from: From,
        path: &[u8],
        change: impl FnOnce(&mut Tree<Payload>, Place, Who<'_>, Timespec) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let identity = self.identity.with(|identity| identity.clone());
        let mut tree = self.files.tree();
        let place = tree.walk(from.start, path, from.last, identity.who())?.place()?;
        change(&mut tree, place, identity.who(), time::wall())
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Target {
    /// A file of the tree.
    Node(Held),
    /// One that is made up.
    Dynamic(Dynamic),
}

/// A file that is held. Not to be dropped by who has the tree.
#[derive(Debug)]
pub(crate) struct Held {
    node: NodeId,
}

impl Held {
    /// Takes over one hold.
    pub(crate) fn of(node: NodeId) -> Self {
        Held { node }
    }

    /// The file.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        process::get().files.tree().release(self.node);
    }
}

/// The number of a device, as `stat` has it.
pub(crate) const fn device_number(major: u64, minor: u64) -> u64 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}
