//! Making, linking, moving and removing files. Errors are those of Linux, in the order in which Linux looks for them.

use super::{Access, FileType, Kind, Node, NodeId, Place, Times, Tree, Who};
use crate::errno::Errno;
use crate::layout::Timespec;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// A file to make.
#[derive(Debug)]
pub struct New<P> {
    /// What it is; a directory's parent is set when it is made.
    pub kind: Kind<P>,
    /// Permissions, as far as the program's mask leaves them.
    pub permissions: u32,
}

impl<P> New<P> {
    /// An empty directory.
    #[must_use]
    pub const fn directory(permissions: u32) -> Self {
        New { kind: Kind::Directory { entries: BTreeMap::new(), parent: super::ROOT }, permissions }
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(target: &[u8]) -> Self {
        New { kind: Kind::Link(target.into()), permissions: 0o777 }
    }

    /// A file of some kind with something in it.
    #[must_use]
    pub const fn file(file_type: FileType, permissions: u32, payload: P) -> Self {
        New { kind: Kind::Other { file_type, device: 0, payload }, permissions }
    }
}

/// What `rename` does with a file that has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Takes its place.
    Replace,
    /// Leaves it alone, and fails.
    Refuse,
    /// Gives it the old name.
    Swap,
}

impl<P> Tree<P> {
    fn entries(&mut self, directory: NodeId) -> &mut BTreeMap<Box<[u8]>, NodeId> {
        match &mut self.node_mut(directory).kind {
            Kind::Directory { entries, .. } => entries,
            _ => unreachable!("a name is in a directory"),
        }
    }

    fn touch(&mut self, node: NodeId, now: Timespec) {
        let times = &mut self.node_mut(node).times;
        (times.modify, times.change) = (now, now);
    }

    /// Whether names in a directory may be added or removed.
    fn may_change(&self, directory: NodeId, who: Who<'_>) -> Result<(), Errno> {
        let node = self.node(directory);
        if node.links == 0 {
            return Err(Errno::NOENT); // it has been removed
        }
        if node.read_only {
            return Err(Errno::ROFS);
        }
        node.allows(who, Access::WRITE.and(Access::EXECUTE))
    }

    /// Whether a file may lose this name: in a sticky directory only its owner's.
    fn may_remove(&self, place: &Place, node: NodeId, who: Who<'_>) -> Result<(), Errno> {
        self.may_change(place.parent, who)?;
        let directory = self.node(place.parent);
        if directory.permissions & 0o1000 != 0 && !who.owns(directory) && !who.owns(self.node(node)) {
            return Err(Errno::PERM);
        }
        Ok(())
    }

    /// Makes a file.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `EROFS`, `EACCES`.
    pub fn create(&mut self, place: &Place, new: New<P>, who: Who<'_>, now: Timespec) -> Result<NodeId, Errno> {
        if place.node.is_some() {
            return Err(Errno::EXIST);
        }
        if place.slash && !matches!(new.kind, Kind::Directory { .. }) {
            return Err(Errno::NOENT);
        }
        self.may_change(place.parent, who)?;
        let parent = self.node(place.parent);
        // A directory's group goes to what is made in it if it says so.
        let inherits = parent.permissions & 0o2000 != 0;
        let gid = if inherits { parent.gid } else { who.gid };
        let mut permissions = new.permissions & 0o7777;
        if inherits && matches!(new.kind, Kind::Directory { .. }) {
            permissions |= 0o2000;
        }
        let id = self.add(place.parent, &place.name, New { permissions, ..new }, (who.uid, gid), now);
        self.touch(place.parent, now);
        Ok(id)
    }

    /// Makes a file, whoever may; its name is not taken.
    pub fn add(&mut self, parent: NodeId, name: &[u8], new: New<P>, (uid, gid): (u32, u32), now: Timespec) -> NodeId {
        let is_directory = matches!(new.kind, Kind::Directory { .. });
        let kind = match new.kind {
            Kind::Directory { entries, .. } => Kind::Directory { entries, parent },
            kind => kind,
        };
        let times = Times { access: now, modify: now, change: now };
        let read_only = self.node(parent).read_only;
        let links = if is_directory { 2 } else { 1 };
        let ino = self.next_ino;
        self.next_ino += 1;
        let permissions = new.permissions;
        let id = self.insert(Node { ino, kind, permissions, uid, gid, links, times, read_only, holds: 0 });
        let before = self.entries(parent).insert(name.into(), id);
        debug_assert!(before.is_none(), "the name is free");
        if is_directory {
            self.node_mut(parent).links += 1;
        }
        id
    }

