//! Gates of a core that runs a program: the kernel's own, each behind a look at where it comes from.
//!
//! All are taken on the stacks of exceptions, so there is none for the processor to find when it leaves ring 3, and what
//! comes from there goes straight to the door. What comes from ring 0 goes where the kernel's own gates lead, but for two
//! exceptions: a page fault in `copy`, and a debug trap, which a program may have set up before it came in.
//!
//! Where something comes from the selector of its code says, and the flag of virtual 8086 mode: there is no such mode beside
//! 64-bit mode, but QEMU's translator lets a 32-bit `iret` of ring 3 go there, where a selector has no privilege in it.

#![expect(unsafe_code, reason = "the processor's tables")]

use super::{FLAG_TRAP, FLAG_VIRTUAL_8086, copy, door};
use crate::arch::SpinLock;
use crate::arch::x86_64::{cpu, interrupt, shootdown, traps};
use core::arch::naked_asm;
use traps::{Gate, IST_CRITICAL, IST_FAULT, Stub, VECTORS};

const DEBUG: usize = 1;
const PAGE_FAULT: usize = 14;

static GATES: SpinLock<[Gate; VECTORS]> = SpinLock::new([traps::NO_GATE; VECTORS]);

/// Makes this core use these gates, for good.
pub(super) fn load() {
    GATES.with(|gates| {
        if gates[0].is_absent() {
            for (vector, stub) in EXCEPTIONS.iter().chain(&INTERRUPTS).enumerate() {
                let (stub, ist) = match vector {
                    2 => (shootdown::nmi as *const () as usize, IST_CRITICAL),
                    8 => (critical::<8, 1> as *const () as usize, IST_CRITICAL),
                    18 => (critical::<18, 0> as *const () as usize, IST_CRITICAL),
                    _ => (*stub as *const () as usize, IST_FAULT),
                };
                gates[vector] = if vector == 3 {
                    traps::gate(stub, ist).for_programs() // `int3` is theirs to use
                } else {
                    traps::gate(stub, ist)
                };
            }
        }
        traps::load_gates(gates);
    });
}

/// Entry of an exception.
#[unsafe(naked)]
unsafe extern "C" fn exception<const VECTOR: usize, const HAS_ERROR: usize>() {
    naked_asm!(
        "test byte ptr [rsp + 8 + 8 * {has_error}], 3",
        "jz 2f",
        "3:",
        ".if {has_error} == 0",
        "push 0",
        ".endif",
        "push {vector}",
        "jmp {program}",
        "2:",
        "test dword ptr [rsp + 16 + 8 * {has_error}], {virtual_8086}",
        "jnz 3b",
        ".if {vector} == {page_fault}",
        "jmp {in_copy}",
        ".elseif {vector} == {debug}",
        "and dword ptr [rsp + 16], ~{trap}",
        "iretq",
        ".else",
        "jmp {kernel}",
        ".endif",
        has_error = const HAS_ERROR,
        vector = const VECTOR,
        virtual_8086 = const FLAG_VIRTUAL_8086,
        page_fault = const PAGE_FAULT,
        debug = const DEBUG,
        trap = const FLAG_TRAP,
        in_copy = sym page_fault,
        program = sym door::interrupted,
        kernel = sym traps::exception::<VECTOR, HAS_ERROR>,
    )
}

/// Entry of a page fault in ring 0: what `copy` was told to touch may be absent; anything else is for a report.
#[unsafe(naked)]
unsafe extern "C" fn page_fault() {
    naked_asm!(
        "push rax",
        "push rcx",
        "mov rax, cr2",
        "shr rax, 47",
        "jnz 2f",
        "mov rcx, [rsp + 24]",
        "lea rax, [rip + {start}]",
        "cmp rcx, rax",
        "jb 2f",
        "lea rax, [rip + {end}]",
        "cmp rcx, rax",
        "jae 2f",
        "mov [rsp + 24], rax", // what is at the end returns the address
        "pop rcx",
        "pop rax",
        "add rsp, 8",
        "iretq",
        "2:",
        "pop rcx",
        "pop rax",
        "jmp {kernel}",
        start = sym copy::user_copy,
        end = sym copy::user_failed,
        kernel = sym traps::exception::<PAGE_FAULT, 1>,
    )
}

/// Entry of an exception that may strike while gs is still, or again, the program's; it ends in a report.
#[unsafe(naked)]
unsafe extern "C" fn critical<const VECTOR: usize, const HAS_ERROR: usize>() {
    naked_asm!(
        "push rax",
        "push rcx",
        "push rdx",
        "mov ecx, {gs_base}",
        "rdmsr",
        "test edx, edx",
        "js 2f",
        "swapgs",
        "2: pop rdx",
        "pop rcx",
        "pop rax",
        "jmp {kernel}",
        gs_base = const cpu::GS_BASE,
        kernel = sym traps::exception::<VECTOR, HAS_ERROR>,
    )
}

/// Entry of a device's interrupt.
#[unsafe(naked)]
unsafe extern "C" fn device_interrupt<const VECTOR: usize>() {
    naked_asm!(
        "test byte ptr [rsp + 8], 3",
        "jz 2f",
        "3:",
        "push 0",
        "push {vector}",
        "jmp {program}",
        "2:",
        "test dword ptr [rsp + 16], {virtual_8086}",
        "jnz 3b",
        "jmp {kernel}",
        vector = const VECTOR,
        virtual_8086 = const FLAG_VIRTUAL_8086,
        program = sym door::interrupted,
        kernel = sym traps::device_interrupt::<VECTOR>,
    )
}

macro_rules! exceptions {
    ($($vector:literal $has_error:literal),*) => { [$(exception::<$vector, $has_error>),*] };
}
macro_rules! interrupts {
    ($($number:literal)*) => { [$(device_interrupt::<{ interrupt::VECTOR_FIRST + $number }>),*] };
}

static EXCEPTIONS: [Stub; 32] = exceptions!(
    0 0, 1 0, 2 0, 3 0, 4 0, 5 0, 6 0, 7 0, 8 1, 9 0, 10 1, 11 1, 12 1, 13 1, 14 1, 15 0,
    16 0, 17 1, 18 0, 19 0, 20 0, 21 1, 22 0, 23 0, 24 0, 25 0, 26 0, 27 0, 28 0, 29 1, 30 1, 31 0
);
static INTERRUPTS: [Stub; interrupt::VECTORS] = interrupts!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
