//! What ring 3 has in registers.

#![expect(unsafe_code, reason = "the door reads and writes it by address")]

use super::extended::{self, Area};
use super::{END, FS_BASE, KERNEL_GS_BASE, door};
use crate::arch::x86_64::{cpu, interrupt, local};
use crate::mm::OutOfMemory;
use crate::mm::program::Pages;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::arch::asm;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

/// Flags that a program may set; interrupts are on, whatever it says.
const FLAGS: u64 = 0x0025_4dd5; // ID, AC, RF, NT, OF, DF, TF, SF, ZF, AF, PF, CF
const FLAGS_FIXED: u64 = super::FLAG_INTERRUPT | 2;
/// MXCSR and x87 control word as a program and the kernel begin.
pub(super) const MXCSR: u32 = 0x1f80;
pub(super) const X87_CONTROL: u16 = 0x37f;
const PAGE_FAULT: u64 = 14;
/// What came back instead of a vector.
pub(super) const SYSCALL: u64 = 256;

/// The general registers of a program. Any value is allowed: ring 3 reaches nothing but what is mapped for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "named as the processor names them")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

impl Registers {
    /// What they are called, in this order.
    const NAMES: &str = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags";

    /// Names and values, for a report.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        // SAFETY: it is made of 18 such numbers and nothing else.
        let values = unsafe { &*core::ptr::from_ref(self).cast::<[u64; 18]>() };
        Self::NAMES.split(' ').zip(values.iter().copied())
    }
}

/// MXCSR and the x87's control word, side by side as the door compares them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control {
    pub(super) mxcsr: u32,
    pub(super) x87: u16,
    zero: u16,
}

pub(super) const KERNEL_CONTROL: Control = Control { mxcsr: MXCSR, x87: X87_CONTROL, zero: 0 };

/// All of it, as the door knows it.
#[repr(C, align(64))]
pub(super) struct State {
    pub(super) registers: Registers,
    pub(super) vector: u64,
    pub(super) error: u64,
    pub(super) address: u64,
    /// Where the kernel's stack was left.
    pub(super) kernel_stack: u64,
    pub(super) xmm: [u128; 16],
    pub(super) control: Control,
    /// Not 0: an exception of the x87 waits in the core.
    pub(super) x87_status: u16,
    fs_base: u64,
    gs_base: u64,
    /// The rest of its registers, while they are not in a core.
    area: Area,
}

/// Why a program came back that has not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// An exception.
    Exception {
        /// Its vector.
        vector: u8,
        /// Its error code, or 0.
        error: u64,
        /// What was to be reached, if it was a page fault.
        address: usize,
    },
    /// A device, the timer or another core.
    Interrupt,
}

/// An address that no program can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress;

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is not in the lower half")
    }
}

impl core::error::Error for NotAnAddress {}

/// A program's thread as the processor knows it: it runs when [`run`](crate::user::run) is called, and its registers are
/// here when it does not. It stays on the core that made it; what goes elsewhere is a [`Snapshot`].
pub struct Context(NonNull<State>);

