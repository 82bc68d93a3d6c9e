//! What one thread on each core does together with those of the others: [`broadcast`], [`reduce`], [`all_reduce`],
//! [`scatter`], [`gather`], and `Barrier::of_cores`.
//!
//! Values go along a [`Tree`] of cores, from stack to stack. On each of its edges it is the child that *offers* the place of
//! its value, in its own [`Cell`], and waits until the parent has read or written there and says so. One who comes late
//! finds the offer; nobody goes on while another may touch its value.
//!
//! Cores that do not call the same would wait for each other, or read each other's values as what they are not. An offer says
//! what its core calls and what lies at the place, and each core notes on entry what it calls: the parent compares before it
//! touches the place, and whoever is about to sleep compares with the notes of all. As the notes are made first, of those
//! who would wait in vain the last one finds the difference.

#![expect(unsafe_code, reason = "values are read and written where other threads wait with them")]

use super::{Guarded, WaitList};
use crate::arch::cores::{self, CORES_MAX, CoreId};
use crate::arch::{core_local, cpu, running};
use crate::sched;
use core::any::{TypeId, type_name};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use toro_mailbox::Tree;

/// How often a core that waits for another one that is awake looks before it gives its thread's turn away.
const LOOKS: u32 = 100;

/// Where a core leaves its offer.
#[repr(align(64))] // one cache line goes to the parent and comes back
struct Cell {
    offer: Guarded<Offered>,
    /// The number of the call whose offer stands here, or 0: to look without the lock.
    offered: AtomicU32,
    /// The last [`Call`] of this core, as a number.
    note: AtomicU64,
}

struct Offered {
    offer: Option<Offer>,
    /// The core itself, or those who want its offer.
    waiting: WaitList,
}

static CELLS: [Cell; CORES_MAX] = [const {
    Cell {
        offer: Guarded::new(Offered { offer: None, waiting: WaitList::new() }),
        offered: AtomicU32::new(0),
        note: AtomicU64::new(0),
    }
}; CORES_MAX];

core_local! {
    static CALLER: Caller = Caller { calls: 0, inside: 0 };
}

/// What a core knows of its own calls.
struct Caller {
    calls: u32,
    /// The thread that is in one, by its ticket; 0: none.
    inside: u64,
}

/// Whether the running thread is in an operation: if it ended there, the others would wait for it, or write to what is not its
/// stack any more.
pub(crate) fn is_inside() -> bool {
    CALLER.with(|caller| caller.inside == running::ticket())
}

/// "I am in this call, and wait with a value at this place."
#[derive(Clone, Copy)]
struct Offer {
    call: Call,
    what: &'static Kind,
    place: NonNull<()>,
}

// SAFETY: the place is the offering thread's, which waits until whoever took the offer has said that it is done; values of
// all operations are `Send`.
unsafe impl Send for Offer {}

/// What lies at a place.
struct Kind {
    id: TypeId,
    name: fn() -> &'static str,
}

struct KindOf<T>(PhantomData<T>);

impl<T: 'static> KindOf<T> {
    const KIND: &'static Kind = &Kind { id: TypeId::of::<T>(), name: type_name::<T> };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Operation {
    Barrier,
    Broadcast,
    Reduce,
    AllReduce,
    Scatter,
    Gather,
}

const OPERATIONS: [Operation; 6] = [
    Operation::Barrier,
    Operation::Broadcast,
    Operation::Reduce,
    Operation::AllReduce,
    Operation::Scatter,
    Operation::Gather,
];

/// Which operation, the how-manieth of all: the same on all cores.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Call {
    number: u32,
    operation: Operation,
    root: CoreId,
}

impl Call {
    fn note(self) -> u64 {
        u64::from(self.number) << 32 | (self.operation as u64) << 8 | self.root.index() as u64
    }

