//! Threads: cooperative, cheap, each on a stack of a chosen size above a guard page, each on a core of its own choice.
//!
//! A thread runs until it waits for something (a lock, a message, the network, a time), yields or ends; there is no
//! pre-emption, so a loop that computes for long should [`yield_now`] now and then.
//!
//! **A thread never changes its core.** [`spawn`] stays on the caller's, [`spawn_on`] and [`Builder::core`] name one of
//! [`cores`]; so a program that wants all cores says which thread is where, and threads of one core never run at the same
//! time. Everything in [`sync`](crate::sync), [`park`], joins and messages work between threads of all cores.
//!
//! ```no_run
//! # fn example() {
//! use toro::prelude::*;
//! use toro::thread;
//!
//! let workers: Vec<_> = (0..4).map(|number| thread::spawn(move || number * number)).collect();
//! for worker in workers {
//!     println!("{:?}", worker.join());
//! }
//! # }
//! ```

use crate::fault::Fault;
use crate::io;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::num::NonZero;
use core::time::Duration;
use toro_kernel::arch::cores as kernel_cores;
use toro_kernel::arch::depth;
use toro_kernel::sched::{self, Body, Role, Share, SpawnError};
use toro_kernel::time::deadline_after;

pub use toro_kernel::arch::cores::{CORES_MAX, CoreId};
pub use toro_kernel::sched::{CoreStatistics, LocalKey, statistics as core_statistics, yield_now};

/// How a thread ended: with its result, or by a fault.
pub type Result<T> = core::result::Result<T, Fault>;

/// Names a thread; never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId(sched::ThreadId);

/// A thread, to name it and to [`unpark`](Thread::unpark) it.
#[derive(Clone)]
pub struct Thread {
    inner: sched::ThreadHandle,
}

/// How a thread is to be made.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder makes no thread until `spawn` is called"]
pub struct Builder {
    inner: sched::Builder,
}

/// The right to wait for a thread's result. Dropped, it lets the thread go on alone.
pub struct JoinHandle<T> {
    thread: Thread,
    /// Here until the handle is dropped.
    end: Option<Share<T>>,
}

/// What a thread does, and for whom.
struct Work<F, T> {
    body: Option<F>,
    end: Share<T>,
}

impl<F: FnOnce() -> T + Send, T: Send> Body for Work<F, T> {
    fn run(&mut self) {
        let body = self.body.take().expect("a thread begins once");
        self.end.give(body());
    }

    fn fail(&mut self, fault: Fault) {
        self.end.fail(fault);
    }
}

/// Runs `body` in a new thread with a stack of 64 KiB.
///
/// # Panics
/// When there is no memory for it; [`Builder::spawn`] returns an error instead.
pub fn spawn<F, T>(body: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(body).expect("no thread could be made")
}

/// Runs `body` in a new thread of `core`, as [`spawn`] does on the caller's. If that core sleeps it is woken.
///
/// ```no_run
/// # fn example() {
/// use toro::prelude::*;
/// use toro::thread;
///
/// let workers: Vec<_> = thread::cores().map(|core| thread::spawn_on(core, thread::current_core)).collect();
/// for (core, worker) in thread::cores().zip(workers) {
///     assert_eq!(worker.join(), Ok(core));
/// }
/// # }
/// ```
///
/// A core that is still starting runs it when it has come. One that has not come after ten seconds is given up: the kernel
/// warns of it, threads that were meant for it run on the first core, and from then on there is no such core.
///
/// # Panics
/// When there is no memory for it, or no such core; [`Builder::spawn`] returns an error instead.
pub fn spawn_on<F, T>(core: CoreId, body: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().core(core).spawn(body).expect("no thread could be made")
}

/// The cores of this machine, the first of which runs `main`.
#[must_use = "it tells, and does nothing"]
pub fn cores() -> impl ExactSizeIterator<Item = CoreId> + Clone {
    kernel_cores::all()
}

/// How often `core` has taken each interrupt, by its device's name: `timer`, `wake` (another core), `virtio-net` and so on.
/// Interrupts only end sleeps, so these are the causes of its wake-ups; nothing for a core that has not come.
pub fn core_interrupts(core: CoreId) -> impl Iterator<Item = (&'static str, u64)> {
    toro_kernel::arch::interrupt::counts(core)
}

/// The core this thread runs on, now and always.
#[must_use]
pub fn current_core() -> CoreId {
    kernel_cores::current()
}

impl Builder {
    /// No name, a stack of 64 KiB.
    pub const fn new() -> Self {
        Builder { inner: sched::Builder::new() }
    }

    /// What reports call the thread.
    pub fn name(mut self, name: String) -> Self {
        let kernel = depth::enter(); // whose memory the name is from here on
        self.inner.name = Some(Arc::from(&*name));
        drop(kernel);
        self
    }

