//! Waiting for several objects: `poll`, `select`, `epoll`.

use super::signals::{replace_mask, restore_mask};
use super::{Answer, Args};
use crate::objects::OpenFile;
use crate::objects::epoll::{Epoll, EpollFile};
use crate::task::{Deadline, Task, Waited};
use crate::time::now_ns;
use crate::watch::Events;
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{EpollEvent, Pollfd, SigsetArgument, Timespec, Timeval};
use toro_linux_abi::raw::{self, O_CLOEXEC, O_RDWR};
use zerocopy::IntoBytes;

const INVALID: i16 = raw::POLLNVAL as i16;

/// When a wait ends that is given in milliseconds, negative for never.
fn after_ms(ms: u64) -> Deadline {
    u64::try_from(ms as i32).ok().map(|ms| now_ns().saturating_add(ms * 1_000_000))
}

/// When a wait ends that is given as a time from now on.
fn after(task: &Task, address: u64) -> Result<Deadline, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let time: Timespec = task.process.memory.get(address)?;
    Ok(Some(now_ns().saturating_add(time.to_ns().ok_or(Errno::INVAL)?)))
}

/// Waits until one of several files is ready for exactly what is asked of it; for what each is.
fn wait_for_files(
    task: &mut Task,
    files: &[(Arc<OpenFile>, Events)],
    deadline: Deadline,
) -> Result<Vec<Events>, Waited> {
    let look = || -> Option<Vec<Events>> {
        let ready: Vec<Events> = files.iter().map(|(file, wanted)| file.object.readiness().among(*wanted)).collect();
        ready.iter().any(|events| !events.is_none()).then_some(ready)
    };
    let sources: Vec<_> = files.iter().filter_map(|(file, _)| file.object.source()).collect();
    let watcher = task.watcher();
    sources.iter().for_each(|source| source.add(watcher.clone()));
    let waited = task.wait(deadline, &mut |_| look());
    sources.iter().for_each(|source| source.remove(&watcher));
    match waited {
        Err(Waited::TimedOut) => Ok(vec![Events::NONE; files.len()]),
        waited => waited,
    }
}

fn do_poll(task: &mut Task, address: u64, count: u64, deadline: Deadline) -> Result<u64, Errno> {
    if count > task.process.limits.descriptors() as u64 {
        return Err(Errno::INVAL);
    }
    let mut list: Vec<Pollfd> = task.process.memory.get_list(address, count as usize)?;
    let mut files = Vec::new();
    let mut places = Vec::new();
    let mut invalid = 0;
    for (place, entry) in list.iter_mut().enumerate() {
        entry.revents = 0;
        if entry.fd < 0 {
            continue;
        }
        match task.process.descriptors.get(entry.fd as u64) {
            Ok(file) => {
                files.push((file, Events(u32::from(entry.events as u16)).and(Events::ALWAYS)));
                places.push(place);
            }
            Err(_) => {
                entry.revents = INVALID;
                invalid += 1;
            }
        }
    }
    let deadline = if invalid > 0 { Some(0) } else { deadline };
    let ready = wait_for_files(task, &files, deadline).map_err(|_| Errno::INTR)?;
    let mut count = invalid;
    for (place, events) in places.into_iter().zip(ready) {
        list[place].revents = events.0 as i16;
        count += u64::from(!events.is_none());
    }
    task.process.memory.write(address, list.as_slice().as_bytes())?;
    Ok(count)
}

pub(super) fn poll(task: &mut Task, [list, count, ms, ..]: Args) -> Answer {
    match do_poll(task, list, count, after_ms(ms)) {
        // Begun again when no handler has run, with the whole time.
        Err(Errno::INTR) => Err(Errno::RESTART_UNLESS_HANDLED),
        answer => answer,
    }
}

/// Runs a wait with another mask; a signal that ends it finds the old one when its handler has run.
fn masked(task: &mut Task, set: u64, bytes: u64, wait: impl FnOnce(&mut Task) -> Answer) -> Answer {
    replace_mask(task, set, bytes)?;
    let answer = wait(task);
    if answer != Err(Errno::INTR) {
        restore_mask(task);
    }
    answer
}

pub(super) fn ppoll(task: &mut Task, [list, count, timeout, set, bytes, _]: Args) -> Answer {
    let deadline = after(task, timeout)?;
    let answer = masked(task, set, bytes, |task| do_poll(task, list, count, deadline));
    tell_left(task, timeout, deadline)?;
    answer
}

/// Linux tells how much of the time is left.
fn tell_left(task: &Task, timeout: u64, deadline: Deadline) -> Result<(), Errno> {
    if let Some(deadline) = deadline {
        let left = deadline.saturating_sub(now_ns());
        // A time that cannot be written is left as it is.
        let _constant = task.process.memory.put(timeout, &Timespec::from_ns(left));
    }
    Ok(())
}

/// Bits of a set of descriptors.
fn set_at(task: &Task, address: u64, words: usize) -> Result<Vec<u64>, Errno> {
    if address == 0 { Ok(vec![0; words]) } else { task.process.memory.get_list(address, words) }
}

