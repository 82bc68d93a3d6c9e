//! System calls as `strace` prints them.

use crate::address::{Address, UnixName};
use crate::calls::{Kind, find};
use crate::errno::Errno;
use crate::{layout::Iovec, signals};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;
use linux_raw_sys::general as raw;
use zerocopy::FromBytes;

/// Most bytes of a buffer that are shown.
const SHOWN_BYTES: usize = 32;
const PATH_BYTES: usize = 4096;
const VECTORS_SHOWN: usize = 8;

/// The program's memory, to look at.
pub trait Memory {
    /// Copies what is there; `false` when it is not all there.
    fn look(&self, address: u64, to: &mut [u8]) -> bool;
}

/// What is known of a call before it is made: with what arguments.
#[must_use]
pub fn before(number: u64, arguments: [u64; 6], memory: &dyn Memory) -> Printed {
    let Some(call) = find(number) else {
        let [a, b, c, d, e, f] = arguments;
        return Printed {
            name: format!("syscall_{number:#x}"),
            parts: vec![format!("{a:#x}, {b:#x}, {c:#x}, {d:#x}, {e:#x}, {f:#x}")],
            outputs: Vec::new(),
        };
    };
    let mut printed = Printed { name: call.name.to_string(), parts: Vec::new(), outputs: Vec::new() };
    for (place, kind) in call.arguments.iter().enumerate() {
        let (value, next) = (arguments[place], arguments.get(place + 1).copied().unwrap_or(0));
        if *kind == Kind::output {
            printed.outputs.push((place, value));
        }
        printed.parts.push(argument(*kind, value, next, memory));
    }
    printed
}

/// A call, on its way to a line.
#[derive(Clone, Debug)]
pub struct Printed {
    name: String,
    parts: Vec<String>,
    /// Arguments that the call fills: where they stand, and their address.
    outputs: Vec<(usize, u64)>,
}

impl Printed {
    /// The line of a call that was made.
    #[must_use]
    pub fn line(&self, answer: Result<u64, Errno>, memory: &dyn Memory) -> String {
        let mut parts = self.parts.clone();
        if let Ok(bytes) = answer {
            for (place, address) in &self.outputs {
                parts[*place] = text(*address, bytes, memory);
            }
        }
        format!("{} = {}", self.begun_with(&parts), told(&self.name, answer))
    }

    /// The line of a call that does not return.
    #[must_use]
    pub fn unfinished(&self) -> String {
        format!("{} = ?", self.begun_with(&self.parts))
    }

    fn begun_with(&self, parts: &[String]) -> String {
        format!("{}({})", self.name, parts.join(", "))
    }
}

fn told(name: &str, answer: Result<u64, Errno>) -> String {
    const ADDRESSES: [&str; 4] = ["mmap", "mremap", "brk", "shmat"];
    match answer {
        Ok(value) if ADDRESSES.contains(&name) => format!("{value:#x}"),
        Ok(value) => (value as i64).to_string(),
        Err(error) if error.number() >= 512 => "? ERESTARTSYS (To be restarted)".to_string(),
        Err(error) => format!("-1 {} ({})", error.name(), error.text()),
    }
}

/// An argument of a kind; some are as long as the one after them says.
fn argument(kind: Kind, value: u64, next: u64, memory: &dyn Memory) -> String {
    match kind {
        Kind::fd | Kind::int => (value as i32).to_string(),
        Kind::dirfd if value as i32 == raw::AT_FDCWD => "AT_FDCWD".into(),
        Kind::dirfd => (value as i32).to_string(),
        Kind::size | Kind::uint => value.to_string(),
        Kind::hex => format!("{value:#x}"),
        Kind::octal if value == 0 => "0".into(),
        Kind::octal => format!("0{value:o}"),
        Kind::address | Kind::output if value == 0 => "NULL".into(),
        Kind::address | Kind::output => format!("{value:#x}"),
        Kind::input => text(value, next, memory),
        Kind::path => path(value, memory),
        Kind::vectors => vectors(value, next, memory),
        Kind::socket_address => socket_address(value, next, memory),
        Kind::signal => signals::name(value as u32).map_or_else(|| (value as i32).to_string(), Into::into),
        Kind::clock => named(value, CLOCKS),
        Kind::fcntl => named(value, FCNTLS),
        Kind::resource => named(value, RESOURCES),
        Kind::advice => named(value, ADVICE),
        Kind::futex_op => futex_op(value),
        Kind::protection if value == 0 => "PROT_NONE".into(),
        Kind::protection => flags(value, PROTECTIONS, ""),
        Kind::map_flags => flags(value, MAP_FLAGS, ""),
        Kind::at_flags => flags(value, AT_FLAGS, ""),
        Kind::clone_flags => flags(value & !0xff, CLONE_FLAGS, ""),
        Kind::open_flags => {
            let mode = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(value & 3) as usize];
            flags(value & !3, OPEN_FLAGS, mode)
        }
    }
}

