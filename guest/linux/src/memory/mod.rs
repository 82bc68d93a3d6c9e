//! The program's memory: what it was promised (`toro_linux_abi::areas`) and what it has (`toro::user::Pages`).
//!
//! A page is made when it is first touched, by the program or by a call on its behalf ([`Memory::commit`]); a file's page is
//! shown where it lies, and copied when a private one is written. `change.rs` has what `mmap` and its kin do, `copy.rs` how
//! calls reach the program's memory.
//!
//! Locks: the map first, then a file's contents. Nobody who holds a file's contents may commit a page.

mod change;
mod copy;

pub(crate) use change::{Advice, MapRequest, MapTarget, Place, RemapTarget};
pub(crate) use copy::{Transfer, out_of_memory};

use crate::files::{FileData, View};
use core::ops::Range;
use toro::sync::{Arc, Mutex, MutexGuard};
use toro::user::{self, Access, Leaf, MapError, Pages, Rights};
use toro_linux_abi::areas::{Area, Areas, Backing, Protection};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Pages of a file that are shown around the one that was touched.
const AROUND: usize = 16;

/// What an area is called in `/proc/self/maps`, and to the calls that care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Nothing.
    None,
    /// What `brk` gives.
    Heap,
    /// The first thread's stack.
    Stack,
    /// The clock's page.
    Vvar,
    /// The clock's code.
    Vdso,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    /// The file.
    pub file: Arc<FileData>,
    /// Where the part begins, a multiple of the page size.
    pub offset: usize,
    /// What is written is the file's.
    pub shared: bool,
    /// It may be made writable.
    pub may_write: bool,
    /// As it was opened.
    pub path: Arc<[u8]>,
}

/// What is behind an area.
#[derive(Clone, Debug)]
pub(crate) enum Behind {
    /// Nothing but zeroes.
    Nothing(Name),
    /// A file.
    File(FilePart),
}

impl Backing for Behind {
    fn advance(&self, bytes: usize) -> Self {
        match self {
            Self::Nothing(name) => Self::Nothing(*name),
            Self::File(part) => Self::File(FilePart { offset: part.offset + bytes, ..part.clone() }),
        }
    }

    fn continues(&self, bytes: usize, next: &Self) -> bool {
        match (self, next) {
            (Self::Nothing(one), Self::Nothing(other)) => one == other,
            (Self::File(one), Self::File(other)) => {
                Arc::ptr_eq(&one.file, &other.file)
                    && one.offset + bytes == other.offset
                    && (one.shared, one.may_write) == (other.shared, other.may_write)
            }
            _ => false,
        }
    }
}

/// Why an address cannot be used as it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no area.
    NotMapped,
    /// The area does not allow it.
    NotAllowed,
    /// The file ends before.
    BeyondFile,
    /// No memory for the page.
    OutOfMemory,
}

/// What the program was promised.
#[derive(Debug)]
pub(crate) struct Map {
    /// All areas.
    pub areas: Areas<Behind>,
    /// What `brk` gives: from where, and to where now.
    pub heap: Range<usize>,
}

/// The memory of the program.
#[derive(Debug)]
pub(crate) struct Memory {
    /// What it has.
    pub pages: Pages,
    map: Mutex<Map>,
}

/// The rights that a protection comes to.
fn rights(protection: Protection) -> Rights {
    match (protection.read || protection.write, protection.write, protection.execute) {
        (_, true, true) => Rights::ReadWriteExecute,
        (_, true, false) => Rights::ReadWrite,
        (_, false, true) => Rights::ReadExecute,
        (true, false, false) => Rights::Read,
        (false, false, false) => Rights::None,
    }
}

fn allows(protection: Protection, access: Access) -> bool {
    match access {
        Access::Read => protection.read || protection.write || protection.execute,
        Access::Write => protection.write,
        Access::Execute => protection.execute,
    }
}

fn has(leaf: Leaf, access: Access) -> bool {
    match access {
        Access::Read => leaf.rights != Rights::None,
        Access::Write => matches!(leaf.rights, Rights::ReadWrite | Rights::ReadWriteExecute),
        Access::Execute => matches!(leaf.rights, Rights::ReadExecute | Rights::ReadWriteExecute),
    }
}

impl Memory {
    /// Nothing yet; areas are found a place for below `ceiling`.
    pub(crate) fn new(pages: Pages, ceiling: usize) -> Self {
        let map = Map { areas: Areas::new(user::START..user::END, ceiling), heap: 0..0 };
        Memory { pages, map: Mutex::new(map) }
    }

