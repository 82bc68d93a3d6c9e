//! Futexes: threads that wait for a word of the program's memory to change.
//!
//! One short lock for all. Whoever wakes takes the waiter out of the table; a waiter that is not there any more was woken.
//! The word is compared under the lock, so no change between the look and the wait goes unseen.

use crate::memory::{Behind, Memory};
use crate::task::{Deadline, Task, TaskHandle, Waited};
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::RobustListHead;

/// Lists of waiters, by a hash of the address.
const BUCKETS: usize = 64;
/// Entries of a robust list that are looked at.
const ROBUST_MAX: usize = 2048;
const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;
const TID_MASK: u32 = 0x3fff_ffff;

/// What a thread waits for: a word of one memory, however often that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Which memory: [`Self::PRIVATE`], [`Self::ANONYMOUS`], or the address of a file.
    object: usize,
    /// Where in it.
    address: u64,
}

impl Key {
    const PRIVATE: usize = 0;
    const ANONYMOUS: usize = 1;

    /// For operations with `FUTEX_PRIVATE_FLAG`.
    pub(crate) const fn private(address: u64) -> Self {
        Key { object: Self::PRIVATE, address }
    }

    /// For those without it.
    pub(crate) fn shared(memory: &Memory, address: u64) -> Result<Self, Errno> {
        let map = memory.map();
        let (range, area) = map.areas.find(address as usize).ok_or(Errno::FAULT)?;
        Ok(match &area.backing {
            Behind::File(part) if part.shared => {
                let offset = part.offset + (address as usize - range.start);
                Key { object: Arc::as_ptr(&part.file).addr(), address: offset as u64 }
            }
            _ => Key { object: Self::ANONYMOUS, address },
        })
    }

    const fn bucket(self) -> usize {
        (self.address >> 2 ^ self.address >> 12) as usize % BUCKETS
    }
}

struct Waiter {
    key: Key,
    bits: u32,
    /// Tells one wait of a thread from another.
    ticket: u64,
    task: TaskHandle,
}

struct Table {
    buckets: [Vec<Waiter>; BUCKETS],
    next_ticket: u64,
}

/// All threads that wait for a word.
pub(crate) struct Futexes(SpinLock<Table>);

impl Table {
    /// Takes up to `count` waiters out that wait for some of these bits, the first first.
    fn take(&mut self, key: Key, count: usize, bits: u32) -> Vec<Waiter> {
        let bucket = &mut self.buckets[key.bucket()];
        let mut taken = Vec::new();
        let mut at = 0;
        while at < bucket.len() && taken.len() < count {
            if bucket[at].key == key && bucket[at].bits & bits != 0 {
                taken.push(bucket.remove(at));
            } else {
                at += 1;
            }
        }
        taken
    }

    /// The same for those who are to be woken: they hear of it in here, or one whose time is over might take it for its next wait.
    fn take_woken(&mut self, key: Key, count: usize, bits: u32) -> Vec<Waiter> {
        let woken = self.take(key, count, bits);
        woken.iter().for_each(|waiter| waiter.task.set_word_changed(true));
        woken
    }

    fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        // It may have been moved to another address.
        self.buckets.iter_mut().find_map(|bucket| {
            let at = bucket.iter().position(|waiter| waiter.ticket == ticket)?;
            Some(bucket.remove(at))
        })
    }
}

fn wake_all(woken: Vec<Waiter>) -> usize {
    woken.iter().for_each(|waiter| waiter.task.wake());
    woken.len()
}

impl Futexes {
    /// Nobody waits.
    pub(crate) const fn new() -> Self {
        Futexes(SpinLock::new(Table { buckets: [const { Vec::new() }; BUCKETS], next_ticket: 0 }))
    }

    /// Wakes up to `count` threads that wait for a word with some of these bits; how many.
    pub(crate) fn wake(&self, key: Key, count: usize, bits: u32) -> usize {
        wake_all(self.0.with(|table| table.take_woken(key, count, bits)))
    }

