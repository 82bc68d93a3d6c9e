//! timerfd: a timer that is read.

use super::{Object, OpenFile, Whence};
use crate::files::anonymous_status;
use crate::memory::Transfer;
use crate::process;
use crate::time::{self, Clock};
use crate::timers::{Expire, deadline, spec};
use crate::watch::{Events, Source};
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Itimerspec, Stat};
use toro_linux_abi::tree::FileType;

/// A timer and who waits for it.
pub(crate) struct TimerFile {
    clock: Clock,
    inner: Arc<Inner>,
    ino: u64,
}

struct Inner {
    setting: SpinLock<Setting>,
    source: Source,
}

#[derive(Clone, Copy, Default)]
struct Setting {
    interval_ns: u64,
    /// When it is due next, in ns since boot; 0: it is not set.
    at_ns: u64,
    key: Option<(u64, u64)>,
}

impl Setting {
    /// How often it was due until now, and when it is next.
    fn expirations(&self, now_ns: u64) -> (u64, u64) {
        if self.at_ns == 0 || now_ns < self.at_ns {
            return (0, self.at_ns);
        }
        if self.interval_ns == 0 {
            return (1, 0);
        }
        let count = (now_ns - self.at_ns) / self.interval_ns + 1;
        (count, self.at_ns.saturating_add(count.saturating_mul(self.interval_ns)))
    }
}

impl Expire for Inner {
    fn expire(self: Arc<Self>) {
        self.setting.with(|setting| setting.key = None);
        self.source.notify(); // it is set again when it is read
    }
}

impl TimerFile {
    /// One that is not set.
    pub(crate) fn new(clock: Clock) -> Self {
        let inner = Inner { setting: SpinLock::new(Setting::default()), source: Source::new() };
        TimerFile { clock, inner: Arc::new(inner), ino: process::get().files.next_ino() }
    }

    fn arm(&self, setting: &mut Setting, interval_ns: u64, at_ns: u64) {
        let timers = &process::get().timers;
        if let Some(key) = setting.key {
            timers.cancel(key);
        }
        let key = (at_ns != 0).then(|| timers.set(at_ns, Arc::clone(&self.inner) as Arc<dyn Expire>));
        *setting = Setting { interval_ns, at_ns, key };
    }

    /// `timerfd_gettime`.
    pub(crate) fn time(&self) -> Itimerspec {
        let setting = self.inner.setting.with(|setting| *setting);
        let now_ns = time::now_ns();
        let (_, next_ns) = setting.expirations(now_ns);
        spec((next_ns.saturating_sub(now_ns), setting.interval_ns))
    }

    /// `timerfd_settime`; what was left before.
    pub(crate) fn set_time(&self, new: Itimerspec, is_absolute: bool) -> Result<Itimerspec, Errno> {
        let interval_ns = new.interval.to_ns().ok_or(Errno::INVAL)?;
        let at_ns = deadline(self.clock, new.value, is_absolute)?;
        let before = self.time();
        process::get().timers.begin();
        let interval_ns = if at_ns == 0 { 0 } else { interval_ns };
        self.inner.setting.with(|setting| self.arm(setting, interval_ns, at_ns));
        Ok(before)
    }
}

impl Object for TimerFile {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        if to.left() < 8 {
            return Err(Errno::INVAL);
        }
        if !to.is_writable(8) {
            return Ok(0);
        }
        self.inner.setting.with(|setting| {
            let (count, next_ns) = setting.expirations(time::now_ns());
            if count == 0 {
                return Err(Errno::AGAIN);
            }
            if to.give(&count.to_le_bytes()) < 8 {
                return Ok(0); // stuck: nothing is taken
            }
            self.arm(setting, setting.interval_ns, next_ns);
            Ok(8)
        })
    }

    fn seek(&self, _open: &OpenFile, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0) // there is nowhere else
    }

    fn readiness(&self) -> Events {
        let setting = self.inner.setting.with(|setting| *setting);
        Events::IN.when(setting.expirations(time::now_ns()).0 > 0)
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.inner.source)
    }

    fn status(&self) -> Stat {
        anonymous_status(FileType::Regular, 0o600, self.ino)
    }

    fn name(&self) -> Vec<u8> {
        b"anon_inode:[timerfd]".to_vec()
    }

    fn as_timer(&self) -> Option<&TimerFile> {
        Some(self)
    }
}

impl Drop for TimerFile {
    fn drop(&mut self) {
        self.inner.setting.with(|setting| self.arm(setting, 0, 0));
    }
}
