//! `--strace`: each call and each signal on a line of the kernel's log.

use super::{Answer, Args};
use crate::memory::Memory;
use crate::task::Task;
use toro_linux_abi::raw::SI_KERNEL;
use toro_linux_abi::signals::{SignalInfo, is_of_instruction, name};
use toro_linux_abi::strace::{self, before};

/// What of the program's memory is there; nothing is made for being looked at.
struct Look<'a>(&'a Memory);

impl strace::Memory for Look<'_> {
    fn look(&self, address: u64, to: &mut [u8]) -> bool {
        usize::try_from(address).is_ok_and(|address| self.0.pages.read(address, to).is_ok())
    }
}

/// Prints a signal that the program is about to hear.
pub(crate) fn signal(task: &Task, info: &SignalInfo) {
    let name = name(info.signo).unwrap_or("SIG?");
    let (tid, code) = (task.tid(), info.code);
    if code > 0 && code < SI_KERNEL as i32 && is_of_instruction(info.signo) {
        toro::io::log_line(format_args!("[{tid}] --- {name} {{si_code={code}, si_addr={:#x}}} ---", info.low));
    } else {
        toro::io::log_line(format_args!("[{tid}] --- {name} {{si_code={code}}} ---"));
    }
}

/// Numbers of calls that do not return: `exit` and `exit_group`.
const ENDS: [u64; 2] = [60, 231];

/// Makes a call, and prints it.
pub(super) fn traced(
    task: &mut Task,
    number: u64,
    arguments: Args,
    dispatch: fn(&mut Task, u64, Args) -> Answer,
) -> Answer {
    let look = Look(&task.process.memory);
    let printed = before(number, arguments, &look);
    let tid = task.tid();
    if ENDS.contains(&number) {
        toro::io::log_line(format_args!("[{tid}] {}", printed.unfinished()));
    }
    let answer = dispatch(task, number, arguments);
    if !ENDS.contains(&number) {
        toro::io::log_line(format_args!("[{tid}] {}", printed.line(answer, &look)));
    }
    answer
}