    /// How many bytes its stack has: at least 8 KiB, whatever is asked.
    pub const fn stack_size(mut self, bytes: usize) -> Self {
        self.inner.stack_bytes = bytes;
        self
    }

    /// The core it runs on, for good; the caller's if none is named.
    pub const fn core(mut self, core: CoreId) -> Self {
        self.inner.core = Some(core);
        self
    }

    /// Runs `body` in a new thread, which on this core gets its first turn when this one waits or yields.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`], or [`io::ErrorKind::InvalidInput`] if there is no such core; `body` is dropped.
    pub fn spawn<F, T>(self, body: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (theirs, end) = sched::ending();
        let kernel = depth::enter();
        let work = Box::new(Work { body: Some(body), end: theirs });
        drop(kernel);
        let inner = sched::spawn(self.inner, work).map_err(no_thread)?;
        Ok(JoinHandle { thread: Thread { inner }, end: Some(end) })
    }

    /// Calls `body` and catches its faults, as [`fault::catch`](crate::fault::catch) does, in a thread with this stack, on this
    /// core and with this name; the caller's name if none is given.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn catch<F, T>(mut self, body: F) -> io::Result<Result<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.inner.role = Role::Catch;
        if self.inner.name.is_none() {
            self.inner.name = sched::current().and_then(|thread| thread.shared_name());
        }
        self.spawn(body).map(JoinHandle::join)
    }
}

fn no_thread(error: SpawnError) -> io::Error {
    match error {
        SpawnError::NoSuchCore(_) => {
            io::Error::with_message(io::ErrorKind::InvalidInput, "the machine has no such core")
        }
        _ => io::Error::with_message(io::ErrorKind::OutOfMemory, "no memory for another thread"),
    }
}

impl<T> JoinHandle<T> {
    /// Waits until the thread ends.
    ///
    /// # Errors
    /// The fault by which it ended, which was reported then.
    pub fn join(mut self) -> Result<T> {
        self.end.take().expect("it is here until the handle is dropped").join()
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end.as_ref().is_none_or(Share::is_over)
    }

    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }
}

impl Thread {
    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId(self.inner.id())
    }

    /// Its name, if it was given one. The first thread is called `main`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.inner.name()
    }

    /// Ends the thread's [`park`], or its next one. Nothing happens when it has ended.
    pub fn unpark(&self) {
        self.inner.unpark();
    }
}

/// The running thread.
///
/// # Panics
/// Never in an application: its code runs in threads only.
#[must_use]
pub fn current() -> Thread {
    Thread { inner: sched::current().expect("an application's code runs in a thread") }
}

/// How many threads can run at the same time: one on each of the machine's [`cores`].
///
/// # Errors
/// None.
pub fn available_parallelism() -> io::Result<NonZero<usize>> {
    Ok(NonZero::new(kernel_cores::count()).unwrap_or(NonZero::<usize>::MIN))
}

/// Waits for `duration`, while others run.
pub fn sleep(duration: Duration) {
    sched::sleep_until(deadline_after(duration));
}

/// Waits until `deadline`, while others run.
pub fn sleep_until(deadline: Instant) {
    sched::sleep_until(deadline.as_deadline());
}

/// Interrupts a program that `core` runs in ring 3, if it does; see [`user::run_unless`](crate::user::run_unless).
pub fn interrupt_core(core: CoreId) {
    sched::ring(core);
}

/// Has every other core put its accesses to memory in order before this returns, wherever it is; one that sleeps does so when
/// it wakes.
pub fn synchronize_cores() {
    if kernel_cores::count() > 1 {
        toro_kernel::arch::shootdown::flush_others();
    }
}

/// Waits until another thread calls [`Thread::unpark`] for this one; not at all if one has since the last time.
pub fn park() {
    sched::park(None);
}

/// As [`park`], until `deadline` at most; `None`: for ever.
pub fn park_until(deadline: Option<Instant>) {
    sched::park(deadline.map(Instant::as_deadline));
}

/// As [`park`], for `duration` at most.
pub fn park_timeout(duration: Duration) {
    sched::park(Some(deadline_after(duration)));
}

/// Declares statics of which each thread has its own value, made at its first use and dropped when the thread ends.
///
/// ```no_run
/// # fn example() {
/// use core::cell::Cell;
///
/// toro::thread_local! {
///     static REQUESTS: Cell<u32> = const { Cell::new(0) };
/// }
///
/// REQUESTS.set(REQUESTS.get() + 1);
/// # }
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = const $value:block $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $visibility static $name: $crate::thread::LocalKey<$type> = $crate::thread::LocalKey::new(|| const $value);
        $($crate::thread_local! { $($rest)* })?
    };
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $visibility static $name: $crate::thread::LocalKey<$type> = $crate::thread::LocalKey::new(|| $value);
        $($crate::thread_local! { $($rest)* })?
    };
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.leave_alone();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("thread", &self.thread).finish_non_exhaustive()
    }
}
