//! The only code that touches a program's memory.
//!
//! A fault inside is no defect: the address that could not be reached is the answer, and the caller makes it reachable and
//! asks again, or reports a bad address. Where the processor offers it (SMAP), ring 0 can touch these pages nowhere else.

#![expect(unsafe_code, reason = "a program's memory is read and written")]

use super::{END, prepare};
use crate::arch::x86_64::SSE;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// 1: what follows must say when it touches a program's pages.
static SMAP: AtomicU8 = AtomicU8::new(0);
/// All went well, where an address is returned otherwise.
const DONE: u64 = u64::MAX;

pub(super) fn set_smap(on: bool) {
    SMAP.store(u8::from(on), Relaxed);
}

global_asm!(
    r#"
    .macro toro_user_open
    cmp byte ptr [rip + {smap}], 0
    je 77f
    stac
77:
    .endm
    .macro toro_user_close
    cmp byte ptr [rip + {smap}], 0
    je 78f
    clac
78:
    .endm

    .section .text.toro_user_copy, "ax", @progbits
    .balign 16
    .global toro_user_copy, toro_user_zero, toro_user_exchange, toro_user_failed

    # (to rdi, from rsi, bytes rdx)
toro_user_copy:
    toro_user_open
    .if {sse}
    sub rdx, 64
    jb 2f
1:  movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + 32]
    movups xmm3, [rsi + 48]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + 32], xmm2
    movups [rdi + 48], xmm3
    add rsi, 64
    add rdi, 64
    sub rdx, 64
    jae 1b
2:  add rdx, 64
    .endif
    sub rdx, 8
    jb 4f
3:  mov rax, [rsi]
    mov [rdi], rax
    add rsi, 8
    add rdi, 8
    sub rdx, 8
    jae 3b
4:  add rdx, 8
    jz 6f
5:  mov al, [rsi]
    mov [rdi], al
    inc rsi
    inc rdi
    dec rdx
    jnz 5b
6:  toro_user_close
    mov rax, -1
    ret

    # (at rdi, bytes rsi)
toro_user_zero:
    toro_user_open
    xor eax, eax
    .if {sse}
    xorps xmm0, xmm0
    sub rsi, 64
    jb 2f
1:  movups [rdi], xmm0
    movups [rdi + 16], xmm0
    movups [rdi + 32], xmm0
    movups [rdi + 48], xmm0
    add rdi, 64
    sub rsi, 64
    jae 1b
2:  add rsi, 64
    .endif
    sub rsi, 8
    jb 4f
3:  mov [rdi], rax
    add rdi, 8
    sub rsi, 8
    jae 3b
4:  add rsi, 8
    jz 6f
5:  mov [rdi], al
    inc rdi
    dec rsi
    jnz 5b
6:  toro_user_close
    mov rax, -1
    ret

    # (at rdi, expected esi, new edx); what was found in edx
toro_user_exchange:
    toro_user_open
    mov eax, esi
    lock cmpxchg dword ptr [rdi], edx
    mov edx, eax
    toro_user_close
    mov rax, -1
    ret

    # Where a fault above this goes on.
toro_user_failed:
    mov rax, cr2
    toro_user_close
    ret
    "#,
    smap = sym SMAP,
    sse = const SSE,
);

/// Two registers.
#[repr(C)]
struct Exchanged {
    fault: u64,
    found: u64,
}

unsafe extern "C" {
    #[link_name = "toro_user_copy"]
    pub(super) fn user_copy(to: *mut u8, from: *const u8, bytes: usize) -> u64;
    #[link_name = "toro_user_zero"]
    fn user_zero(at: *mut u8, bytes: usize) -> u64;
    #[link_name = "toro_user_exchange"]
    fn user_exchange(at: *mut u32, expected: u32, new: u32) -> Exchanged;
    #[link_name = "toro_user_failed"]
    pub(super) fn user_failed();
}

/// Is all of this in the lower half? Else, its first byte that is not.
fn check(address: usize, bytes: usize) -> Result<(), usize> {
    if address <= END && bytes <= END - address { Ok(()) } else { Err(address.max(END)) }
}

fn answer(fault: u64) -> Result<(), usize> {
    if fault == DONE { Ok(()) } else { Err(fault as usize) }
}

/// Copies from a program's memory.
///
/// # Errors
/// The address that could not be read. Some of `to` may be written then.
#[inline]
pub fn copy_in(to: &mut [u8], from: usize) -> Result<(), usize> {
    check(from, to.len())?;
    prepare();
    let from = core::ptr::with_exposed_provenance(from);
    // SAFETY: `to` is writable; what is read lies in the lower half, where a fault is an answer.
    answer(unsafe { user_copy(to.as_mut_ptr(), from, to.len()) })
}

/// Copies to a program's memory.
///
/// # Errors
/// The address that could not be written. Some may have been.
#[inline]
pub fn copy_out(to: usize, from: &[u8]) -> Result<(), usize> {
    check(to, from.len())?;
    prepare();
    let to = core::ptr::with_exposed_provenance_mut(to);
    // SAFETY: the lower half is the program's; nothing of Rust's is there.
    answer(unsafe { user_copy(to, from.as_ptr(), from.len()) })
}

/// Copies from a program's memory to where others may write, too.
///
/// # Errors
/// The address that could not be read. Some of `to` may be written then.
pub(crate) fn copy_in_raw(to: *mut u8, from: usize, bytes: usize) -> Result<(), usize> {
    check(from, bytes)?;
    prepare();
    // SAFETY: as in `copy_in`; `to` is room for so many bytes, to which no reference exists.
    answer(unsafe { user_copy(to, core::ptr::with_exposed_provenance(from), bytes) })
}

/// Copies to a program's memory from where others may write.
///
/// # Errors
/// The address that could not be written. Some may have been.
pub(crate) fn copy_out_raw(to: usize, from: *const u8, bytes: usize) -> Result<(), usize> {
    check(to, bytes)?;
    prepare();
    // SAFETY: as in `copy_out`; `from` has so many bytes.
    answer(unsafe { user_copy(core::ptr::with_exposed_provenance_mut(to), from, bytes) })
}

/// Copies inside the kernel what a program may write meanwhile.
///
/// # Safety
/// Both are mapped, and so long.
pub(crate) unsafe fn copy_raw(to: *mut u8, from: *const u8, bytes: usize) {
    // SAFETY: by this function's contract nothing faults.
    let _done = unsafe { user_copy(to, from, bytes) };
}

/// Clears a program's memory.
///
/// # Errors
/// As for [`copy_out`].
pub fn zero(at: usize, bytes: usize) -> Result<(), usize> {
    check(at, bytes)?;
    prepare();
    // SAFETY: as in `copy_out`.
    answer(unsafe { user_zero(core::ptr::with_exposed_provenance_mut(at), bytes) })
}

/// Stores `new` at `at` if `expected` is there, in one step for all cores; what was there.
///
/// # Errors
/// The address that could not be reached.
pub fn compare_exchange(at: usize, expected: u32, new: u32) -> Result<u32, usize> {
    check(at, size_of::<u32>())?;
    prepare();
    // SAFETY: as in `copy_out`.
    let exchanged = unsafe { user_exchange(core::ptr::with_exposed_provenance_mut(at), expected, new) };
    answer(exchanged.fault).map(|()| exchanged.found as u32)
}
