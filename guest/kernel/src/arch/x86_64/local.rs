//! State that belongs to one core, and which core this is.
//!
//! Statics of the section `.percore` exist once for each core: the linker's own copy stays as it was built, and each core
//! works on a copy of it. How far that copy is from the section stands at `gs:[0]`, so a static is reached by one addition.
//!
//! Ring 0 runs with interrupts off, threads are cooperative and never change core, so between two scheduling points a
//! core has its state to itself; what is left to rule out is re-entry, which [`CoreLocal::with`] checks.

#![expect(unsafe_code, reason = "a core's state is reached from a static, through gs")]

use super::cpu;
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// What `arch` itself knows of a core; at the beginning of `.percore`, so some of it is reached by `gs` alone.
#[repr(C)]
pub(super) struct Header {
    /// Bytes from the section to this core's copy; modulo 2^64.
    distance: u64,
    /// See `depth`, whose instructions are all that touch it.
    depth: u32,
    /// This core's number plus one.
    tag: u32,
    /// See `running`, as the next.
    ticket: u64,
    heap_bytes: i64,
    /// How often each vector was taken.
    pub(super) taken: [AtomicU64; super::interrupt::VECTORS],
    /// What this core's timer is set to, in ns of the clock; `u64::MAX`: nothing.
    pub(super) armed_ns: AtomicU64,
    /// See `time`.
    pub(super) counter: Counter,
    /// See `counters`.
    pub(super) counters: super::counters::Counters,
    /// See `shootdown`.
    pub(super) round: AtomicUsize,
    /// See `user`.
    pub(super) user: User,
}

/// A core's time-stamp counter.
pub(super) struct Counter {
    /// What is added to its readings, for jumps that it has made.
    pub(super) lost: AtomicU64,
    /// The last reading, with that.
    pub(super) last: AtomicU64,
}

/// What the door to ring 3 knows of a core.
#[repr(C)]
pub(super) struct User {
    /// The state of whoever is in ring 3.
    state: AtomicUsize,
    /// For the first instructions of a way back.
    spare: AtomicU64,
    /// The state whose registers are in the core; 0: nobody's.
    pub(super) loaded: AtomicUsize,
    /// 1: the core can run a program.
    pub(super) is_ready: AtomicUsize,
}

/// Offsets of what is reached through `gs`.
pub(super) const DEPTH: usize = offset_of!(Header, depth);
pub(super) const TAG: usize = offset_of!(Header, tag);
pub(super) const TICKET: usize = offset_of!(Header, ticket);
pub(super) const HEAP_BYTES: usize = offset_of!(Header, heap_bytes);
pub(super) const USER_STATE: usize = offset_of!(Header, user.state);
const USER_LOADED: usize = offset_of!(Header, user.loaded);
pub(super) const USER_SPARE: usize = offset_of!(Header, user.spare);

#[used]
#[unsafe(link_section = ".percore.header")]
static HEADER: Header = Header {
    distance: 0,
    depth: 1, // what runs before the first thread is the kernel's
    tag: 1,
    ticket: 0,
    heap_bytes: 0,
    taken: [const { AtomicU64::new(0) }; super::interrupt::VECTORS],
    armed_ns: AtomicU64::new(u64::MAX),
    counter: Counter { lost: AtomicU64::new(0), last: AtomicU64::new(0) },
    counters: [const { AtomicU64::new(0) }; super::counters::COUNTERS],
    round: AtomicUsize::new(0),
    user: User {
        state: AtomicUsize::new(0),
        spare: AtomicU64::new(0),
        loaded: AtomicUsize::new(0),
        is_ready: AtomicUsize::new(0),
    },
};

unsafe extern "C" {
    static __percore_start: u8;
    static __percore_end: u8;
    static mut __percore_boot: u8;
}

/// A core's number: 0 is the core that booted the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(u8);

impl CoreId {
    /// The core that booted the machine.
    pub const BOOT: CoreId = CoreId(0);

    /// The core with that number, if there can be one.
    #[must_use]
    pub const fn new(number: usize) -> Option<CoreId> {
        if number < super::cores::CORES_MAX { Some(CoreId(number as u8)) } else { None }
    }

