//! Descriptor tables, and the way from an exception or an interrupt into Rust.
//!
//! Exceptions run on a stack of their own (IST): they strike anywhere, below them may lie a live red zone
//! or no stack at all. Device interrupts do not: they arrive only in the idle window (`power`), where every
//! register that a call may change is given up, so their stub saves nothing. An interrupt ends the window:
//! its return clears IF, and whoever idled polls everything.

#![expect(unsafe_code, reason = "the processor's tables")]

use super::{attempt, interrupt, paging, shootdown, smp};
use crate::arch::SpinLock;
use crate::arch::x86_64::user::Registers;
use crate::fault::{self, Kind};
use crate::mm;
use core::arch::{asm, naked_asm};

pub(super) const VECTORS: usize = interrupt::VECTOR_FIRST + interrupt::VECTORS;
const INVALID_OPCODE: u64 = 6;
const GENERAL_PROTECTION: u64 = 13;
const CODE_SELECTOR: u16 = 8;
const TSS_SELECTOR: u16 = 0x18;
const STACK_BYTES: usize = super::stack_bytes(12 << 10);
/// IST numbers: the faults that have an ordinary cause, and those that may strike inside them.
pub(super) const IST_FAULT: u8 = 1;
pub(super) const IST_CRITICAL: u8 = 2;

/// Registers at an exception, in the order the stub pushes them.
#[derive(Debug)]
#[repr(C)]
pub struct Frame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

impl Frame {
    /// The registers as they were.
    pub fn registers(&self) -> Registers {
        Registers {
            rax: self.rax,
            rbx: self.rbx,
            rcx: self.rcx,
            rdx: self.rdx,
            rsi: self.rsi,
            rdi: self.rdi,
            rbp: self.rbp,
            rsp: self.rsp,
            r8: self.r8,
            r9: self.r9,
            r10: self.r10,
            r11: self.r11,
            r12: self.r12,
            r13: self.r13,
            r14: self.r14,
            r15: self.r15,
            rip: self.rip,
            rflags: self.rflags,
        }
    }

    /// The instruction that did not complete.
    pub fn instruction(&self) -> usize {
        self.rip as usize
    }

    /// The frame pointer to begin a backtrace at.
    pub fn frame_pointer(&self) -> usize {
        self.rbp as usize
    }
}

/// Where a vector leads.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Gate {
    offset_low: u16,
    selector: u16,
    ist: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

impl Gate {
    /// Was it never filled?
    pub(super) fn is_absent(&self) -> bool {
        self.kind == 0
    }

    /// The same, open to an `int` of ring 3.
    pub(super) fn for_programs(self) -> Self {
        Gate { kind: self.kind | 3 << 5, ..self }
    }
}

#[repr(C, packed(4))]
struct Tss {
    reserved: u32,
    rsp: [u64; 3],
    reserved_2: u64,
    ist: [u64; 7],
    reserved_3: u64,
    reserved_4: u16,
    io_map: u16,
}

/// What a core has of its own: segments, and where its exceptions find a stack.
pub(super) struct Tables {
    tss: Tss,
    gdt: [u64; 7],
}

impl Tables {
    pub(super) const fn new() -> Self {
        let tss = Tss {
            reserved: 0,
            rsp: [0; 3],
            reserved_2: 0,
            ist: [0; 7],
            reserved_3: 0,
            reserved_4: 0,
            io_map: size_of::<Tss>() as u16,
        };
        // Null, code, data, the task state, and for ring 3 data and code.
        let gdt = [0, 0x00af_9a00_0000_ffff, 0x00cf_9200_0000_ffff, 0, 0, 0x00cf_f200_0000_ffff, 0x00af_fa00_0000_ffff];
        Tables { tss, gdt }
    }
}

/// A stack above a page that [`guard_stacks`] unmaps.
#[repr(C, align(4096))]
struct Stack {
    guard: [u8; mm::PAGE_BYTES],
    bytes: [u8; STACK_BYTES],
}

impl Stack {
    const fn new() -> SpinLock<Self> {
        SpinLock::new(Self { guard: [0; mm::PAGE_BYTES], bytes: [0; STACK_BYTES] })
    }
}

