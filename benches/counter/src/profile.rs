//! Where the instructions go: how often each address was executed, in a mapped file of its own (`profile=FILE`).
#![expect(unsafe_code, reason = "maps the file that plugin and reader share")]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Addresses that are told apart; what comes later is not counted.
const SLOTS: usize = 1 << 17;

#[repr(C)]
struct Slot {
    address: AtomicU64,
    executed: AtomicU64,
}

#[repr(C)]
struct Table {
    slots: [Slot; SLOTS],
}

/// The plugin's end.
pub(crate) struct Recorder {
    table: &'static Table,
    /// Slot of each address so far: QEMU may translate the same code again.
    known: Mutex<HashMap<u64, usize>>,
}

impl Recorder {
    pub(crate) fn create(path: &str) -> std::io::Result<Recorder> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(size_of::<Table>() as u64)?;
        // SAFETY: the file is ours, as long as `Table`, and nobody shortens it while QEMU runs.
        let mapping = Box::leak(Box::new(unsafe { memmap2::MmapMut::map_mut(&file) }?));
        // SAFETY: a mapping is page-aligned and as long as `Table`, which is atomic words all through.
        let table = unsafe { &*mapping.as_mut_ptr().cast::<Table>() };
        Ok(Recorder { table, known: Mutex::default() })
    }

    /// The word that counts executions at `address`; `None` when there are too many addresses.
    pub(crate) fn word(&self, address: u64) -> Option<&'static AtomicU64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let next = known.len();
        let index = *known.entry(address).or_insert(next);
        let slot = self.table.slots.get(index)?;
        slot.address.store(address, Ordering::Relaxed);
        Some(&slot.executed)
    }
}

/// The reader's end.
pub struct Profile {
    mapping: memmap2::Mmap,
}

impl Profile {
    /// Maps the file that `-plugin ..,profile=PATH` names.
    pub fn open(path: &Path) -> std::io::Result<Profile> {
        let file = File::open(path)?;
        if file.metadata()?.len() != size_of::<Table>() as u64 {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a profile of this version"));
        }
        // SAFETY: the plugin never shortens the file, and every word in it is read atomically.
        Ok(Profile { mapping: unsafe { memmap2::Mmap::map(&file) }? })
    }

    /// Executions of each address so far.
    pub fn executed(&self) -> HashMap<u64, u64> {
        // SAFETY: `open` checked the length; a mapping is page-aligned; `Table` is atomic words all through.
        let table = unsafe { &*self.mapping.as_ptr().cast::<Table>() };
        let counts = table.slots.iter().map(|slot| {
            let executed = slot.executed.load(Ordering::Relaxed);
            (slot.address.load(Ordering::Relaxed), executed)
        });
        counts.filter(|(_, executed)| *executed > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read() {
        let path = std::env::temp_dir().join(format!("toro-profile-{}", std::process::id()));
        let recorder = Recorder::create(path.to_str().unwrap()).unwrap();
        recorder.word(0x1000).unwrap().fetch_add(3, Ordering::Relaxed);
        recorder.word(0x2000).unwrap();
        recorder.word(0x1000).unwrap().fetch_add(4, Ordering::Relaxed);
        let profile = Profile::open(&path).unwrap();
        assert_eq!(profile.executed(), HashMap::from([(0x1000, 7)]));
        std::fs::remove_file(&path).unwrap();
    }
}