    fn of_note(note: u64) -> Option<Call> {
        let operation = *OPERATIONS.get((note >> 8) as usize & 0xff)?;
        Some(Call { number: (note >> 32) as u32, operation, root: CoreId::new(note as usize & 0xff)? })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { operation, root, .. } = self;
        match operation {
            Operation::Barrier => f.write_str("waits at a barrier"),
            Operation::Broadcast => write!(f, "calls broadcast from core {root}"),
            Operation::Reduce => write!(f, "calls reduce to core {root}"),
            Operation::AllReduce => f.write_str("calls all_reduce"),
            Operation::Scatter => write!(f, "calls scatter from core {root}"),
            Operation::Gather => write!(f, "calls gather to core {root}"),
        }
    }
}

/// The cores that take part, a bit each: all that have come. Those that are still on their way are waited for.
fn members() -> u64 {
    static MEMBERS: AtomicU64 = AtomicU64::new(0);
    let mut members = MEMBERS.load(Ordering::Relaxed);
    while members == 0 {
        if cores::all().all(|core| cores::is_running(core) || cores::is_given_up(core)) {
            members = cores::all().filter(|core| cores::is_running(*core)).fold(0, |all, core| all | 1 << core.index());
            MEMBERS.store(members, Ordering::Relaxed); // whoever asks finds the same
        } else {
            cpu::relax();
            sched::yield_now();
        }
    }
    members
}

/// A call of this core, from its beginning to its end.
struct Here {
    call: Call,
    core: CoreId,
    members: u64,
}

impl Here {
    fn enter(operation: Operation, root: CoreId) -> Here {
        let members = members();
        let core = cores::current();
        let number = CALLER.with(|caller| {
            (caller.inside == 0).then(|| {
                caller.inside = running::ticket();
                caller.calls = caller.calls.checked_add(1).unwrap_or(1); // 0 is no call
                caller.calls
            })
        });
        let number = number.unwrap_or_else(|| {
            panic!("two threads of core {core} are in collective operations at the same time: one of a core takes part")
        });
        let call = Call { number, operation, root };
        CELLS[core.index()].note.store(call.note(), Ordering::Relaxed);
        assert!(members >> root.index() & 1 == 1, "core {core} {call}, which is no core that runs");
        Here { call, core, members }
    }

    fn tree(&self, root: CoreId) -> Tree {
        Tree::new(self.members, root.index())
    }

    fn is_root(&self) -> bool {
        self.core == self.call.root
    }

    fn children(&self, tree: Tree) -> impl DoubleEndedIterator<Item = CoreId> {
        tree.children(self.core.index()).filter_map(CoreId::new)
    }

    fn parent(&self, tree: Tree) -> Option<CoreId> {
        tree.parent(self.core.index()).and_then(CoreId::new)
    }