    /// What the program was promised, to look at or to change.
    pub(crate) fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock()
    }

    /// Whether a file is mapped so that what the program writes there may be the file's.
    pub(crate) fn shows_writable(&self, file: &Arc<FileData>) -> bool {
        self.map().areas.iter().any(|(_, area)| {
            matches!(&area.backing, Behind::File(part) if part.shared && part.may_write && Arc::ptr_eq(&part.file, file))
        })
    }

    /// Makes the page at an address one that can be used so.
    pub(crate) fn commit(&self, address: usize, access: Access) -> Result<(), Refused> {
        let map = self.map();
        let (range, area) = map.areas.find(address).ok_or(Refused::NotMapped)?;
        if !allows(area.protection, access) {
            return Err(Refused::NotAllowed);
        }
        let page = address & !(PAGE - 1);
        let there = self.pages.get(page);
        if there.is_some_and(|leaf| has(leaf, access)) {
            return Ok(()); // somebody else was here first
        }
        let rights = rights(area.protection);
        match &area.backing {
            Behind::Nothing(_) => match there {
                None => ignore_occupied(self.pages.map(page, rights)),
                Some(leaf) if !leaf.owned => refused(self.pages.replace(page, &[0; PAGE], rights)),
                Some(_) => refused(self.pages.protect(page..page + PAGE, rights)),
            },
            Behind::File(part) if part.shared => self.commit_shared(part, page, page - range.start, area.protection),
            Behind::File(part) => self.commit_private(part, page, &range, area, access),
        }
    }

    /// A page of a file that the program has to itself once it is written.
    fn commit_private(
        &self,
        part: &FilePart,
        page: usize,
        range: &Range<usize>,
        area: &Area<Behind>,
        access: Access,
    ) -> Result<(), Refused> {
        let rights = rights(area.protection);
        let there = self.pages.get(page);
        if there.is_some_and(|leaf| leaf.owned) {
            return refused(self.pages.protect(page..page + PAGE, rights));
        }
        let index = (part.offset + (page - range.start)) / PAGE;
        let enter = |contents: &[u8; PAGE]| match there {
            None => ignore_occupied(self.pages.map_filled(page, 0, contents, rights)),
            Some(_) => refused(self.pages.replace(page, contents, rights)),
        };
        match part.file.view(index).ok_or(Refused::BeyondFile)? {
            View::Base(contents) if access == Access::Write => enter(contents),
            View::Base(_) => self.show_around(part, page, range, area.protection),
            View::Frame(frame) => {
                let mut contents = [0; PAGE];
                frame.read(0, &mut contents);
                enter(&contents)
            }
            View::Hole if there.is_none() => ignore_occupied(self.pages.map(page, rights)),
            View::Hole => enter(&[0; PAGE]),
        }
    }

    /// Shows a page of a file where it lies, and its neighbours, which are likely to be wanted next.
    fn show_around(
        &self,
        part: &FilePart,
        page: usize,
        range: &Range<usize>,
        protection: Protection,
    ) -> Result<(), Refused> {
        let rights = rights(protection);
        let first = (page & !(AROUND * PAGE - 1)).max(range.start);
        let end = (first + AROUND * PAGE).min(range.end);
        // What is likely to be written is copied then, so showing more of it would be for nothing.
        let neighbours = if protection.write { page..page + PAGE } else { first..end };
        for at in neighbours.step_by(PAGE) {
            let index = (part.offset + (at - range.start)) / PAGE;
            let Some(View::Base(contents)) = part.file.view(index) else { continue };
            let shown = ignore_occupied(self.pages.map_in_place(at, contents, rights));
            if at == page {
                shown?;
            }
        }
        Ok(())
    }

    /// A page of a file that all who map it share.
    fn commit_shared(
        &self,
        part: &FilePart,
        page: usize,
        from_start: usize,
        protection: Protection,
    ) -> Result<(), Refused> {
        let index = (part.offset + from_start) / PAGE;
        let rights = rights(protection);
        if !part.may_write
            && let View::Base(contents) = part.file.view(index).ok_or(Refused::BeyondFile)?
        {
            return ignore_occupied(self.pages.map_in_place(page, contents, rights));
        }
        let frame = part.file.frame(index).map_err(|_| Refused::OutOfMemory)?.ok_or(Refused::BeyondFile)?;
        if self.pages.get(page).is_some() {
            refused(self.pages.unmap(page..page + PAGE))?; // the file's page lay elsewhere before
        }
        ignore_occupied(self.pages.map_shared(page, &frame, rights))
    }

    /// Lets go of the pages of a file from `first` on that areas show: they are looked for again when they are touched.
    pub(crate) fn forget_file(&self, file: &Arc<FileData>, pages: Range<usize>) {
        let map = self.map();
        for (range, area) in map.areas.iter() {
            let Behind::File(part) = &area.backing else { continue };
            if !Arc::ptr_eq(&part.file, file) {
                continue;
            }
            let first = part.offset / PAGE;
            let shown = pages.start.max(first)..pages.end.min(first + range.len() / PAGE);
            if shown.start < shown.end {
                let at = |index: usize| range.start + (index - first) * PAGE;
                let _in_bounds = self.pages.unmap(at(shown.start)..at(shown.end));
            }
        }
    }
}

fn refused(result: Result<(), MapError>) -> Result<(), Refused> {
    result.map_err(|_| Refused::OutOfMemory)
}

/// That a page is there already is as good as if this had made it.
fn ignore_occupied(result: Result<(), MapError>) -> Result<(), Refused> {
    match result {
        Ok(()) | Err(MapError::Occupied) => Ok(()),
        Err(_) => Err(Refused::OutOfMemory),
    }
}
