//! A fault as a value: what went wrong, where, and in which thread.

#![expect(unsafe_code, reason = "what is dropped in two steps is taken out once")]

use super::Kind;
use super::report::{Cause, Place};
use crate::arch::cores::{self, CoreId};
use crate::arch::{Frame, backtrace, depth, paging, running};
use crate::sched::{self, ThreadHandle};
use alloc::boxed::Box;
use alloc::string::String;
use core::any::{Any, type_name};
use core::fmt;
use core::mem::ManuallyDrop;

pub use crate::arch::user::Registers;

/// Frames of a backtrace that are kept.
const FRAMES_MAX: usize = 32;

/// Why a thread ended without a result.
///
/// Two faults are equal when they are of the same kind, at the same instruction and with the same message.
pub struct Fault(ManuallyDrop<Box<Inner>>);

struct Inner {
    kind: Kind,
    thread: Option<ThreadHandle>,
    core: CoreId,
    registers: Option<Registers>,
    backtrace: Backtrace,
    message: String,
    value: Option<Box<dyn Any + Send>>,
    /// What the thread had allocated and not freed.
    heap_bytes: i64,
}

impl Inner {
    /// The value that was raised. Its box was the kernel's, and is whose thread takes it.
    fn take_value(&mut self) -> Option<Box<dyn Any>> {
        let value = self.value.take()?;
        running::count(size_of_val(&*value) as i64);
        Some(value)
    }
}

/// Where the processor was, and the calls around it: addresses from the innermost outward.
#[derive(Clone, Copy)]
pub(super) struct Backtrace {
    addresses: [usize; FRAMES_MAX],
    count: usize,
}

impl Backtrace {
    /// From an instruction, if one is to blame, and the frame of a frame pointer. What is found there are return addresses; what
    /// is kept lies inside the calls.
    pub(super) fn new(instruction: Option<usize>, frame_pointer: usize) -> Self {
        let mut found = Backtrace { addresses: [0; FRAMES_MAX], count: 0 };
        let calls = backtrace::from(frame_pointer).map(|address| address.wrapping_sub(1));
        for address in instruction.into_iter().chain(calls).take(FRAMES_MAX) {
            found.addresses[found.count] = address;
            found.count += 1;
        }
        found
    }

    pub(super) fn addresses(&self) -> &[usize] {
        &self.addresses[..self.count]
    }
}

impl Fault {
    /// An exception of the processor. The kernel has been entered for it.
    #[cold]
    pub(super) fn of_exception(kind: Kind, frame: &Frame) -> Self {
        let backtrace = Backtrace::new(Some(frame.instruction()), frame.frame_pointer());
        Self::new(kind, Some(frame.registers()), backtrace, running::heap_bytes())
    }

    /// What a thread did by a call, in whose frame it was found. The kernel has been entered for it.
    #[cold]
    pub(super) fn of_call(kind: Kind, frame_pointer: usize, heap_bytes: i64) -> Self {
        Self::new(kind, None, Backtrace::new(None, frame_pointer), heap_bytes)
    }

    fn new(kind: Kind, registers: Option<Registers>, backtrace: Backtrace, heap_bytes: i64) -> Self {
        let (thread, core) = (sched::current(), cores::current());
        let (message, value) = (String::new(), None);
        let inner = Inner { kind, thread, core, registers, backtrace, message, value, heap_bytes };
        Fault(ManuallyDrop::new(Box::new(inner)))
    }

    pub(super) fn with_message(mut self, message: String) -> Self {
        self.0.message = message;
        self
    }

    pub(super) fn with_value<T: Any + Send>(mut self, value: Box<T>) -> Self {
        self.0.message = type_name::<T>().into();
        self.0.value = Some(value);
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The thread that ended by it.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadHandle> {
        self.0.thread.as_ref()
    }

    /// The core on which that was.
    #[must_use]
    pub fn core(&self) -> CoreId {
        self.0.core
    }

    /// The address of the instruction that did it; of a panic or a raised value, of the call.
    #[must_use]
    pub fn instruction(&self) -> usize {
        self.backtrace().first().copied().unwrap_or_default()
    }

    /// The general registers at an exception of the processor; a panic or a raised value has none to tell of.
    #[must_use]
    pub fn registers(&self) -> Option<&Registers> {
        self.0.registers.as_ref()
    }

    /// The instruction, and the calls around it, from the innermost outward: 32 at most. An address in the image
    /// less [`image_base`] is one of the ELF.
    #[must_use]
    pub fn backtrace(&self) -> &[usize] {
        self.0.backtrace.addresses()
    }

    pub(super) fn calls(&self) -> &Backtrace {
        &self.0.backtrace
    }

    /// Place and message of a panic, or the type of a raised value; empty for an exception of the processor.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the thread had allocated itself, less what it had freed, in bytes.
    pub(crate) fn heap_bytes(&self) -> i64 {
        self.0.heap_bytes
    }

    /// The value that was raised, if it is of this type.
    #[must_use]
    pub fn value<T: Any>(&self) -> Option<&T> {
        self.0.value.as_deref().and_then(|value| (value as &dyn Any).downcast_ref())
    }

    /// The value that was raised, taken out.
    ///
    /// # Errors
    /// The fault itself, when no value of this type was raised.
    pub fn downcast<T: Any>(mut self) -> Result<T, Fault> {
        if self.value::<T>().is_none() {
            return Err(self);
        }
        let value = self.0.take_value().and_then(|value| value.downcast().ok());
        value.map(|value| *value).ok_or(self)
    }

    /// Ends the running thread by the same fault once more, as when nobody had caught it there: its kind, instruction, registers
    /// and backtrace stay what they are.
    pub fn raise(self) -> ! {
        super::thread::raise_again(self)
    }

    pub(super) fn set_heap_bytes(&mut self, heap_bytes: i64) {
        self.0.heap_bytes = heap_bytes;
    }
}

impl Drop for Fault {
    #[inline(never)]
    fn drop(&mut self) {
        drop(self.0.take_value()); // the program's; the rest is memory of the kernel
        let _kernel = depth::enter();
        // SAFETY: dropped here, once.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        let parts = |fault: &Self| (fault.kind(), fault.instruction());
        parts(self) == parts(other) && self.message() == other.message()
    }
}

impl Eq for Fault {}

/// The cause: `read of 0x8, near null, in thread 3 'worker' on core 1`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place { thread: self.thread(), core: self.core() };
        match self.kind() {
            Kind::Panic => write!(f, "{place} panicked at {}", self.message()),
            Kind::Raised => write!(f, "a value of type {} was raised, in {place}", self.message()),
            kind => write!(f, "{}", Cause { is_defect: false, kind, place }),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("kind", &self.kind())
            .field("instruction", &format_args!("{:#x}", self.instruction()))
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}

impl core::error::Error for Fault {}

/// Virtual address of the image: an address of the kernel or the application less this is one of the ELF.
#[must_use]
pub fn image_base() -> u64 {
    paging::image_base()
}
