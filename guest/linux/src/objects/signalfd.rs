//! signalfd: signals that are read instead of handled.

use super::{Object, OpenFile, Whence};
use crate::files::anonymous_status;
use crate::memory::Transfer;
use crate::process;
use crate::task::TaskHandle;
use crate::watch::{Events, Source};
use toro::prelude::*;
use toro::sync::SpinLock;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{SignalfdInfo, Stat};
use toro_linux_abi::signals::{SignalInfo, SignalSet};
use toro_linux_abi::tree::FileType;
use zerocopy::IntoBytes;

/// The signals of a descriptor.
pub(crate) struct SignalFile {
    set: SpinLock<SignalSet>,
    ino: u64,
}

impl SignalFile {
    /// For these.
    pub(crate) fn new(set: SignalSet) -> Self {
        SignalFile { set: SpinLock::new(set), ino: process::get().files.next_ino() }
    }

    /// For these from now on.
    pub(crate) fn set(&self, set: SignalSet) {
        self.set.with(|old| *old = set);
        process::get().signals.source.notify();
    }

    /// The thread that reads, whose own signals count, too.
    fn reader() -> Option<TaskHandle> {
        crate::task::current()
    }

    fn pending(&self) -> SignalSet {
        let own = Self::reader().map_or(SignalSet(0), |task| task.signals(|signals| signals.pending.set()));
        let set = self.set.with(|set| *set);
        SignalSet(own.with(process::get().signals.pending()).0 & set.0)
    }

    fn take(&self) -> Option<SignalInfo> {
        let set = self.set.with(|set| *set);
        let own = Self::reader().and_then(|task| task.signals(|signals| signals.pending.take(set)));
        own.or_else(|| process::get().signals.take(set))
    }
}

fn told(info: &SignalInfo) -> SignalfdInfo {
    let (pid, uid) = info.sender();
    let mut told = SignalfdInfo { signo: info.signo, errno: info.errno, code: info.code, ..SignalfdInfo::default() };
    if info.code <= 0 {
        (told.pid, told.uid) = (pid as u32, uid);
        (told.int, told.ptr) = (info.value as i32, info.value);
    } else {
        told.addr = info.low;
    }
    told
}

impl Object for SignalFile {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        const BYTES: usize = size_of::<SignalfdInfo>();
        if to.left() < BYTES {
            return Err(Errno::INVAL);
        }
        let mut done = 0;
        // What is taken cannot be put back, so there is to be a place for it first.
        while to.left() >= BYTES && to.is_writable(BYTES) {
            let Some(info) = self.take() else { break };
            done += to.give(told(&info).as_bytes());
        }
        if done == 0 && !to.is_stuck() { Err(Errno::AGAIN) } else { Ok(done) }
    }

    fn seek(&self, _open: &OpenFile, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0) // there is nowhere else
    }

    fn readiness(&self) -> Events {
        Events::IN.when(!self.pending().is_empty())
    }

    fn source(&self) -> Option<&Source> {
        Some(&process::get().signals.source)
    }

    fn status(&self) -> Stat {
        anonymous_status(FileType::Regular, 0o600, self.ino)
    }

    fn name(&self) -> Vec<u8> {
        b"anon_inode:[signalfd]".to_vec()
    }

    fn as_signals(&self) -> Option<&SignalFile> {
        Some(self)
    }
}