    /// Its number, below [`CORES_MAX`](super::cores::CORES_MAX).
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl core::fmt::Display for CoreId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// The core that asks.
#[inline]
#[must_use]
pub fn current() -> CoreId {
    CoreId(tag() - 1)
}

/// The number of the core that asks, plus one: what a lock holds.
#[inline]
pub(in crate::arch) fn tag() -> u8 {
    let tag: u32;
    // SAFETY: reads this core's header; a core's number never changes, and a thread stays on its core.
    unsafe { asm!("mov {:e}, gs:[{}]", out(reg) tag, const TAG, options(pure, nomem, nostack, preserves_flags)) };
    tag as u8
}

#[inline]
fn distance() -> usize {
    let distance;
    // SAFETY: as for `tag`.
    unsafe { asm!("mov {}, gs:[0]", out(reg) distance, options(pure, nomem, nostack, preserves_flags)) };
    distance
}

/// This core's header.
#[inline]
pub(super) fn header() -> &'static Header {
    let address = (&raw const HEADER).addr().wrapping_add(distance());
    // SAFETY: a core's copy of the section stays for good, and the header is changed only through its atomics.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

/// The header of the core whose copy is at `address`.
///
/// # Safety
/// It is a core's copy.
pub(super) unsafe fn header_at(address: usize) -> &'static Header {
    // SAFETY: by this function's contract; copies stay for good, and headers are changed only through their atomics.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

/// Where the boot core's copy is.
pub(super) fn boot_copy() -> usize {
    (&raw mut __percore_boot).expose_provenance()
}

/// The address of the state whose registers are in this core: see `user`.
#[inline]
pub(super) fn user_loaded() -> usize {
    let state;
    // SAFETY: reads this core's header.
    unsafe { asm!("mov {}, gs:[{}]", out(reg) state, const USER_LOADED, options(nostack, preserves_flags, readonly)) };
    state
}

/// Gives the boot core its copy; before anything that is per core, or a lock.
pub(super) fn init_boot_core() {
    // SAFETY: the linker script sets this place aside for the boot core's copy.
    unsafe { adopt(boot_copy(), CoreId::BOOT) };
}

/// Bytes of a core's copy.
pub(super) fn bytes() -> usize {
    (&raw const __percore_end).addr() - (&raw const __percore_start).addr()
}

/// Makes the copy at `address` this core's.
///
/// # Safety
/// [`bytes`] bytes at `address`, aligned to 64, are the core's for good.
pub(super) unsafe fn adopt(address: usize, id: CoreId) {
    let section = &raw const __percore_start;
    let copy = core::ptr::with_exposed_provenance_mut::<u64>(address);
    // SAFETY: the section is never written after its relocation, it is made of whole words, and by this function's
    // contract there is room for the copy. The header comes first.
    unsafe {
        core::ptr::copy_nonoverlapping(section.cast::<u64>(), copy, bytes() / 8);
        let header = copy.cast::<Header>();
        (&raw mut (*header).distance).write(address.wrapping_sub(section.addr()) as u64);
        (&raw mut (*header).tag).write(u32::from(id.0) + 1);
        cpu::write_msr(cpu::GS_BASE, address as u64);
    }
}

/// A value of each core, of which code reaches its own core's. Declared by [`core_local!`](crate::arch::core_local).
#[repr(C)]
pub struct CoreLocal<T> {
    value: UnsafeCell<T>,
    busy: Cell<bool>,
}

// SAFETY: each core reaches its own copy alone, no interrupt handler touches one, and `with` admits one user at a time.
unsafe impl<T> Sync for CoreLocal<T> {}

impl<T> CoreLocal<T> {
    /// A value for a static.
    ///
    /// # Safety
    /// The static lies in the section `.percore`.
    pub const unsafe fn new(value: T) -> Self {
        Self { busy: Cell::new(false), value: UnsafeCell::new(value) }
    }

    /// This core's copy of the static that `self` is.
    #[inline]
    fn here(&self) -> &Self {
        let address = core::ptr::from_ref(self).addr().wrapping_add(distance());
        // SAFETY: by the contract of `new` it lies in the section, of which this core has a copy for good.
        unsafe { &*core::ptr::with_exposed_provenance(address) }
    }

    /// Runs `f` on this core's value. `f` must not block and not come back here.
    ///
    /// # Panics
    /// When called from inside `f`.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let here = self.here();
        if here.busy.replace(true) {
            entered_twice();
        }
        // SAFETY: `busy` was false, so nobody else holds a reference to the value.
        let result = f(unsafe { &mut *here.value.get() });
        here.busy.set(false);
        result
    }

    /// Lets the next user in though one is inside: for the report that ends the machine, which interrupts whatever
    /// failed, and from which nobody returns.
    pub fn seize(&self) {
        self.here().busy.set(false);
    }

    /// Is somebody inside [`Self::with`]? For reports that must not fail.
    pub fn is_busy(&self) -> bool {
        self.here().busy.get()
    }
}

/// Out of line and without the place: there are many callers, and the backtrace tells.
#[cold]
#[inline(never)]
fn entered_twice() -> ! {
    panic!("state of a core is entered while in use")
}

/// Declares statics of which each core has its own copy, a [`CoreLocal`]:
///
/// ```ignore
/// core_local! {
///     static READY: Vec<Thread> = Vec::new();
/// }
/// ```
/// The value is a constant. Keep it small: it is in the image's file, and copied for each core.
macro_rules! core_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)+) => {
        $(
            $(#[$attribute])*
            #[expect(unsafe_code, reason = "the static is put where each core has a copy")]
            #[unsafe(link_section = ".percore")]
            $visibility static $name: $crate::arch::CoreLocal<$type> = {
                let value = $value;
                // SAFETY: the attribute above puts it in the section.
                unsafe { $crate::arch::CoreLocal::new(value) }
            };
        )+
    };
}
pub(crate) use core_local;
