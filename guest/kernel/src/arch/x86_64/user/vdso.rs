//! What a program may read the clock with, without a call: code that runs in ring 3, and the page it reads.
//!
//! The code expects that page right before its own, in which it begins at [`TEXT_OFFSET`]; whoever builds the program's
//! vDSO around it puts both there. What ticks mean is written under a sequence number, odd while it changes.

#![expect(unsafe_code, reason = "code for ring 3, and a page that it reads meanwhile")]

use crate::arch::SpinLock;
use crate::arch::x86_64::time;
use crate::mm::{OutOfMemory, PAGE_BYTES};
use alloc::alloc::{Layout, alloc_zeroed};
use core::arch::global_asm;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, fence};

/// Where in its page the code begins.
pub const TEXT_OFFSET: usize = 0x800;

/// The page, as the code knows it. A rate of 0: ask the kernel; a wall clock of 0: nobody knows what time it is.
#[repr(C, align(4096))]
struct ClockPage {
    sequence: AtomicU32,
    base_ticks: AtomicU64,
    base_ns: AtomicU64,
    ns_per_tick: AtomicU64,
    wall_at_entry_ns: AtomicU64,
}

/// Made when a program first wants it.
static PAGE: AtomicPtr<ClockPage> = AtomicPtr::new(core::ptr::null_mut());

global_asm!(
    r#"
    .section .text.toro_vdso, "ax", @progbits
    .balign 16
    .global toro_vdso_start, toro_vdso_end
    .global toro_vdso_clock_gettime, toro_vdso_gettimeofday, toro_vdso_time, toro_vdso_clock_getres, toro_vdso_getcpu
toro_vdso_start:

    # (edi: 0 for the wall clock) nanoseconds in rax; carry: unknown. Keeps rdi and rsi.
toro_vdso_now:
    lea r8, [rip + toro_vdso_start - {page_bytes} - {text_offset}]
1:  mov r9d, [r8]
    test r9d, 1
    jnz 4f
    mov r10, [r8 + 24]
    test r10, r10
    jz 5f
    lfence
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, [r8 + 8]
    mul r10
    shrd rax, rdx, 32
    add rax, [r8 + 16]
    test edi, edi
    jnz 3f
    mov rcx, [r8 + 32]
    test rcx, rcx
    jz 5f
    add rax, rcx
3:  cmp r9d, [r8]
    jne 1b
    clc
    ret
4:  pause
    jmp 1b
5:  stc
    ret

    # (edi: clock, rsi: timespec)
    .balign 16
toro_vdso_clock_gettime:
    mov r11d, edi
    cmp edi, 7
    ja 2f
    mov eax, 0xf3 # REALTIME, MONOTONIC, MONOTONIC_RAW, both coarse ones, BOOTTIME
    bt eax, edi
    jnc 2f
    cmp edi, 5
    jne 1f
    xor edi, edi
1:  call toro_vdso_now
    jc 2f
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    mov [rsi], rax
    mov [rsi + 8], rdx
    xor eax, eax
    ret
2:  mov edi, r11d
    mov eax, 228
    syscall
    ret

    # (rdi: timeval, rsi: timezone)
    .balign 16
toro_vdso_gettimeofday:
    mov r11, rdi
    xor edi, edi
    call toro_vdso_now
    mov rdi, r11
    jc 3f
    test rdi, rdi
    jz 1f
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    mov [rdi], rax
    mov eax, edx
    xor edx, edx
    mov ecx, 1000
    div ecx
    mov [rdi + 8], rax
1:  test rsi, rsi
    jz 2f
    mov qword ptr [rsi], 0
2:  xor eax, eax
    ret
3:  mov eax, 96
    syscall
    ret

    # (rdi: time_t)
    .balign 16
toro_vdso_time:
    mov r11, rdi
    xor edi, edi
    call toro_vdso_now
    mov rdi, r11
    jc 2f
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    test rdi, rdi
    jz 1f
    mov [rdi], rax
1:  ret
2:  mov eax, 201
    syscall
    ret

    .balign 16
toro_vdso_clock_getres:
    mov eax, 229
    syscall
    ret

    .balign 16
toro_vdso_getcpu:
    mov eax, 309
    syscall
    ret
toro_vdso_end:
    "#,
    page_bytes = const PAGE_BYTES,
    text_offset = const TEXT_OFFSET,
);

