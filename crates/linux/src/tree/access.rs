//! Who may do what with a file.

use super::Node;
use crate::errno::Errno;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    pub groups: &'a [u32],
}

impl Who<'_> {
    /// User 0.
    pub const ROOT: Who<'static> = Who { uid: 0, gid: 0, groups: &[] };

    fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether this user may change what only an owner may.
    #[must_use]
    pub fn owns<P>(&self, node: &Node<P>) -> bool {
        self.uid == 0 || self.uid == node.uid
    }
}

/// What is wanted: bits as in `access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(pub u32);

impl Access {
    /// Read.
    pub const READ: Self = Access(4);
    /// Write.
    pub const WRITE: Self = Access(2);
    /// Run, or look a name up in a directory.
    pub const EXECUTE: Self = Access(1);

    /// This and that.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Access(self.0 | other.0)
    }
}

impl<P> Node<P> {
    /// Whether `who` may.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn allows(&self, who: Who<'_>, access: Access) -> Result<(), Errno> {
        if who.uid == 0 {
            // What nobody can run, user 0 cannot either.
            let can_run = matches!(self.kind, super::Kind::Directory { .. } | super::Kind::Dynamic(_))
                || self.permissions & 0o111 != 0;
            return if access.0 & 1 != 0 && !can_run { Err(Errno::ACCES) } else { Ok(()) };
        }
        let shift = if who.uid == self.uid {
            6
        } else if who.is_in(self.gid) {
            3
        } else {
            0
        };
        if self.permissions >> shift & access.0 == access.0 { Ok(()) } else { Err(Errno::ACCES) }
    }
}
