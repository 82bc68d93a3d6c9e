//! `futex`: what is to be done with a word.

use super::{Answer, Args};
use crate::futexes::Key;
use crate::task::Task;
use crate::time::{self, Clock};
use toro::user;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Timespec;
use toro_linux_abi::raw;

/// All bits of a bitset.
const ANY: u32 = u32::MAX;

pub(super) fn futex(task: &mut Task, [address, operation, value, timeout, second, third]: Args) -> Answer {
    let command = operation as u32 & !(raw::FUTEX_PRIVATE_FLAG | raw::FUTEX_CLOCK_REALTIME);
    let clock = if operation as u32 & raw::FUTEX_CLOCK_REALTIME != 0 { Clock::Wall } else { Clock::Boot };
    let takes_a_clock = matches!(command, raw::FUTEX_WAIT | raw::FUTEX_WAIT_BITSET);
    if clock == Clock::Wall && !takes_a_clock {
        return Err(Errno::NOSYS);
    }
    let key = |address: u64| {
        if !address.is_multiple_of(4) {
            return Err(Errno::INVAL);
        }
        if operation as u32 & raw::FUTEX_PRIVATE_FLAG != 0 {
            // An address of nobody is no error while nobody waits there.
            return if address < user::END as u64 { Ok(Key::private(address)) } else { Err(Errno::FAULT) };
        }
        Key::shared(&task.process.memory, address)
    };
    let futexes = &task.process.futexes;
    let count = |value: u64| usize::try_from(value as i32).map_err(|_| Errno::INVAL);
    // Linux counts after it has woken one.
    let woken = |value: u64| usize::try_from(value as i32).map_or(1, |count| count.max(1));
    match command {
        raw::FUTEX_WAIT => {
            let deadline = read_time(task, timeout)?.map(|ns| time::now_ns().saturating_add(ns));
            futexes.wait(task, (key(address)?, address), value as u32, ANY, deadline).map(|()| 0)
        }
        raw::FUTEX_WAIT_BITSET => {
            if third as u32 == 0 {
                return Err(Errno::INVAL);
            }
            let deadline = read_time(task, timeout)?.map(|ns| clock.to_boot_ns(ns)).transpose()?;
            futexes.wait(task, (key(address)?, address), value as u32, third as u32, deadline).map(|()| 0)
        }
        raw::FUTEX_WAKE => Ok(futexes.wake(key(address)?, woken(value), ANY) as u64),
        raw::FUTEX_WAKE_BITSET => {
            if third as u32 == 0 {
                return Err(Errno::INVAL);
            }
            Ok(futexes.wake(key(address)?, woken(value), third as u32) as u64)
        }
        raw::FUTEX_REQUEUE | raw::FUTEX_CMP_REQUEUE => {
            let expected = (command == raw::FUTEX_CMP_REQUEUE).then_some(third as u32);
            let from = (key(address)?, address);
            futexes.requeue(task, from, count(value)?, count(timeout)?, key(second)?, expected).map(|all| all as u64)
        }
        raw::FUTEX_WAKE_OP => {
            let (first, other) = (key(address)?, key(second)?);
            wake_op(task, (first, woken(value)), (other, woken(timeout)), second, third as u32)
        }
        _ => Err(Errno::NOSYS),
    }
}

fn read_time(task: &Task, address: u64) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let time: Timespec = task.process.memory.get(address)?;
    time.to_ns().map(Some).ok_or(Errno::INVAL)
}

/// `FUTEX_WAKE_OP`: changes a word in one step, wakes who waits for another, and, by what the word was, who waits for it.
fn wake_op(task: &Task, wake: (Key, usize), wake_second: (Key, usize), second: u64, operation: u32) -> Answer {
    let sign_extended = |bits: u32| (bits << 20) as i32 >> 20;
    let (change, compare) = (operation >> 28 & 0xf, operation >> 24 & 0xf);
    let mut argument = sign_extended(operation >> 12 & 0xfff);
    let compared = sign_extended(operation & 0xfff);
    if change & raw::FUTEX_OP_OPARG_SHIFT != 0 {
        argument = 1_i32.wrapping_shl(argument as u32 & 31);
    }
    let memory = &task.process.memory;
    let mut old = memory.get::<i32>(second)?;
    loop {
        let new = match change & 7 {
            raw::FUTEX_OP_SET => argument,
            raw::FUTEX_OP_ADD => old.wrapping_add(argument),
            raw::FUTEX_OP_OR => old | argument,
            raw::FUTEX_OP_ANDN => old & !argument,
            raw::FUTEX_OP_XOR => old ^ argument,
            _ => return Err(Errno::NOSYS),
        };
        let found = memory.compare_exchange(second, old as u32, new as u32)? as i32;
        if found == old {
            break;
        }
        old = found;
    }
    let holds = match compare {
        raw::FUTEX_OP_CMP_EQ => old == compared,
        raw::FUTEX_OP_CMP_NE => old != compared,
        raw::FUTEX_OP_CMP_LT => old < compared,
        raw::FUTEX_OP_CMP_LE => old <= compared,
        raw::FUTEX_OP_CMP_GT => old > compared,
        raw::FUTEX_OP_CMP_GE => old >= compared,
        _ => return Err(Errno::NOSYS),
    };
    let futexes = &task.process.futexes;
    let woken = futexes.wake(wake.0, wake.1, ANY);
    let more = if holds { futexes.wake(wake_second.0, wake_second.1, ANY) } else { 0 };
    Ok((woken + more) as u64)
}
