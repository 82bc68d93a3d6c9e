//! Registers that ring 0 does not touch, and that therefore stay in the core: x87, and what is above XMM in AVX and AVX-512.
//!
//! They are stored when another context comes to the core, or when somebody wants to see them. XMM0-15 and MXCSR are the door's,
//! though the format has them too: they are put there when the whole is shown.

#![expect(unsafe_code, reason = "instructions that store registers")]

use super::context::{MXCSR, X87_CONTROL};
use super::{CR4_OSXSAVE, paging};
use crate::arch::x86_64::cpu;
use crate::mm::OutOfMemory;
use alloc::vec::Vec;
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicUsize};

/// x87 and SSE; AVX; the three parts of AVX-512, all or none.
const X87: u32 = 1;
const SSE: u32 = 1 << 1;
const AVX: u32 = 1 << 2;
const AVX512: u32 = 7 << 5;
/// What `FXSAVE` stores, and what `XSAVE` adds about the rest.
const LEGACY_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;
/// Places in it.
const AT_MXCSR: usize = 24;
const AT_MXCSR_MASK: usize = 28;
const AT_XMM: usize = 160;
const AT_PRESENT: usize = LEGACY_BYTES;

/// Components of `XSAVE` in use; 0: the processor has no `XSAVE`.
static COMPONENTS: AtomicU32 = AtomicU32::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(LEGACY_BYTES);
static MXCSR_MASK: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Lets this core's programs use what there is.
pub(super) fn init() {
    if MXCSR_MASK.load(Relaxed) == 0 {
        let mut lines = [Line([0; 64]); LEGACY_BYTES / 64];
        // SAFETY: room for what it stores.
        unsafe { asm!("fxsave64 [{}]", in(reg) lines.as_mut_ptr(), options(nostack, preserves_flags)) };
        let bytes = &lines[0].0[AT_MXCSR_MASK..][..4];
        let mask = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        MXCSR_MASK.store(if mask == 0 { 0xffbf } else { mask }, Relaxed);
    }
    if cpu::cpuid(1)[2] & 1 << 26 == 0 {
        return;
    }
    let offered = cpu::cpuid(0xd)[0];
    let wide = if offered & AVX512 == AVX512 && offered & AVX != 0 { AVX512 } else { 0 };
    let components = X87 | SSE | offered & AVX | wide;
    let [_, _, cr4] = paging::control_registers();
    // SAFETY: the processor has this bit, then this register, whose low bits it offers.
    unsafe {
        asm!("mov cr4, {}", in(reg) cr4 | CR4_OSXSAVE, options(nostack, preserves_flags));
        asm!("xsetbv", in("ecx") 0, in("eax") components, in("edx") 0, options(nostack, preserves_flags));
    }
    if COMPONENTS.load(Relaxed) == 0 {
        BYTES.store(__cpuid_count(0xd, 0).ebx as usize, Relaxed); // for what was just chosen
        COMPONENTS.store(components, Relaxed);
    }
}

/// Bytes of what [`Context::extended`](super::Context::extended) shows, on a core that can run a program.
#[must_use]
pub fn state_bytes() -> usize {
    BYTES.load(Relaxed)
}

/// Components of that, as bits of XCR0; 0 where there is no `XSAVE`.
#[must_use]
pub fn state_components() -> u64 {
    COMPONENTS.load(Relaxed).into()
}

/// Forgets what the x87 holds.
pub(super) fn reset_x87() {
    // SAFETY: what it held was stored, and nobody else uses it.
    unsafe { asm!("fninit", options(nomem, nostack, preserves_flags)) };
}

/// Room for the registers of one context.
pub(super) struct Area(Vec<Line>);

impl Area {
    /// All registers as at a processor's start.
    pub(super) fn new() -> Result<Self, OutOfMemory> {
        let count = state_bytes().div_ceil(size_of::<Line>());
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
        lines.resize(count, Line([0; 64]));
        let mut area = Area(lines);
        area.begin();
        Ok(area)
    }