fn do_select(task: &mut Task, count: u64, sets: [u64; 3], deadline: Deadline) -> Answer {
    let count = usize::try_from(count as i32).map_err(|_| Errno::INVAL)?.min(task.process.limits.descriptors());
    let words = count.div_ceil(64);
    let wanted: Vec<Vec<u64>> = sets.iter().map(|set| set_at(task, *set, words)).collect::<Result<_, _>>()?;
    // What `select` calls readable, writable and exceptional.
    let kinds = [Events::IN.and(Events::HUP).and(Events::ERROR), Events::OUT.and(Events::ERROR), Events::PRIORITY];
    let mut files = Vec::new();
    for fd in 0..count {
        let is_wanted = |set: &Vec<u64>| set[fd / 64] >> (fd % 64) & 1 != 0;
        let mut events = Events::NONE;
        for (set, kind) in wanted.iter().zip(kinds) {
            events = events.and(kind.when(is_wanted(set)));
        }
        if !events.is_none() {
            files.push((task.process.descriptors.get(fd as u64)?, events, fd));
        }
    }
    let list: Vec<_> = files.iter().map(|(file, events, _)| (Arc::clone(file), *events)).collect();
    let mut found = vec![vec![0_u64; words]; 3];
    let mut bits = 0;
    let ready = wait_for_files(task, &list, deadline).map_err(|_| Errno::INTR)?;
    for ((_, _, fd), events) in files.iter().zip(&ready) {
        for ((set, kind), found) in wanted.iter().zip(kinds).zip(&mut found) {
            let is_wanted = set[fd / 64] >> (fd % 64) & 1 != 0;
            if is_wanted && !events.among(kind).is_none() {
                found[fd / 64] |= 1 << (fd % 64);
                bits += 1;
            }
        }
    }
    for (address, found) in sets.into_iter().zip(found) {
        if address != 0 {
            task.process.memory.write(address, found.as_slice().as_bytes())?;
        }
    }
    Ok(bits)
}

pub(super) fn select(task: &mut Task, [count, read, write, except, timeout, _]: Args) -> Answer {
    let deadline = match timeout {
        0 => None,
        address => {
            let time: Timeval = task.process.memory.get(address)?;
            // Linux takes more than a million microseconds here.
            let seconds = time.seconds.saturating_add(time.microseconds / 1_000_000);
            let time = Timeval { seconds, microseconds: time.microseconds % 1_000_000 };
            Some(now_ns().saturating_add(time.to_ns().ok_or(Errno::INVAL)?))
        }
    };
    let answer = do_select(task, count, [read, write, except], deadline);
    if let Some(deadline) = deadline {
        let left = Timeval::from_ns(deadline.saturating_sub(now_ns()));
        let _constant = task.process.memory.put(timeout, &left);
    }
    if answer == Err(Errno::INTR) { Err(Errno::RESTART_UNLESS_HANDLED) } else { answer }
}

pub(super) fn pselect6(task: &mut Task, [count, read, write, except, timeout, mask]: Args) -> Answer {
    let deadline = after(task, timeout)?;
    let mask = if mask == 0 { SigsetArgument::default() } else { task.process.memory.get(mask)? };
    let sets = [read, write, except];
    let answer = masked(task, mask.set, mask.bytes, |task| do_select(task, count, sets, deadline));
    tell_left(task, timeout, deadline)?;
    answer
}

pub(super) fn epoll_create(task: &mut Task, [size, ..]: Args) -> Answer {
    if size as i32 <= 0 { Err(Errno::INVAL) } else { epoll_create1(task, [0; 6]) }
}

pub(super) fn epoll_create1(task: &mut Task, [flags, ..]: Args) -> Answer {
    if flags & !u64::from(O_CLOEXEC) != 0 {
        return Err(Errno::INVAL);
    }
    super::descriptors::add(task, Box::new(EpollFile(Epoll::new())), O_RDWR, flags)
}

pub(super) fn epoll_ctl(task: &mut Task, [epoll_fd, operation, fd, event, ..]: Args) -> Answer {
    let descriptors = &task.process.descriptors;
    let open = descriptors.get(epoll_fd)?;
    let file = descriptors.get(fd)?;
    let epoll = open.object.as_epoll().ok_or(Errno::INVAL)?;
    let fd = fd as i32;
    let event = |task: &Task| task.process.memory.get::<EpollEvent>(event);
    match operation as u32 {
        raw::EPOLL_CTL_ADD => epoll.add(fd, &file, event(task)?),
        raw::EPOLL_CTL_MOD => epoll.modify(fd, &file, event(task)?),
        raw::EPOLL_CTL_DEL => epoll.remove(fd, &file),
        _ => Err(Errno::INVAL),
    }
    .map(|()| 0)
}

fn do_epoll_wait(task: &mut Task, fd: u64, events: u64, count_max: u64, deadline: Deadline) -> Answer {
    let count_max = usize::try_from(count_max as i32).ok().filter(|count| *count > 0).ok_or(Errno::INVAL)?;
    let open = task.process.descriptors.get(fd)?;
    let epoll = Arc::clone(open.object.as_epoll().ok_or(Errno::INVAL)?);
    let take = |_: &mut Task| Some(epoll.take(count_max)).filter(|events| !events.is_empty());
    let ready = match take(task) {
        Some(ready) => ready,
        None => match task.wait_for(epoll.source(), deadline, take) {
            Ok(ready) => ready,
            Err(Waited::TimedOut) => return Ok(0),
            Err(Waited::Interrupted) => return Err(Errno::INTR),
        },
    };
    task.batch = ready.len();
    task.process.memory.write(events, ready.as_slice().as_bytes())?;
    Ok(ready.len() as u64)
}

pub(super) fn epoll_wait(task: &mut Task, [fd, events, count_max, ms, ..]: Args) -> Answer {
    do_epoll_wait(task, fd, events, count_max, after_ms(ms))
}

pub(super) fn epoll_pwait(task: &mut Task, [fd, events, count_max, ms, set, bytes]: Args) -> Answer {
    masked(task, set, bytes, |task| do_epoll_wait(task, fd, events, count_max, after_ms(ms)))
}

pub(super) fn epoll_pwait2(task: &mut Task, [fd, events, count_max, timeout, set, bytes]: Args) -> Answer {
    let deadline = after(task, timeout)?;
    masked(task, set, bytes, |task| do_epoll_wait(task, fd, events, count_max, deadline))
}
