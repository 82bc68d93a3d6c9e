//! Structures as they lie in a program's memory, on x86-64. Names and order of fields are Linux's.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! structures {
    ($($(#[$doc:meta])+ $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(C)]
            #[expect(missing_docs, reason = "named as Linux names them")]
            pub struct $name {
                $(pub $field: $type,)*
            }

            impl Default for $name {
                fn default() -> Self {
                    zerocopy::FromZeros::new_zeroed()
                }
            }
        )*
    };
}

structures! {
    /// A time in seconds and nanoseconds.
    Timespec { seconds: i64, nanoseconds: i64, }
    /// A time in seconds and microseconds.
    Timeval { seconds: i64, microseconds: i64, }
    /// When a timer expires, and after what time again.
    Itimerspec { interval: Timespec, value: Timespec, }
    /// The same in microseconds.
    Itimerval { interval: Timeval, value: Timeval, }
    /// CPU time in ticks of a hundredth of a second.
    Tms { utime: i64, stime: i64, cutime: i64, cstime: i64, }
    /// What `stat` tells of a file.
    Stat {
        dev: u64, ino: u64, nlink: u64, mode: u32, uid: u32, gid: u32, pad: u32, rdev: u64, size: i64, blksize: i64,
        blocks: i64, atime: Timespec, mtime: Timespec, ctime: Timespec, unused: [i64; 3],
    }
    /// A time of `statx`.
    StatxTimestamp { seconds: i64, nanoseconds: u32, reserved: i32, }
    /// What `statx` tells of a file.
    Statx {
        mask: u32, blksize: u32, attributes: u64, nlink: u32, uid: u32, gid: u32, mode: u16, pad: u16, ino: u64, size: u64,
        blocks: u64, attributes_mask: u64, atime: StatxTimestamp, btime: StatxTimestamp, ctime: StatxTimestamp,
        mtime: StatxTimestamp, rdev_major: u32, rdev_minor: u32, dev_major: u32, dev_minor: u32, mnt_id: u64,
        dio_mem_align: u32, dio_offset_align: u32, spare: [u64; 12],
    }
    /// What `statfs` tells of a file system.
    Statfs {
        kind: i64, bsize: i64, blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, fsid: [i32; 2], namelen: i64,
        frsize: i64, flags: i64, spare: [i64; 4],
    }
    /// A piece of memory.
    Iovec { base: u64, bytes: u64, }
    /// What `uname` tells.
    Utsname {
        sysname: [u8; 65], nodename: [u8; 65], release: [u8; 65], version: [u8; 65], machine: [u8; 65], domainname: [u8; 65],
    }
    /// What `sysinfo` tells.
    Sysinfo {
        uptime: i64, loads: [u64; 3], totalram: u64, freeram: u64, sharedram: u64, bufferram: u64, totalswap: u64,
        freeswap: u64, procs: u16, pad: [u16; 3], totalhigh: u64, freehigh: u64, mem_unit: u32, pad2: u32,
    }
    /// A limit of a resource.
    Rlimit { soft: u64, hard: u64, }
    /// What `getrusage` tells.
    Rusage {
        utime: Timeval, stime: Timeval, maxrss: i64, ixrss: i64, idrss: i64, isrss: i64, minflt: i64, majflt: i64,
        nswap: i64, inblock: i64, oublock: i64, msgsnd: i64, msgrcv: i64, nsignals: i64, nvcsw: i64, nivcsw: i64,
    }
    /// A descriptor for `poll`.
    Pollfd { fd: i32, events: i16, revents: i16, }
    /// What `clone3` is told.
    CloneArgs {
        flags: u64, pidfd: u64, child_tid: u64, parent_tid: u64, exit_signal: u64, stack: u64, stack_size: u64, tls: u64,
    }
    /// The robust futexes of a thread.
    RobustListHead { list: u64, futex_offset: i64, list_op_pending: u64, }
    /// What a signal does, as `rt_sigaction` has it.
    SignalAction { handler: u64, flags: u64, restorer: u64, mask: u64, }
    /// A stack for signal handlers.
    SignalStack { sp: u64, flags: i32, pad: i32, size: u64, }
    /// Whom a message goes to, and what is in it.
    Msghdr {
        name: u64, namelen: u32, pad: u32, iov: u64, iovlen: u64, control: u64, controllen: u64, flags: i32, pad2: i32,
    }
    /// One of several messages.
    Mmsghdr { header: Msghdr, bytes: u32, pad: u32, }
    /// What goes along with a message.
    Cmsghdr { bytes: u64, level: i32, kind: i32, }
    /// Who is at the other end of a socket.
    Ucred { pid: i32, uid: u32, gid: u32, }
    /// `SO_LINGER`.
    Linger { onoff: i32, linger: i32, }
    /// The size of a terminal.
    Winsize { rows: u16, columns: u16, xpixel: u16, ypixel: u16, }
    /// What the C library is told about capabilities.
    CapabilityHeader { version: u32, pid: i32, }
    /// Half of a thread's capabilities.
    CapabilityData { effective: u32, permitted: u32, inheritable: u32, }
    /// What `openat2` is told.
    OpenHow { flags: u64, mode: u64, resolve: u64, }
    /// What `signalfd` gives for a signal.
    SignalfdInfo {
        signo: u32, errno: i32, code: i32, pid: u32, uid: u32, fd: i32, tid: u32, band: u32, overrun: u32, trapno: u32,
        status: i32, int: i32, ptr: u64, utime: u64, stime: u64, addr: u64, pad: [u64; 6],
    }
    /// What a timer is to do when it expires, or another event.
    Sigevent { value: u64, signo: i32, notify: i32, tid: i32, pad: [u32; 11], }
    /// Space left by a request of `fcntl` for locks.
    Flock { kind: i16, whence: i16, pad: u32, start: i64, len: i64, pid: i32, pad2: u32, }
    /// Times of `utime`.
    Utimbuf { actime: i64, modtime: i64, }
    /// What an address range of `preadv2` and others with a mask of signals is told, in `pselect6`.
    SigsetArgument { set: u64, bytes: u64, }
}

