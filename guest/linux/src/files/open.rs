//! Opening a file by its path.

use super::{Files, From, Generated, Held, Payload};
use crate::objects::directory::Directory;
use crate::objects::generated::GeneratedFile;
use crate::objects::pipe::{End, Pipe};
use crate::objects::regular::Regular;
use crate::objects::{Object, OpenFile, named};
use crate::process::Process;
use crate::time;
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw::{
    O_ACCMODE, O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC,
    O_WRONLY,
};
use toro_linux_abi::tree::{Access, FileType, Found, Kind, Last, New, NodeId, Place};

/// The flag of `O_TMPFILE` that `O_DIRECTORY` is not.
const TMPFILE: u32 = O_TMPFILE & !O_DIRECTORY;

/// What is opened, as the tree has it.
enum Inside {
    Directory,
    Link,
    Data(Arc<super::FileData>),
    Generated(Generated),
    Device(crate::objects::device::Device),
    Fifo(Arc<Pipe>),
    Socket,
}

/// The access that flags ask for.
fn wanted(flags: u32) -> Access {
    match flags & O_ACCMODE {
        O_RDONLY => Access::READ,
        O_WRONLY => Access::WRITE,
        _ => Access::READ.and(Access::WRITE),
    }
}

fn writes(flags: u32) -> bool {
    flags & O_ACCMODE != O_RDONLY
}

impl Process {
    /// `open`, from `start` on: a file that is there, or one that `flags` say to make.
    pub(crate) fn open(&self, start: NodeId, path: &[u8], flags: u32, mode: u32) -> Result<Arc<OpenFile>, Errno> {
        if flags & TMPFILE != 0 {
            return self.open_unnamed(start, path, flags, mode);
        }
        let creates = flags & O_CREAT != 0;
        if creates && flags & O_DIRECTORY != 0 {
            return Err(Errno::INVAL);
        }
        let keeps = flags & O_NOFOLLOW != 0 || creates && flags & O_EXCL != 0;
        let last = if keeps { Last::Keep } else { Last::Follow };
        let identity = self.identity.with(|identity| identity.clone());
        let mut tree = self.files.tree();
        let place = match tree.walk(start, path, last, identity.who())? {
            Found::Place(place) => place,
            Found::Dynamic(dynamic) => {
                drop(tree);
                return self.open_dynamic(&dynamic, flags);
            }
        };
        let node = match place.node {
            Some(_) if creates && flags & O_EXCL != 0 => return Err(Errno::EXIST),
            Some(_) if creates && place.slash => return Err(Errno::ISDIR),
            Some(node) => {
                if flags & O_PATH == 0 {
                    self.check(tree.node(node), flags, &identity)?;
                }
                node
            }
            None if !creates => return Err(Errno::NOENT),
            None if place.slash => return Err(Errno::ISDIR),
            None => {
                let permissions = mode & 0o7777 & !self.umask.load(core::sync::atomic::Ordering::Relaxed);
                let new = New::file(FileType::Regular, permissions, Payload::Data(super::FileData::empty()));
                tree.create(&place, new, identity.who(), time::wall())?
            }
        };
        let is_directory = matches!(tree.node(node).kind, Kind::Directory { .. });
        if flags & O_DIRECTORY != 0 && !is_directory {
            return Err(Errno::NOTDIR);
        }
        let inside = match &tree.node(node).kind {
            Kind::Directory { .. } | Kind::Dynamic(_) => Inside::Directory,
            Kind::Link(_) if flags & O_PATH != 0 => Inside::Link,
            Kind::Link(_) => return Err(Errno::LOOP),
            Kind::Other { payload, .. } => match payload {
                Payload::Data(data) => Inside::Data(Arc::clone(data)),
                Payload::Generated(generated) => Inside::Generated(*generated),
                Payload::Device(device) => Inside::Device(*device),
                Payload::Fifo(pipe) => Inside::Fifo(Arc::clone(pipe)),
                Payload::Socket(_) => Inside::Socket,
            },
        };
        tree.hold(node);
        drop(tree);
        let held = Held::of(node);
        let path = self.path_of(&place);
        if flags & O_PATH != 0 {
            return Ok(OpenFile::new(Box::new(named::Named::new(held, path)), flags));
        }
        let object: Box<dyn Object> = match inside {
            Inside::Directory => Box::new(Directory::new(held, path)),
            Inside::Link => return Err(Errno::LOOP),
            Inside::Data(data) => {
                if flags & O_TRUNC != 0 && writes(flags) {
                    let moved = data.set_bytes(0)?;
                    self.forget_moved(&data, moved);
                }
                Box::new(Regular::new(held, data, path))
            }
            Inside::Generated(generated) => Box::new(GeneratedFile::new(held, generated, path)),
            Inside::Device(device) => device.open(held),
            Inside::Fifo(pipe) => Box::new(End::of_named(pipe, held, path, flags)?),
            Inside::Socket => return Err(Errno::NXIO),
        };
        Ok(OpenFile::new(object, flags))
    }

