//! Clocks, sleep and timers.

use super::{Answer, Args};
use crate::objects::timerfd::TimerFile;
use crate::task::{Task, Tid, Waited};
use crate::time::{Clock, now_ns, wall_ns};
use crate::timers::{Sends, named_task};
use toro::prelude::*;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Itimerspec, Itimerval, Sigevent, Timespec, Timeval, Tms};
use toro_linux_abi::raw::{self, O_CLOEXEC, O_NONBLOCK, O_RDWR};
use toro_linux_abi::signals::LAST;

/// Nanoseconds of a tick, as `times` counts.
const TICK_NS: u64 = 10_000_000;
const TIMER_ABSTIME: u64 = raw::TIMER_ABSTIME as u64;

fn shows(task: &Task, clock: Clock) -> u64 {
    match clock {
        Clock::Wall => wall_ns(),
        Clock::Boot => now_ns(),
        Clock::Process => task.process.cpu_ns(task),
        Clock::Thread => task.turns.cpu_ns(),
    }
}

pub(super) fn gettimeofday(task: &mut Task, [time, zone, ..]: Args) -> Answer {
    task.process.memory.put_if(time, &Timeval::from_ns(wall_ns()))?;
    task.process.memory.put_if(zone, &[0_i32; 2]).map(|()| 0)
}

pub(super) fn time(task: &mut Task, [to, ..]: Args) -> Answer {
    let seconds = wall_ns() / 1_000_000_000;
    task.process.memory.put_if(to, &seconds)?;
    Ok(seconds)
}

