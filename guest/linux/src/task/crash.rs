//! The report of a program that a signal ends: what happened, in which thread, and the calls that led there.
//!
//! Compilers keep no frame pointers unless they are asked to, and the unwinding tables are the host's business, which gets the
//! stack. For whoever has no such host, the chain of frame pointers is followed; where it leads nowhere, the stack is searched for
//! what looks like return addresses, and these are marked.

use super::Task;
use super::fault::describe;
use crate::memory::{Behind, Memory, Name};
use core::fmt::Write;
use core::ops::Range;
use toro::prelude::*;
use toro::thread;
use toro::user::{Crash, Fault, Registers, ThreadState, report};
use toro_linux_abi::areas::Area;
use toro_linux_abi::raw;
use toro_linux_abi::signals::{self, SignalInfo};

/// Bytes of code around the instruction: as many before it as from it on.
const CODE_BYTES: usize = 32;
const CALLS_MAX: usize = 32;
/// How much of the stack the host gets.
const SENT_BYTES: usize = 8192;
/// How much of the stack is searched.
const SEARCHED_BYTES: usize = 4096;
/// Of what is found so, most is old.
const GUESSES_MAX: usize = 12;

/// Tells of a program's end by a signal, and of the fault that it is for, if it is for one; the cause, in words.
#[inline(never)]
pub(crate) fn tell(task: &mut Task, info: &SignalInfo, fault: Option<Fault>) -> String {
    let cause = cause(task, info, fault);
    let stopped = task.stopped_threads();
    let threads: Vec<ThreadState<'_>> = stopped
        .iter()
        .map(|left| ThreadState {
            number: left.number,
            name: &left.name,
            instruction: left.instruction,
            state: &left.state,
        })
        .collect();
    let (memory, registers) = (&task.process.memory, *task.context.registers());
    let rip = registers.rip as usize;
    let first = rip.wrapping_sub(CODE_BYTES / 2);
    let code: Vec<Option<u8>> = (0..CODE_BYTES).map(|at| byte(memory, first.wrapping_add(at))).collect();
    let calls = calls(memory, &registers);
    let address = fault.filter(|fault| fault.vector == Fault::PAGE).map(|fault| fault.address);
    let place = address.map(|address| place(memory, address)).unwrap_or_default();
    report(&Crash {
        cause: format_args!("{cause}"),
        registers: &registers,
        code: &code,
        address: address.map(|address| (address, &*place)),
        base: task.process.base,
        stack: &stack(memory, registers.rsp as usize),
        calls: &calls,
        threads: &threads,
    });
    cause
}

/// `SIGSEGV: read of 0x8, near null, in thread 1 'server' on core 0`.
fn cause(task: &Task, info: &SignalInfo, fault: Option<Fault>) -> String {
    let mut text = signals::name(info.signo).map_or_else(|| format!("signal {}", info.signo), Into::into);
    match fault {
        Some(fault) => text += &format!(": {}", describe(fault)),
        None if info.code <= 0 => match info.sender().0 {
            pid if pid == task.process.pid => text += ", sent by the program itself",
            pid => text += &format!(", sent by process {pid}"),
        },
        None if info.code == raw::SI_KERNEL as i32 => text += ": a handler's frame cannot be written or read back",
        None => {}
    }
    text += &format!(", in thread {} '{}'", task.tid(), task.handle.printable_name());
    if thread::cores().len() > 1 {
        text += &format!(" on core {}", thread::current_core());
    }
    text
}

/// The stack from an address on, as far as it is there and worth sending.
fn stack(memory: &Memory, from: usize) -> Vec<u8> {
    let words = (from..from.saturating_add(SENT_BYTES)).step_by(8);
    words.map_while(|at| word(memory, at)).flat_map(usize::to_le_bytes).collect()
}

fn byte(memory: &Memory, address: usize) -> Option<u8> {
    let mut byte = [0];
    memory.pages.read(address, &mut byte).ok().map(|()| byte[0])
}