/// An event of `epoll`, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
pub struct EpollEvent {
    /// What is ready, or wanted.
    pub events: u32,
    /// The program's own.
    pub data: u64,
}

/// Bytes of [`EpollEvent`].
pub const EPOLL_EVENT_BYTES: usize = size_of::<EpollEvent>();

impl Timespec {
    /// From nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Timespec { seconds: (ns / 1_000_000_000) as i64, nanoseconds: (ns % 1_000_000_000) as i64 }
    }

    /// In nanoseconds, as many as a number holds; `None` when it is no time.
    #[must_use]
    pub const fn to_ns(self) -> Option<u64> {
        if self.seconds < 0 || self.nanoseconds < 0 || self.nanoseconds > 999_999_999 {
            return None;
        }
        Some((self.seconds as u64).saturating_mul(1_000_000_000).saturating_add(self.nanoseconds as u64))
    }
}

impl Timeval {
    /// From nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Timeval { seconds: (ns / 1_000_000_000) as i64, microseconds: (ns % 1_000_000_000 / 1000) as i64 }
    }

    /// In nanoseconds, as many as a number holds; `None` when it is no time.
    #[must_use]
    pub const fn to_ns(self) -> Option<u64> {
        if self.seconds < 0 || self.microseconds < 0 || self.microseconds > 999_999 {
            return None;
        }
        Some((self.seconds as u64).saturating_mul(1_000_000_000).saturating_add(self.microseconds as u64 * 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_in_c() {
        let sizes = [
            (size_of::<Stat>(), 144),
            (size_of::<Statx>(), 256),
            (size_of::<Statfs>(), 120),
            (size_of::<Utsname>(), 390),
            (size_of::<Sysinfo>(), 112),
            (size_of::<Rusage>(), 144),
            (size_of::<EpollEvent>(), 12),
            (size_of::<CloneArgs>(), 64),
            (size_of::<SignalAction>(), 32),
            (size_of::<SignalStack>(), 24),
            (size_of::<Msghdr>(), 56),
            (size_of::<Mmsghdr>(), 64),
            (size_of::<Cmsghdr>(), 16),
            (size_of::<SignalfdInfo>(), 128),
            (size_of::<Sigevent>(), 64),
            (size_of::<Flock>(), 32),
        ];
        for (number, (ours, theirs)) in sizes.into_iter().enumerate() {
            assert_eq!(ours, theirs, "structure {number}");
        }
    }

    #[test]
    fn times_that_are_none_are_refused() {
        assert_eq!(Timespec { seconds: 1, nanoseconds: 5 }.to_ns(), Some(1_000_000_005));
        assert_eq!(Timespec { seconds: i64::MAX, nanoseconds: 0 }.to_ns(), Some(u64::MAX));
        for (seconds, nanoseconds) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(Timespec { seconds, nanoseconds }.to_ns(), None);
        }
        assert_eq!(Timeval::from_ns(1_500_000_999), Timeval { seconds: 1, microseconds: 500_000 });
    }
}
