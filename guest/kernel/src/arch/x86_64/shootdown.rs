//! Making other cores forget what was unmapped, before its frames or addresses are used again.
//!
//! A core that runs is interrupted by an NMI, which nothing holds off: no thread that computes, no wait for a lock, no wait
//! in here. So whoever waits need serve nobody meanwhile and may hold locks, and cores that unmap at each other answer each
//! other. A core that sleeps goes on sleeping: it forgets when it wakes, before it touches anything.

#![expect(unsafe_code, reason = "the handler of an interrupt")]

use super::{attempt, cores, cpu, interrupt, local, paging, power, smp, traps, user};
use crate::arch::SpinLock;
use crate::fault;
use core::arch::naked_asm;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// Cores, by bit, that are asked and have not answered.
static ASKED: AtomicU64 = AtomicU64::new(0);
/// Cores, by bit, that sleep.
static ASLEEP: AtomicU64 = AtomicU64::new(0);
/// How often cores were asked.
static ROUND: AtomicUsize = AtomicUsize::new(0);
static TURN: SpinLock<()> = SpinLock::new(());

fn bit() -> u64 {
    1 << local::current().index()
}

/// When this returns, no other core reaches anything through a page that was unmapped before. The caller has flushed its
/// own core.
pub fn flush_others() {
    if cores::count() == 1 {
        return;
    }
    TURN.with(|()| {
        ROUND.fetch_add(1, SeqCst); // before the look at who sleeps: see `awake`
        let asleep = ASLEEP.load(SeqCst) | bit();
        let awake = |core: &cores::CoreId| cores::is_running(*core) && asleep & 1 << core.index() == 0;
        ASKED.store(cores::all().filter(awake).fold(0, |bits, core| bits | 1 << core.index()), SeqCst);
        let asked = ASKED.load(Relaxed);
        for core in cores::all().filter(|core| asked & 1 << core.index() != 0) {
            interrupt::send_nmi(smp::apic_id(core));
        }
        // At the machine's end others have stopped, and answer no more.
        while ASKED.load(SeqCst) != 0 && !smp::is_alone() {
            cpu::relax();
        }
    });
}

/// This core is going to sleep.
#[inline]
pub(super) fn asleep() {
    if cores::count() > 1 {
        ASLEEP.fetch_or(bit(), SeqCst);
    }
}

/// This core has slept, or has just begun. Whoever unmapped something and saw it asleep had begun its round before, so
/// the round is seen here.
#[inline]
pub(super) fn awake() {
    if cores::count() > 1 {
        ASLEEP.fetch_and(!bit(), SeqCst);
        let round = ROUND.load(SeqCst);
        if local::header().round.swap(round, Relaxed) != round {
            paging::flush_all();
        }
    }
}

/// Entry of an NMI: forgets all translations. If that was asked for, and no other core ends the machine, that is all, and a
/// core that was about to halt looks for work once more; else `traps` decides. When two NMIs have become one, both senders
/// have what they want. It may strike where gs is a program's still, or again: the kernel's is negative, a program's never.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn nmi() {
    naked_asm!(
        "push rax",
        "push rcx",
        "push rdx",
        "mov ecx, {gs_base}",
        "rdmsr",
        "xor ecx, ecx",
        "test edx, edx",
        "js 2f",
        "swapgs",
        "inc ecx",
        "2: mov rax, cr3",
        "mov cr3, rax",
        "mov eax, gs:[{tag}]",
        "dec eax",
        "lock btr qword ptr [rip + {asked}], rax",
        "jnc 5f",
        "movzx eax, byte ptr [rip + {ending}]",
        "test eax, eax",
        "jz 3f",
        "cmp eax, gs:[{tag}]",
        "jne 5f",
        "3: test ecx, ecx",
        "jz 4f",
        "swapgs",
        "test dword ptr [rsp + 40], {virtual_8086}", // see `user::gates`: from there, and there is no way back
        "jz 7f",
        "and dword ptr [rsp + 40], ~{virtual_8086}",
        "mov qword ptr [rsp + 32], {code}",
        "mov qword ptr [rsp + 56], {data}",
        "jmp 7f",
        "4: lea rax, [rip + {window} + {halt}]",
        "cmp rax, [rsp + 24]", // about to halt: an interrupt that comes first would turn interrupts off for the halt
        "jne 6f",
        "inc qword ptr [rsp + 24]",
        "6: lea rax, [rip + {mwait}]", // and the same there
        "cmp rax, [rsp + 24]",
        "jne 7f",
        "add qword ptr [rsp + 24], {mwait_bytes}",
        "7: pop rdx",
        "pop rcx",
        "pop rax",
        "iretq",
        "5: pop rdx",
        "pop rcx",
        "pop rax",
        "jmp {report}",
        gs_base = const cpu::GS_BASE,
        tag = const local::TAG,
        asked = sym ASKED,
        ending = sym fault::ENDING,
        window = sym power::window,
        halt = const power::HALT,
        virtual_8086 = const user::FLAG_VIRTUAL_8086,
        code = const user::CODE,
        data = const user::DATA,
        mwait = sym attempt::toro_attempt_mwait_at,
        mwait_bytes = const attempt::MWAIT_BYTES,
        report = sym traps::exception::<2, 0>,
    )
}
