//! Signals as data: sets, what is known of one, those that wait, and the frame that a handler finds on its stack.

use alloc::collections::{TryReserveError, VecDeque};
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Numbers are from 1 to this.
pub const LAST: u32 = 64;
/// The first of those of which several may wait.
const FIRST_REAL_TIME: u32 = 32;
/// Those that wait behind each other, at most; more are refused.
pub const QUEUED_MAX: usize = 4096;

/// A set of signals, as in a mask: bit 0 is signal 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// `SIGKILL` and `SIGSTOP`, which nobody can block.
    pub const UNBLOCKABLE: Self = SignalSet(1 << (raw::SIGKILL - 1) | 1 << (raw::SIGSTOP - 1));
    /// Those that an instruction of the thread itself causes: they come first.
    const SYNCHRONOUS: Self = SignalSet(
        1 << (raw::SIGSEGV - 1)
            | 1 << (raw::SIGBUS - 1)
            | 1 << (raw::SIGILL - 1)
            | 1 << (raw::SIGTRAP - 1)
            | 1 << (raw::SIGFPE - 1)
            | 1 << (raw::SIGSYS - 1),
    );

    /// That one.
    #[must_use]
    pub const fn of(signal: u32) -> Self {
        SignalSet(1 << (signal - 1))
    }

    /// Whether it is in it.
    #[must_use]
    pub const fn has(self, signal: u32) -> bool {
        self.0 >> (signal - 1) & 1 != 0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        SignalSet(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        SignalSet(self.0 & !other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one that comes first.
    #[must_use]
    pub const fn first(self) -> Option<u32> {
        let synchronous = self.0 & Self::SYNCHRONOUS.0;
        let from = if synchronous != 0 { synchronous } else { self.0 };
        if from == 0 { None } else { Some(from.trailing_zeros() + 1) }
    }
}

/// What a signal does when the program has not said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// The program ends.
    End,
    /// The program ends, and it is its own fault.
    Crash,
    /// Nothing.
    Ignore,
    /// The program stands still.
    Stop,
    /// It goes on.
    Continue,
}

/// What a signal does when the program has not said so.
#[must_use]
pub const fn default_action(signal: u32) -> Default {
    match signal {
        raw::SIGCHLD | raw::SIGURG | raw::SIGWINCH => Default::Ignore,
        raw::SIGCONT => Default::Continue,
        raw::SIGSTOP | raw::SIGTSTP | raw::SIGTTIN | raw::SIGTTOU => Default::Stop,
        raw::SIGQUIT
        | raw::SIGILL
        | raw::SIGTRAP
        | raw::SIGABRT
        | raw::SIGBUS
        | raw::SIGFPE
        | raw::SIGSEGV
        | raw::SIGXCPU
        | raw::SIGXFSZ
        | raw::SIGSYS => Default::Crash,
        _ => Default::End,
    }
}

/// The name of a signal in C.
#[must_use]
pub const fn name(signal: u32) -> Option<&'static str> {
    const NAMES: [&str; 32] = [
        "",
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    if signal == 0 || signal as usize >= NAMES.len() { None } else { Some(NAMES[signal as usize]) }
}

/// What is known of a signal that was sent: `siginfo_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalInfo {
    /// Its number.
    pub signo: u32,
    /// An error number, hardly ever used.
    pub errno: i32,
    /// Who sent it: `SI_USER` and others, or what happened.
    pub code: i32,
    pad: i32,
    /// Sender's pid and uid, an address, a timer: by `code`.
    pub low: u64,
    /// A value, by `code`.
    pub value: u64,
    rest: [u64; 12],
}

impl SignalInfo {
    /// One without more to tell than its number and `code`.
    #[must_use]
    pub fn new(signo: u32, code: i32) -> Self {
        SignalInfo { signo, code, ..FromZeros::new_zeroed() }
    }

    /// One that a thread sends.
    #[must_use]
    pub fn from_process(signo: u32, code: i32, pid: i32, uid: u32) -> Self {
        SignalInfo { low: u64::from(pid as u32) | u64::from(uid) << 32, ..Self::new(signo, code) }
    }

    /// One for what an instruction did.
    #[must_use]
    pub fn from_fault(signo: u32, code: i32, address: u64) -> Self {
        SignalInfo { low: address, ..Self::new(signo, code) }
    }

    /// One of a timer.
    #[must_use]
    pub fn from_timer(signo: u32, timer: u32, overrun: u32, value: u64) -> Self {
        SignalInfo { low: u64::from(timer) | u64::from(overrun) << 32, value, ..Self::new(signo, raw::SI_TIMER) }
    }

    /// Who sent it, as far as that is known.
    #[must_use]
    pub const fn sender(&self) -> (i32, u32) {
        (self.low as u32 as i32, (self.low >> 32) as u32)
    }
}

