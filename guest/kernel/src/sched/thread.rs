//! A thread's life: its stack, its first function, its end.

#![expect(unsafe_code, reason = "the first context of a thread is made by hand, and sent to its core by address")]

use super::local::Locals;
use super::visible::{self, Tag};
use super::{CORE, ThreadHandle, ThreadId, letters, lives, notices, turn};
use crate::arch::context::{self, Context};
use crate::arch::cores::{self, CoreId};
use crate::arch::{depth, running};
use crate::fault::Fault;
use crate::mm::stack::Stack;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering::SeqCst, fence};
use running::Running;
use toro_mailbox::Node;

/// What a thread is made of, apart from its place in the queues.
pub(super) struct Thread {
    pub(super) context: Context,
    pub(super) locals: Locals,
    pub(super) handle: ThreadHandle,
    /// For debuggers.
    pub(super) tag: Tag,
    pub(super) role: Role,
    pub(super) end: End,
    /// It is told when another one ends by a fault: see `notices`.
    pub(super) watches: bool,
    /// The kernel's, so that it is given back however the thread ends.
    body: Box<dyn Body>,
    /// Returned to the stack cache when the thread is buried.
    pub(super) stack: Stack,
}

/// What a thread does, and how others hear of its end. It stays where it is until the thread is gone; then it is dropped by the
/// kernel, and has nothing of the application in it any more.
pub trait Body: Send {
    /// Does it.
    fn run(&mut self);
    /// The thread has ended by `fault`, in the middle of [`run`](Self::run), whose frames are gone.
    fn fail(&mut self, fault: Fault);
}

/// A body of the kernel's own: a function that does not fail.
pub struct Plain<F>(Option<F>);

impl<F: FnOnce() + Send> Plain<F> {
    /// A thread that calls `f`.
    pub fn new(f: F) -> Box<Self> {
        Box::new(Plain(Some(f)))
    }
}

impl<F: FnOnce() + Send> Body for Plain<F> {
    fn run(&mut self) {
        self.0.take().expect("a thread begins once")();
    }

    fn fail(&mut self, _fault: Fault) {}
}

/// Who is concerned when a thread faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The machine: it is the application's `main`.
    Main,
    /// Whoever joins it.
    Thread,
    /// Whoever joins it, and nobody else: nothing is reported.
    Catch,
}

/// How far a thread is on its way out.
#[derive(Default)]
pub(super) struct End {
    /// How often it has panicked.
    pub(super) panics: u32,
    /// It ends by this.
    pub(super) fault: Option<Fault>,
    /// Whoever joins is told, or is about to be.
    pub(super) is_told: bool,
}

/// How a thread is to be made.
#[derive(Clone, Debug)]
pub struct Builder {
    /// What reports call it.
    pub name: Option<Arc<str>>,
    /// Bytes of its stack, without the guard page below.
    pub stack_bytes: usize,
    /// The core it runs on, for good; the caller's if nobody says.
    pub core: Option<CoreId>,
    /// Who is concerned when it faults.
    pub role: Role,
}

impl Builder {
    /// Enough for ordinary code, `format!` and HTTP parsing included.
    pub const STACK_BYTES_DEFAULT: usize = 64 * 1024;
    /// The least a stack may have: a waiting thread polls the network on it.
    pub const STACK_BYTES_MIN: usize = 8 * 1024;

    /// No name, a stack of the default size.
    #[must_use]
    pub const fn new() -> Self {
        Builder { name: None, stack_bytes: Self::STACK_BYTES_DEFAULT, core: None, role: Role::Thread }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a thread could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// No memory for its stack or its place in the table.
    OutOfMemory,
    /// The machine has no such core.
    NoSuchCore(CoreId),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("no memory for another thread"),
            Self::NoSuchCore(core) => write!(f, "the machine has no core {core}"),
        }
    }
}

impl core::error::Error for SpawnError {}

/// A thread that could not be made, with what it would have done: that is dropped outside of the kernel.
type Refused = (SpawnError, Box<dyn Body>);

/// Makes a thread that runs `body`; on this core it gets its first turn when the caller waits or yields.
///
/// A stack below [`Builder::STACK_BYTES_MIN`] is made that large.
///
/// # Errors
/// Why there is no such thread; `body` is dropped.
pub fn spawn(builder: Builder, body: Box<dyn Body>) -> Result<ThreadHandle, SpawnError> {
    try_spawn(builder, body).map_err(|(error, _body)| error)
}

