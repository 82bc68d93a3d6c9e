//! Timers of the program: what is to happen at a time, whether or not a thread waits for it.
//!
//! One kernel thread, made when the first timer is set, sleeps until the next is due. `alarm`, `setitimer` and the timers of
//! POSIX send signals; `timerfd` tells its source (`objects/timerfd.rs`).

use crate::process::{self, Process};
use crate::signals::{Target, send};
use crate::task::{TaskHandle, Tid};
use crate::time::{self, Clock};
use toro::collections::BTreeMap;
use toro::sync::{Arc, SpinLock};
use toro::thread::{self, Thread};
use toro::time::Instant;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Itimerspec, Timespec};
use toro_linux_abi::raw;
use toro_linux_abi::signals::SignalInfo;

/// What is to happen when a timer is due.
pub(crate) trait Expire: Send + Sync {
    /// It is due.
    fn expire(self: Arc<Self>);
}

/// Names a timer that is set.
type Key = (u64, u64);

/// All timers that are set, and the program's own.
pub(crate) struct Timers {
    state: SpinLock<State>,
    posix: SpinLock<BTreeMap<i32, Arc<Timer>>>,
    /// What `alarm` and `setitimer` set.
    pub real: Arc<Timer>,
}

struct State {
    due: BTreeMap<Key, Arc<dyn Expire>>,
    next: u64,
    thread: Option<Thread>,
}

impl Timers {
    /// None.
    pub(crate) fn new() -> Self {
        Timers {
            state: SpinLock::new(State { due: BTreeMap::new(), next: 0, thread: None }),
            posix: SpinLock::new(BTreeMap::new()),
            real: Arc::new(Timer::new(Clock::Boot, Sends::Alarm)),
        }
    }

    /// Makes sure that somebody looks after timers. Not under a lock.
    pub(crate) fn begin(&self) {
        if self.state.with(|state| state.thread.is_none()) {
            let thread = thread::spawn(run).thread().clone();
            self.state.with(|state| state.thread = Some(thread));
        }
    }

    /// Has `what` expire at a time since boot, which may be before this returns. After [`begin`](Self::begin).
    pub(crate) fn set(&self, at_ns: u64, what: Arc<dyn Expire>) -> Key {
        let (key, is_first, thread) = self.state.with(|state| {
            let key = (at_ns, state.next);
            state.next += 1;
            let is_first = state.due.first_key_value().is_none_or(|(first, _)| key < *first);
            state.due.insert(key, what);
            (key, is_first, state.thread.clone())
        });
        if let Some(thread) = thread.filter(|_| is_first) {
            thread.unpark();
        }
        key
    }

    /// Forgets one.
    pub(crate) fn cancel(&self, key: Key) {
        drop(self.state.with(|state| state.due.remove(&key)));
    }

    /// Those that are due, the first first; or when the next is.
    fn take_due(&self, now_ns: u64) -> Result<Arc<dyn Expire>, Option<u64>> {
        self.state.with(|state| match state.due.first_entry() {
            Some(entry) if entry.key().0 <= now_ns => Ok(entry.remove()),
            Some(entry) => Err(Some(entry.key().0)),
            None => Err(None),
        })
    }
}

/// A timer that expires again and again does so no sooner; what lies between counts as overruns.
const INTERVAL_NS_MIN: u64 = 50_000;
/// So many that are due, and others of the core have a turn.
const TIMERS_PER_TURN: usize = 16;

fn run() {
    let timers = &process::get().timers;
    let mut expired = 0;
    loop {
        match timers.take_due(time::now_ns()) {
            Ok(what) => {
                what.expire();
                expired += 1;
                if expired % TIMERS_PER_TURN == 0 {
                    thread::yield_now();
                }
            }
            Err(next) => thread::park_until(next.map(Instant::from_nanos)),
        }
    }
}

/// What a timer does.
#[derive(Clone)]
pub(crate) enum Sends {
    /// `SIGALRM` to the program.
    Alarm,
    /// Nothing: it is only asked.
    Nothing,
    /// A signal with a value, to the program or to a thread.
    Signal {
        /// Its number.
        signal: u32,
        /// What goes with it.
        value: u64,
        /// To whom, if not to the program.
        task: Option<TaskHandle>,
    },
}

/// A timer that sends signals.
pub(crate) struct Timer {
    clock: Clock,
    sends: Sends,
    number: SpinLock<i32>,
    setting: SpinLock<Setting>,
}

#[derive(Clone, Copy, Default)]
struct Setting {
    interval_ns: u64,
    /// When it is due, in ns since boot; 0: it is not set.
    at_ns: u64,
    key: Option<Key>,
    overruns: u32,
    /// Expirations passed over since the last, because they came too soon after it.
    passed: u64,
}

impl Timer {
    fn new(clock: Clock, sends: Sends) -> Self {
        Timer { clock, sends, number: SpinLock::new(0), setting: SpinLock::new(Setting::default()) }
    }

    /// How long until it is due, and after what time again; in ns.
    pub(crate) fn left(&self) -> (u64, u64) {
        let setting = self.setting.with(|setting| *setting);
        let left = if setting.at_ns == 0 { 0 } else { setting.at_ns.saturating_sub(time::now_ns()).max(1) };
        (left, setting.interval_ns)
    }

