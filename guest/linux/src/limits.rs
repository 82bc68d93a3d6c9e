//! Limits of resources: kept as they are set, and held where this kernel counts the resource.

use toro::sync::SpinLock;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Rlimit;
use toro_linux_abi::raw;

const COUNT: usize = 16;
/// No limit.
pub(crate) const INFINITY: u64 = u64::MAX;
/// Bytes of the first thread's stack, and what C libraries give other threads.
pub(crate) const STACK_BYTES: u64 = 8 << 20;
/// The most descriptors that a program may have.
pub(crate) const DESCRIPTORS_MAX: u64 = 1 << 20;
const DESCRIPTORS: u64 = 1 << 16;

/// The limits of the program.
#[derive(Debug)]
pub(crate) struct Limits(SpinLock<[Rlimit; COUNT]>);

impl Limits {
    /// As a program finds them.
    pub(crate) fn new() -> Self {
        let mut limits = [Rlimit { soft: INFINITY, hard: INFINITY }; COUNT];
        let mut set = |resource: u32, soft, hard| limits[resource as usize] = Rlimit { soft, hard };
        set(raw::RLIMIT_STACK, STACK_BYTES, INFINITY);
        set(raw::RLIMIT_CORE, 0, INFINITY);
        set(raw::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS_MAX);
        set(raw::RLIMIT_NICE, 0, 0);
        set(raw::RLIMIT_RTPRIO, 0, 0);
        set(raw::RLIMIT_MSGQUEUE, 819_200, 819_200);
        Limits(SpinLock::new(limits))
    }

    /// A limit.
    pub(crate) fn get(&self, resource: u32) -> Result<Rlimit, Errno> {
        self.0.with(|limits| limits.get(resource as usize).copied()).ok_or(Errno::INVAL)
    }

    /// Changes a limit; only the privileged raise a hard one.
    pub(crate) fn set(&self, resource: u32, new: Rlimit, is_privileged: bool) -> Result<(), Errno> {
        if new.soft > new.hard || resource == raw::RLIMIT_NOFILE && new.hard > DESCRIPTORS_MAX && new.hard != INFINITY {
            return Err(if new.soft > new.hard { Errno::INVAL } else { Errno::PERM });
        }
        self.0.with(|limits| {
            let limit = limits.get_mut(resource as usize).ok_or(Errno::INVAL)?;
            if new.hard > limit.hard && !is_privileged {
                return Err(Errno::PERM);
            }
            *limit = new;
            Ok(())
        })
    }

    /// How many descriptors the program may have.
    pub(crate) fn descriptors(&self) -> usize {
        let soft = self.0.with(|limits| limits[raw::RLIMIT_NOFILE as usize].soft);
        soft.min(DESCRIPTORS_MAX) as usize
    }

    /// How long a file may become.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.0.with(|limits| limits[raw::RLIMIT_FSIZE as usize].soft)
    }
}