unsafe extern "C" {
    static toro_vdso_start: u8;
    static toro_vdso_end: u8;
    static toro_vdso_clock_gettime: u8;
    static toro_vdso_gettimeofday: u8;
    static toro_vdso_time: u8;
    static toro_vdso_clock_getres: u8;
    static toro_vdso_getcpu: u8;
}

/// The code, and where in it each function begins.
#[derive(Clone, Copy, Debug)]
pub struct ClockCode {
    /// The code; it goes to [`TEXT_OFFSET`] of its page.
    pub text: &'static [u8],
    /// Functions by the names that C libraries look for.
    pub functions: [(&'static str, usize); 5],
}

/// The code with which a program reads the clock.
#[must_use]
pub fn clock_code() -> ClockCode {
    let (start, end) = (&raw const toro_vdso_start, &raw const toro_vdso_end);
    let offset = |symbol: *const u8| symbol.addr() - start.addr();
    ClockCode {
        // SAFETY: the symbols above enclose constant bytes.
        text: unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) },
        functions: [
            ("__vdso_clock_gettime", offset(&raw const toro_vdso_clock_gettime)),
            ("__vdso_gettimeofday", offset(&raw const toro_vdso_gettimeofday)),
            ("__vdso_time", offset(&raw const toro_vdso_time)),
            ("__vdso_clock_getres", offset(&raw const toro_vdso_clock_getres)),
            ("__vdso_getcpu", offset(&raw const toro_vdso_getcpu)),
        ],
    }
}

/// The page that the code reads, to be shown in place; it stays for good.
///
/// # Errors
/// [`OutOfMemory`].
pub fn clock_page() -> Result<&'static [u8], OutOfMemory> {
    if PAGE.load(Acquire).is_null() {
        // SAFETY: the layout has a size. All zero bits are a page that says "ask the kernel".
        let page = NonNull::new(unsafe { alloc_zeroed(Layout::new::<ClockPage>()) }).ok_or(OutOfMemory)?;
        // Of two that made one, the first counts; the other is lost, once in the machine's life.
        let _first = PAGE.compare_exchange(core::ptr::null_mut(), page.cast().as_ptr(), Release, Acquire);
        publish();
    }
    // SAFETY: it is never freed; what is in it changes, but nobody reads it through this slice, which names its place.
    Ok(unsafe { core::slice::from_raw_parts(PAGE.load(Acquire).cast(), PAGE_BYTES) })
}

/// Tells programs what ticks mean now.
pub(in crate::arch::x86_64) fn publish() {
    // SAFETY: null, or a page that stays.
    if let Some(page) = unsafe { PAGE.load(Acquire).as_ref() } {
        let parameters = time::parameters(); // before the lock, since it may ask the machine for the time
        PUBLISHING.with(|()| write(page, &parameters));
    }
}

/// One core at a time.
static PUBLISHING: SpinLock<()> = SpinLock::new(());

fn write(page: &ClockPage, parameters: &time::Parameters) {
    page.sequence.fetch_add(1, Relaxed);
    fence(Release);
    page.base_ticks.store(parameters.base_ticks, Relaxed);
    page.base_ns.store(parameters.base_ns, Relaxed);
    page.ns_per_tick.store(parameters.ns_per_tick, Relaxed);
    page.wall_at_entry_ns.store(parameters.wall_at_entry_ns, Relaxed);
    page.sequence.fetch_add(1, Release);
}