impl Context {
    /// A program that is to begin at `instruction` with the stack pointer `stack`; all else is 0, or as at a processor's start.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(_pages: &Pages, instruction: u64, stack: u64) -> Result<Context, OutOfMemory> {
        let registers = Registers { rip: instruction, rsp: stack, ..Registers::default() };
        super::prepare();
        Context::of(Snapshot { registers, fs_base: 0, gs_base: 0, area: Area::new()? })
    }

    /// A program that goes on where the snapshot was taken, on this core.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn of(snapshot: Snapshot) -> Result<Context, OutOfMemory> {
        super::prepare();
        let Snapshot { registers, fs_base, gs_base, area } = snapshot;
        let (xmm, mxcsr, x87) = area.sse();
        let state = State {
            registers,
            vector: SYSCALL,
            error: 0,
            address: 0,
            kernel_stack: 0,
            xmm,
            control: Control { mxcsr, x87, zero: 0 },
            x87_status: 0,
            fs_base,
            gs_base,
            area,
        };
        // SAFETY: the type has a size.
        let place = unsafe { alloc::alloc::alloc(Layout::new::<State>()) }.cast::<State>();
        let place = NonNull::new(place).ok_or(OutOfMemory)?;
        // SAFETY: it was allocated for this, as a box's would be.
        unsafe { place.write(state) };
        Ok(Context(place))
    }

    fn state(&self) -> *mut State {
        self.0.as_ptr()
    }

    /// Its general registers.
    #[inline]
    #[must_use]
    pub fn registers(&self) -> &Registers {
        // SAFETY: the state is this context's; the door writes registers only while `run` has it mutably.
        unsafe { &(*self.state()).registers }
    }

    /// Its general registers, to change.
    #[inline]
    #[must_use]
    pub fn registers_mut(&mut self) -> &mut Registers {
        // SAFETY: as above.
        unsafe { &mut (*self.state()).registers }
    }

    fn is_loaded(&self) -> bool {
        local::user_loaded() == self.state().addr()
    }

    /// Base of fs, where a thread's own data is found.
    #[must_use]
    pub fn fs_base(&self) -> u64 {
        // SAFETY: as for `registers`.
        unsafe { (*self.state()).fs_base }
    }

    /// Base of gs.
    #[must_use]
    pub fn gs_base(&self) -> u64 {
        // SAFETY: as for `registers`.
        unsafe { (*self.state()).gs_base }
    }

    /// Changes the base of fs.
    ///
    /// # Errors
    /// For an address above the lower half.
    pub fn set_fs_base(&mut self, base: u64) -> Result<(), NotAnAddress> {
        self.set_base(FS_BASE, base)
    }

    /// Changes the base of gs.
    ///
    /// # Errors
    /// For an address above the lower half: the sign of this register tells ring 0 whose it is.
    pub fn set_gs_base(&mut self, base: u64) -> Result<(), NotAnAddress> {
        self.set_base(KERNEL_GS_BASE, base)
    }

    fn set_base(&mut self, register: u32, base: u64) -> Result<(), NotAnAddress> {
        if base >= END as u64 {
            return Err(NotAnAddress);
        }
        // SAFETY: as for `registers`.
        unsafe { if register == FS_BASE { (*self.state()).fs_base = base } else { (*self.state()).gs_base = base } };
        if self.is_loaded() {
            // SAFETY: the address is one of the lower half; ring 0 does not use these bases.
            unsafe { cpu::write_msr(register, base) };
        }
        Ok(())
    }

    /// Runs the program until it comes back. `true`: by `syscall`; else [`arrival`](Self::arrival) tells.
    #[inline(always)]
    pub(crate) fn enter(&mut self) -> bool {
        let state = self.state();
        // SAFETY: the state is ours; only the door and what is called here reach it.
        let registers = unsafe { &mut (*state).registers };
        registers.rflags = registers.rflags & FLAGS | FLAGS_FIXED;
        if registers.rip >= END as u64 {
            // The processor would refuse this address to the kernel.
            // SAFETY: as above.
            unsafe { ((*state).vector, (*state).error) = (13, 0) };
            return false;
        }
        let mut stayed = 1_usize;
        if local::user_loaded() != state.addr() {
            load(state);
            stayed = 0;
        }
        // SAFETY: this core is prepared, the state is loaded, and its flags and instruction are what `iretq` and `sysretq`
        // accept. All that the kernel has on its stack stays.
        unsafe {
            asm!(
                "call {enter}",
                enter = sym door::enter,
                inout("rdi") state => _,
                inout("rsi") stayed => _,
                out("r12") _,
                out("r13") _,
                out("r14") _,
                out("r15") _,
                clobber_abi("C"),
            );
        }
        // SAFETY: as above; the door has filled these.
        let (vector, status) = unsafe { ((*state).vector, (*state).x87_status) };
        if status != 0 {
            // An exception of the x87 waits in there, which the next x87 instruction of the kernel would get.
            detach();
            extended::reset_x87();
            // SAFETY: as above.
            unsafe { (*state).x87_status = 0 };
        }
        vector == SYSCALL
    }

    /// How the program came back that has not called.
    pub(crate) fn arrival(&mut self) -> Arrival {
        let state = self.state();
        // SAFETY: as for `registers`.
        let (vector, error, address) = unsafe { ((*state).vector, (*state).error, (*state).address) };
        if vector >= interrupt::VECTOR_FIRST as u64 {
            interrupt::taken(vector as usize);
            return Arrival::Interrupt;
        }
        let address = if vector == PAGE_FAULT { address as usize } else { 0 };
        Arrival::Exception { vector: vector as u8, error, address }
    }

    /// The exceptions of SSE that have happened and are not masked, as MXCSR has them; for a program that came back by one.
    #[must_use]
    pub fn simd_exceptions(&self) -> u32 {
        // SAFETY: as for `registers`.
        let mxcsr = unsafe { (*self.state()).control.mxcsr };
        mxcsr & !(mxcsr >> 7) & 0x3f
    }

    /// The exceptions of the x87 that have happened and are not masked, as its status word has them; for a program that
    /// came back by one.
    #[must_use]
    pub fn x87_exceptions(&self) -> u32 {
        // SAFETY: as for `registers`; such a program's registers are in no core.
        let [control, status] = unsafe { (*self.state()).area.x87_words() };
        u32::from(status & !control & 0x3f)
    }

    /// Copies all of its registers.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn snapshot(&mut self) -> Result<Snapshot, OutOfMemory> {
        if self.is_loaded() {
            detach();
        }
        // SAFETY: as for `registers`; what was in the core is in the area now.
        let state = unsafe { &*self.state() };
        let mut area = state.area.try_clone()?;
        area.set_sse(&state.xmm, state.control.mxcsr);
        Ok(Snapshot { registers: state.registers, fs_base: state.fs_base, gs_base: state.gs_base, area })
    }

    /// x87, SSE, AVX and what else there is, as `XSAVE` stores them, or `FXSAVE` where there is no such instruction.
    #[must_use]
    pub fn extended(&mut self) -> &[u8] {
        if self.is_loaded() {
            detach();
        }
        // SAFETY: as for `registers`; what was in the core is in the area now.
        let state = unsafe { &mut *self.state() };
        state.area.set_sse(&state.xmm, state.control.mxcsr);
        state.area.bytes()
    }

    /// Takes over what [`extended`](Self::extended) gave, or what a program made of it: what the processor would not accept is
    /// left out. Fewer bytes leave the rest as at a processor's start.
    pub fn set_extended(&mut self, bytes: &[u8]) {
        if self.is_loaded() {
            local::header().user.loaded.store(0, Relaxed);
        }
        // SAFETY: as for `registers`; it is in no core.
        let state = unsafe { &mut *self.state() };
        state.area.set_bytes(bytes);
        (state.xmm, state.control.mxcsr, state.control.x87) = state.area.sse();
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(self.registers()).finish()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.is_loaded() {
            local::header().user.loaded.store(0, Relaxed);
        }
        // SAFETY: allocated in `new` as a box's; no core has it any more, since a context does not leave its own.
        drop(unsafe { Box::from_raw(self.state()) });
    }
}

