//! The way to ring 3, and the ways back.
//!
//! [`enter`] is called like a function and returns when the program comes back, by whichever way; the way back finds the
//! state through gs, fills it, and returns on the kernel's stack as it was. From the first instruction of a way back to the
//! last of the way there interrupts are off, and between `swapgs` and ring 3 nothing can fault: the flags, the segments and
//! the instruction's address are such that `iretq` and `sysretq` take them.

#![expect(unsafe_code, reason = "the way between rings")]

use super::context::{Control, Registers, SYSCALL, State};
use super::{CODE, DATA, FLAG_RESUME, FLAG_TRAP};
use crate::arch::x86_64::{SSE, local};
use core::arch::naked_asm;
use core::mem::offset_of;

/// Offset of a general register in the state, which begins with them.
macro_rules! at {
    ($name:ident) => {
        offset_of!(Registers, $name)
    };
}

/// Runs the program until it comes back. `rsi` is 0 when the x87's control word is in the core already. Called by
/// [`Context::enter`](super::Context), for which any register but `rsp` and `rbp` is something else afterwards.
///
/// # Safety
/// The core is prepared; the state is valid, loaded, and acceptable to the processor.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter(state: *mut State, control: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "mov [rdi + {kernel_stack}], rsp",
        "mov gs:[{here}], rdi",
        "mov rax, [rdi + {control}]",
        "cmp rax, [rip + {kernel_control}]",
        "jne 5f",
        "3:",
        ".if {sse}",
        "movaps xmm0, [rdi + {xmm}]",
        "movaps xmm1, [rdi + {xmm} + 0x10]",
        "movaps xmm2, [rdi + {xmm} + 0x20]",
        "movaps xmm3, [rdi + {xmm} + 0x30]",
        "movaps xmm4, [rdi + {xmm} + 0x40]",
        "movaps xmm5, [rdi + {xmm} + 0x50]",
        "movaps xmm6, [rdi + {xmm} + 0x60]",
        "movaps xmm7, [rdi + {xmm} + 0x70]",
        "movaps xmm8, [rdi + {xmm} + 0x80]",
        "movaps xmm9, [rdi + {xmm} + 0x90]",
        "movaps xmm10, [rdi + {xmm} + 0xa0]",
        "movaps xmm11, [rdi + {xmm} + 0xb0]",
        "movaps xmm12, [rdi + {xmm} + 0xc0]",
        "movaps xmm13, [rdi + {xmm} + 0xd0]",
        "movaps xmm14, [rdi + {xmm} + 0xe0]",
        "movaps xmm15, [rdi + {xmm} + 0xf0]",
        ".endif",
        "mov rcx, [rdi + {rip}]",
        "mov r11, [rdi + {rflags}]",
        "mov rax, [rdi + {rax}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rdx, [rdi + {rdx}]",
        "mov rsi, [rdi + {rsi}]",
        "mov rbp, [rdi + {rbp}]",
        "mov r8, [rdi + {r8}]",
        "mov r9, [rdi + {r9}]",
        "mov r10, [rdi + {r10}]",
        "mov r12, [rdi + {r12}]",
        "mov r13, [rdi + {r13}]",
        "mov r14, [rdi + {r14}]",
        "mov r15, [rdi + {r15}]",
        // `sysretq` is what `syscall` leaves room for: rcx and r11 are what it loads, and no flag it would drop is set.
        "cmp rcx, [rdi + {rcx}]",
        "jne 4f",
        "cmp r11, [rdi + {r11}]",
        "jne 4f",
        "test r11d, {slow_flags}",
        "jnz 4f",
        "mov rsp, [rdi + {rsp}]",
        "mov rdi, [rdi + {rdi}]",
        "swapgs",
        "sysretq",
        "4:",
        "push {data}",
        "push qword ptr [rdi + {rsp}]",
        "push r11",
        "push {code}",
        "push rcx",
        "mov rcx, [rdi + {rcx}]",
        "mov r11, [rdi + {r11}]",
        "mov rdi, [rdi + {rdi}]",
        "swapgs",
        "iretq",
        "5:",
        ".if {sse}",
        "ldmxcsr [rdi + {control}]",
        ".endif",
        "test rsi, rsi",
        "jz 3b",
        "fldcw [rdi + {control} + 4]",
        "jmp 3b",
        rax = const at!(rax), rbx = const at!(rbx), rcx = const at!(rcx), rdx = const at!(rdx),
        rsi = const at!(rsi), rdi = const at!(rdi), rbp = const at!(rbp), rsp = const at!(rsp),
        r8 = const at!(r8), r9 = const at!(r9), r10 = const at!(r10), r11 = const at!(r11),
        r12 = const at!(r12), r13 = const at!(r13), r14 = const at!(r14), r15 = const at!(r15),
        rip = const at!(rip), rflags = const at!(rflags),
        kernel_stack = const offset_of!(State, kernel_stack),
        control = const offset_of!(State, control),
        xmm = const offset_of!(State, xmm),
        kernel_control = sym CONTROL,
        slow_flags = const FLAG_TRAP | FLAG_RESUME,
        here = const local::USER_STATE,
        code = const CODE,
        data = const DATA,
        sse = const SSE,
    )
}