    /// Gives a file one more name, whoever may; it is not taken.
    pub fn add_name(&mut self, parent: NodeId, name: &[u8], node: NodeId) {
        self.node_mut(node).links += 1;
        let before = self.entries(parent).insert(name.into(), node);
        debug_assert!(before.is_none(), "the name is free");
    }

    /// Makes a file without a name, which the caller holds; the directory says whether that may be.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`, `EROFS`, `EACCES`.
    pub fn create_unnamed(
        &mut self,
        directory: NodeId,
        new: New<P>,
        who: Who<'_>,
        now: Timespec,
    ) -> Result<NodeId, Errno> {
        if !matches!(self.node(directory).kind, Kind::Directory { .. }) {
            return Err(Errno::NOTDIR);
        }
        self.may_change(directory, who)?;
        let times = Times { access: now, modify: now, change: now };
        let ino = self.next_ino;
        self.next_ino += 1;
        let New { kind, permissions } = new;
        let (uid, gid) = (who.uid, who.gid);
        Ok(self.insert(Node { ino, kind, permissions, uid, gid, links: 0, times, read_only: false, holds: 1 }))
    }

    /// Gives a file one more name.
    ///
    /// # Errors
    /// `EEXIST`, `EPERM` for a directory, `EROFS`, `EACCES`.
    pub fn link(&mut self, node: NodeId, place: &Place, who: Who<'_>, now: Timespec) -> Result<(), Errno> {
        if place.node.is_some() {
            return Err(Errno::EXIST);
        }
        if place.slash {
            return Err(Errno::NOENT);
        }
        self.may_change(place.parent, who)?;
        let there = self.node(node);
        if there.read_only != self.node(place.parent).read_only {
            return Err(Errno::XDEV);
        }
        if matches!(there.kind, Kind::Directory { .. } | Kind::Dynamic(_)) {
            return Err(Errno::PERM);
        }
        self.node_mut(node).times.change = now;
        self.add_name(place.parent, &place.name, node);
        self.touch(place.parent, now);
        Ok(())
    }

    /// Takes a name from a file that is no directory.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`, `ENOTDIR` for a name with a slash behind it, `EROFS`, `EACCES`, `EPERM`.
    pub fn unlink(&mut self, place: &Place, who: Who<'_>, now: Timespec) -> Result<(), Errno> {
        let node = place.node.ok_or(Errno::NOENT)?;
        if !place.has_name() {
            return Err(Errno::ISDIR);
        }
        self.may_remove(place, node, who)?;
        if matches!(self.node(node).kind, Kind::Directory { .. } | Kind::Dynamic(_)) {
            return Err(Errno::ISDIR);
        }
        if place.slash {
            return Err(Errno::NOTDIR);
        }
        self.entries(place.parent).remove(place.name.as_slice());
        self.touch(place.parent, now);
        self.node_mut(node).times.change = now;
        self.lose_name(node);
        Ok(())
    }

    fn lose_name(&mut self, node: NodeId) {
        self.node_mut(node).links -= 1;
        self.bury(node);
    }