/// Bytes as a literal in C.
fn literal(bytes: &[u8], is_cut: bool) -> String {
    let mut shown = String::from("\"");
    for byte in bytes {
        let _infallible = match byte {
            b'\n' => shown.write_str("\\n"),
            b'\r' => shown.write_str("\\r"),
            b'\t' => shown.write_str("\\t"),
            b'"' | b'\\' => write!(shown, "\\{}", *byte as char),
            0x20..0x7f => write!(shown, "{}", *byte as char),
            _ => write!(shown, "\\{byte:o}"),
        };
    }
    shown.push('"');
    if is_cut {
        shown.push_str("...");
    }
    shown
}

fn text(address: u64, bytes: u64, memory: &dyn Memory) -> String {
    if address == 0 {
        return "NULL".into();
    }
    let count = usize::try_from(bytes).unwrap_or(usize::MAX).min(SHOWN_BYTES);
    let mut shown = vec![0; count];
    if memory.look(address, &mut shown) { literal(&shown, bytes > SHOWN_BYTES as u64) } else { format!("{address:#x}") }
}

fn path(address: u64, memory: &dyn Memory) -> String {
    if address == 0 {
        return "NULL".into();
    }
    let mut shown = Vec::new();
    let mut byte = [0];
    while shown.len() < PATH_BYTES {
        if !memory.look(address + shown.len() as u64, &mut byte) {
            return format!("{address:#x}");
        }
        if byte[0] == 0 {
            return literal(&shown, false);
        }
        shown.push(byte[0]);
    }
    literal(&shown, true)
}

fn vectors(address: u64, count: u64, memory: &dyn Memory) -> String {
    let mut shown = Vec::new();
    let mut bytes = [0; size_of::<Iovec>()];
    for number in 0..count.min(VECTORS_SHOWN as u64) {
        if !memory.look(address + number * bytes.len() as u64, &mut bytes) {
            return format!("{address:#x}");
        }
        let Ok(vector) = Iovec::read_from_bytes(&bytes) else { break };
        let base = text(vector.base, vector.bytes, memory);
        shown.push(format!("{{iov_base={base}, iov_len={}}}", vector.bytes));
    }
    if count > VECTORS_SHOWN as u64 {
        shown.push("...".into());
    }
    format!("[{}]", shown.join(", "))
}

fn socket_address(address: u64, bytes: u64, memory: &dyn Memory) -> String {
    if address == 0 {
        return "NULL".into();
    }
    let mut shown = vec![0; usize::try_from(bytes).unwrap_or(0).min(128)];
    if !memory.look(address, &mut shown) {
        return format!("{address:#x}");
    }
    match Address::parse(&shown) {
        Ok(Address::Inet(address)) => {
            let family = if address.is_ipv4() { "AF_INET" } else { "AF_INET6" };
            format!("{{sa_family={family}, {address}}}")
        }
        Ok(Address::Unix(UnixName::Path(path))) => format!("{{sa_family=AF_UNIX, sun_path={}}}", literal(&path, false)),
        Ok(Address::Unix(UnixName::Abstract(name))) => {
            format!("{{sa_family=AF_UNIX, sun_path=@{}}}", literal(&name, false))
        }
        Ok(Address::Unix(UnixName::Unnamed)) => "{sa_family=AF_UNIX}".into(),
        Ok(Address::Unspecified) => "{sa_family=AF_UNSPEC}".into(),
        Err(_) => literal(&shown, false),
    }
}

fn named(value: u64, names: &[(u32, &str)]) -> String {
    let found = names.iter().find(|(number, _)| u64::from(*number) == value & 0xffff_ffff);
    found.map_or_else(|| format!("{:#x}", value as u32), |(_, name)| (*name).into())
}

/// Names of the bits that are set, and what is left as a number.
fn flags(value: u64, names: &[(u32, &str)], first: &str) -> String {
    let mut rest = value;
    let mut shown: Vec<String> = if first.is_empty() { Vec::new() } else { vec![first.into()] };
    for (bits, name) in names {
        let bits = u64::from(*bits);
        if rest & bits == bits && bits != 0 {
            shown.push((*name).into());
            rest &= !bits;
        }
    }
    if rest != 0 || shown.is_empty() {
        shown.push(if rest == 0 { "0".into() } else { format!("{rest:#x}") });
    }
    shown.join("|")
}