    fn check(
        &self,
        node: &toro_linux_abi::tree::Node<Payload>,
        flags: u32,
        identity: &crate::identity::Identity,
    ) -> Result<(), Errno> {
        match &node.kind {
            Kind::Link(_) => return Err(Errno::LOOP),
            Kind::Directory { .. } | Kind::Dynamic(_) if writes(flags) || flags & O_CREAT != 0 => {
                return Err(Errno::ISDIR);
            }
            _ => {}
        }
        node.allows(identity.who(), wanted(flags))?;
        let is_data = matches!(node.payload(), Some(Payload::Data(_)));
        if node.read_only && is_data && (writes(flags) || flags & O_TRUNC != 0) {
            return Err(Errno::ROFS);
        }
        Ok(())
    }

    /// A file without a name, in some directory.
    fn open_unnamed(&self, start: NodeId, path: &[u8], flags: u32, mode: u32) -> Result<Arc<OpenFile>, Errno> {
        if !writes(flags) {
            return Err(Errno::INVAL);
        }
        let data = super::FileData::empty();
        let permissions = mode & 0o7777 & !self.umask.load(core::sync::atomic::Ordering::Relaxed);
        let made = Arc::clone(&data);
        let node = self.change(From { start, last: Last::Follow }, path, |tree, place, who, now| {
            let directory = place.node.ok_or(Errno::NOENT)?;
            let new = New::file(FileType::Regular, permissions, Payload::Data(made));
            tree.create_unnamed(directory, new, who, now)
        })?;
        let path = format!("/tmp/#{} (deleted)", self.files.status(node).ino).into_bytes();
        Ok(OpenFile::new(Box::new(Regular::new(Held::of(node), data, path)), flags & !O_CREAT))
    }

    /// The path of a place, as it is now.
    fn path_of(&self, place: &Place) -> Vec<u8> {
        let tree = self.files.tree();
        let directory = match (place.name.as_slice(), place.node) {
            (b"" | b"." | b"..", Some(node)) => return tree.path(node).unwrap_or_default(),
            _ => tree.path(place.parent).unwrap_or_default(),
        };
        let separator: &[u8] = if directory == b"/" { b"" } else { b"/" };
        [&directory, separator, &place.name].concat()
    }

    /// Has those who map a file look again where some of its pages are.
    pub(crate) fn forget_moved(&self, data: &Arc<super::FileData>, moved: super::Moved) {
        if let Some(pages) = moved {
            self.memory.forget_file(data, pages);
        }
    }
}

impl Files {
    /// Whether flags ask for writing at the end.
    pub(crate) const fn appends(flags: u32) -> bool {
        flags & O_APPEND != 0
    }

    /// Whether flags allow to read, and to write.
    pub(crate) const fn directions(flags: u32) -> (bool, bool) {
        let mode = flags & O_ACCMODE;
        (mode == O_RDONLY || mode == O_RDWR, mode == O_WRONLY || mode == O_RDWR)
    }
}