    /// Leaves `value` to `parent`, which reads or writes it.
    fn offer<T: Copy + 'static>(&self, parent: CoreId, value: &mut T) {
        let cell = &CELLS[self.core.index()];
        let offer = Offer { call: self.call, what: KindOf::<T>::KIND, place: NonNull::from_mut(value).cast() };
        cell.offer.with(|offered, wakes| {
            offered.offer = Some(offer);
            cell.offered.store(self.call.number, Ordering::Release);
            offered.waiting.wake_all(wakes);
        });
        self.wait(cell, parent, |number| number == 0);
    }

    /// Where `child` waits with a value of this operation, until it is told that it is [`done`](Self::done).
    fn offered<T: Copy + 'static>(&self, child: CoreId) -> NonNull<T> {
        let cell = &CELLS[child.index()];
        self.wait(cell, child, |number| number == self.call.number);
        let offer = cell.offer.with(|offered, _| offered.offer).expect("an offer is taken back by nobody");
        if offer.call != self.call {
            self.disagree(child, offer.call);
        }
        if offer.what.id != TypeId::of::<T>() {
            let Here { core, call, .. } = self;
            let (mine, theirs) = (type_name::<T>(), (offer.what.name)());
            panic!("collective operation {}: core {core} {call} with {mine}, core {child} with {theirs}", call.number);
        }
        offer.place.cast()
    }

    /// Lets `child` go on.
    fn done(child: CoreId) {
        let cell = &CELLS[child.index()];
        cell.offer.with(|offered, wakes| {
            offered.offer = None;
            cell.offered.store(0, Ordering::Release);
            offered.waiting.wake_all(wakes);
        });
    }

    fn read<T: Copy + 'static>(&self, child: CoreId) -> T {
        // SAFETY: `offered` has found a `T` there, whose thread does nothing but wait.
        unsafe { self.offered(child).read() }
    }

    fn take<T: Copy + 'static>(&self, child: CoreId) -> T {
        let value = self.read(child);
        Self::done(child);
        value
    }

    fn give<T: Copy + 'static>(&self, child: CoreId, value: T) {
        // SAFETY: as in `read`.
        unsafe { self.offered(child).write(value) };
        Self::done(child);
    }

    /// Waits for `peer` to change the number of the offer in `cell`.
    fn wait(&self, cell: &Cell, peer: CoreId, is_right: impl Fn(u32) -> bool) {
        let is_right = || is_right(cell.offered.load(Ordering::Acquire));
        if is_right() {
            return;
        }
        let looks = if sched::is_asleep(peer) { 0 } else { LOOKS };
        for _ in 0..looks {
            cpu::relax();
            if is_right() {
                return;
            }
        }
        self.compare_notes();
        while !is_right() {
            // Woken by any change, so it looks again.
            let _woken = cell.offer.wait(|offered| &mut offered.waiting, None, |_, _| is_right().then_some(()));
        }
    }

    fn compare_notes(&self) {
        fence(Ordering::SeqCst); // this core's own note before those of others
        for core in cores::all() {
            match Call::of_note(CELLS[core.index()].note.load(Ordering::Relaxed)) {
                Some(theirs) if theirs.number == self.call.number && theirs != self.call => self.disagree(core, theirs),
                _ => {}
            }
        }
    }

    #[cold]
    fn disagree(&self, other: CoreId, theirs: Call) -> ! {
        let Here { core, call, .. } = self;
        panic!("collective operation {}: core {core} {call}, core {other} {theirs}", call.number);
    }

    /// Passes the root's value down to all.
    fn spread<T: Copy + 'static>(&self, tree: Tree, mut value: T) -> T {
        if let Some(parent) = self.parent(tree) {
            self.offer(parent, &mut value);
        }
        self.children(tree).rev().for_each(|child| self.give(child, value)); // those with the most below them first
        value
    }

    /// Passes all values up to the root, which has them combined, in the order of the cores from it on.
    fn collect<T: Copy + 'static>(&self, tree: Tree, value: T, mut combine: impl FnMut(T, T) -> T) -> Option<T> {
        let mut all = self.children(tree).fold(value, |all, child| combine(all, self.take(child)));
        match self.parent(tree) {
            None => Some(all),
            Some(parent) => {
                self.offer(parent, &mut all);
                None
            }
        }
    }

    /// Passes all values up, and what came of them down.
    fn exchange<T: Copy + 'static>(&self, value: T, mut combine: impl FnMut(T, T) -> T) -> T {
        let tree = self.tree(CoreId::BOOT);
        let mut all = self.children(tree).fold(value, |all, child| combine(all, self.read(child)));
        if let Some(parent) = self.parent(tree) {
            self.offer(parent, &mut all);
        }
        self.children(tree).rev().for_each(|child| self.give(child, all)); // where they still wait
        all
    }

    /// The part of this core, of what has `part` values for each.
    ///
    /// # Panics
    /// When it has not.
    fn part(&self, all: usize, part: usize) -> core::ops::Range<usize> {
        let Here { call, core, .. } = self;
        let count = cores::count();
        assert!(
            part.checked_mul(count) == Some(all),
            "core {core} {call}: {all} values are not {part} for each of {count} cores"
        );
        core.index() * part..(core.index() + 1) * part
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        CALLER.with(|caller| caller.inside = 0);
    }
}