/// A vector that leads nowhere.
pub(super) const NO_GATE: Gate =
    Gate { offset_low: 0, selector: 0, ist: 0, kind: 0, offset_middle: 0, offset_high: 0, reserved: 0 };

static GATES: SpinLock<[Gate; VECTORS]> = SpinLock::new([NO_GATE; VECTORS]);
/// The boot core's; those of others are in their blocks (`smp`).
static TABLES: SpinLock<Tables> = SpinLock::new(Tables::new());
static FAULT_STACK: SpinLock<Stack> = Stack::new();
static CRITICAL_STACK: SpinLock<Stack> = Stack::new();

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Fills the table of gates, which all cores share, and loads the boot core's own.
pub(super) fn init() {
    GATES.with(|gates| {
        for (vector, stub) in EXCEPTIONS.iter().enumerate() {
            // NMI, #DF and #MC may strike inside the handler of another.
            let ist = if matches!(vector, 2 | 8 | 18) { IST_CRITICAL } else { IST_FAULT };
            gates[vector] = gate(*stub as usize, ist);
        }
        gates[2] = gate(shootdown::nmi as *const () as usize, IST_CRITICAL);
    });
    let top = |stack: &SpinLock<Stack>| stack.with(|stack| stack.bytes.as_ptr_range().end.addr() as u64);
    let (fault_top, critical_top) = (top(&FAULT_STACK), top(&CRITICAL_STACK));
    TABLES.with(|tables| load(tables, fault_top, critical_top));
}

/// Loads this core's tables, which stay its own for good, with the stacks that end at these addresses.
pub(super) fn load(tables: &mut Tables, fault_top: u64, critical_top: u64) {
    tables.tss.ist[usize::from(IST_FAULT) - 1] = fault_top;
    tables.tss.ist[usize::from(IST_CRITICAL) - 1] = critical_top;
    let tss = (&raw const tables.tss).addr() as u64;
    tables.gdt[3] = (size_of::<Tss>() as u64 - 1)
        | (tss & 0xff_ffff) << 16
        | 0x89 << 40 // present, available 64-bit TSS
        | (tss >> 24 & 0xff) << 56;
    tables.gdt[4] = tss >> 32;
    let gdt = Pointer { limit: size_of_val(&tables.gdt) as u16 - 1, base: tables.gdt.as_ptr().addr() as u64 };
    GATES.with(load_gates);
    // SAFETY: the tables stay, and describe the segments in use: code 8, data 0x10.
    unsafe {
        asm!("lgdt [{}]", in(reg) &raw const gdt, options(readonly, nostack, preserves_flags));
        asm!("ltr {:x}", in(reg) TSS_SELECTOR, options(nostack, preserves_flags));
    }
}

/// Makes this core use `gates`, which are in a static.
pub(super) fn load_gates(gates: &mut [Gate; VECTORS]) {
    let idt = Pointer { limit: size_of_val(gates) as u16 - 1, base: gates.as_ptr().addr() as u64 };
    // SAFETY: the table stays.
    unsafe { asm!("lidt [{}]", in(reg) &raw const idt, options(readonly, nostack, preserves_flags)) };
}

unsafe extern "C" {
    static boot_stack_guard: u8;
}

/// Takes the pages below the boot core's stacks away, once the image is mapped page by page.
pub fn guard_stacks() {
    let exceptions = [&FAULT_STACK, &CRITICAL_STACK].map(|stack| stack.with(|stack| stack.guard.as_ptr().addr()));
    for guard in exceptions.into_iter().chain([(&raw const boot_stack_guard).addr()]) {
        // SAFETY: nothing uses these pages: they exist to be absent.
        let _was_mapped = unsafe { paging::unmap_page(guard as u64) };
    }
}

/// Enters `vector`, one of [`interrupt`]'s, in the table.
pub(super) fn enable_interrupt(vector: usize) {
    GATES.with(|gates| gates[vector] = gate(INTERRUPTS[vector - interrupt::VECTOR_FIRST] as usize, 0));
}

