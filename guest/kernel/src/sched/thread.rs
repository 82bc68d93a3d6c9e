//! A thread's life: its stack, its first function, its end.

#![expect(unsafe_code, reason = "the first context of a thread is made by hand")]

use super::local::Locals;
use super::{CORE, ThreadId, turn};
use crate::arch::context::Context;
use crate::arch::depth;
use crate::mm::stack::Stack;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

/// What a thread is made of, apart from its place in the queues.
pub(super) struct Thread {
    pub(super) context: Context,
    pub(super) locals: Locals,
    name: Option<Arc<str>>,
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
}

impl Builder {
    /// Enough for ordinary code, `format!` and HTTP parsing included.
    pub const STACK_BYTES_DEFAULT: usize = 64 * 1024;
    /// The least a stack may have: a waiting thread polls the network on it.
    pub const STACK_BYTES_MIN: usize = 8 * 1024;

    /// No name, a stack of the default size.
    #[must_use]
    pub const fn new() -> Self {
        Builder { name: None, stack_bytes: Self::STACK_BYTES_DEFAULT }
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
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory for another thread")
    }
}

impl core::error::Error for SpawnError {}

/// Makes a thread that runs `body`; it gets its first turn when the caller waits or yields.
///
/// A stack below [`Builder::STACK_BYTES_MIN`] is made that large.
///
/// # Errors
/// [`SpawnError::OutOfMemory`]; `body` is dropped.
pub fn spawn(builder: Builder, body: Box<dyn FnOnce() + Send>) -> Result<ThreadId, SpawnError> {
    let _kernel = depth::enter();
    add(builder, body)
}

/// Runs `main` as the first thread. The caller's stack is not used again.
///
/// # Errors
/// When there is no memory for the thread.
pub fn run(builder: Builder, main: Box<dyn FnOnce()>) -> Result<core::convert::Infallible, SpawnError> {
    add(builder, main)?;
    turn::give_way();
    unreachable!("the boot code was chosen to run")
}

fn add(builder: Builder, body: Box<dyn FnOnce()>) -> Result<ThreadId, SpawnError> {
    let stack_bytes = builder.stack_bytes.max(Builder::STACK_BYTES_MIN);
    let stack = Stack::new(stack_bytes).map_err(|_| SpawnError::OutOfMemory)?;
    // SAFETY: the stack is new, so all of it is writable and unused, and it ends at a page boundary.
    let context = unsafe { Context::new(stack.top(), begin, 0) };
    let thread = Thread { context, locals: Locals::new(), name: builder.name, body: Some(body), stack };
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
pub fn current() -> Option<ThreadId> {
    CORE.with(|core| core.threads.current())
}

/// The name of the running thread, if it has one; for reports too, so nothing panics here.
#[must_use]
pub fn current_name() -> Option<Arc<str>> {
    if CORE.is_busy() {
        return None;
    }
    CORE.with(|core| core.threads.current_payload().and_then(|thread| thread.name.clone()))
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
    !CORE.is_busy() && CORE.with(|core| core.threads.current().is_some())
}