/// Waits until all cores have come.
pub(super) fn barrier() {
    Here::enter(Operation::Barrier, CoreId::BOOT).exchange((), |(), ()| ());
}

/// The value that core `root` passes, on all cores. What the others pass is not looked at.
///
/// # Panics
/// When `root` does not run, when the cores do not call the same operation with the same type, and when another thread of
/// this core is in one.
pub fn broadcast<T: Copy + Send + 'static>(root: CoreId, value: T) -> T {
    let here = Here::enter(Operation::Broadcast, root);
    here.spread(here.tree(root), value)
}

/// All cores' values combined, on core `root`; `None` on the others.
///
/// They are combined in the order of the cores and grouped alike each time, whichever core is the root: `combine` need not
/// be commutative, and a sum of floating-point numbers does not change. It is called on several cores.
///
/// # Panics
/// As [`broadcast`].
pub fn reduce<T: Copy + Send + 'static>(root: CoreId, value: T, combine: impl FnMut(T, T) -> T) -> Option<T> {
    let here = Here::enter(Operation::Reduce, root);
    // By the boot core, on whose tree the values are in order.
    let mut all = here.collect(here.tree(CoreId::BOOT), value, combine);
    if root != CoreId::BOOT {
        match all.take() {
            Some(all) => here.give(root, all),
            None if here.is_root() => {
                let mut result = value;
                here.offer(CoreId::BOOT, &mut result);
                all = Some(result);
            }
            None => {}
        }
    }
    all
}

/// All cores' values combined, on all cores; otherwise as [`reduce`].
///
/// # Panics
/// As [`broadcast`].
pub fn all_reduce<T: Copy + Send + 'static>(value: T, combine: impl FnMut(T, T) -> T) -> T {
    Here::enter(Operation::AllReduce, CoreId::BOOT).exchange(value, combine)
}

/// Fills `part` with this core's part of what core `root` passes as `all`: that has a part for each of the machine's cores,
/// in their order. What others pass as `all` is not looked at.
///
/// # Panics
/// As [`broadcast`]; when the root passes `None`, and when `all` is not as long as all parts.
pub fn scatter<T: Copy + Send + 'static>(root: CoreId, all: Option<&[T]>, part: &mut [T]) {
    let here = Here::enter(Operation::Scatter, root);
    let tree = here.tree(root);
    let all: *const [T] = if here.is_root() { all.expect("the root of scatter passes values") } else { &[] };
    let all = here.spread(tree, all);
    let range = here.part(all.len(), part.len());
    // SAFETY: the root's thread is in this call, and leaves it when all have come back below. It has lent the values to it
    // for reading, as every core does here.
    part.copy_from_slice(unsafe { &(&*all)[range] });
    here.collect(tree, (), |(), ()| ());
}

/// Fills `all`, on core `root`, with the parts of all the machine's cores, in their order. What others pass as `all` is not
/// touched, nor is the part of a core that did not start.
///
/// # Panics
/// As [`broadcast`]; when the root passes `None`, and when `all` is not as long as all parts.
pub fn gather<T: Copy + Send + 'static>(root: CoreId, part: &[T], all: Option<&mut [T]>) {
    let here = Here::enter(Operation::Gather, root);
    let tree = here.tree(root);
    let all: *mut [T] = if here.is_root() { all.expect("the root of gather passes room") } else { &mut [] };
    let all = here.spread(tree, all);
    let range = here.part(all.len(), part.len());
    // SAFETY: the root's thread is in this call, and leaves it when all have come back below. It has lent the room to it
    // alone, and no two cores have the same part, which `part` has found to be inside.
    unsafe { all.cast::<T>().add(range.start).copy_from_nonoverlapping(part.as_ptr(), part.len()) };
    here.collect(tree, (), |(), ()| ());
}
