//! What `mmap` and its kin change.

use super::{Behind, FilePart, Map, Memory, Name, PAGE, Refused, allows, rights};
use core::ops::Range;
use toro::prelude::*;
use toro::user::{self, Access};
use toro_linux_abi::areas::{Area, Backing, Gap, Protection};
use toro_linux_abi::errno::Errno;

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapTarget {
    /// There if it is free, else anywhere.
    Hint(usize),
    /// There, in place of what is.
    Fixed(usize),
    /// There, if it is free.
    FixedFree(usize),
    /// Anywhere in the first 2 GiB.
    Low,
}

/// A mapping that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct MapRequest {
    /// Where.
    pub target: MapTarget,
    /// How long, in bytes; rounded up to pages.
    pub bytes: usize,
    /// What may be done.
    pub protection: Protection,
    /// What is behind it.
    pub behind: Behind,
    /// The program does not want memory to be there for it.
    pub no_reserve: bool,
}

/// What `mremap` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemapTarget {
    /// Where it may put what grows.
    pub place: Place,
    /// The old pages stay mapped, empty.
    pub stays: bool,
}

/// Where `mremap` may put what grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It stays.
    Here,
    /// Anywhere.
    Anywhere,
    /// There, in place of what is.
    Fixed(usize),
}

impl RemapTarget {
    fn may_move(self) -> bool {
        self.place != Place::Here
    }
}

/// What `madvise` is told, as far as it changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// The contents are not needed any more.
    DontNeed,
    /// The pages will be read.
    PopulateRead,
    /// The pages will be written.
    PopulateWrite,
    /// Nothing that this kernel acts on.
    Nothing,
}

/// The lowest address above what `MapTarget::Low` may use.
const LOW_END: usize = 1 << 31;

/// A range of whole pages.
fn pages_of(address: usize, bytes: usize) -> Result<Range<usize>, Errno> {
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::INVAL);
    }
    let end = address.checked_add(bytes).and_then(|end| end.checked_next_multiple_of(PAGE)).ok_or(Errno::NOMEM)?;
    Ok(address..end)
}

fn is_inside(range: &Range<usize>) -> bool {
    user::START <= range.start && range.start <= range.end && range.end <= user::END
}

/// More than there is memory in the machine: an obvious overcommitment, as Linux calls it.
fn is_obviously_too_much(bytes: usize) -> bool {
    bytes > toro::memory::usage().total
}

impl Map {
    /// Takes a range out; the pages are the caller's to unmap.
    fn remove(&mut self, range: Range<usize>) {
        drop(self.areas.remove(range));
    }
}

impl Memory {
    /// Makes a mapping; where it is.
    pub(crate) fn map_area(&self, request: &MapRequest) -> Result<usize, Errno> {
        let bytes = request.bytes.checked_next_multiple_of(PAGE).filter(|bytes| *bytes != 0).ok_or(Errno::NOMEM)?;
        let is_private =
            !matches!(request.behind, Behind::File(FilePart { shared: true, .. })) && request.protection.write;
        if is_private && !request.no_reserve && is_obviously_too_much(bytes) {
            return Err(Errno::NOMEM);
        }
        let mut map = self.map();
        let start = match request.target {
            MapTarget::Fixed(address) | MapTarget::FixedFree(address) => {
                let range = pages_of(address, bytes)?;
                if !is_inside(&range) {
                    return Err(if range.start < user::START { Errno::PERM } else { Errno::NOMEM });
                }
                if matches!(request.target, MapTarget::FixedFree(_)) {
                    if !map.areas.is_free(range) {
                        return Err(Errno::EXIST);
                    }
                } else {
                    self.unmap_in(&mut map, range)?;
                }
                address
            }
            MapTarget::Hint(hint) => {
                let range = pages_of(hint & !(PAGE - 1), bytes)?;
                let fits = hint != 0 && is_inside(&range) && map.areas.is_free(range.clone());
                if fits { range.start } else { map.areas.find_free(bytes, PAGE).ok_or(Errno::NOMEM)? }
            }
            MapTarget::Low => map.areas.find_free_below(LOW_END, bytes, PAGE).ok_or(Errno::NOMEM)?,
        };
        let area = Area { protection: request.protection, backing: request.behind.clone() };
        map.areas.insert(start..start + bytes, area);
        Ok(start)
    }

