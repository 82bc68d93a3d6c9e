//! Starting the other cores, and what is known of each.
//!
//! All are asked at once, by INIT and a start-up interrupt to each, and the boot core goes on: each core makes its own
//! stacks and tables when it arrives ([`trampoline`] says how), and then runs what [`start`] was given. Nothing waits for
//! it; [`look`] asks a second time when a core has not come, and at last gives it up.
//!
//! A core is a slot, numbered in the order of the machine's tables, so numbers do not depend on who comes first.

#![expect(unsafe_code, reason = "cores are given memory and page tables")]

use super::cores::CORES_MAX;
use super::local::{self, CoreId};
use super::trampoline::{self, Orders};
use super::{cpu, interrupt, paging, power, shootdown, stack_bytes, time, traps};
use crate::arch::SpinLock;
use crate::fault;
use crate::mm::dma::DmaRegion;
use crate::mm::stack::Stack;
use crate::mm::{self, Caching, MapError, OutOfMemory, PhysAddr};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Bytes of what the boot core makes for a core: its copy of `.percore`, its tables, and the stack on which it arrives.
pub(super) const BLOCK_BYTES: usize = stack_bytes(8 << 10);
/// Of them, for the stack at least.
const ARRIVAL_STACK_BYTES: usize = stack_bytes(4 << 10);
/// The stack on which a core looks for work, and those of its exceptions.
const STACK_BYTES: usize = stack_bytes(16 << 10);
const EXCEPTION_STACK_BYTES: usize = stack_bytes(12 << 10);

/// States of a slot, in order of time; the trampoline takes a core from the first to the second.
pub(super) const ASKED: u32 = 1;
pub(super) const ARRIVED: u32 = 2;
const RUNNING: u32 = 3;
const STOPPED: u32 = 4;
const GIVEN_UP: u32 = 5;

/// A core. The trampoline knows this layout.
#[repr(C)]
pub(super) struct Slot {
    apic_id: AtomicU32,
    state: AtomicU32,
    block: AtomicU64,
}

static SLOTS: [Slot; CORES_MAX] =
    [const { Slot { apic_id: AtomicU32::new(0), state: AtomicU32::new(0), block: AtomicU64::new(0) } }; CORES_MAX];
/// Slots in use.
static COUNT: AtomicUsize = AtomicUsize::new(1);
/// Cores that have come, the boot core too.
static UP: AtomicUsize = AtomicUsize::new(1);
/// Others have been stopped for good: see [`stop_others`].
static ALONE: AtomicBool = AtomicBool::new(false);
/// What a core runs in the end.
static RUN: AtomicUsize = AtomicUsize::new(0);

/// The page tables through which the trampoline runs, while cores start.
static IDENTITY: SpinLock<Option<DmaRegion>> = SpinLock::new(None);
static PAGE: AtomicU64 = AtomicU64::new(0);

/// Why no other core was started.
#[derive(Debug)]
pub enum StartError {
    /// There is no RAM below 640 KiB, where cores begin.
    NoLowPage,
    /// No memory for what a core needs.
    OutOfMemory,
    /// The trampoline cannot be mapped.
    Map(MapError),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoLowPage => f.write_str("there is no RAM below 640 KiB for their first instructions"),
            Self::OutOfMemory => OutOfMemory.fmt(f),
            Self::Map(error) => error.fmt(f),
        }
    }
}

impl From<OutOfMemory> for StartError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// How many cores there are: named by the machine's tables, and asked to start.
pub(super) fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// Does this core run?
pub(super) fn is_running(core: CoreId) -> bool {
    core.index() < count() && SLOTS[core.index()].state.load(Ordering::Acquire) == RUNNING
}

/// Was this core waited for in vain?
pub(super) fn is_given_up(core: CoreId) -> bool {
    core.index() < count() && SLOTS[core.index()].state.load(Ordering::Acquire) == GIVEN_UP
}

/// Have the others been stopped for good, for the machine's end?
pub(in crate::arch) fn is_alone() -> bool {
    ALONE.load(Ordering::Acquire)
}

/// The number of a core's local APIC.
pub(super) fn apic_id(core: CoreId) -> u32 {
    SLOTS[core.index()].apic_id.load(Ordering::Relaxed)
}

/// What `arch` knows of a core, once that has come.
pub(super) fn header_of(core: CoreId) -> Option<&'static local::Header> {
    let running = is_running(core);
    let copy = if core == CoreId::BOOT {
        local::boot_copy()
    } else {
        SLOTS[core.index()].block.load(Ordering::Relaxed) as usize
    };
    // SAFETY: a core that runs has adopted the copy at the beginning of its block.
    (running).then(|| unsafe { local::header_at(copy) })
}

