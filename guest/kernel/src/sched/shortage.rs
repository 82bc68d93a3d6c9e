//! When memory has run out, the other cores are asked for what they keep: above all the objects that were freed elsewhere, on
//! their way back to the core that allocated them.

#![expect(unsafe_code, reason = "letters are linked by pointers until they are delivered")]

use super::letters;
use crate::arch::cores::{CORES_MAX, CoreId, all, current, is_running};
use crate::arch::{cpu, time};
use crate::mm;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use toro_mailbox::Node;

/// How long the others may take. One that computes meanwhile gives when it next looks for work, and is not waited for
/// again before.
const WAIT_NS_MAX: u64 = 1_000_000_000;

/// A letter for each core: there is no memory for one when it is needed.
struct Letters([UnsafeCell<MaybeUninit<Node>>; CORES_MAX]);

// SAFETY: a letter is touched by whoever has set its core's bit of `ASKED`, until that core clears it.
unsafe impl Sync for Letters {}

static LETTERS: Letters = Letters([const { UnsafeCell::new(MaybeUninit::uninit()) }; CORES_MAX]);
/// Cores, by bit, whose letter is under way.
static ASKED: AtomicU64 = AtomicU64::new(0);
/// Cores, by bit, that have not answered. One that is itself waiting here answers before its letter is delivered.
static WANTED: AtomicU64 = AtomicU64::new(0);

fn bit(core: CoreId) -> u64 {
    1 << core.index()
}

/// Has each other core give back what it can; false when none has answered.
pub fn reclaim_elsewhere() -> bool {
    let me = current();
    let mut asked = 0;
    for core in all().filter(|core| *core != me && is_running(*core)) {
        if ASKED.fetch_or(bit(core), Ordering::Acquire) & bit(core) == 0 {
            asked |= bit(core);
            WANTED.fetch_or(bit(core), Ordering::Release);
            let letter = LETTERS.0[core.index()].get();
            // SAFETY: the bit was clear, so the letter is nobody's until it is delivered; it stays where it is.
            unsafe {
                let letter = (*letter).write(Node::new(give_back));
                letters::post(core, NonNull::from_mut(letter));
            }
        }
    }
    let start_ns = time::now_ns();
    loop {
        let pending = WANTED.load(Ordering::Acquire) & asked;
        if pending == 0 || time::now_ns().saturating_sub(start_ns) > WAIT_NS_MAX {
            return pending != asked;
        }
        answer(); // two that wait for each other must both give
        cpu::relax();
    }
}

/// # Safety
/// The letter is this core's.
unsafe fn give_back(_: NonNull<Node>) {
    answer();
    ASKED.fetch_and(!bit(current()), Ordering::Release);
}

/// Gives back what this core keeps, if another wants it.
pub(super) fn answer() {
    let me = bit(current());
    if WANTED.load(Ordering::Acquire) & me != 0 {
        mm::trim();
        WANTED.fetch_and(!me, Ordering::Release);
    }
}
