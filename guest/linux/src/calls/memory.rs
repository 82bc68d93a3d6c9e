//! Memory: what `mmap` and its kin are told.

use super::{Answer, Args};
use crate::files::FileData;
use crate::memory::{Advice, Behind, FilePart, MapRequest, MapTarget, Name, PAGE, Place, RemapTarget};
use crate::objects::memory_file::MemoryFile;
use crate::task::Task;
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::areas::Protection;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw;

fn protection(bits: u64) -> Result<Protection, Errno> {
    let known = raw::PROT_READ | raw::PROT_WRITE | raw::PROT_EXEC;
    if bits & !u64::from(known) != 0 {
        return Err(Errno::INVAL);
    }
    let has = |bit: u32| bits & u64::from(bit) != 0;
    Ok(Protection { read: has(raw::PROT_READ), write: has(raw::PROT_WRITE), execute: has(raw::PROT_EXEC) })
}

/// What is behind so many bytes of nothing.
fn zeroes(bytes: usize, shared: bool) -> Result<Behind, Errno> {
    if !shared {
        return Ok(Behind::Nothing(Name::None));
    }
    // There is no other program to share it with, but a second mapping of it may be made.
    let file = FileData::empty();
    let bytes = (bytes as u64).checked_next_multiple_of(PAGE as u64).ok_or(Errno::NOMEM)?;
    file.set_bytes(bytes).map_err(|_| Errno::NOMEM)?;
    let path = Arc::from(b"/dev/zero (deleted)".as_slice());
    Ok(Behind::File(FilePart { file, offset: 0, shared, may_write: true, path }))
}

pub(super) fn mmap(task: &mut Task, [address, bytes, bits, flags, fd, offset]: Args) -> Answer {
    let memory = &task.process.memory;
    let has = |flag: u32| flags & u64::from(flag) != 0;
    // Bits of protection that Linux does not know it ignores here, and not in `mprotect`.
    let protection = protection(bits & 7)?;
    if has(raw::MAP_HUGETLB) {
        return Err(Errno::NOMEM); // there are no huge pages
    }
    if has(raw::MAP_GROWSDOWN) {
        return Err(Errno::OPNOTSUPP);
    }
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes != 0).ok_or(Errno::INVAL)?;
    if offset % PAGE as u64 != 0 {
        return Err(Errno::INVAL);
    }
    let shared = match flags as u32 & raw::MAP_TYPE {
        raw::MAP_PRIVATE => false,
        raw::MAP_SHARED | raw::MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::INVAL),
    };
    let behind = if has(raw::MAP_ANONYMOUS) {
        zeroes(bytes, shared)?
    } else {
        let open = task.process.descriptors.get(fd)?;
        if open.check_read().is_err() {
            return Err(if open.is_path() { Errno::BADF } else { Errno::ACCES });
        }
        let is_sealed = open.object.as_memory_file().is_some_and(MemoryFile::is_sealed_against_writing);
        let may_write = open.check_write().is_ok() && !is_sealed;
        if shared && protection.write && !may_write {
            return Err(if is_sealed { Errno::PERM } else { Errno::ACCES });
        }
        // Whole pages of it, which is as far as files are mapped.
        offset.checked_add(bytes as u64).and_then(|end| end.checked_add(PAGE as u64)).ok_or(Errno::OVERFLOW)?;
        match open.object.data() {
            Some(file) => {
                file.mark_mapped();
                let path: Arc<[u8]> = open.object.name().into();
                let file = Arc::clone(file);
                Behind::File(FilePart { file, offset: offset as usize, shared, may_write, path })
            }
            None if open.object.is_zero_device() => zeroes(bytes, shared)?,
            None => return Err(Errno::NODEV),
        }
    };
    let at = address as usize;
    let target = if has(raw::MAP_FIXED_NOREPLACE) {
        MapTarget::FixedFree(at)
    } else if has(raw::MAP_FIXED) {
        MapTarget::Fixed(at)
    } else if has(MAP_32BIT) {
        MapTarget::Low
    } else {
        MapTarget::Hint(at)
    };
    let request = MapRequest { target, bytes, protection, behind, no_reserve: has(raw::MAP_NORESERVE) };
    let start = memory.map_area(&request)?;
    if has(raw::MAP_POPULATE) || has(raw::MAP_LOCKED) {
        // What cannot be had now is had when it is touched, or not.
        let _as_far_as_possible = memory.populate_as_allowed(start..start + bytes.next_multiple_of(PAGE));
    }
    Ok(start as u64)
}

/// A mapping in the first 2 GiB.
const MAP_32BIT: u32 = 0x40;

pub(super) fn munmap(task: &mut Task, [address, bytes, ..]: Args) -> Answer {
    task.process.memory.unmap(address as usize, bytes as usize).map(|()| 0)
}

pub(super) fn mprotect(task: &mut Task, [address, bytes, bits, ..]: Args) -> Answer {
    let protection = protection(bits)?;
    task.process.memory.protect(address as usize, bytes as usize, protection).map(|()| 0)
}