/// The slots of all cores but this one.
fn others() -> impl Iterator<Item = (CoreId, &'static Slot)> {
    let me = local::current();
    SLOTS
        .iter()
        .take(count())
        .enumerate()
        .filter_map(move |(index, slot)| Some((CoreId::new(index)?, slot)).filter(|(id, _)| *id != me))
}

/// Starts the cores whose APICs have these numbers, the boot core's not among them. Each runs `run` in the end. `page`, in
/// RAM below 640 KiB, is theirs as long as they start.
///
/// # Errors
/// [`StartError`]; then no core was started, or fewer than were named.
pub fn start(apic_ids: &[u32], page: Option<PhysAddr>, run: fn() -> !) -> Result<(), StartError> {
    SLOTS[0].apic_id.store(interrupt::own_apic_id(), Ordering::Relaxed);
    SLOTS[0].state.store(RUNNING, Ordering::Release);
    let apic_ids = &apic_ids[..apic_ids.len().min(CORES_MAX - 1)];
    if apic_ids.is_empty() {
        return Ok(());
    }
    let page = page.ok_or(StartError::NoLowPage)?;
    if apic_ids.iter().any(|id| *id > interrupt::XAPIC_ID_MAX) {
        interrupt::use_x2apic();
    }
    RUN.store(run as usize, Ordering::Relaxed);
    let mut made = Ok(());
    let mut count = 1;
    for apic_id in apic_ids {
        match prepare(&SLOTS[count], *apic_id) {
            Ok(()) => count += 1,
            Err(error) => {
                made = Err(error.into());
                break;
            }
        }
    }
    lay_trampoline(page, count)?;
    time::settle(); // the others do not measure
    COUNT.store(count, Ordering::Release);
    others().for_each(|(_, slot)| interrupt::send_init(slot.apic_id.load(Ordering::Relaxed)));
    others().for_each(|(_, slot)| ask(slot, page));
    made
}

/// Makes what a core needs to arrive.
fn prepare(slot: &Slot, apic_id: u32) -> Result<(), OutOfMemory> {
    assert!(
        local::bytes() + size_of::<traps::Tables>() + ARRIVAL_STACK_BYTES <= BLOCK_BYTES,
        "a core's block is too small"
    );
    let block = DmaRegion::with_old_contents(BLOCK_BYTES)?;
    slot.block.store(block.as_ptr().expose_provenance().get() as u64, Ordering::Relaxed);
    core::mem::forget(block); // the core's for good
    slot.apic_id.store(apic_id, Ordering::Relaxed);
    slot.state.store(ASKED, Ordering::Release);
    Ok(())
}

fn lay_trampoline(page: PhysAddr, count: usize) -> Result<(), StartError> {
    let mapping = mm::map_device(page, mm::PAGE_BYTES, Caching::WriteBack).map_err(StartError::Map)?;
    let tables = DmaRegion::new(paging::IDENTITY_TABLES * mm::PAGE_BYTES)?;
    let [cr0, cr3, cr4] = paging::control_registers();
    let orders = Orders {
        cr0: cr0 as u32,
        cr3: cr3 as u32, // in the image, so below 4 GiB
        cr4: cr4 as u32,
        efer: (cpu::read_msr(cpu::EFER) & !cpu::EFER_LMA) as u32,
        far_offset: 0,
        far_segment: 0,
        gdt_limit: 0,
        gdt_address: 0,
        gdt: [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff], // "accessed": the page cannot be written from there
        slots: SLOTS.as_ptr().addr() as u64,
        slot_count: count as u64,
        arrive: arrive as *const () as u64,
    };
    // SAFETY: the page was set aside for this before the first frame was given out, and is mapped; the tables are new.
    unsafe {
        trampoline::write(mapping.as_ptr(), page.0 as u32, orders);
        paging::map_identity(page, tables.phys());
    }
    IDENTITY.with(|stored| *stored = Some(tables));
    PAGE.store(page.0, Ordering::Relaxed);
    Ok(())
}

fn ask(slot: &Slot, page: PhysAddr) {
    interrupt::send_startup(slot.apic_id.load(Ordering::Relaxed), page);
}

/// How far the others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All that will come are here.
    Complete,
    /// Some have not come.
    Waiting,
}

/// Looks who has come; on the boot core. What was needed for starting is taken down when all have.
pub fn look() -> Progress {
    if UP.load(Ordering::Acquire) < count() {
        return Progress::Waiting;
    }
    take_down();
    Progress::Complete
}

