//! eventfd: a counter.

use super::{Object, OpenFile, Whence};
use crate::files::anonymous_status;
use crate::memory::Transfer;
use crate::process;
use crate::watch::{Events, Source};
use toro::prelude::*;
use toro::sync::SpinLock;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::tree::FileType;

/// A counter and who waits for it.
pub(crate) struct EventFile {
    count: SpinLock<u64>,
    /// A read takes one instead of all.
    is_semaphore: bool,
    source: Source,
    ino: u64,
}

/// The counter never reaches this.
const END: u64 = u64::MAX;

impl EventFile {
    /// A counter that stands at `count`.
    pub(crate) fn new(count: u64, is_semaphore: bool) -> Self {
        let ino = process::get().files.next_ino();
        EventFile { count: SpinLock::new(count), is_semaphore, source: Source::new(), ino }
    }
}

impl Object for EventFile {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        if to.left() < 8 {
            return Err(Errno::INVAL);
        }
        if !to.is_writable(8) {
            return Ok(0);
        }
        let given = self.count.with(|count| {
            let taken = if self.is_semaphore { (*count).min(1) } else { *count };
            if taken == 0 {
                return Err(Errno::AGAIN);
            }
            let given = to.give(&taken.to_le_bytes());
            if given == 8 {
                *count -= taken;
            }
            Ok(if given == 8 { 8 } else { 0 })
        })?;
        if given > 0 {
            self.source.notify();
        }
        Ok(given)
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        if from.left() != 8 {
            return Err(Errno::INVAL);
        }
        let mut value = [0; 8];
        let mut taken = from.clone();
        if taken.take(&mut value) < 8 {
            from.stick(&taken);
            return Ok(0);
        }
        *from = taken;
        let value = u64::from_le_bytes(value);
        if value == END {
            return Err(Errno::INVAL);
        }
        self.count.with(|count| {
            *count = count.checked_add(value).filter(|sum| *sum < END).ok_or(Errno::AGAIN)?;
            Ok::<_, Errno>(())
        })?;
        self.source.notify();
        Ok(8)
    }

    fn seek(&self, _open: &OpenFile, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0) // there is nowhere else
    }

    fn readiness(&self) -> Events {
        let count = self.count.with(|count| *count);
        Events::IN.when(count > 0).and(Events::OUT.when(count < END - 1))
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.source)
    }

    fn status(&self) -> Stat {
        anonymous_status(FileType::Regular, 0o600, self.ino)
    }

    fn name(&self) -> Vec<u8> {
        b"anon_inode:[eventfd]".to_vec()
    }
}