fn try_spawn(builder: Builder, body: Box<dyn Body>) -> Result<ThreadHandle, Refused> {
    let _kernel = depth::enter();
    let core = builder.core.unwrap_or_else(cores::current);
    if core.index() >= cores::count() || cores::is_given_up(core) {
        return Err((SpawnError::NoSuchCore(core), body));
    }
    let thread = make(builder, body)?;
    let handle = thread.handle.clone();
    if core == cores::current() {
        add(thread)?;
    } else {
        let newcomer = Box::into_raw(Box::new(Newcomer { letter: Node::new(adopt), thread }));
        // SAFETY: the box is `adopt`'s from here on. A thread that has not begun may go to another core: its body is `Send`,
        // and it has no thread-local values.
        unsafe { letters::post(core, NonNull::new_unchecked(newcomer).cast()) };
        fence(SeqCst);
        if cores::is_given_up(core) {
            letters::take_over(core);
        }
    }
    Ok(handle)
}

/// A thread on the way to its core.
#[repr(C)]
struct Newcomer {
    letter: Node,
    thread: Thread,
}

/// # Safety
/// The letter is a [`Newcomer`]'s, whose box this function takes.
unsafe fn adopt(letter: NonNull<Node>) {
    // SAFETY: by this function's contract.
    let newcomer = unsafe { Box::from_raw(letter.cast::<Newcomer>().as_ptr()) };
    // Its stack was found, and its place in the table is not: nobody waits for this answer any more, who could act on it.
    assert!(add(newcomer.thread).is_ok(), "memory allocation of a thread's place in the table failed");
}

/// Runs `main` as the first thread. The caller's stack is not used again.
///
/// # Errors
/// When there is no memory for the thread.
pub fn run(builder: Builder, main: Box<dyn Body>) -> Result<core::convert::Infallible, SpawnError> {
    make(builder, main).and_then(add).map_err(|(error, _main)| error)?;
    turn::give_way();
    unreachable!("the boot code was chosen to run")
}

fn make(builder: Builder, body: Box<dyn Body>) -> Result<Thread, Refused> {
    let stack_bytes = builder.stack_bytes.max(Builder::STACK_BYTES_MIN);
    let Ok(stack) = Stack::new(stack_bytes) else { return Err((SpawnError::OutOfMemory, body)) };
    // SAFETY: the stack is new, so all of it is writable and unused, and it ends at a page boundary.
    let context = unsafe { Context::new(stack.top(), begin, 0) };
    let handle = ThreadHandle::new(builder.name);
    let (role, end, watches) = (builder.role, End::default(), false);
    let tag = Tag::of(&handle);
    Ok(Thread { context, locals: Locals::new(), handle, tag, role, end, watches, body, stack })
}

fn add(thread: Thread) -> Result<(), Refused> {
    let (places, room) = CORE.with(|core| (core.threads.places(), core.ticket_room));
    let added = match lives::reserve(places, room) {
        // A thread that is refused is dropped out here: what it captured may wake others.
        Ok(room) => CORE.with(|core| {
            core.ticket_room = room;
            let added = core.threads.spawn(thread);
            if core.threads.places() != places {
                visible::show(&core.threads);
            }
            added
        }),
        Err(_) => Err(thread),
    };
    added.map_err(|thread| (SpawnError::OutOfMemory, thread.body))
}

/// Where every thread begins.
extern "C" fn begin(_: usize) -> ! {
    turn::bury();
    let (place, id, body) = CORE.with(|core| {
        let place = core.threads.here();
        let thread = core.threads.current_payload().expect("a thread runs");
        (place, thread.handle.id(), core::ptr::from_mut(&mut *thread.body))
    });
    Running::new(lives::begin(place, id)).load();
    depth::set(0); // the application's code, and its faults, from here
    // SAFETY: the body is this thread's, which nobody drops before it has ended.
    unsafe { (*body).run() };
    Locals::end(false);
    depth::set(1);
    exit()
}

pub(super) fn with_thread<R>(f: impl FnOnce(&mut Thread) -> R) -> R {
    CORE.with(|core| f(core.threads.current_payload().expect("a thread runs")))
}

/// The running thread's body, wherever the table moves it.
fn body() -> *mut dyn Body {
    with_thread(|thread| core::ptr::from_mut(&mut *thread.body))
}

