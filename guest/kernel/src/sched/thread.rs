//! A thread's life: its stack, its first function, its end.

#![expect(unsafe_code, reason = "the first context of a thread is made by hand, and sent to its core by address")]

use super::local::Locals;
use super::{CORE, ThreadHandle, ThreadId, letters, turn};
use crate::arch::context::Context;
use crate::arch::cores::{self, CoreId};
use crate::arch::depth;
use crate::mm::stack::Stack;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering::SeqCst, fence};
use toro_mailbox::Node;

/// What a thread is made of, apart from its place in the queues.
pub(super) struct Thread {
    pub(super) context: Context,
    pub(super) locals: Locals,
    handle: ThreadHandle,
    body: Option<Box<dyn FnOnce()>>,
    /// Returned to the stack cache when the thread is buried.
    stack: Stack,
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
}

impl Builder {
    /// Enough for ordinary code, `format!` and HTTP parsing included.
    pub const STACK_BYTES_DEFAULT: usize = 64 * 1024;
    /// The least a stack may have: a waiting thread polls the network on it.
    pub const STACK_BYTES_MIN: usize = 8 * 1024;

    /// No name, a stack of the default size.
    #[must_use]
    pub const fn new() -> Self {
        Builder { name: None, stack_bytes: Self::STACK_BYTES_DEFAULT, core: None }
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

/// Makes a thread that runs `body`; on this core it gets its first turn when the caller waits or yields.
///
/// A stack below [`Builder::STACK_BYTES_MIN`] is made that large.
///
/// # Errors
/// Why there is no such thread; `body` is dropped.
pub fn spawn(builder: Builder, body: Box<dyn FnOnce() + Send>) -> Result<ThreadHandle, SpawnError> {
    let _kernel = depth::enter();
    let core = builder.core.unwrap_or_else(cores::current);
    if core.index() >= cores::count() || cores::is_given_up(core) {
        return Err(SpawnError::NoSuchCore(core));
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
pub fn run(builder: Builder, main: Box<dyn FnOnce()>) -> Result<core::convert::Infallible, SpawnError> {
    add(make(builder, main)?)?;
    turn::give_way();
    unreachable!("the boot code was chosen to run")
}

fn make(builder: Builder, body: Box<dyn FnOnce()>) -> Result<Thread, SpawnError> {
    let stack_bytes = builder.stack_bytes.max(Builder::STACK_BYTES_MIN);
    let stack = Stack::new(stack_bytes).map_err(|_| SpawnError::OutOfMemory)?;
    // SAFETY: the stack is new, so all of it is writable and unused, and it ends at a page boundary.
    let context = unsafe { Context::new(stack.top(), begin, 0) };
    Ok(Thread { context, locals: Locals::new(), handle: ThreadHandle::new(builder.name), body: Some(body), stack })
}

fn add(thread: Thread) -> Result<(), SpawnError> {
    // A thread that is refused is dropped out here: what it captured may wake others.
    CORE.with(|core| core.threads.spawn(thread)).map_err(|_refused| SpawnError::OutOfMemory)
}

/// Where every thread begins.
extern "C" fn begin(_: usize) -> ! {
    turn::bury();
    let body = CORE.with(|core| core.threads.current_payload().and_then(|thread| thread.body.take()));
    depth::set(0); // the application's code, and its faults, from here
    body.expect("a thread begins once")();
    exit_thread()
}

/// Drops the running thread's thread-local values, as its end will.
pub fn drop_locals() {
    Locals::drop_all();
}

/// Ends the running thread. Its thread-local values are dropped; what its frames own is not.
pub fn exit_thread() -> ! {
    Locals::drop_all();
    let _kernel = depth::enter();
    CORE.with(|core| core.finished = Some(core.threads.exit_current()));
    turn::give_way();
    unreachable!("a thread that ended was chosen to run")
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

/// The name of the running thread, if it has one; for reports too, so nothing panics here.
#[must_use]
pub fn current_name() -> Option<Arc<str>> {
    if CORE.is_busy() {
        return None;
    }
    CORE.with(|core| core.threads.current_payload().and_then(|thread| thread.handle.shared_name()))
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
