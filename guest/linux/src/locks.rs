//! Locks on files: of whole files by `flock`, of ranges by `F_OFD_SETLK`. Both belong to what was opened, so two of them in one
//! program may be in each other's way; the older ones of `F_SETLK` belong to the program, which is never in its own.

use crate::objects::OpenFile;
use crate::watch::Source;
use core::ops::Range;
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::errno::Errno;

/// Of which kind a lock is: they do not know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `flock`.
    Whole,
    /// `F_OFD_SETLK`.
    Range,
}

/// How something is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With others that share it.
    Shared,
    /// Alone.
    Exclusive,
}

#[derive(Clone, Debug)]
struct Lock {
    kind: Kind,
    ino: u64,
    owner: usize,
    range: Range<u64>,
    mode: Mode,
}

/// All locks.
pub(crate) struct Locks {
    held: SpinLock<Vec<Lock>>,
    /// Told when one is released.
    pub source: Source,
}

fn owner(file: &OpenFile) -> usize {
    core::ptr::from_ref(file).addr()
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

impl Locks {
    /// None.
    pub(crate) const fn new() -> Self {
        Locks { held: SpinLock::new(Vec::new()), source: Source::new() }
    }

    /// What stands in the way of a lock: where, and how it is locked.
    pub(crate) fn conflict(
        &self,
        kind: Kind,
        file: &OpenFile,
        ino: u64,
        range: &Range<u64>,
        mode: Mode,
    ) -> Option<(Range<u64>, Mode)> {
        self.held.with(|held| conflict(held, kind, owner(file), ino, range, mode))
    }

    /// Locks a range, in place of what the same file has locked of it; `mode` `None` unlocks it.
    pub(crate) fn set(
        &self,
        kind: Kind,
        file: &Arc<OpenFile>,
        ino: u64,
        range: &Range<u64>,
        mode: Option<Mode>,
    ) -> Result<(), Errno> {
        let owner = owner(file);
        self.held.with(|held| {
            if let Some(mode) = mode
                && conflict(held, kind, owner, ino, range, mode).is_some()
            {
                return Err(Errno::AGAIN);
            }
            let is_own = |lock: &Lock| lock.kind == kind && lock.ino == ino && lock.owner == owner;
            let mut kept = Vec::new();
            held.retain(|lock| {
                let cut = is_own(lock) && overlap(&lock.range, range);
                if cut {
                    let parts = [lock.range.start..range.start, range.end..lock.range.end];
                    let parts = parts.into_iter().filter(|part| part.start < part.end);
                    kept.extend(parts.map(|part| Lock { range: part, ..lock.clone() }));
                }
                !cut
            });
            held.append(&mut kept);
            if let Some(mode) = mode {
                held.push(Lock { kind, ino, owner, range: range.clone(), mode });
            }
            Ok(())
        })?;
        self.source.notify();
        Ok(())
    }

    /// What was opened is closed.
    pub(crate) fn release(&self, file: &OpenFile) {
        let owner = owner(file);
        let released = self.held.with(|held| {
            let before = held.len();
            held.retain(|lock| lock.owner != owner);
            held.len() != before
        });
        if released {
            self.source.notify();
        }
    }
}

fn conflict(
    held: &[Lock],
    kind: Kind,
    owner: usize,
    ino: u64,
    range: &Range<u64>,
    mode: Mode,
) -> Option<(Range<u64>, Mode)> {
    let is_in_the_way = |lock: &&Lock| {
        lock.kind == kind
            && lock.ino == ino
            && lock.owner != owner
            && overlap(&lock.range, range)
            && (mode == Mode::Exclusive || lock.mode == Mode::Exclusive)
    };
    held.iter().find(is_in_the_way).map(|lock| (lock.range.clone(), lock.mode))
}
