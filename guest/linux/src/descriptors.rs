//! What the program has open, by number.

use crate::objects::OpenFile;
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::errno::Errno;

#[derive(Clone)]
struct Entry {
    file: Arc<OpenFile>,
    /// Would be closed when another program is started: kept, since it can be asked for.
    close_on_exec: bool,
}

/// What a number is for.
#[derive(Clone)]
enum Place {
    Free,
    /// Of a file that is still to come.
    Reserved,
    Taken(Entry),
}

/// The table of descriptors.
pub(crate) struct Descriptors(SpinLock<Table>);

struct Table {
    entries: Vec<Place>,
    /// None below is free.
    first_free: usize,
}

impl Table {
    fn entry(&mut self, fd: i32) -> Result<&mut Entry, Errno> {
        match usize::try_from(fd).ok().and_then(|fd| self.entries.get_mut(fd)) {
            Some(Place::Taken(entry)) => Ok(entry),
            _ => Err(Errno::BADF),
        }
    }

    /// Makes room for a number.
    fn reach(&mut self, fd: usize) -> Result<(), Errno> {
        if fd >= self.entries.len() {
            self.entries.try_reserve(fd + 1 - self.entries.len()).map_err(|_| Errno::NOMEM)?;
            self.entries.resize(fd + 1, Place::Free);
        }
        Ok(())
    }

    fn free_from(&self, least: usize) -> usize {
        let start = least.max(self.first_free);
        let place = self.entries.iter().skip(start).position(|place| matches!(place, Place::Free));
        place.map_or(self.entries.len().max(start), |place| start + place)
    }

    /// Reserves the lowest number from `least` on, below `end`.
    fn reserve(&mut self, least: usize, end: usize) -> Result<usize, Errno> {
        let fd = self.free_from(least);
        if fd >= end {
            return Err(Errno::MFILE);
        }
        self.reach(fd)?;
        self.entries[fd] = Place::Reserved;
        if least <= self.first_free {
            self.first_free = fd + 1;
        }
        Ok(fd)
    }

    fn free(&mut self, fd: usize) -> Place {
        self.first_free = self.first_free.min(fd);
        core::mem::replace(&mut self.entries[fd], Place::Free)
    }
}

impl Descriptors {
    /// None.
    pub(crate) const fn new() -> Self {
        Descriptors(SpinLock::new(Table { entries: Vec::new(), first_free: 0 }))
    }

    /// What a number stands for.
    #[inline]
    pub(crate) fn get(&self, fd: u64) -> Result<Arc<OpenFile>, Errno> {
        let fd = fd as i32;
        self.0.with(|table| table.entry(fd).map(|entry| Arc::clone(&entry.file)))
    }

    /// Gives a file the lowest number from `least` on, below `end`.
    pub(crate) fn add_from(
        &self,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        least: usize,
        end: usize,
    ) -> Result<i32, Errno> {
        let added = self.0.with(|table| {
            let fd = match table.reserve(least, end) {
                Ok(fd) => fd,
                Err(error) => return Err((error, file)),
            };
            table.entries[fd] = Place::Taken(Entry { file, close_on_exec });
            Ok(fd as i32)
        });
        added.map_err(|(error, _file)| error) // a file that is refused is closed outside the lock
    }

    /// Keeps the lowest number below `end` for a file that is still to come: until [`fill`](Self::fill) it stands for
    /// nothing.
    pub(crate) fn reserve(&self, end: usize) -> Result<i32, Errno> {
        self.0.with(|table| table.reserve(0, end).map(|fd| fd as i32))
    }

    /// Gives a file the number that was kept for it.
    pub(crate) fn fill(&self, fd: i32, file: Arc<OpenFile>, close_on_exec: bool) {
        self.0.with(|table| table.entries[fd as usize] = Place::Taken(Entry { file, close_on_exec }));
    }

    /// Gives up a number that was kept.
    pub(crate) fn release(&self, fd: i32) {
        self.0.with(|table| table.free(fd as usize));
    }

    /// Gives a file that number, in place of what has it.
    pub(crate) fn set(&self, fd: i32, file: Arc<OpenFile>, close_on_exec: bool, end: usize) -> Result<(), Errno> {
        let at = usize::try_from(fd).ok().filter(|at| *at < end).ok_or(Errno::BADF)?;
        let replaced = self.0.with(|table| {
            table.reach(at)?;
            if matches!(table.entries[at], Place::Reserved) {
                return Err(Errno::BUSY);
            }
            Ok(core::mem::replace(&mut table.entries[at], Place::Taken(Entry { file, close_on_exec })))
        })?;
        drop(replaced);
        Ok(())
    }

    /// Takes a number away.
    pub(crate) fn close(&self, fd: u64) -> Result<Arc<OpenFile>, Errno> {
        let fd = fd as i32;
        self.0.with(|table| {
            table.entry(fd)?;
            match table.free(fd as usize) {
                Place::Taken(entry) => Ok(entry.file),
                _ => Err(Errno::BADF),
            }
        })
    }

    /// Whether it would be closed when another program is started.
    pub(crate) fn close_on_exec(&self, fd: u64) -> Result<bool, Errno> {
        self.0.with(|table| table.entry(fd as i32).map(|entry| entry.close_on_exec))
    }

    /// Changes that.
    pub(crate) fn set_close_on_exec(&self, fd: u64, on: bool) -> Result<(), Errno> {
        self.0.with(|table| table.entry(fd as i32).map(|entry| entry.close_on_exec = on))
    }

    /// All numbers in use.
    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.0.with(|table| {
            let used = table.entries.iter().enumerate().filter(|(_, place)| matches!(place, Place::Taken(_)));
            used.map(|(fd, _)| fd as i32).collect()
        })
    }
}