/// Whether a signal is one that the processor's exceptions become.
#[must_use]
pub const fn is_of_instruction(signal: u32) -> bool {
    matches!(signal, raw::SIGSEGV | raw::SIGBUS | raw::SIGILL | raw::SIGFPE | raw::SIGTRAP)
}

/// Signals that were sent, and not yet taken.
#[derive(Debug, core::default::Default)]
pub struct Pending {
    set: SignalSet,
    queue: VecDeque<SignalInfo>,
}

/// Too many wait: `EAGAIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Pending {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Pending { set: SignalSet(0), queue: VecDeque::new() }
    }

    /// Those that wait.
    #[must_use]
    pub const fn set(&self) -> SignalSet {
        self.set
    }

    /// Adds one. Of the older signals one of a number waits at most; the rest of them is as good as sent.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn push(&mut self, info: SignalInfo) -> Result<(), TooMany> {
        if info.signo < FIRST_REAL_TIME && self.set.has(info.signo) {
            return Ok(());
        }
        if self.queue.len() >= QUEUED_MAX || self.queue.try_reserve(1).is_err() {
            return Err(TooMany);
        }
        self.set = self.set.with(SignalSet::of(info.signo));
        self.queue.push_back(info);
        Ok(())
    }

    /// Takes the first of a set.
    pub fn take(&mut self, among: SignalSet) -> Option<SignalInfo> {
        let signal = SignalSet(self.set.0 & among.0).first()?;
        let at = self.queue.iter().position(|info| info.signo == signal)?;
        let info = self.queue.remove(at)?;
        if !self.queue.iter().any(|info| info.signo == signal) {
            self.set = self.set.without(SignalSet::of(signal));
        }
        Some(info)
    }

    /// Forgets those of a set.
    pub fn discard(&mut self, signals: SignalSet) {
        if self.set.0 & signals.0 != 0 {
            self.queue.retain(|info| !signals.has(info.signo));
            self.set = self.set.without(signals);
        }
    }
}

/// The registers as a handler finds them, and may change them: `sigcontext`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "named as Linux and the processor name them")]
pub struct SignalRegisters {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub rflags: u64,
    pub cs: u16,
    pub gs: u16,
    pub fs: u16,
    pub ss: u16,
    pub err: u64,
    pub trapno: u64,
    pub oldmask: u64,
    pub cr2: u64,
    /// Where the rest of the registers is; 0: nowhere.
    pub fpstate: u64,
    pub reserved: [u64; 8],
}

impl core::default::Default for SignalRegisters {
    fn default() -> Self {
        FromZeros::new_zeroed()
    }
}

/// What lies on the stack under a handler's return address: `ucontext_t`, then `siginfo_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalFrame {
    /// Where the handler returns to: code that calls `rt_sigreturn`.
    pub restorer: u64,
    /// `UC_FP_XSTATE` and others.
    pub flags: u64,
    link: u64,
    /// The alternate stack as it was.
    pub stack: crate::layout::SignalStack,
    /// The registers.
    pub registers: SignalRegisters,
    /// The mask as it was.
    pub mask: u64,
    /// What is known of the signal.
    pub info: SignalInfo,
}

/// Bytes of [`SignalFrame`].
pub const FRAME_BYTES: usize = size_of::<SignalFrame>();
const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
const CODE_SELECTOR: u16 = 0x33;
const DATA_SELECTOR: u16 = 0x2b;
const RED_ZONE_BYTES: u64 = 128;
/// Where in the legacy part of the extended state Linux says what follows.
const SOFTWARE_AT: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The frame; the handler's stack pointer.
    pub frame: u64,
    /// The extended state, aligned to 64.
    pub extended: u64,
}

/// Where a frame and `extended_bytes` of extended state go below `rsp`. On an alternate stack nothing is below it.
///
/// `None`: there is no room.
#[must_use]
pub fn place(rsp: u64, is_alternate: bool, extended_bytes: usize) -> Option<Placement> {
    let top = if is_alternate { rsp } else { rsp.checked_sub(RED_ZONE_BYTES)? };
    let extended = top.checked_sub(extended_bytes as u64 + 4)? & !63;
    // At a function's first instruction the stack is 8 off a multiple of 16: there is a return address.
    let frame = (extended.checked_sub(FRAME_BYTES as u64)? & !15).checked_sub(8)?;
    Some(Placement { frame, extended })
}

impl SignalFrame {
    /// A frame at `placement`.
    #[must_use]
    pub fn new(
        placement: Placement,
        restorer: u64,
        stack: crate::layout::SignalStack,
        registers: SignalRegisters,
        mask: SignalSet,
        info: SignalInfo,
    ) -> Self {
        let registers =
            SignalRegisters { cs: CODE_SELECTOR, ss: DATA_SELECTOR, fpstate: placement.extended, ..registers };
        let flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
        SignalFrame { restorer, flags, link: 0, stack, registers, mask: mask.0, info }
    }

