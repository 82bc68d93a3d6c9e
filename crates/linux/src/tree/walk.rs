//! Finding a file by its path.

use super::{Access, Kind, NAME_BYTES_MAX, NodeId, ROOT, Tree, Who};
use crate::errno::Errno;
use alloc::vec::Vec;

/// Most symbolic links on one way.
const LINKS_MAX: usize = 40;

/// What to do with a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Go where it leads.
    Follow,
    /// It is what was asked for, unless a slash follows.
    Keep,
    /// It is what was asked for: its name is to be made, taken or changed.
    Name,
}

/// Where a path leads: a name in a directory, and the file of that name if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub parent: NodeId,
    /// The name in it; empty, `.` or `..` when the path ends in such a way.
    pub name: Vec<u8>,
    /// The file.
    pub node: Option<NodeId>,
    /// The path ends with a slash: only a directory will do.
    pub slash: bool,
}

impl Place {
    /// The name is one that a file can be given or taken.
    pub(super) fn has_name(&self) -> bool {
        !matches!(self.name.as_slice(), b"" | b"." | b"..")
    }
}

/// A path into a directory that somebody else makes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dynamic {
    /// That directory.
    pub directory: NodeId,
    /// Which one it is.
    pub which: u32,
    /// The rest of the path, without a slash before it; empty for the directory itself.
    pub rest: Vec<u8>,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the tree.
    Place(Place),
    /// Out of it.
    Dynamic(Dynamic),
}

impl Found {
    /// The file.
    ///
    /// # Errors
    /// `ENOENT` when there is none, or none in the tree.
    pub fn node(&self) -> Result<NodeId, Errno> {
        match self {
            Self::Place(place) => place.node.ok_or(Errno::NOENT),
            Self::Dynamic(dynamic) if dynamic.rest.is_empty() => Ok(dynamic.directory),
            Self::Dynamic(_) => Err(Errno::NOENT),
        }
    }

    /// The name, where only one in the tree will do.
    ///
    /// # Errors
    /// `EPERM` for others: what is made up cannot be changed.
    pub fn place(self) -> Result<Place, Errno> {
        match self {
            Self::Place(place) => Ok(place),
            Self::Dynamic(_) => Err(Errno::PERM),
        }
    }
}

impl<P> Tree<P> {
    /// Follows a path from `start` on, or from the root.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `EACCES`, `ENAMETOOLONG`. That the last name has no file is no error.
    pub fn walk(&self, start: NodeId, path: &[u8], last: Last, who: Who<'_>) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        // What is still to be followed, once a link has been.
        let mut expanded: Vec<u8>;
        let mut rest = path;
        let mut at = start;
        let mut links = 0;
        loop {
            if rest.starts_with(b"/") {
                at = ROOT;
            }
            rest = rest.trim_ascii_start_slashes();
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            let after = behind.trim_ascii_start_slashes();
            let (is_last, slash) = (after.is_empty(), !behind.is_empty());
            if let Kind::Dynamic(which) = self.node(at).kind {
                return Ok(Found::Dynamic(Dynamic { directory: at, which, rest: rest.to_vec() }));
            }
            let Kind::Directory { entries, parent } = &self.node(at).kind else { return Err(Errno::NOTDIR) };
            if name.is_empty() {
                return Ok(Found::Place(Place { parent: at, name: Vec::new(), node: Some(at), slash: true }));
            }
            self.node(at).allows(who, Access::EXECUTE)?;
            let node = match name {
                b"." => Some(at),
                b".." => Some(*parent),
                _ if name.len() > NAME_BYTES_MAX => return Err(Errno::NAMETOOLONG),
                _ => entries.get(name).copied(),
            };
            let Some(node) = node else {
                if is_last {
                    return Ok(Found::Place(Place { parent: at, name: name.to_vec(), node: None, slash }));
                }
                return Err(Errno::NOENT);
            };
            match &self.node(node).kind {
                Kind::Link(target) if !is_last || last == Last::Follow || slash && last == Last::Keep => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let mut next = target.to_vec();
                    next.extend_from_slice(behind);
                    expanded = next;
                    rest = &expanded;
                }
                Kind::Dynamic(which) if is_last => {
                    return Ok(Found::Dynamic(Dynamic { directory: node, which: *which, rest: Vec::new() }));
                }
                kind if is_last => {
                    if slash && last != Last::Name && !matches!(kind, Kind::Directory { .. }) {
                        return Err(Errno::NOTDIR);
                    }
                    return Ok(Found::Place(Place { parent: at, name: name.to_vec(), node: Some(node), slash }));
                }
                _ => {
                    at = node;
                    rest = after;
                }
            }
        }
    }
}

/// A slice without the slashes it begins with.
trait TrimSlashes {
    fn trim_ascii_start_slashes(&self) -> &Self;
}

impl TrimSlashes for [u8] {
    fn trim_ascii_start_slashes(&self) -> &[u8] {
        let slashes = self.iter().take_while(|byte| **byte == b'/').count();
        &self[slashes..]
    }
}
