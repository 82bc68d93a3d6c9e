//! Who the program is: user, groups, and the names of the machine. Kept as they are set, and asked where files are concerned.

use toro::prelude::*;
use toro_linux_abi::tree::Who;

/// Real, effective, saved, and the one for files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// Whose program it is.
    pub real: u32,
    /// As whom it acts.
    pub effective: u32,
    /// As whom it may act again.
    pub saved: u32,
    /// As whom it uses files.
    pub files: u32,
}

impl Ids {
    /// All the same.
    pub(crate) const fn all(id: u32) -> Self {
        Ids { real: id, effective: id, saved: id, files: id }
    }

    /// Whether one of the first three is this.
    pub(crate) const fn has(&self, id: u32) -> bool {
        self.real == id || self.effective == id || self.saved == id
    }
}

/// Who the program is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Users.
    pub uid: Ids,
    /// Groups.
    pub gid: Ids,
    /// Further groups.
    pub groups: Vec<u32>,
    /// The machine's name.
    pub hostname: Vec<u8>,
    /// How nice it is to others, of whom there are none.
    pub nice: i32,
    /// Whether others could look into it, of whom there are none.
    pub dumpable: bool,
    /// It asked never to get more rights, which nobody could give it.
    pub no_new_privileges: bool,
    /// The signal for its parent's end, which nobody sends.
    pub parent_death_signal: u32,
}

/// Those of Linux 6.1.
pub(crate) const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

impl Identity {
    /// What it may do beyond other users: they go with the user here.
    pub(crate) fn capabilities(&self) -> u64 {
        if self.is_privileged() { ALL_CAPABILITIES } else { 0 }
    }

    /// User 0.
    pub(crate) const fn root() -> Self {
        Identity {
            uid: Ids::all(0),
            gid: Ids::all(0),
            groups: Vec::new(),
            hostname: Vec::new(),
            nice: 0,
            dumpable: true,
            no_new_privileges: false,
            parent_death_signal: 0,
        }
    }

    /// Who asks for a file.
    pub(crate) fn who(&self) -> Who<'_> {
        Who { uid: self.uid.files, gid: self.gid.files, groups: &self.groups }
    }

    /// Who would ask if the real user did, as for `access`.
    pub(crate) fn real_who(&self) -> Who<'_> {
        Who { uid: self.uid.real, gid: self.gid.real, groups: &self.groups }
    }

    /// Whether it may become somebody else.
    pub(crate) fn is_privileged(&self) -> bool {
        self.uid.effective == 0
    }
}