    /// `FUTEX_WAIT_BITSET`: waits while the word is `expected`.
    pub(crate) fn wait(
        &self,
        task: &mut Task,
        (key, address): (Key, u64),
        expected: u32,
        bits: u32,
        deadline: Deadline,
    ) -> Result<(), Errno> {
        task.handle.set_word_changed(false);
        let ticket = loop {
            // A page that is not there is made outside of the lock.
            task.process.memory.get::<u32>(address)?;
            let entered = self.0.with(|table| {
                let mut word = [0; 4];
                if task.process.memory.pages.read(address as usize, &mut word).is_err() {
                    return None;
                }
                if u32::from_le_bytes(word) != expected {
                    return Some(Err(Errno::AGAIN));
                }
                let ticket = table.next_ticket;
                table.next_ticket += 1;
                let waiter = Waiter { key, bits, ticket, task: task.handle.clone() };
                table.buckets[key.bucket()].push(waiter);
                Some(Ok(ticket))
            });
            if let Some(entered) = entered {
                break entered?;
            }
        };
        let waited = task.wait(deadline, &mut |task| task.handle.has_word_changed().then_some(()));
        let Err(waited) = waited else { return Ok(()) };
        // Woken after all, if it is not there any more.
        match (self.0.with(|table| table.remove(ticket)), waited) {
            (None, _) => Ok(()),
            (Some(_), Waited::TimedOut) => Err(Errno::TIMEDOUT),
            // With a deadline it is not begun again behind a handler: it would wait for longer.
            (Some(_), Waited::Interrupted) if deadline.is_some() => Err(Errno::RESTART_UNLESS_HANDLED),
            (Some(_), Waited::Interrupted) => Err(Errno::RESTART),
        }
    }

    /// `FUTEX_REQUEUE`, and `FUTEX_CMP_REQUEUE` if a value is expected: wakes some, and has others wait for another word; how
    /// many in all.
    pub(crate) fn requeue(
        &self,
        task: &Task,
        (key, address): (Key, u64),
        wake: usize,
        requeue: usize,
        to: Key,
        expected: Option<u32>,
    ) -> Result<usize, Errno> {
        loop {
            if expected.is_some() {
                task.process.memory.get::<u32>(address)?;
            }
            let done = self.0.with(|table| {
                if let Some(expected) = expected {
                    let mut word = [0; 4];
                    if task.process.memory.pages.read(address as usize, &mut word).is_err() {
                        return None;
                    }
                    if u32::from_le_bytes(word) != expected {
                        return Some(Err(Errno::AGAIN));
                    }
                }
                let woken = table.take_woken(key, wake, u32::MAX);
                let moved = table.take(key, requeue, u32::MAX);
                let count = moved.len();
                let bucket = &mut table.buckets[to.bucket()];
                bucket.extend(moved.into_iter().map(|waiter| Waiter { key: to, ..waiter }));
                Some(Ok((woken, count)))
            });
            if let Some(done) = done {
                let (woken, moved) = done?;
                return Ok(wake_all(woken) + moved);
            }
        }
    }
}

/// A thread ends: the futexes that it holds by its robust list are free, and say that their owner died.
pub(crate) fn release_robust_list(task: &mut Task) {
    if task.kept.robust_list == 0 {
        return;
    }
    let memory = &task.process.memory;
    let Ok(head) = memory.get::<RobustListHead>(task.kept.robust_list) else { return };
    // The lowest bit of a pointer says that the futex inherits priorities.
    let entry_of = |pointer: u64| pointer & !1;
    let release = |entry: u64| {
        let address = entry.wrapping_add_signed(head.futex_offset);
        release_futex(task, address)
    };
    let mut entry = entry_of(head.list);
    for _ in 0..ROBUST_MAX {
        if entry == task.kept.robust_list {
            break;
        }
        let next = memory.get::<u64>(entry);
        if entry != entry_of(head.list_op_pending) && release(entry).is_err() {
            return;
        }
        let Ok(next) = next else { return };
        entry = entry_of(next);
    }
    if head.list_op_pending != 0 {
        let _not_there = release(entry_of(head.list_op_pending));
    }
}

fn release_futex(task: &Task, address: u64) -> Result<(), Errno> {
    if !address.is_multiple_of(4) {
        return Err(Errno::INVAL);
    }
    let memory = &task.process.memory;
    let mut word = memory.get::<u32>(address)?;
    loop {
        if word & TID_MASK != task.tid() as u32 {
            return Ok(());
        }
        let found = memory.compare_exchange(address, word, word & WAITERS | OWNER_DIED)?;
        if found == word {
            break;
        }
        word = found;
    }
    if word & WAITERS != 0 {
        task.process.futexes.wake(Key::shared(memory, address)?, 1, u32::MAX);
    }
    Ok(())
}