/// Drops the running thread's thread-local values, as its end will.
pub fn drop_locals() {
    Locals::end(false);
}

/// Ends the running thread, for which the kernel was entered. What its frames own is not dropped.
fn exit() -> ! {
    lives::end(running::ticket());
    CORE.with(|core| core.finished = Some(core.threads.exit_current()));
    turn::give_way();
    unreachable!("a thread that ended was chosen to run")
}

/// Ends the running thread by a fault, for which the kernel was entered, and tells whoever joins it, unless that was done.
pub(crate) fn exit_by(fault: Fault, is_told: bool) -> ! {
    if is_told {
        core::mem::forget(fault); // the end itself has failed: no more of the application's code
        exit()
    }
    let body = body();
    depth::set(0);
    // SAFETY: as in `begin`; the frames in which `run` had it are gone.
    unsafe { (*body).fail(fault) };
    depth::set(1);
    exit()
}

/// Gives up all that the running thread has on its stack, keeps the fault by which it ends, and goes on with `end` at the top of
/// that stack. The kernel was entered.
pub(crate) fn abandon(fault: Fault, end: extern "C" fn() -> !) -> ! {
    let (before, stack_top) = with_thread(|thread| (thread.end.fault.replace(fault), thread.stack.top()));
    core::mem::forget(before); // none
    // SAFETY: it is the running thread's stack. Nothing of what lies on it is used again: what the kernel owns it has in
    // its tables, and nobody lends references to what lies on a stack to other threads.
    unsafe { context::abandon(stack_top, end) }
}

/// The end of a thread that has abandoned what it did.
pub(crate) struct FaultyEnd {
    /// The one that it had.
    pub(crate) ticket: u64,
    pub(crate) fault: Fault,
    pub(crate) role: Role,
    /// Whoever joins has been told.
    pub(crate) is_told: bool,
    /// The heap that the thread leaves behind.
    pub(crate) lost_bytes: i64,
}

impl FaultyEnd {
    /// That of the running thread; of its thread-local values no more is left than what is lost.
    pub(crate) fn begin() -> Self {
        let (fault, role, is_told) = with_thread(|thread| {
            let fault = thread.end.fault.take().expect("a thread that ends by a fault has one");
            (fault, thread.role, core::mem::replace(&mut thread.end.is_told, true))
        });
        // From here on it is another thread to everybody: what it held is nobody's, and what its end may take is its own.
        let ticket = running::ticket();
        running::set_ticket(lives::begin_end(ticket));
        notices::tell_end();
        let before = running::heap_bytes();
        depth::set(0); // as when the values were made
        Locals::end(true);
        depth::set(1);
        let lost_bytes = fault.heap_bytes() + running::heap_bytes() - before;
        FaultyEnd { ticket, fault, role, is_told, lost_bytes }
    }
}

/// Counts a panic of the running thread; how many there were before.
pub(crate) fn count_panic() -> u32 {
    with_thread(|thread| {
        thread.end.panics += 1;
        thread.end.panics - 1
    })
}

/// Who is concerned when the running thread faults.
pub(crate) fn role() -> Role {
    with_thread(|thread| thread.role)
}

/// The running thread; `None` during boot, and in a poller that a thread calls which has ended.
#[must_use]
pub fn current() -> Option<ThreadHandle> {
    CORE.with(|core| core.threads.current_payload().map(|thread| thread.handle.clone()))
}

/// The running thread's name for ever; as [`current`].
#[inline]
#[must_use]
pub fn current_id() -> Option<ThreadId> {
    CORE.with(|core| core.threads.current_payload().map(|thread| thread.handle.id()))
}

/// Whether the scheduler is in the middle of something; for reports.
#[must_use]
pub fn is_at_work() -> bool {
    CORE.is_busy()
}

/// Whether `address` lies in the guard page below the running thread's stack; for reports.
#[must_use]
pub fn in_stack_guard(address: usize) -> bool {
    !CORE.is_busy()
        && CORE.with(|core| core.threads.current_payload().is_some_and(|thread| thread.stack.guards(address)))
}

/// Whether a thread runs, or this is still boot; for reports.
#[must_use]
pub fn is_running() -> bool {
    !CORE.is_busy() && CORE.with(|core| core.threads.current_payload().is_some())
}