    fn unmap_in(&self, map: &mut Map, range: Range<usize>) -> Result<(), Errno> {
        map.remove(range.clone());
        self.pages.unmap(range).map_err(|_| Errno::INVAL)
    }

    /// `munmap`.
    pub(crate) fn unmap(&self, address: usize, bytes: usize) -> Result<(), Errno> {
        let range = pages_of(address, bytes).map_err(|_| Errno::INVAL)?;
        if bytes == 0 || range.end > user::END {
            return Err(Errno::INVAL);
        }
        let range = range.start.max(user::START)..range.end.max(user::START);
        self.unmap_in(&mut self.map(), range)
    }

    /// `mprotect`.
    pub(crate) fn protect(&self, address: usize, bytes: usize, protection: Protection) -> Result<(), Errno> {
        let range = pages_of(address, bytes)?;
        if range.is_empty() {
            return Ok(());
        }
        if !is_inside(&range) {
            return Err(Errno::NOMEM);
        }
        let mut map = self.map();
        let changed = map.areas.protect(range.clone(), protection, |area| match &area.backing {
            Behind::File(FilePart { shared: true, may_write: false, .. }) if protection.write => {
                Err(Unprotectable::NotAllowed)
            }
            _ => Ok(()),
        });
        let end = changed.as_ref().map_or_else(|(at, _)| *at, |()| range.end);
        self.pages.protect(range.start..end, rights(protection)).map_err(|_| Errno::INVAL)?;
        changed.map_err(|(_, why)| match why {
            Unprotectable::NotAllowed => Errno::ACCES,
            Unprotectable::Gap => Errno::NOMEM,
        })
    }

    /// `mremap`; where the mapping is then.
    pub(crate) fn remap(
        &self,
        address: usize,
        bytes: usize,
        new_bytes: usize,
        target: RemapTarget,
    ) -> Result<usize, Errno> {
        let old = pages_of(address, bytes)?;
        let new_bytes = new_bytes.checked_next_multiple_of(PAGE).filter(|bytes| (1..=user::END).contains(bytes));
        let new_bytes = new_bytes.ok_or(Errno::INVAL)?;
        if target.stays && (!target.may_move() || old.len() != new_bytes) {
            return Err(Errno::INVAL);
        }
        let mut map = self.map();
        let Some((range, area)) = map.areas.find(address) else { return Err(Errno::FAULT) };
        let backing = area.backing.advance(address - range.start);
        let is_shared = matches!(backing, Behind::File(FilePart { shared: true, .. }));
        if old.is_empty() && !(is_shared && target.may_move()) {
            return Err(Errno::INVAL); // of what is shared, it makes a second mapping
        }
        let area = Area { protection: area.protection, backing };
        if let Place::Fixed(there) = target.place {
            let new = pages_of(there, new_bytes)?;
            if !is_inside(&new) || new.start < old.end && old.start < new.end {
                return Err(Errno::INVAL);
            }
            if old.start + old.len().min(new_bytes) > range.end {
                return Err(Errno::FAULT);
            }
            self.unmap_in(&mut map, new.clone())?;
            return self.move_to(&mut map, old, new, area, target.stays);
        }
        if new_bytes <= old.len() && !target.stays {
            self.unmap_in(&mut map, address + new_bytes..old.end)?;
            return Ok(address);
        }
        if old.end > range.end {
            return Err(Errno::FAULT);
        }
        if area.protection.write && is_obviously_too_much(new_bytes) {
            return Err(Errno::NOMEM);
        }
        if !target.stays && !old.is_empty() && map.areas.is_free(old.end..address + new_bytes) {
            let more = Area { protection: area.protection, backing: area.backing.advance(old.len()) };
            map.areas.insert(old.end..address + new_bytes, more);
            return Ok(address);
        }
        if target.place == Place::Here {
            return Err(Errno::NOMEM);
        }
        let there = map.areas.find_free(new_bytes, PAGE).ok_or(Errno::NOMEM)?;
        self.move_to(&mut map, old, there..there + new_bytes, area, target.stays)
    }