    fn is_empty(&self, node: NodeId) -> bool {
        matches!(&self.node(node).kind, Kind::Directory { entries, .. } if entries.is_empty())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`, `EBUSY` for the root, `EINVAL` for `.`, `EROFS`, `EACCES`, `EPERM`.
    pub fn remove_directory(&mut self, place: &Place, who: Who<'_>, now: Timespec) -> Result<(), Errno> {
        match place.name.as_slice() {
            b"" => return Err(Errno::BUSY),
            b"." => return Err(Errno::INVAL),
            b".." => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        let node = place.node.ok_or(Errno::NOENT)?;
        self.may_remove(place, node, who)?;
        match self.node(node).kind {
            Kind::Directory { .. } => {}
            Kind::Dynamic(_) => return Err(Errno::BUSY),
            _ => return Err(Errno::NOTDIR),
        }
        if !self.is_empty(node) {
            return Err(Errno::NOTEMPTY);
        }
        self.entries(place.parent).remove(place.name.as_slice());
        self.drop_directory(place.parent, node);
        self.touch(place.parent, now);
        Ok(())
    }

    /// An empty directory has lost its name in `parent`.
    fn drop_directory(&mut self, parent: NodeId, node: NodeId) {
        self.node_mut(parent).links -= 1;
        self.node_mut(node).links = 0;
        self.bury(node);
    }

    /// Whether `inner` is `outer`, or somewhere below it.
    fn is_inside(&self, mut inner: NodeId, outer: NodeId) -> bool {
        loop {
            if inner == outer {
                return true;
            }
            let parent = self.parent(inner);
            if parent == inner {
                return false;
            }
            inner = parent;
        }
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// `ENOENT`, `EEXIST`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EINVAL` for a directory that would be inside itself, `EBUSY`,
    /// `EXDEV` out of a read-only part, `EROFS`, `EACCES`, `EPERM`.
    pub fn rename(
        &mut self,
        from: &Place,
        to: &Place,
        exchange: Exchange,
        who: Who<'_>,
        now: Timespec,
    ) -> Result<(), Errno> {
        if !from.has_name() || !to.has_name() {
            return Err(Errno::BUSY);
        }
        if exchange == Exchange::Refuse && to.node.is_some() {
            return Err(Errno::EXIST);
        }
        let node = from.node.ok_or(Errno::NOENT)?;
        if exchange == Exchange::Swap && to.node.is_none() {
            return Err(Errno::NOENT);
        }
        if self.node(from.parent).read_only != self.node(to.parent).read_only {
            return Err(Errno::XDEV);
        }
        let is_directory = |tree: &Self, node| matches!(tree.node(node).kind, Kind::Directory { .. });
        let moves_directory = is_directory(self, node);
        if (from.slash || to.slash) && !moves_directory {
            return Err(Errno::NOTDIR);
        }
        self.may_remove(from, node, who)?;
        if moves_directory && self.is_inside(to.parent, node) {
            return Err(Errno::INVAL);
        }
        match to.node {
            Some(there) => self.may_remove(to, there, who)?,
            None => self.may_change(to.parent, who)?,
        }
        if to.node == Some(node) {
            return Ok(()); // two names of one file
        }
        if exchange == Exchange::Swap {
            return self.swap(from, to, now);
        }
        if let Some(there) = to.node {
            match (moves_directory, is_directory(self, there)) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) if !self.is_empty(there) => return Err(Errno::NOTEMPTY),
                _ => {}
            }
            self.entries(to.parent).remove(to.name.as_slice());
            if moves_directory { self.drop_directory(to.parent, there) } else { self.lose_name(there) }
        }
        self.entries(from.parent).remove(from.name.as_slice());
        self.entries(to.parent).insert(to.name.as_slice().into(), node);
        self.adopt(node, from.parent, to.parent);
        self.node_mut(node).times.change = now;
        self.touch(from.parent, now);
        self.touch(to.parent, now);
        Ok(())
    }

    /// A file has moved from directory to directory.
    fn adopt(&mut self, node: NodeId, from: NodeId, to: NodeId) {
        if let Kind::Directory { parent, .. } = &mut self.node_mut(node).kind {
            *parent = to;
            self.node_mut(from).links -= 1;
            self.node_mut(to).links += 1;
        }
    }

    fn swap(&mut self, from: &Place, to: &Place, now: Timespec) -> Result<(), Errno> {
        let (Some(one), Some(other)) = (from.node, to.node) else { return Err(Errno::NOENT) };
        let other_is_directory = matches!(self.node(other).kind, Kind::Directory { .. });
        if other_is_directory && self.is_inside(from.parent, other) {
            return Err(Errno::INVAL);
        }
        self.entries(from.parent).insert(from.name.as_slice().into(), other);
        self.entries(to.parent).insert(to.name.as_slice().into(), one);
        self.adopt(one, from.parent, to.parent);
        self.adopt(other, to.parent, from.parent);
        for (node, directory) in [(one, to.parent), (other, from.parent)] {
            self.node_mut(node).times.change = now;
            self.touch(directory, now);
        }
        Ok(())
    }
}