/// Takes what this core has of a program's registers out of it.
#[cold]
#[inline(never)]
pub(super) fn detach() {
    let loaded = local::header().user.loaded.swap(0, Relaxed);
    if let Some(state) = NonNull::new(core::ptr::with_exposed_provenance_mut::<State>(loaded)) {
        // SAFETY: a state that is loaded lives; nobody has references to these fields of it, which are taken here and in
        // `load` and by the methods of a context that is not loaded.
        unsafe {
            let (control, area) = ((*state.as_ptr()).control.x87, &mut (*state.as_ptr()).area);
            area.save(control);
        }
    }
}

/// Puts into the core what the door does not.
#[cold]
#[inline(never)]
fn load(state: *mut State) {
    detach();
    // SAFETY: as in `detach`; both addresses are of the lower half.
    unsafe {
        (*state).area.load();
        cpu::write_msr(FS_BASE, (*state).fs_base);
        cpu::write_msr(KERNEL_GS_BASE, (*state).gs_base);
    }
    local::header().user.loaded.store(state.expose_provenance(), Relaxed);
}

/// All registers of a program, at a moment: to give them to another thread, or to come back to.
#[derive(Debug)]
pub struct Snapshot {
    /// The general registers.
    pub registers: Registers,
    fs_base: u64,
    gs_base: u64,
    area: Area,
}

impl Snapshot {
    /// Changes the base of fs.
    ///
    /// # Errors
    /// For an address above the lower half.
    pub fn set_fs_base(&mut self, base: u64) -> Result<(), NotAnAddress> {
        if base >= END as u64 {
            return Err(NotAnAddress);
        }
        self.fs_base = base;
        Ok(())
    }
}
