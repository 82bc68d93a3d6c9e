//! What the program did that it may not: a page that is due, or a signal.

use super::Task;
use crate::memory::{Refused, out_of_memory};
use crate::signals::{self, Trap};
use toro::prelude::*;
use toro::user::{self, Access, Fault};
use toro_linux_abi::raw;
use toro_linux_abi::signals::SignalInfo;

/// Bits of a page fault's error code.
const PRESENT: u64 = 1;
const FROM_RING_3: u64 = 4;

const DIVIDE: u8 = 0;
const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;
const OVERFLOW: u8 = 4;
const INVALID: u8 = 6;
const STACK: u8 = 12;
const X87: u8 = 16;
const ALIGNMENT: u8 = 17;
const SIMD: u8 = 19;

impl Task {
    /// The program has faulted: its page is made, or it gets a signal.
    #[inline(never)]
    pub(super) fn fault(&mut self, fault: Fault) {
        // The processor itself, on the program's behalf, where the program may: it would fault again for ever. QEMU's TCG reads
        // the stack so for a far return.
        let is_hopeless = fault.vector == Fault::PAGE && fault.error & (PRESENT | FROM_RING_3) == PRESENT;
        let info = match fault.access().filter(|_| !is_hopeless) {
            Some(access) => match self.process.memory.commit(fault.address, access) {
                Ok(()) => return,
                Err(Refused::OutOfMemory) => out_of_memory(fault.address),
                Err(Refused::BeyondFile) => (raw::SIGBUS, raw::BUS_ADRERR as i32, fault.address as u64),
                Err(Refused::NotMapped) => (raw::SIGSEGV, raw::SEGV_MAPERR as i32, fault.address as u64),
                Err(Refused::NotAllowed) => (raw::SIGSEGV, raw::SEGV_ACCERR as i32, fault.address as u64),
            },
            None => self.signal_of(fault),
        };
        let (signal, code, address) = info;
        // Whose page an address of the kernel is, a program is not told.
        let is_the_kernels = fault.address >= user::END;
        let error = match fault.vector {
            Fault::PAGE => fault.error | FROM_RING_3 | if is_the_kernels { PRESENT } else { 0 },
            _ => fault.error,
        };
        self.trap = Trap {
            error,
            number: fault.vector.into(),
            address: if fault.vector == Fault::PAGE { fault.address as u64 } else { 0 },
        };
        let info = SignalInfo::from_fault(signal, code, address);
        signals::force(self, info, fault);
    }

    /// Signal, code and address of an exception that is no page fault.
    fn signal_of(&self, fault: Fault) -> (u32, i32, u64) {
        let rip = self.context.registers().rip;
        match fault.vector {
            DIVIDE => (raw::SIGFPE, raw::FPE_INTDIV as i32, rip),
            DEBUG => (raw::SIGTRAP, raw::TRAP_TRACE as i32, rip),
            BREAKPOINT => (raw::SIGTRAP, raw::SI_KERNEL as i32, 0),
            OVERFLOW => (raw::SIGSEGV, raw::SI_KERNEL as i32, 0),
            INVALID => (raw::SIGILL, raw::ILL_ILLOPN as i32, rip),
            STACK => (raw::SIGBUS, raw::SI_KERNEL as i32, 0),
            X87 => (raw::SIGFPE, floating_point_code(self.context.x87_exceptions()), rip),
            ALIGNMENT => (raw::SIGBUS, raw::BUS_ADRALN as i32, 0),
            SIMD => (raw::SIGFPE, floating_point_code(self.context.simd_exceptions()), rip),
            _ => (raw::SIGSEGV, raw::SI_KERNEL as i32, 0),
        }
    }
}

/// `si_code` of the exceptions that were unmasked and have happened, as the processor's status words have them.
fn floating_point_code(exceptions: u32) -> i32 {
    let code = match exceptions {
        flags if flags & 1 != 0 => raw::FPE_FLTINV,
        flags if flags & 4 != 0 => raw::FPE_FLTDIV,
        flags if flags & 8 != 0 => raw::FPE_FLTOVF,
        flags if flags & (2 | 16) != 0 => raw::FPE_FLTUND,
        flags if flags & 32 != 0 => raw::FPE_FLTRES,
        _ => return 0,
    };
    code as i32
}

/// What happened, in words, and where.
pub(super) fn describe(fault: Fault) -> String {
    let address = fault.address;
    match fault.access() {
        Some(access) => {
            let verb = match access {
                Access::Read => "read of",
                Access::Write => "write to",
                Access::Execute => "execution of",
            };
            let near = if address < 0x1_0000 { ", near null" } else { "" };
            format!("{verb} {address:#x}{near}")
        }
        None => match fault.vector {
            DIVIDE => "division by zero, or a quotient too large".into(),
            BREAKPOINT => "a breakpoint".into(),
            INVALID => "an instruction that does not exist".into(),
            X87 | SIMD => "a floating-point exception".into(),
            ALIGNMENT => "an unaligned access".into(),
            13 => "a privileged or malformed instruction, or a non-canonical address".into(),
            vector => format!("exception {vector}"),
        },
    }
}