    /// Sets it for a time since boot, 0 for never; what was left before.
    pub(crate) fn set(self: &Arc<Self>, at_ns: u64, interval_ns: u64) -> (u64, u64) {
        let before = self.left();
        let timers = &process::get().timers;
        timers.begin();
        self.setting.with(|setting| {
            if let Some(key) = setting.key {
                timers.cancel(key);
            }
            let key = (at_ns != 0).then(|| timers.set(at_ns, Arc::clone(self) as Arc<dyn Expire>));
            *setting = Setting { interval_ns, at_ns, key, overruns: 0, passed: 0 };
        });
        before
    }

    fn send(&self, process: &Process, overruns: u32) {
        let number = self.number.with(|number| *number) as u32;
        let sent = match &self.sends {
            Sends::Nothing => Ok(()),
            Sends::Alarm => send(process, Target::Program, SignalInfo::new(raw::SIGALRM, raw::SI_KERNEL as i32)),
            Sends::Signal { signal, value, task } => {
                let info = SignalInfo::from_timer(*signal, number, overruns, *value);
                send(process, task.as_ref().map_or(Target::Program, Target::Task), info)
            }
        };
        // One that finds no room is as late as an overrun.
        if sent.is_err() {
            self.setting.with(|setting| setting.overruns = setting.overruns.saturating_add(1));
        }
    }
}

impl Expire for Timer {
    fn expire(self: Arc<Self>) {
        let process = process::get();
        let now_ns = time::now_ns();
        let overruns = self.setting.with(|setting| {
            // Perhaps it was set anew while it expired.
            if setting.at_ns == 0 || now_ns < setting.at_ns {
                return None;
            }
            if let Some(key) = setting.key.take() {
                process.timers.cancel(key);
            }
            if setting.interval_ns == 0 {
                setting.at_ns = 0;
                return Some(0);
            }
            let late = (now_ns - setting.at_ns) / setting.interval_ns;
            let soonest_ns = now_ns.saturating_add(INTERVAL_NS_MIN);
            let periods = (late + 1).max((soonest_ns - setting.at_ns) / setting.interval_ns);
            setting.at_ns = setting.at_ns.saturating_add(periods.saturating_mul(setting.interval_ns));
            setting.overruns = u32::try_from(late + setting.passed).unwrap_or(u32::MAX);
            setting.passed = periods - late - 1;
            setting.key = Some(process.timers.set(setting.at_ns, Arc::clone(&self) as Arc<dyn Expire>));
            Some(setting.overruns)
        });
        if let Some(overruns) = overruns {
            self.send(process, overruns);
        }
    }
}

/// A time that a program gives with a timer, as a time since boot; 0 stays 0.
pub(crate) fn deadline(clock: Clock, value: Timespec, is_absolute: bool) -> Result<u64, Errno> {
    let ns = value.to_ns().ok_or(Errno::INVAL)?;
    if ns == 0 {
        return Ok(0);
    }
    let at_ns = if is_absolute { clock.to_boot_ns(ns)? } else { time::now_ns().saturating_add(ns) };
    Ok(at_ns.max(1))
}

impl Timers {
    /// `timer_create`; the timer's number.
    pub(crate) fn create(&self, clock: Clock, sends: impl FnOnce(i32) -> Sends) -> i32 {
        let mut number = 0;
        self.posix.with(|posix| {
            number = (0..).find(|number| !posix.contains_key(number)).unwrap_or(0);
            let timer = Timer::new(clock, sends(number));
            timer.number.with(|own| *own = number);
            posix.insert(number, Arc::new(timer));
        });
        number
    }

    fn get(&self, number: u64) -> Result<Arc<Timer>, Errno> {
        self.posix.with(|posix| posix.get(&(number as i32)).map(Arc::clone)).ok_or(Errno::INVAL)
    }

    /// `timer_settime`; what was left before.
    pub(crate) fn set_time(&self, number: u64, is_absolute: bool, new: Itimerspec) -> Result<Itimerspec, Errno> {
        let timer = self.get(number)?;
        let interval_ns = new.interval.to_ns().ok_or(Errno::INVAL)?;
        let at_ns = deadline(timer.clock, new.value, is_absolute)?;
        Ok(spec(timer.set(at_ns, interval_ns)))
    }

    /// `timer_gettime`.
    pub(crate) fn time(&self, number: u64) -> Result<Itimerspec, Errno> {
        Ok(spec(self.get(number)?.left()))
    }

    /// `timer_getoverrun`.
    pub(crate) fn overruns(&self, number: u64) -> Result<u32, Errno> {
        Ok(self.get(number)?.setting.with(|setting| setting.overruns))
    }

    /// `timer_delete`.
    pub(crate) fn delete(&self, number: u64) -> Result<(), Errno> {
        let timer = self.posix.with(|posix| posix.remove(&(number as i32))).ok_or(Errno::INVAL)?;
        timer.set(0, 0);
        Ok(())
    }
}

/// What is left and the interval, in Linux's form.
pub(crate) fn spec((left_ns, interval_ns): (u64, u64)) -> Itimerspec {
    Itimerspec { interval: Timespec::from_ns(interval_ns), value: Timespec::from_ns(left_ns) }
}

/// The thread that a timer's signal is for, when it names one.
pub(crate) fn named_task(process: &Process, tid: Tid) -> Result<TaskHandle, Errno> {
    process.tasks.get(tid).ok_or(Errno::INVAL)
}
