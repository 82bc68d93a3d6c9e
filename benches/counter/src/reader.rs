//! Reads the counters of a running guest.
#![expect(unsafe_code, reason = "maps the counter file that QEMU writes")]

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::layout::{Counter, DEVICES_MAX, MAGIC, MARKERS_MAX, MarkerSlot, Shared, load_name};

/// Why a counter file cannot be read.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be opened or mapped; QEMU makes it when it starts.
    Io(PathBuf, std::io::Error),
    /// The file is not complete yet, or was written by another version of the plugin.
    OtherLayout(PathBuf),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            OpenError::OtherLayout(path) => {
                write!(f, "{}: not a counter file of this version", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// The counters of one guest.
pub struct Reader {
    mapping: memmap2::Mmap,
}

/// Accesses to one device's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceAccesses {
    /// Loads.
    pub reads: u64,
    /// Stores.
    pub writes: u64,
}

/// When the guest wrote to the marker port, or first came to a watched address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Instructions executed until then.
    pub instructions: u64,
    /// Host time since QEMU loaded the plugin, in nanoseconds.
    pub host_ns: u64,
}

/// All counters at one moment; subtract two for what happened between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    counters: Vec<u64>,
    devices: BTreeMap<String, DeviceAccesses>,
}

impl Reader {
    /// Maps the file that `-plugin ..,out=PATH` names.
    pub fn open(path: &Path) -> Result<Reader, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() != size_of::<Shared>() as u64 {
            return Err(OpenError::OtherLayout(path.to_owned()));
        }
        // SAFETY: the plugin never shortens the file, and every word in it is read atomically.
        let mapping = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        let reader = Reader { mapping };
        if reader.shared().magic.load(Ordering::Acquire) != MAGIC {
            return Err(OpenError::OtherLayout(path.to_owned()));
        }
        Ok(reader)
    }

    fn shared(&self) -> &Shared {
        // SAFETY: `open` checked the length; a mapping is page-aligned; `Shared` is atomic words all through.
        unsafe { &*self.mapping.as_ptr().cast::<Shared>() }
    }

    /// All counters now.
    pub fn snapshot(&self) -> Snapshot {
        let shared = self.shared();
        let used = usize::try_from(shared.devices_used.load(Ordering::Acquire)).unwrap_or(0).min(DEVICES_MAX);
        Snapshot {
            counters: shared.counters.iter().map(|word| word.load(Ordering::Relaxed)).collect(),
            devices: shared.devices[..used]
                .iter()
                .map(|device| {
                    let reads = device.reads.load(Ordering::Relaxed);
                    (load_name(&device.name), DeviceAccesses { reads, writes: device.writes.load(Ordering::Relaxed) })
                })
                .collect(),
        }
    }

    /// The markers passed so far; the first sixteen.
    pub fn markers(&self) -> Vec<Marker> {
        let shared = self.shared();
        let passed = usize::try_from(shared.counter(Counter::Markers).load(Ordering::Acquire)).unwrap_or(0);
        shared.markers[..passed.min(MARKERS_MAX)].iter().map(marker).collect()
    }

    /// The first execution of the `index`th address given by `watch=`, once it happened.
    pub fn watch(&self, index: usize) -> Option<Marker> {
        let slot = self.shared().watches.get(index)?;
        (slot.instructions.load(Ordering::Acquire) != 0).then(|| marker(slot))
    }
}

fn marker(slot: &MarkerSlot) -> Marker {
    Marker { instructions: slot.instructions.load(Ordering::Relaxed), host_ns: slot.host_ns.load(Ordering::Relaxed) }
}

impl Snapshot {
    /// One counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).copied().unwrap_or(0)
    }

    /// Accesses by device, with `devices=on`.
    pub fn devices(&self) -> &BTreeMap<String, DeviceAccesses> {
        &self.devices
    }

    /// Instructions with a `rep` string instruction counted as one at most, not once an iteration.
    pub fn instructions_without_rep(&self) -> u64 {
        self.get(Counter::Instructions) - self.get(Counter::RepIterations)
    }

    /// Accesses to the local and I/O interrupt controllers, with `devices=on`.
    pub fn apic_accesses(&self) -> u64 {
        let apics = self.devices.iter().filter(|(name, _)| name.contains("apic"));
        apics.map(|(_, accesses)| accesses.reads + accesses.writes).sum()
    }

    /// How often a processor went to sleep.
    pub fn sleeps(&self) -> u64 {
        self.get(Counter::Hlt) + self.get(Counter::Mwait)
    }

    /// What would leave the guest for the VMM process: ports and device memory, interrupt controllers
    /// apart (they are the host kernel's).
    pub fn vmm_exits(&self) -> u64 {
        let memory = self.get(Counter::DeviceRead) + self.get(Counter::DeviceWrite) - self.apic_accesses();
        self.get(Counter::PortIn) + self.get(Counter::PortOut) + memory
    }
}

impl Sub<&Snapshot> for Snapshot {
    type Output = Snapshot;

    fn sub(self, earlier: &Snapshot) -> Snapshot {
        let counters = self.counters.iter().enumerate();
        Snapshot {
            counters: counters.map(|(i, now)| now - earlier.counters.get(i).copied().unwrap_or(0)).collect(),
            devices: self
                .devices
                .into_iter()
                .map(|(name, now)| {
                    let before = earlier.devices.get(&name).copied().unwrap_or_default();
                    (name, DeviceAccesses { reads: now.reads - before.reads, writes: now.writes - before.writes })
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_only_what_happened_between() {
        let apic = |reads, writes| BTreeMap::from([("apic-msi".to_owned(), DeviceAccesses { reads, writes })]);
        let mut before = Snapshot { counters: vec![0; Counter::ALL.len()], devices: BTreeMap::new() };
        before.counters[Counter::Instructions as usize] = 100;
        let mut after = Snapshot { counters: before.counters.clone(), devices: apic(1, 4) };
        after.counters[Counter::Instructions as usize] = 350;
        after.counters[Counter::DeviceWrite as usize] = 6;
        after.counters[Counter::DeviceRead as usize] = 1;
        let between = after - &before;
        assert_eq!(between.get(Counter::Instructions), 250);
        assert_eq!(between.apic_accesses(), 5);
        assert_eq!(between.vmm_exits(), 2);
    }

    #[test]
    fn a_file_of_another_layout_is_refused() {
        let path = std::env::temp_dir().join(format!("toro-counter-layout-{}", std::process::id()));
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(Reader::open(&path), Err(OpenError::OtherLayout(_))));
        std::fs::write(&path, vec![0; size_of::<Shared>()]).unwrap();
        assert!(matches!(Reader::open(&path), Err(OpenError::OtherLayout(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Reader::open(&path), Err(OpenError::Io(..))));
    }
}