/// Where `syscall` enters: on the program's stack pointer, which may be anything.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn syscall_entry() {
    naked_asm!(
        "swapgs",
        "mov gs:[{spare}], rsp",
        "mov rsp, gs:[{here}]", // no stack, but a base that needs no register
        "mov [rsp + {rdi}], rdi",
        "mov rdi, rsp",
        "mov [rdi + {rcx}], rcx",
        "mov [rdi + {rip}], rcx",
        "mov [rdi + {r11}], r11",
        "mov [rdi + {rflags}], r11",
        "mov rcx, gs:[{spare}]",
        "mov [rdi + {rsp}], rcx",
        "mov qword ptr [rdi + {vector}], {syscall}",
        "mov [rdi + {rax}], rax",
        "mov [rdi + {rbx}], rbx",
        "mov [rdi + {rdx}], rdx",
        "mov [rdi + {rsi}], rsi",
        "mov [rdi + {rbp}], rbp",
        "mov [rdi + {r8}], r8",
        "mov [rdi + {r9}], r9",
        "mov [rdi + {r10}], r10",
        "mov [rdi + {r12}], r12",
        "mov [rdi + {r13}], r13",
        "mov [rdi + {r14}], r14",
        "mov [rdi + {r15}], r15",
        "jmp {leave}",
        rax = const at!(rax), rbx = const at!(rbx), rcx = const at!(rcx), rdx = const at!(rdx),
        rsi = const at!(rsi), rdi = const at!(rdi), rbp = const at!(rbp), rsp = const at!(rsp),
        r8 = const at!(r8), r9 = const at!(r9), r10 = const at!(r10), r11 = const at!(r11),
        r12 = const at!(r12), r13 = const at!(r13), r14 = const at!(r14), r15 = const at!(r15),
        rip = const at!(rip), rflags = const at!(rflags),
        vector = const offset_of!(State, vector),
        syscall = const SYSCALL,
        here = const local::USER_STATE,
        spare = const local::USER_SPARE,
        leave = sym leave,
    )
}