    /// Where what a handler gets lies: its information, and its context.
    #[must_use]
    pub const fn arguments(placement: Placement) -> (u64, u64) {
        let context = placement.frame + 8;
        (context + (core::mem::offset_of!(SignalFrame, info) - 8) as u64, context)
    }
}

/// The extended state as it goes onto the stack, in `packed`: what `XSAVE` stored of `components`, and where Linux says how long
/// it is.
///
/// # Errors
/// No memory.
pub fn pack_extended(packed: &mut Vec<u8>, state: &[u8], components: u64) -> Result<(), TryReserveError> {
    packed.clear();
    packed.try_reserve(state.len() + 4)?;
    packed.extend_from_slice(state);
    if state.len() >= 512 {
        packed[SOFTWARE_AT..512].fill(0);
    }
    if state.len() > 512 {
        packed[SOFTWARE_AT..][..4].copy_from_slice(&MAGIC1.to_le_bytes());
        packed[SOFTWARE_AT + 4..][..4].copy_from_slice(&(state.len() as u32 + 4).to_le_bytes());
        packed[SOFTWARE_AT + 8..][..8].copy_from_slice(&components.to_le_bytes());
        packed[SOFTWARE_AT + 16..][..4].copy_from_slice(&(state.len() as u32).to_le_bytes());
        packed.extend_from_slice(&MAGIC2.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(signo: u32, value: u64) -> SignalInfo {
        SignalInfo { value, ..SignalInfo::new(signo, raw::SI_QUEUE) }
    }

    #[test]
    fn structures_lie_where_c_has_them() {
        assert_eq!((size_of::<SignalInfo>(), size_of::<SignalRegisters>()), (128, 256));
        assert_eq!(FRAME_BYTES, 440);
        assert_eq!(core::mem::offset_of!(SignalFrame, registers), 48);
        assert_eq!(core::mem::offset_of!(SignalFrame, mask), 304);
        assert_eq!(core::mem::offset_of!(SignalFrame, info), 312);
        assert_eq!(core::mem::offset_of!(SignalRegisters, fpstate), 184);
    }

    #[test]
    fn old_signals_wait_once_and_new_ones_in_order() {
        let mut pending = Pending::new();
        for (signo, value) in [(40, 1), (10, 2), (10, 3), (40, 4), (11, 5)] {
            pending.push(info(signo, value)).unwrap();
        }
        let all = SignalSet(u64::MAX);
        let order: Vec<_> = core::iter::from_fn(|| pending.take(all)).map(|info| (info.signo, info.value)).collect();
        assert_eq!(order, [(11, 5), (10, 2), (40, 1), (40, 4)], "synchronous first, then by number");
        assert!(pending.set().is_empty());
    }

    #[test]
    fn what_is_blocked_stays_and_what_is_ignored_goes() {
        let mut pending = Pending::new();
        pending.push(info(10, 0)).unwrap();
        pending.push(info(12, 0)).unwrap();
        assert_eq!(pending.take(SignalSet::of(12)).map(|info| info.signo), Some(12));
        assert_eq!(pending.take(SignalSet::of(12)), None);
        pending.discard(SignalSet::of(10));
        assert_eq!((pending.take(SignalSet(u64::MAX)), pending.set()), (None, SignalSet(0)));
        for _ in 0..QUEUED_MAX {
            pending.push(info(40, 0)).unwrap();
        }
        assert_eq!(pending.push(info(41, 0)), Err(TooMany));
    }

    #[test]
    fn frames_are_aligned_as_a_function_expects() {
        for rsp in 0x10000..0x10040 {
            let placement = place(rsp, false, 832).unwrap();
            assert_eq!((placement.frame % 16, placement.extended % 64), (8, 0));
            assert!(placement.extended + 832 + 4 <= rsp - RED_ZONE_BYTES);
            assert!(placement.frame + FRAME_BYTES as u64 <= placement.extended);
            let (info, context) = SignalFrame::arguments(placement);
            assert_eq!((info - context, context - placement.frame), (304, 8));
        }
        assert_eq!(place(100, false, 832), None);
    }

    #[test]
    fn the_extended_state_says_how_long_it_is() {
        let mut packed = vec![1; 5000];
        pack_extended(&mut packed, &vec![0; 832], 7).unwrap();
        assert_eq!(packed.len(), 836);
        assert_eq!(packed[464..468], MAGIC1.to_le_bytes());
        assert_eq!(packed[468..472], 836_u32.to_le_bytes());
        assert_eq!((packed[472], packed[480..484].to_vec()), (7, 832_u32.to_le_bytes().to_vec()));
        assert_eq!(packed[832..], MAGIC2.to_le_bytes());
        pack_extended(&mut packed, &[0; 512], 0).unwrap();
        assert_eq!(packed.len(), 512);
    }
}