/// The clock of a number, those of threads and programs by their numbers among them.
fn clock(task: &Task, number: u64) -> Result<Clock, Errno> {
    let number = number as i32;
    if number >= 0 {
        return Clock::parse(number as u64);
    }
    // The upper bits hold a number in reverse, the lower three what clock of it.
    let (who, is_thread) = (!(number >> 3), number & 4 != 0);
    match (is_thread, number & 3) {
        (true, 0..=2) if who == 0 || who == task.tid() => Ok(Clock::Thread),
        (true, 0..=2) if task.process.tasks.get(who).is_some() => Err(Errno::OPNOTSUPP),
        (false, 0..=2) if who == 0 || who == task.process.pid => Ok(Clock::Process),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn clock_gettime(task: &mut Task, [number, to, ..]: Args) -> Answer {
    let clock = clock(task, number)?;
    task.process.memory.put(to, &Timespec::from_ns(shows(task, clock))).map(|()| 0)
}

pub(super) fn clock_getres(task: &mut Task, [number, to, ..]: Args) -> Answer {
    clock(task, number)?;
    task.process.memory.put_if(to, &Timespec::from_ns(1)).map(|()| 0)
}

pub(super) fn clock_settime(task: &mut Task, [number, from, ..]: Args) -> Answer {
    if clock(task, number)? != Clock::Wall {
        return Err(Errno::INVAL);
    }
    let time: Timespec = task.process.memory.get(from)?;
    time.to_ns().ok_or(Errno::INVAL)?;
    Err(Errno::PERM)
}

pub(super) fn settimeofday(task: &mut Task, [time, zone, ..]: Args) -> Answer {
    if time != 0 {
        task.process.memory.get::<Timeval>(time)?;
    }
    // One of no minutes changes nothing.
    if zone != 0 && task.process.memory.get::<u64>(zone)? != 0 || time != 0 { Err(Errno::PERM) } else { Ok(0) }
}

/// Sleeps until a time; what is left of it goes to `left` when a signal ends that.
fn sleep(task: &mut Task, deadline_ns: u64, left: u64) -> Answer {
    match task.wait(Some(deadline_ns), &mut |_| None::<()>) {
        Err(Waited::Interrupted) => {
            let rest = deadline_ns.saturating_sub(now_ns());
            task.process.memory.put_if(left, &Timespec::from_ns(rest))?;
            Err(Errno::INTR)
        }
        _ => Ok(0),
    }
}

pub(super) fn nanosleep(task: &mut Task, [time, left, ..]: Args) -> Answer {
    let time: Timespec = task.process.memory.get(time)?;
    let ns = time.to_ns().ok_or(Errno::INVAL)?;
    sleep(task, now_ns().saturating_add(ns), left)
}

pub(super) fn clock_nanosleep(task: &mut Task, [number, flags, time, left, ..]: Args) -> Answer {
    let clock = clock(task, number)?;
    let time: Timespec = task.process.memory.get(time)?;
    let ns = time.to_ns().ok_or(Errno::INVAL)?;
    if clock == Clock::Thread {
        return Err(Errno::INVAL);
    }
    if flags & TIMER_ABSTIME != 0 {
        let deadline = clock.to_boot_ns(ns)?;
        return sleep(task, deadline, 0);
    }
    clock.to_boot_ns(0)?; // CPU time does not go by itself
    sleep(task, now_ns().saturating_add(ns), left)
}

pub(super) fn times(task: &mut Task, [to, ..]: Args) -> Answer {
    let used = (task.process.cpu_ns(task) / TICK_NS) as i64;
    task.process.memory.put_if(to, &Tms { utime: used, ..Tms::default() })?;
    Ok(now_ns() / TICK_NS)
}

pub(super) fn alarm(task: &mut Task, [seconds, ..]: Args) -> Answer {
    let ns = u64::from(seconds as u32) * 1_000_000_000;
    let at_ns = if ns == 0 { 0 } else { now_ns() + ns };
    let (left_ns, _) = task.process.timers.real.set(at_ns, 0);
    Ok(left_ns.div_ceil(1_000_000_000))
}

/// Which interval timer: only the one of real time exists here.
fn check_itimer(which: u64) -> Result<(), Errno> {
    match which as u32 {
        raw::ITIMER_REAL => Ok(()),
        raw::ITIMER_VIRTUAL | raw::ITIMER_PROF => Err(Errno::NOSYS),
        _ => Err(Errno::INVAL),
    }
}

fn itimer((left_ns, interval_ns): (u64, u64)) -> Itimerval {
    // 0 would say that it is not set.
    let left_ns = if left_ns == 0 { 0 } else { left_ns.max(1000) };
    Itimerval { interval: Timeval::from_ns(interval_ns), value: Timeval::from_ns(left_ns) }
}

pub(super) fn getitimer(task: &mut Task, [which, to, ..]: Args) -> Answer {
    check_itimer(which)?;
    task.process.memory.put(to, &itimer(task.process.timers.real.left())).map(|()| 0)
}

pub(super) fn setitimer(task: &mut Task, [which, new, old, ..]: Args) -> Answer {
    check_itimer(which)?;
    let new = if new == 0 { Itimerval::default() } else { task.process.memory.get(new)? };
    let (value, interval) = (new.value.to_ns().ok_or(Errno::INVAL)?, new.interval.to_ns().ok_or(Errno::INVAL)?);
    let at_ns = if value == 0 { 0 } else { now_ns().saturating_add(value) };
    let before = task.process.timers.real.set(at_ns, interval);
    task.process.memory.put_if(old, &itimer(before)).map(|()| 0)
}

pub(super) fn timer_create(task: &mut Task, [number, event, to, ..]: Args) -> Answer {
    let clock = clock(task, number)?;
    clock.to_boot_ns(0)?;
    let process = task.process;
    let event: Option<Sigevent> = if event == 0 { None } else { Some(process.memory.get(event)?) };
    let (notify, signal) =
        event.map_or((raw::SIGEV_SIGNAL, raw::SIGALRM as i32), |event| (event.notify as u32, event.signo));
    let check =
        |signal: i32| u32::try_from(signal).ok().filter(|signal| (1..=LAST).contains(signal)).ok_or(Errno::INVAL);
    let value = |number: i32| event.map_or(number as u64, |event| event.value);
    let number = match notify {
        raw::SIGEV_NONE => process.timers.create(clock, |_| Sends::Nothing),
        raw::SIGEV_SIGNAL => {
            let signal = check(signal)?;
            process.timers.create(clock, |number| Sends::Signal { signal, value: value(number), task: None })
        }
        notify if notify == raw::SIGEV_THREAD_ID | raw::SIGEV_SIGNAL => {
            let signal = check(signal)?;
            let other = named_task(process, event.map_or(0, |event| event.tid) as Tid)?;
            process.timers.create(clock, |number| Sends::Signal { signal, value: value(number), task: Some(other) })
        }
        _ => return Err(Errno::INVAL),
    };
    match process.memory.put(to, &number) {
        Ok(()) => Ok(0),
        Err(error) => {
            let _made_just_now = process.timers.delete(number as u64);
            Err(error)
        }
    }
}

pub(super) fn timer_settime(task: &mut Task, [number, flags, new, old, ..]: Args) -> Answer {
    let new: Itimerspec = task.process.memory.get(new)?;
    let before = task.process.timers.set_time(number, flags & TIMER_ABSTIME != 0, new)?;
    task.process.memory.put_if(old, &before).map(|()| 0)
}

pub(super) fn timer_gettime(task: &mut Task, [number, to, ..]: Args) -> Answer {
    let left = task.process.timers.time(number)?;
    task.process.memory.put(to, &left).map(|()| 0)
}

pub(super) fn timer_getoverrun(task: &mut Task, [number, ..]: Args) -> Answer {
    task.process.timers.overruns(number).map(u64::from)
}

pub(super) fn timer_delete(task: &mut Task, [number, ..]: Args) -> Answer {
    task.process.timers.delete(number).map(|()| 0)
}

pub(super) fn timerfd_create(task: &mut Task, [number, flags, ..]: Args) -> Answer {
    let clock = Clock::parse(number)?;
    if flags & !u64::from(O_CLOEXEC | O_NONBLOCK) != 0 || clock.to_boot_ns(0).is_err() {
        return Err(Errno::INVAL);
    }
    super::descriptors::add(task, Box::new(TimerFile::new(clock)), O_RDWR, flags)
}

pub(super) fn timerfd_settime(task: &mut Task, [fd, flags, new, old, ..]: Args) -> Answer {
    let known = raw::TFD_TIMER_ABSTIME | raw::TFD_TIMER_CANCEL_ON_SET;
    if flags & !u64::from(known) != 0 {
        return Err(Errno::INVAL);
    }
    let new: Itimerspec = task.process.memory.get(new)?;
    if new.value.to_ns().is_none() || new.interval.to_ns().is_none() {
        return Err(Errno::INVAL);
    }
    let open = task.process.descriptors.get(fd)?;
    let timer = open.object.as_timer().ok_or(Errno::INVAL)?;
    let before = timer.set_time(new, flags & u64::from(raw::TFD_TIMER_ABSTIME) != 0)?;
    task.process.memory.put_if(old, &before).map(|()| 0)
}

pub(super) fn timerfd_gettime(task: &mut Task, [fd, to, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    let left = open.object.as_timer().ok_or(Errno::INVAL)?.time();
    task.process.memory.put(to, &left).map(|()| 0)
}