/// From an exception or an interrupt in ring 3: on the stack of exceptions, with vector, error code, and what the processor
/// pushed.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn interrupted() {
    naked_asm!(
        "swapgs",
        "mov gs:[{spare}], rdi",
        "mov rdi, gs:[{here}]",
        "mov [rdi + {rax}], rax",
        "mov rax, gs:[{spare}]",
        "mov [rdi + {rdi}], rax",
        "mov rax, cr2",
        "mov [rdi + {address}], rax",
        "pop qword ptr [rdi + {vector}]",
        "pop qword ptr [rdi + {error}]",
        "pop qword ptr [rdi + {rip}]",
        "pop rax",
        "pop qword ptr [rdi + {rflags}]",
        "pop qword ptr [rdi + {rsp}]",
        "push 2",
        "popfq", // the program's AC and DF are not the kernel's
        "mov [rdi + {rcx}], rcx",
        "mov [rdi + {r11}], r11",
        "mov [rdi + {rbx}], rbx",
        "mov [rdi + {rdx}], rdx",
        "mov [rdi + {rsi}], rsi",
        "mov [rdi + {rbp}], rbp",
        "mov [rdi + {r8}], r8",
        "mov [rdi + {r9}], r9",
        "mov [rdi + {r10}], r10",
        "mov [rdi + {r12}], r12",
        "mov [rdi + {r13}], r13",
        "mov [rdi + {r14}], r14",
        "mov [rdi + {r15}], r15",
        "jmp {leave}",
        rax = const at!(rax), rbx = const at!(rbx), rcx = const at!(rcx), rdx = const at!(rdx),
        rsi = const at!(rsi), rdi = const at!(rdi), rbp = const at!(rbp), rsp = const at!(rsp),
        r8 = const at!(r8), r9 = const at!(r9), r10 = const at!(r10), r11 = const at!(r11),
        r12 = const at!(r12), r13 = const at!(r13), r14 = const at!(r14), r15 = const at!(r15),
        rip = const at!(rip), rflags = const at!(rflags),
        vector = const offset_of!(State, vector),
        error = const offset_of!(State, error),
        address = const offset_of!(State, address),
        here = const local::USER_STATE,
        spare = const local::USER_SPARE,
        leave = sym leave,
    )
}

/// The rest of each way back: `rdi` is the state. Returns from [`enter`].
#[unsafe(naked)]
unsafe extern "C" fn leave() {
    naked_asm!(
        ".if {sse}",
        "movaps [rdi + {xmm}], xmm0",
        "movaps [rdi + {xmm} + 0x10], xmm1",
        "movaps [rdi + {xmm} + 0x20], xmm2",
        "movaps [rdi + {xmm} + 0x30], xmm3",
        "movaps [rdi + {xmm} + 0x40], xmm4",
        "movaps [rdi + {xmm} + 0x50], xmm5",
        "movaps [rdi + {xmm} + 0x60], xmm6",
        "movaps [rdi + {xmm} + 0x70], xmm7",
        "movaps [rdi + {xmm} + 0x80], xmm8",
        "movaps [rdi + {xmm} + 0x90], xmm9",
        "movaps [rdi + {xmm} + 0xa0], xmm10",
        "movaps [rdi + {xmm} + 0xb0], xmm11",
        "movaps [rdi + {xmm} + 0xc0], xmm12",
        "movaps [rdi + {xmm} + 0xd0], xmm13",
        "movaps [rdi + {xmm} + 0xe0], xmm14",
        "movaps [rdi + {xmm} + 0xf0], xmm15",
        "stmxcsr [rdi + {control}]",
        ".endif",
        "fnstcw [rdi + {control} + 4]",
        "mov rax, [rdi + {control}]",
        "cmp rax, [rip + {kernel_control}]",
        "jne 3f",
        "2:",
        "mov rsp, [rdi + {kernel_stack}]",
        "pop rbx",
        "pop rbp",
        "ret",
        "3:",
        ".if {sse}",
        "ldmxcsr [rip + {kernel_control}]",
        ".endif",
        "fnstsw [rdi + {x87_status}]",
        "test byte ptr [rdi + {x87_status}], 0x80",
        "jnz 2b", // an exception waits: `Context::enter` sees to it
        "mov word ptr [rdi + {x87_status}], 0",
        "fldcw [rip + {kernel_control} + 4]",
        "jmp 2b",
        kernel_stack = const offset_of!(State, kernel_stack),
        control = const offset_of!(State, control),
        x87_status = const offset_of!(State, x87_status),
        xmm = const offset_of!(State, xmm),
        kernel_control = sym CONTROL,
        sse = const SSE,
    )
}

/// MXCSR and the x87's control word as the kernel has them.
static CONTROL: Control = super::context::KERNEL_CONTROL;