fn futex_op(value: u64) -> String {
    let command = named(value & 0x7f, FUTEX_OPS);
    let private = if value & 0x80 != 0 { "_PRIVATE" } else { "" };
    let clock = if value & 0x100 != 0 { "|FUTEX_CLOCK_REALTIME" } else { "" };
    format!("{command}{private}{clock}")
}

macro_rules! names {
    ($($list:ident: $($name:ident)*;)*) => {
        $(const $list: &[(u32, &str)] = &[$((raw::$name, stringify!($name))),*];)*
    };
}

names! {
    CLOCKS: CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW
        CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME;
    FCNTLS: F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ
        F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_ADD_SEALS F_GET_SEALS;
    RESOURCES: RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE
        RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME;
    ADVICE: MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_HUGEPAGE MADV_NOHUGEPAGE
        MADV_DONTFORK MADV_DOFORK MADV_DONTDUMP MADV_COLD MADV_PAGEOUT;
    FUTEX_OPS: FUTEX_WAIT FUTEX_WAKE FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI FUTEX_UNLOCK_PI
        FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET;
    PROTECTIONS: PROT_READ PROT_WRITE PROT_EXEC;
    MAP_FLAGS: MAP_SHARED_VALIDATE MAP_SHARED MAP_PRIVATE MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE MAP_LOCKED
        MAP_NORESERVE MAP_POPULATE MAP_STACK MAP_HUGETLB MAP_FIXED_NOREPLACE;
    AT_FLAGS: AT_SYMLINK_NOFOLLOW AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH;
    CLONE_FLAGS: CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_VFORK CLONE_THREAD CLONE_SYSVSEM CLONE_SETTLS
        CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_DETACHED CLONE_CHILD_SETTID;
    OPEN_FLAGS: O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC O_DIRECT O_TMPFILE O_DIRECTORY
        O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that begins at an address.
    struct At(u64, &'static [u8]);

    impl Memory for At {
        fn look(&self, address: u64, to: &mut [u8]) -> bool {
            let start = address.wrapping_sub(self.0) as usize;
            let there = start.checked_add(to.len()).and_then(|end| self.1.get(start..end));
            there.map(|bytes| to.copy_from_slice(bytes)).is_some()
        }
    }

    const AT_FDCWD: u64 = raw::AT_FDCWD as u64;

    #[test]
    fn calls_are_printed_as_strace_prints_them() {
        let memory = At(0x1000, b"/etc/passwd\0hello \"world\"\n");
        let flags = u64::from(raw::O_RDONLY | raw::O_CLOEXEC);
        let open = before(257, [AT_FDCWD, 0x1000, flags, 0, 0, 0], &memory);
        assert_eq!(open.line(Ok(3), &memory), r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC, 0) = 3"#);
        assert_eq!(
            open.line(Err(Errno::NOENT), &memory),
            r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC, 0) = -1 ENOENT (No such file or directory)"#
        );
        let write = before(1, [1, 0x100c, 14, 0, 0, 0], &memory);
        assert_eq!(write.line(Ok(14), &memory), r#"write(1, "hello \"world\"\n", 14) = 14"#);
        let read = before(0, [0, 0x1000, 100, 0, 0, 0], &memory);
        assert_eq!(read.line(Ok(4), &memory), r#"read(0, "/etc", 100) = 4"#);
        let map = before(9, [0, 4096, 3, 0x22, u64::from(u32::MAX), 0], &memory);
        assert_eq!(
            map.line(Ok(0x7f00_0000), &memory),
            "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 0x7f000000"
        );
        assert_eq!(before(231, [7, 0, 0, 0, 0, 0], &memory).unfinished(), "exit_group(7) = ?");
    }

    #[test]
    fn what_is_not_there_is_an_address() {
        let memory = At(0x1000, b"abc");
        let open = before(2, [0x5000, 0, 0, 0, 0, 0], &memory);
        assert_eq!(open.line(Err(Errno::FAULT), &memory), "open(0x5000, O_RDONLY, 0) = -1 EFAULT (Bad address)");
        assert!(before(9999, [1; 6], &memory).unfinished().starts_with("syscall_0x270f(0x1, "));
        let futex = before(202, [0x1000, 0x81, 1, 0, 0, 0], &memory);
        assert!(futex.line(Ok(1), &memory).starts_with("futex(0x1000, FUTEX_WAKE_PRIVATE, 1, NULL"));
    }
}