    fn move_to(
        &self,
        map: &mut Map,
        old: Range<usize>,
        new: Range<usize>,
        area: Area<Behind>,
        stays: bool,
    ) -> Result<usize, Errno> {
        let kept = old.start..old.start + old.len().min(new.len());
        self.pages.relocate(kept, new.start).map_err(|_| Errno::NOMEM)?;
        if !stays {
            self.unmap_in(map, old)?;
        }
        let start = new.start;
        map.areas.insert(new, area);
        Ok(start)
    }

    /// `brk`: moves the end of the heap, and tells where it is.
    pub(crate) fn set_heap_end(&self, end: usize) -> usize {
        let mut map = self.map();
        let heap = map.heap.clone();
        if end < heap.start {
            return heap.end;
        }
        let (old, new) = (heap.end.next_multiple_of(PAGE), end.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX));
        if new > old {
            // A page stays free behind it, so that what runs over the end of the heap hits nothing.
            let grows =
                new < user::END && map.areas.is_free(old..new + PAGE) && !is_obviously_too_much(new - heap.start);
            if !grows {
                return heap.end;
            }
            let protection = Protection { read: true, write: true, execute: false };
            map.areas.insert(old..new, Area { protection, backing: Behind::Nothing(Name::Heap) });
        } else if self.unmap_in(&mut map, new..old).is_err() {
            return heap.end;
        }
        map.heap.end = end;
        end
    }

    /// `madvise`.
    pub(crate) fn advise(&self, address: usize, bytes: usize, advice: Advice) -> Result<(), Errno> {
        let range = pages_of(address, bytes).map_err(|_| Errno::INVAL)?;
        let map = self.map();
        if advice == Advice::DontNeed {
            let parts: Vec<Range<usize>> = map.areas.parts(range.clone()).map(|(part, _)| part).collect();
            for part in parts {
                self.pages.unmap(part).map_err(|_| Errno::INVAL)?;
            }
        }
        if !map.areas.covers(range.clone()) {
            return Err(Errno::NOMEM);
        }
        drop(map);
        match advice {
            Advice::PopulateRead => self.populate(range, Access::Read),
            Advice::PopulateWrite => self.populate(range, Access::Write),
            Advice::DontNeed | Advice::Nothing => Ok(()),
        }
    }

    /// Makes all pages of a range.
    pub(crate) fn populate(&self, range: Range<usize>, access: Access) -> Result<(), Errno> {
        range.step_by(PAGE).try_for_each(|page| {
            self.commit(page, access).map_err(|why| match why {
                Refused::OutOfMemory | Refused::NotMapped => Errno::NOMEM,
                Refused::NotAllowed | Refused::BeyondFile => Errno::FAULT,
            })
        })
    }

    /// Makes all pages of a range that the program may touch in any way: what `mlock` and `MAP_POPULATE` ask for.
    pub(crate) fn populate_as_allowed(&self, range: Range<usize>) -> Result<(), Errno> {
        let parts: Vec<(Range<usize>, Protection)> =
            self.map().areas.parts(range.clone()).map(|(part, area)| (part, area.protection)).collect();
        for (part, protection) in parts {
            let access = [Access::Write, Access::Read].into_iter().find(|access| allows(protection, *access));
            if let Some(access) = access {
                self.populate(part, access)?;
            }
        }
        if self.map().areas.covers(range) { Ok(()) } else { Err(Errno::NOMEM) }
    }

    /// Whether all of a range was promised.
    pub(crate) fn covers(&self, address: usize, bytes: usize) -> Result<Range<usize>, Errno> {
        let range = pages_of(address, bytes)?;
        if self.map().areas.covers(range.clone()) { Ok(range) } else { Err(Errno::NOMEM) }
    }
}

enum Unprotectable {
    NotAllowed,
    Gap,
}

impl From<Gap> for Unprotectable {
    fn from(_: Gap) -> Self {
        Self::Gap
    }
}
