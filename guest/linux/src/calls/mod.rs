//! System calls: from the table (`toro_linux_abi::for_each_call`) to the functions that serve them, one file a subject.

mod attributes;
mod descriptors;
mod files;
mod futexes;
mod identity;
mod io;
mod locks;
mod machine;
mod memory;
mod messages;
mod polling;
mod signals;
mod sockets;
mod splice;
mod threads;
mod time;
pub(crate) mod trace;

use crate::signals::Interrupted;
use crate::task::Task;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use toro_linux_abi::calls::{Support, find};
use toro_linux_abi::errno::Errno;

/// The arguments of a call, as they are in the registers.
pub(crate) type Args = [u64; 6];
/// What a call returns.
pub(crate) type Answer = Result<u64, Errno>;

/// Numbers of calls that are not supported and were told of, by bit.
static TOLD: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

const RSEQ: u64 = 334;

/// Tells once of a call that is not supported, by name, with the cure where there is one.
#[cold]
fn unsupported(number: u64) -> Answer {
    let is_news = match TOLD.get(number as usize / 64) {
        Some(word) => word.fetch_or(1 << (number % 64), Relaxed) >> (number % 64) & 1 == 0,
        None => false,
    };
    // Every C library asks for restartable sequences, and does without.
    if is_news && number != RSEQ {
        match find(number) {
            Some(call) => match call.support {
                Support::None(cure) if !cure.is_empty() => {
                    log::warn!("{} is not supported: {cure}", call.name);
                }
                _ => log::warn!("{} is not supported", call.name),
            },
            None => log::warn!("call {number} is not supported"),
        }
    }
    Err(Errno::NOSYS)
}

macro_rules! handler {
    ($number:literal, $task:ident, $arguments:ident, none $($cure:literal)?) => {
        unsupported($number)
    };
    ($number:literal, $task:ident, $arguments:ident, $module:ident::$function:ident $(, partial $note:literal)?) => {
        $module::$function($task, $arguments)
    };
}

macro_rules! dispatch {
    ($($number:literal $name:ident($($kind:ident),*) [$($support:tt)*];)*) => {
        fn dispatch(task: &mut Task, number: u64, arguments: Args) -> Answer {
            match number {
                $($number => handler!($number, task, arguments, $($support)*),)*
                _ => unsupported(number),
            }
        }
    };
}

toro_linux_abi::for_each_call!(dispatch);

/// Serves the call that the program's registers say.
pub(crate) fn serve(task: &mut Task) {
    let registers = task.context.registers();
    let number = registers.rax;
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
    let answer = if task.process.traced {
        trace::traced(task, number, arguments, dispatch)
    } else {
        dispatch(task, number, arguments)
    };
    let value = match answer {
        Ok(value) => value,
        Err(how @ (Errno::RESTART | Errno::RESTART_UNLESS_HANDLED)) => {
            task.interrupted = Some(Interrupted { number, how });
            Errno::INTR.returned()
        }
        Err(error) => error.returned(),
    };
    task.context.registers_mut().rax = value;
}