pub(super) fn mremap(task: &mut Task, [address, bytes, new_bytes, flags, new_address, _]: Args) -> Answer {
    let known = raw::MREMAP_MAYMOVE | raw::MREMAP_FIXED | raw::MREMAP_DONTUNMAP;
    if flags & !u64::from(known) != 0 {
        return Err(Errno::INVAL);
    }
    let place = match (flags as u32 & raw::MREMAP_MAYMOVE != 0, flags as u32 & raw::MREMAP_FIXED != 0) {
        (true, true) => Place::Fixed(new_address as usize),
        (false, true) => return Err(Errno::INVAL),
        (true, false) => Place::Anywhere,
        (false, false) => Place::Here,
    };
    let target = RemapTarget { place, stays: flags as u32 & raw::MREMAP_DONTUNMAP != 0 };
    let memory = &task.process.memory;
    memory.remap(address as usize, bytes as usize, new_bytes as usize, target).map(|address| address as u64)
}

pub(super) fn brk(task: &mut Task, [end, ..]: Args) -> Answer {
    Ok(task.process.memory.set_heap_end(end as usize) as u64)
}

pub(super) fn madvise(task: &mut Task, [address, bytes, advice, ..]: Args) -> Answer {
    let advice = match advice as u32 {
        raw::MADV_DONTNEED | raw::MADV_FREE | raw::MADV_DONTNEED_LOCKED => Advice::DontNeed,
        raw::MADV_POPULATE_READ => Advice::PopulateRead,
        raw::MADV_POPULATE_WRITE => Advice::PopulateWrite,
        raw::MADV_NORMAL
        | raw::MADV_RANDOM
        | raw::MADV_SEQUENTIAL
        | raw::MADV_WILLNEED
        | raw::MADV_COLD
        | raw::MADV_PAGEOUT
        | raw::MADV_DONTFORK
        | raw::MADV_DOFORK
        | raw::MADV_MERGEABLE
        | raw::MADV_UNMERGEABLE
        | raw::MADV_HUGEPAGE
        | raw::MADV_NOHUGEPAGE
        | raw::MADV_DONTDUMP
        | raw::MADV_DODUMP
        | raw::MADV_WIPEONFORK
        | raw::MADV_KEEPONFORK => Advice::Nothing,
        _ => return Err(Errno::INVAL),
    };
    task.process.memory.advise(address as usize, bytes as usize, advice).map(|()| 0)
}

pub(super) fn msync(task: &mut Task, [address, bytes, flags, ..]: Args) -> Answer {
    let known = raw::MS_ASYNC | raw::MS_INVALIDATE | raw::MS_SYNC;
    let both = raw::MS_ASYNC | raw::MS_SYNC;
    if flags & !u64::from(known) != 0 || flags as u32 & both == both {
        return Err(Errno::INVAL);
    }
    // What is mapped is what is in the file.
    task.process.memory.covers(address as usize, bytes as usize).map(|_| 0)
}

pub(super) fn mincore(task: &mut Task, [address, bytes, vector, ..]: Args) -> Answer {
    let memory = &task.process.memory;
    let range = memory.covers(address as usize, bytes as usize)?;
    const PIECE: usize = 256 * PAGE;
    let mut at = vector;
    for start in range.clone().step_by(PIECE) {
        let pages = (start..range.end.min(start + PIECE)).step_by(PAGE);
        let there: Vec<u8> = pages.map(|page| u8::from(memory.pages.get(page).is_some())).collect();
        memory.write(at, &there)?;
        at += there.len() as u64;
    }
    Ok(0)
}

pub(super) fn mlock(task: &mut Task, [address, bytes, ..]: Args) -> Answer {
    let start = address as usize & !(PAGE - 1);
    let bytes = (address as usize - start).checked_add(bytes as usize).ok_or(Errno::INVAL)?;
    let memory = &task.process.memory;
    let range = memory.covers(start, bytes)?;
    // Nothing ever leaves this machine's memory, so it only has to be there.
    memory.populate_as_allowed(range).map(|()| 0)
}

pub(super) fn mlock2(task: &mut Task, [address, bytes, flags, ..]: Args) -> Answer {
    match flags as u32 {
        0 => mlock(task, [address, bytes, 0, 0, 0, 0]),
        raw::MLOCK_ONFAULT => munlock(task, [address, bytes, 0, 0, 0, 0]),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn munlock(task: &mut Task, [address, bytes, ..]: Args) -> Answer {
    let start = address as usize & !(PAGE - 1);
    let bytes = (address as usize - start).checked_add(bytes as usize).ok_or(Errno::INVAL)?;
    task.process.memory.covers(start, bytes).map(|_| 0)
}

pub(super) fn mlockall(task: &mut Task, [flags, ..]: Args) -> Answer {
    let known = raw::MCL_CURRENT | raw::MCL_FUTURE | raw::MCL_ONFAULT;
    if flags == 0 || flags & !u64::from(known) != 0 || flags as u32 == raw::MCL_ONFAULT {
        return Err(Errno::INVAL);
    }
    if flags as u32 & raw::MCL_CURRENT != 0 && flags as u32 & raw::MCL_ONFAULT == 0 {
        let memory = &task.process.memory;
        let all: Vec<_> = memory.map().areas.iter().map(|(range, _)| range).collect();
        all.into_iter().try_for_each(|range| memory.populate_as_allowed(range))?;
    }
    Ok(0)
}

pub(super) fn munlockall(_task: &mut Task, _: Args) -> Answer {
    Ok(0)
}