    /// A copy.
    pub(super) fn try_clone(&self) -> Result<Self, OutOfMemory> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(self.0.len()).map_err(|_| OutOfMemory)?;
        lines.extend_from_slice(&self.0);
        Ok(Area(lines))
    }

    /// In bytes that are all 0, what is not 0 at a processor's start.
    fn begin(&mut self) {
        let bytes = self.bytes_mut();
        bytes[..2].copy_from_slice(&X87_CONTROL.to_le_bytes());
        bytes[AT_MXCSR..][..4].copy_from_slice(&MXCSR.to_le_bytes());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: lines are bytes.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * size_of::<Line>()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * size_of::<Line>()) }
    }

    /// Stores what is in the core; `control` is the x87's control word, in whose place the kernel has its own.
    pub(super) fn save(&mut self, control: u16) {
        let (place, components) = (self.0.as_mut_ptr(), COMPONENTS.load(Relaxed) & !SSE);
        // SAFETY: there is room for it, aligned, and the instruction exists.
        unsafe {
            if components == 0 {
                asm!("fxsave64 [{}]", in(reg) place, options(nostack, preserves_flags));
            } else {
                asm!("xsave64 [{}]", in(reg) place, in("eax") components, in("edx") 0, options(nostack, preserves_flags));
            }
        }
        let bytes = self.bytes_mut();
        bytes[..2].copy_from_slice(&control.to_le_bytes());
        bytes[AT_MXCSR..][..4].copy_from_slice(&MXCSR.to_le_bytes());
    }

    /// Puts it into the core. XMM0-15 and MXCSR are the door's.
    pub(super) fn load(&self) {
        let (place, components) = (self.0.as_ptr(), COMPONENTS.load(Relaxed) & !SSE);
        // SAFETY: what is there was stored by `save`, or made acceptable by `set_bytes`. Nothing in Rust relies on these
        // registers, but on XMM0-15, which `fxrstor` changes too.
        unsafe {
            if components == 0 {
                asm!("fxrstor64 [{}]", in(reg) place, clobber_abi("C"), options(nostack));
            } else {
                asm!("xrstor64 [{}]", in(reg) place, in("eax") components, in("edx") 0, clobber_abi("C"), options(nostack));
            }
        }
    }

    fn has_header(&self) -> bool {
        self.0.len() * size_of::<Line>() >= LEGACY_BYTES + HEADER_BYTES
    }

    pub(super) fn set_sse(&mut self, xmm: &[u128; 16], mxcsr: u32) {
        let has_header = self.has_header();
        let bytes = self.bytes_mut();
        for (place, value) in bytes[AT_XMM..].chunks_exact_mut(16).zip(xmm) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        bytes[AT_MXCSR..][..4].copy_from_slice(&mxcsr.to_le_bytes());
        if has_header {
            bytes[AT_PRESENT] |= (X87 | SSE) as u8;
        }
    }

    /// What is the door's: XMM0-15, MXCSR, and the x87's control word.
    pub(super) fn sse(&self) -> ([u128; 16], u32, u16) {
        let bytes = self.bytes();
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut xmm = [0; 16];
        let (places, _) = bytes[AT_XMM..].as_chunks();
        for (value, place) in xmm.iter_mut().zip(places) {
            *value = u128::from_le_bytes(*place);
        }
        (xmm, word(AT_MXCSR), word(0) as u16)
    }

    /// The x87's control and status words.
    pub(super) fn x87_words(&self) -> [u16; 2] {
        let bytes = self.bytes();
        [0, 2].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]))
    }

    /// See [`Context::set_extended`](super::Context::set_extended).
    pub(super) fn set_bytes(&mut self, from: &[u8]) {
        let has_header = self.has_header();
        let bytes = self.bytes_mut();
        // Without all of the legacy part and the header nothing in it is worth anything.
        let least = if has_header { LEGACY_BYTES + HEADER_BYTES } else { LEGACY_BYTES };
        if from.len() < least {
            bytes.fill(0);
            self.begin();
            return;
        }
        let count = from.len().min(bytes.len());
        let (bytes_from, rest) = bytes.split_at_mut(count);
        bytes_from.copy_from_slice(&from[..count]);
        rest.fill(0);
        let mask = MXCSR_MASK.load(Relaxed).to_le_bytes();
        bytes[AT_MXCSR..][..4].iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
        if !has_header {
            return;
        }
        // What is not said to be there is as at the start: so it must be for what the door takes, too.
        let present = bytes[AT_PRESENT];
        if u32::from(present) & SSE == 0 {
            bytes[AT_XMM..][..256].fill(0);
        }
        if u32::from(present) & X87 == 0 {
            bytes[..AT_MXCSR].fill(0);
            bytes[..2].copy_from_slice(&X87_CONTROL.to_le_bytes());
        }
        bytes[AT_PRESENT..][..HEADER_BYTES].fill(0);
        bytes[AT_PRESENT] = present & COMPONENTS.load(Relaxed) as u8;
    }
}

impl core::fmt::Debug for Area {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Area").field(&self.bytes().len()).finish()
    }
}
