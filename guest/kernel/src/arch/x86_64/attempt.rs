//! Instructions that a hypervisor may refuse though CPUID names them: here that is an answer, not a fault.
//!
//! An exception inside of these few (`#UD`, `#GP`) goes on at their end: [`recover`], which `traps` asks.

#![expect(unsafe_code, reason = "instructions that may fail")]

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.toro_attempt, "ax", @progbits
    .balign 16
    .global toro_attempt_mwait, toro_attempt_mwait_at, toro_attempt_read, toro_attempt_write, toro_attempt_refused

    # (watched rdi, hint esi) -> 1: an interrupt was taken, and has turned interrupts off; 2: none was; 0: refused
toro_attempt_mwait:
    mov rax, rdi
    xor ecx, ecx
    xor edx, edx
    monitor
    mov eax, esi
    sti
toro_attempt_mwait_at:
    mwait
    pushfq
    pop rax
    cli
    shr eax, 9
    and eax, 1
    inc eax
    ret

    # (register edi, place rsi) -> 1, or 0: refused
toro_attempt_read:
    mov ecx, edi
    rdmsr
    mov [rsi], eax
    mov [rsi + 4], edx
    mov eax, 1
    ret

    # (register edi, value rsi) -> 1, or 0: refused
toro_attempt_write:
    mov ecx, edi
    mov eax, esi
    mov rdx, rsi
    shr rdx, 32
    wrmsr
    mov eax, 1
    ret

    # Where an exception above this goes on.
toro_attempt_refused:
    cli
    xor eax, eax
    ret
    "#
);

unsafe extern "C" {
    fn toro_attempt_mwait(watched: *const (), hint: u32) -> u32;
    /// The sleep itself, in case something comes between `sti` and it: see `shootdown`.
    pub(super) fn toro_attempt_mwait_at();
    fn toro_attempt_read(register: u32, value: *mut u64) -> u32;
    fn toro_attempt_write(register: u32, value: u64) -> u32;
    fn toro_attempt_refused();
}

/// Bytes of `mwait`.
pub(super) const MWAIT_BYTES: usize = 3;

/// Where an exception of these kinds at `instruction` goes on, if it is one of these instructions. Whatever else strikes there,
/// as an NMI strikes a core that sleeps by `mwait`, is not about the instruction.
pub(super) fn recover(instruction: usize) -> Option<usize> {
    let address = |function: unsafe extern "C" fn()| function as *const () as usize;
    let start = toro_attempt_mwait as *const () as usize;
    let refused = address(toro_attempt_refused);
    (start..refused).contains(&instruction).then_some(refused)
}

/// How a sleep by `mwait` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mwait {
    /// There is no such instruction after all.
    Refused,
    /// By an interrupt.
    Interrupted,
    /// By a write to what was watched, an NMI, or nothing.
    Other,
}

/// Sleeps by `mwait` until an interrupt comes or `watched` is written, in the state that `hint` names. As in
/// [`power::window`](super::power::window), `sti` takes effect after the next instruction.
///
/// # Safety
/// As for that: interrupt stubs change what a call may change. CPUID names the instructions.
pub(super) unsafe fn mwait(watched: *const (), hint: u32) -> Mwait {
    // SAFETY: by this function's contract; `monitor` reads nothing, and may be given any address.
    match unsafe { toro_attempt_mwait(watched, hint) } {
        0 => Mwait::Refused,
        1 => Mwait::Interrupted,
        _ => Mwait::Other,
    }
}

/// Reads a model-specific register; `None`: there is none.
pub(super) fn read_msr(register: u32) -> Option<u64> {
    let mut value = 0;
    // SAFETY: a register that does not exist is an answer, and reading one that does has no effect.
    (unsafe { toro_attempt_read(register, &raw mut value) } == 1).then_some(value)
}

/// Writes a model-specific register; `false`: there is none, or it cannot have this value.
///
/// # Safety
/// What the value makes the processor do is the caller's to order.
pub(super) unsafe fn write_msr(register: u32, value: u64) -> bool {
    // SAFETY: by this function's contract.
    unsafe { toro_attempt_write(register, value) == 1 }
}