/// Asks once more those who have not come.
pub fn ask_again() {
    let page = PhysAddr(PAGE.load(Ordering::Relaxed));
    // One that is on its way does not notice.
    others().filter(|(_, slot)| slot.state.load(Ordering::Acquire) == ASKED).for_each(|(_, slot)| ask(slot, page));
}

/// Gives up those who have not come, and tells `gone` which they are: they will not come any more.
pub fn give_up(mut gone: impl FnMut(CoreId, u32)) {
    for (core, slot) in others() {
        if slot.state.compare_exchange(ASKED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let apic_id = slot.apic_id.load(Ordering::Relaxed);
            interrupt::send_init(apic_id); // wherever it is, it waits for another start from here on
            gone(core, apic_id);
        }
    }
    // One that has arrived may still have a few instructions to go there; then all of it stays as it is.
    if others().all(|(_, slot)| slot.state.load(Ordering::Acquire) != ARRIVED) {
        take_down();
    }
}

fn take_down() {
    // SAFETY: no core is on the trampoline any more: each has arrived, or waits for a start.
    let tables = IDENTITY.with(|stored| stored.take().inspect(|_| unsafe { paging::unmap_identity() }));
    drop(tables);
}

/// A core's first Rust function, on the stack of its block.
extern "C" fn arrive(block: usize, number: usize) -> ! {
    let id = CoreId::new(number).unwrap_or(CoreId::BOOT); // there are as many slots as numbers
    // SAFETY: the block is this core's for good, and aligned to a page.
    unsafe { local::adopt(block, id) };
    settle(block, number, id)
}

/// The rest of it apart: what is reached by gs, which the compiler takes for constant, is not looked at before.
#[inline(never)]
fn settle(block: usize, number: usize, id: CoreId) -> ! {
    // SAFETY: as above; the tables follow the core's state.
    let tables = unsafe {
        let tables = core::ptr::with_exposed_provenance_mut::<traps::Tables>(block + local::bytes());
        tables.write(traps::Tables::new());
        &mut *tables
    };
    let made = || -> Result<[Stack; 3], OutOfMemory> {
        Ok([Stack::new(STACK_BYTES)?, Stack::new(EXCEPTION_STACK_BYTES)?, Stack::new(EXCEPTION_STACK_BYTES)?])
    };
    let Ok(stacks) = made() else {
        log::error!("core {id}: {OutOfMemory}: it has no stacks, and does not run");
        SLOTS[number].state.store(GIVEN_UP, Ordering::Release);
        UP.fetch_add(1, Ordering::AcqRel);
        power::halt()
    };
    let [stack, fault, critical] = stacks.each_ref().map(|stack| stack.top().expose_provenance());
    core::mem::forget(stacks); // the core's for good
    traps::load(tables, fault as u64, critical as u64);
    interrupt::enable_local();
    // SAFETY: the new stack is mapped and unused, and nothing on the old one is needed any more.
    unsafe {
        asm!(
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "fninit",
            "call {go}",
            "ud2",
            stack = in(reg) stack,
            go = sym go,
            in("rdi") number,
            options(noreturn)
        );
    }
}

extern "C" fn go(number: usize) -> ! {
    paging::flush_all(); // the trampoline is forgotten
    SLOTS[number].state.store(RUNNING, Ordering::SeqCst);
    shootdown::awake(); // from here on it is asked; what was unmapped before is forgotten
    if fault::is_ending_elsewhere() {
        stop_here(); // this core was not there yet when the others were stopped
    }
    UP.fetch_add(1, Ordering::AcqRel);
    let run = RUN.load(Ordering::Acquire);
    // SAFETY: stored by `start`, which took it as this type.
    let run = unsafe { core::mem::transmute::<usize, fn() -> !>(run) };
    run()
}

/// Stops all other cores for good, wherever they are, and waits until they have stopped, though not for ever.
#[inline(never)]
pub fn stop_others() {
    const TICKS_MAX: u64 = 1 << 32;
    if count() == 1 {
        return;
    }
    let running = |slot: &Slot| slot.state.load(Ordering::SeqCst) == RUNNING;
    others()
        .filter(|(_, slot)| running(slot))
        .for_each(|(_, slot)| interrupt::send_nmi(slot.apic_id.load(Ordering::Relaxed)));
    let start = cpu::ticks();
    while others().any(|(_, slot)| running(slot)) && cpu::ticks().wrapping_sub(start) < TICKS_MAX {
        cpu::relax();
    }
    ALONE.store(true, Ordering::Release);
}

/// Stops this core for good.
pub fn stop_here() -> ! {
    SLOTS[local::current().index()].state.store(STOPPED, Ordering::Release);
    power::halt()
}