fn word(memory: &Memory, address: usize) -> Option<usize> {
    let mut bytes = [0; 8];
    memory.pages.read(address, &mut bytes).ok().map(|()| usize::from_le_bytes(bytes))
}

/// The instruction, and the return addresses above it.
fn calls(memory: &Memory, registers: &Registers) -> Vec<(usize, bool)> {
    let (rip, rsp) = (registers.rip as usize, registers.rsp as usize);
    let mut calls = vec![(rip, true)];
    let Some(stack) = memory.map().areas.find(rsp).map(|(range, _)| range) else { return calls };
    // A jump to nowhere was a call, as a rule, and has left where it came from. So has the call of a function without a frame.
    let on_top = word(memory, rsp).filter(|word| is_return_address(memory, *word));
    calls.extend(on_top.map(|word| (word, !is_code(memory, rip))));
    let mut frame = registers.rbp as usize;
    while calls.len() < CALLS_MAX && frame >= rsp && stack.contains(&frame) && frame.is_multiple_of(8) {
        let (Some(outer), Some(caller)) = (word(memory, frame), word(memory, frame + 8)) else { break };
        if !is_return_address(memory, caller) {
            break;
        }
        calls.push((caller, true));
        if outer <= frame {
            break;
        }
        frame = outer;
    }
    if calls.len() == 1 + usize::from(on_top.is_some()) {
        calls.truncate(1);
        let end = stack.end.min(rsp.saturating_add(SEARCHED_BYTES));
        let words = (rsp.next_multiple_of(8)..end).step_by(8).map_while(|at| word(memory, at));
        let guesses = words.filter(|word| is_return_address(memory, *word)).take(GUESSES_MAX);
        calls.extend(guesses.map(|guess| (guess, false)));
    }
    calls
}

fn is_code(memory: &Memory, address: usize) -> bool {
    memory.map().areas.find(address).is_some_and(|(_, area)| area.protection.execute)
}

/// Whether an instruction before this address may have been a call.
fn is_return_address(memory: &Memory, address: usize) -> bool {
    if !is_code(memory, address) {
        return false;
    }
    let before = |bytes: usize| byte(memory, address.wrapping_sub(bytes));
    // `call` of a place, or by register or memory: `ff /2`, of 2, 3, 4, 6 or 7 bytes.
    before(5) == Some(0xe8)
        || [2, 3, 4, 6, 7]
            .iter()
            .any(|bytes| before(*bytes) == Some(0xff) && before(bytes - 1).is_some_and(|operand| operand >> 3 & 7 == 2))
}

/// What an address is part of, or lies beside.
fn place(memory: &Memory, address: usize) -> String {
    let map = memory.map();
    if let Some((range, area)) = map.areas.find(address) {
        return format!("in {}", show(&range, area));
    }
    let mut text: String = "in no area".into();
    let (below, above) = (
        map.areas.iter().take_while(|(range, _)| range.end <= address).last(),
        map.areas.iter().find(|(range, _)| range.start > address),
    );
    if let Some((range, area)) = below {
        _ = write!(text, "; {:#x} bytes behind {}", address - range.end, show(&range, area));
    }
    if let Some((range, area)) = above {
        _ = write!(text, "; {:#x} bytes before {}", range.start - address, show(&range, area));
    }
    text
}

fn show(range: &Range<usize>, area: &Area<Behind>) -> String {
    let flag = |on: bool, letter: char| if on { letter } else { '-' };
    let protection = area.protection;
    let flags: String =
        [flag(protection.read, 'r'), flag(protection.write, 'w'), flag(protection.execute, 'x')].into_iter().collect();
    let name = match &area.backing {
        Behind::Nothing(Name::Heap) => " [heap]".into(),
        Behind::Nothing(Name::Stack) => " [stack]".into(),
        Behind::Nothing(Name::Vvar) => " [vvar]".into(),
        Behind::Nothing(Name::Vdso) => " [vdso]".into(),
        Behind::Nothing(Name::None) => String::new(),
        Behind::File(part) => format!(" {}", String::from_utf8_lossy(&part.path)),
    };
    format!("{:#x}-{:#x} {flags}{name}", range.start, range.end)
}