/// An interrupt gate.
pub(super) fn gate(handler: usize, ist: u8) -> Gate {
    Gate {
        offset_low: handler as u16,
        selector: CODE_SELECTOR,
        ist,
        kind: 0x8e, // present, interrupt gate
        offset_middle: (handler >> 16) as u16,
        offset_high: (handler >> 32) as u32,
        reserved: 0,
    }
}

/// What a gate leads to.
pub(super) type Stub = unsafe extern "C" fn();

/// Entry of an exception; the processor pushes an error code for some, 0 is pushed for the others.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn exception<const VECTOR: usize, const HAS_ERROR: usize>() {
    naked_asm!(
        ".if {has_error} == 0",
        "push 0",
        ".endif",
        "push {vector}",
        "jmp {common}",
        has_error = const HAS_ERROR,
        vector = const VECTOR,
        common = sym save_and_report,
    )
}

#[unsafe(naked)]
unsafe extern "C" fn save_and_report() {
    naked_asm!(
        "push rax",
        "push rbx",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rbp",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "cld",
        "mov rdi, rsp",
        "call {report}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rbp",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rax",
        "add rsp, 16",
        "iretq",
        report = sym report,
    )
}

/// Entry of a device interrupt: the idle window gave up all that a call may change.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn device_interrupt<const VECTOR: usize>() {
    naked_asm!(
        "sub rsp, 8",
        "mov edi, {vector}",
        "call {taken}",
        "add rsp, 8",
        "and dword ptr [rsp + 16], ~0x200", // IF: the window is over
        "iretq",
        vector = const VECTOR,
        taken = sym interrupt::taken,
    )
}

macro_rules! exceptions {
    ($($vector:literal $has_error:literal),*) => { [$(exception::<$vector, $has_error>),*] };
}
macro_rules! interrupts {
    ($($number:literal)*) => { [$(device_interrupt::<{ interrupt::VECTOR_FIRST + $number }>),*] };
}

static EXCEPTIONS: [Stub; 32] = exceptions!(
    0 0, 1 0, 2 0, 3 0, 4 0, 5 0, 6 0, 7 0, 8 1, 9 0, 10 1, 11 1, 12 1, 13 1, 14 1, 15 0,
    16 0, 17 1, 18 0, 19 0, 20 0, 21 1, 22 0, 23 0, 24 0, 25 0, 26 0, 27 0, 28 0, 29 1, 30 1, 31 0
);
static INTERRUPTS: [Stub; interrupt::VECTORS] = interrupts!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);

/// Returns only where the exception is an answer.
extern "C" fn report(frame: &mut Frame) {
    if matches!(frame.vector, INVALID_OPCODE | GENERAL_PROTECTION)
        && let Some(go_on) = attempt::recover(frame.rip as usize)
    {
        frame.rip = go_on as u64;
        return;
    }
    if frame.vector == 2 && fault::is_ending_elsewhere() {
        smp::stop_here();
    }
    let address = if frame.vector == 14 { Some(fault_address()) } else { None };
    fault::exception(kind_of(frame, address), frame)
}

fn fault_address() -> usize {
    let address;
    // SAFETY: reads a control register.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

fn kind_of(frame: &Frame, address: Option<usize>) -> Kind {
    match (frame.vector, address) {
        (0, _) => Kind::DivideError,
        (1, _) => Kind::Debug,
        (2, _) => Kind::NonMaskable,
        (3, _) => Kind::Breakpoint,
        (INVALID_OPCODE, _) => Kind::InvalidOpcode,
        (8, _) => Kind::DoubleFault,
        (12, _) => Kind::StackSegment { error: frame.error },
        (GENERAL_PROTECTION, _) => Kind::GeneralProtection { error: frame.error },
        (14, Some(address)) => Kind::Page {
            address,
            access: match frame.error {
                error if error & 1 << 4 != 0 => fault::Access::Execute,
                error if error & 1 << 1 != 0 => fault::Access::Write,
                _ => fault::Access::Read,
            },
            mapped: frame.error & 1 != 0 || paging::is_mapped(address),
        },
        (16 | 19, _) => Kind::FloatingPoint,
        (17, _) => Kind::Alignment,
        (18, _) => Kind::MachineCheck,
        (vector, _) => Kind::Other { vector, error: frame.error },
    }
}
