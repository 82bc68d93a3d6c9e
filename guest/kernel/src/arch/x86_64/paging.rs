//! Page tables: the image, the direct map of RAM, and a window for everything else.
//!
//! ```text
//! PML4 slot   256..319  the image, at a base drawn at boot (`boot`)
//!             320..383  direct map: RAM at `direct + physical`, 2 MiB at a time as blocks are first used
//!             384..447  mappings: frame metadata, stacks with guard pages, devices, firmware tables
//! ```
//! The lower half is empty, page 0 with it. Nothing is both writable and executable: the direct map and the
//! mappings are never executable, and the image's frames are not in the direct map.

#![expect(unsafe_code, reason = "page tables are written")]

use crate::mm::PhysAddr;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use toro_memory::map::Range;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
/// Bytes of address space below one PML4 entry.
pub const SLOT_BYTES: u64 = 1 << 39;

/// What may be done with a page, and how it is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Constants.
    ReadOnly,
    /// Data.
    ReadWrite,
    /// Code.
    ReadExecute,
    /// Registers of a device, not cached.
    Device,
}

impl Access {
    const fn bits(self) -> u64 {
        match self {
            Self::ReadOnly => PRESENT | NO_EXECUTE,
            Self::ReadWrite => PRESENT | WRITABLE | NO_EXECUTE,
            Self::ReadExecute => PRESENT,
            Self::Device => PRESENT | WRITABLE | NO_EXECUTE | CACHE_DISABLE | WRITE_THROUGH,
        }
    }
}

/// No frame is left for a page table.
#[derive(Debug, PartialEq, Eq)]
pub struct NoTable;

unsafe extern "C" {
    static __image_start: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __relro_start: u8;
    static __relro_end: u8;
    static __spare_start: u8;
    static __spare_end: u8;
    static __image_end: u8;
    static boot_pml4: u8;
    static boot_image_pd: u8;
    static boot_identity_pdpt: u8;
}

static IMAGE_BASE: AtomicU64 = AtomicU64::new(0);
static DIRECT_BASE: AtomicU64 = AtomicU64::new(0);
static MAPPINGS_BASE: AtomicU64 = AtomicU64::new(0);

fn address_of(symbol: &'static u8) -> u64 {
    core::ptr::from_ref(symbol).addr() as u64
}

/// `address of a symbol`, from inside the image.
macro_rules! symbol {
    ($name:ident) => {
        // SAFETY: the linker script defines it; only its address is taken.
        address_of(unsafe { &$name })
    };
}

/// Stores the base that `boot` chose; before anything else here.
pub(super) fn set_image_base(base: u64) {
    IMAGE_BASE.store(base, Relaxed);
}

/// Virtual address minus address in the image's file, for all of the image.
pub fn image_base() -> u64 {
    IMAGE_BASE.load(Relaxed)
}

/// The image's physical addresses.
pub fn image() -> Range {
    Range { start: symbol!(__image_start) - image_base(), end: symbol!(__image_end) - image_base() }
}

/// Virtual address of physical RAM in the direct map. Mapped once its block was prepared.
#[inline]
pub fn direct(physical: PhysAddr) -> usize {
    (DIRECT_BASE.load(Relaxed) + physical.0) as usize
}

/// Physical address of a byte in the direct map.
#[inline]
pub fn direct_to_physical(address: usize) -> PhysAddr {
    PhysAddr(address as u64 - DIRECT_BASE.load(Relaxed))
}

/// First address of the slot for mappings.
pub fn mappings_base() -> u64 {
    MAPPINGS_BASE.load(Relaxed)
}

/// Chooses where the direct map and the mappings lie.
pub fn init(entropy: u64) {
    let slot = |first: u64, bits: u64| 0xffff << 48 | (first + (bits & 63)) << 39;
    DIRECT_BASE.store(slot(320, entropy >> 20), Relaxed);
    MAPPINGS_BASE.store(slot(384, entropy >> 26), Relaxed);
}

/// Shows the 2 MiB page of `physical` and the next one; the pointer is to `physical` itself.
/// The next call takes the window away. For boot, before there is a direct map.
pub(super) fn early_window(physical: u64) -> *const u8 {
    let directory = symbol!(boot_image_pd) as *mut u64;
    let first_slot = 512 - super::boot::WINDOW_SLOTS;
    let base = image_base() & !(BLOCK * 512 - 1) | (first_slot as u64 * BLOCK);
    for index in 0..super::boot::WINDOW_SLOTS {
        let entry = ((physical & !(BLOCK - 1)) + index as u64 * BLOCK) | LARGE | Access::ReadOnly.bits();
        // SAFETY: the last entries of this table are the window's; nothing else uses them.
        unsafe {
            directory.add(first_slot + index).write_volatile(entry);
            flush(base + index as u64 * BLOCK);
        }
    }
    core::ptr::with_exposed_provenance((base + physical % BLOCK) as usize)
}

/// Drops the identity map of boot; frames of the image that may become page tables: those it had, and
/// those the linker script set aside. Without them the first block of RAM could not be mapped.
pub fn boot_frames() -> impl Iterator<Item = PhysAddr> {
    let pml4 = symbol!(boot_pml4) as *mut u64;
    // SAFETY: everything runs in the upper half since `entry`.
    unsafe {
        pml4.write_volatile(0);
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack));
    }
    let identity = symbol!(boot_identity_pdpt);
    let frames = [identity, identity + PAGE]
        .into_iter()
        .chain((symbol!(__spare_start)..symbol!(__spare_end)).step_by(PAGE as usize));
    frames.map(|address| PhysAddr(address - image_base()))
}

/// CR0, CR3 and CR4.
pub(super) fn control_registers() -> [u64; 3] {
    let (cr0, cr3, cr4): (u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!("mov {}, cr0", "mov {}, cr3", "mov {}, cr4", out(reg) cr0, out(reg) cr3, out(reg) cr4,
             options(nomem, nostack, preserves_flags));
    }
    [cr0, cr3, cr4]
}

/// Tables between the first and the page, for [`map_identity`].
pub(super) const IDENTITY_TABLES: usize = 3;

/// Maps the page `physical`, below 2 MiB, at its own address, for code that runs there: the only thing in the lower half,
/// as long as cores start. `tables` is the first of [`IDENTITY_TABLES`] cleared frames.
///
/// # Safety
/// The tables are for this alone until [`unmap_identity`].
pub(super) unsafe fn map_identity(physical: PhysAddr, tables: PhysAddr) {
    let mut entries = symbol!(boot_pml4) as *mut u64;
    for number in 0..IDENTITY_TABLES as u64 {
        let frame = PhysAddr(tables.0 + number * PAGE);
        // SAFETY: the first entry of each of these tables is nobody else's.
        unsafe { entries.write_volatile(frame.0 | PRESENT | WRITABLE) };
        entries = table(frame.0);
    }
    // SAFETY: as above.
    unsafe { entries.add(index(physical.0, 0)).write_volatile(physical.0 | Access::ReadExecute.bits()) };
}

/// Empties the lower half again.
///
/// # Safety
/// No core runs there any more. Each that did has called [`flush_all`] since.
pub(super) unsafe fn unmap_identity() {
    let pml4 = symbol!(boot_pml4) as *mut u64;
    // SAFETY: by this function's contract.
    unsafe { pml4.write_volatile(0) };
    flush_all();
}

/// Forgets all translations that this core has cached.
pub(crate) fn flush_all() {
    // SAFETY: they are read again from the tables.
    unsafe { asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags)) };
}

/// A table that is reachable: in the image (boot tables) or in the direct map.
fn table(physical: u64) -> *mut u64 {
    let image = image();
    if (image.start..image.end).contains(&physical) {
        core::ptr::with_exposed_provenance_mut((image_base() + physical) as usize)
    } else {
        core::ptr::with_exposed_provenance_mut(direct(PhysAddr(physical)))
    }
}

/// # Safety
/// `address` is not used any more in the way its old entry allowed.
unsafe fn flush(address: u64) {
    // SAFETY: drops a cached translation.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}

/// The entry that maps `address` at `level` (0: 4 KiB, 1: 2 MiB). Missing tables come from `new_table`,
/// whose frames are cleared here; with `None` the walk ends at what is missing or larger.
fn entry(
    address: u64,
    level: u32,
    mut new_table: Option<&mut dyn FnMut() -> Option<PhysAddr>>,
) -> Result<*mut u64, NoTable> {
    let mut entries = symbol!(boot_pml4) as *mut u64;
    for above in (level + 1..4).rev() {
        // SAFETY: `entries` is a live table of 512 entries.
        let slot = unsafe { entries.add(index(address, above)) };
        // SAFETY: as above.
        let mut value = unsafe { slot.read_volatile() };
        if value & PRESENT == 0 {
            let make = new_table.as_mut().ok_or(NoTable)?;
            let frame = make().ok_or(NoTable)?;
            let fresh = table(frame.0);
            value = frame.0 | PRESENT | WRITABLE;
            // SAFETY: the frame was given for this; it is reachable like every table.
            unsafe {
                core::ptr::write_bytes(fresh, 0, 512);
                slot.write_volatile(value);
            }
        } else if value & LARGE != 0 {
            return if new_table.is_none() { Ok(slot) } else { Err(NoTable) };
        }
        entries = table(value & ADDRESS);
    }
    // SAFETY: a live table has 512 entries.
    Ok(unsafe { entries.add(index(address, level)) })
}

/// The entry of the page at `address`, where the tables for it are.
#[inline(never)]
fn existing(address: u64) -> Option<*mut u64> {
    entry(address, 0, None).ok()
}

/// Is the page of `address` mapped?
pub fn is_mapped(address: usize) -> bool {
    if !is_canonical(address) {
        return false; // tables are looked up by its lower bits alone
    }
    // SAFETY: the entry lies in a live table.
    existing(address as u64).is_some_and(|entry| unsafe { entry.read_volatile() } & PRESENT != 0)
}

fn is_canonical(address: usize) -> bool {
    (address as i64) << 16 >> 16 == address as i64
}

/// The byte at an address of the image's code, for reports.
pub fn byte(address: usize) -> Option<u8> {
    let is_code = (symbol!(__text_start)..symbol!(__text_end)).contains(&(address as u64));
    let byte = core::ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: the code is mapped for good, and any byte of it may be read.
    is_code.then(|| unsafe { byte.read_volatile() })
}

/// What an address is part of, in words.
pub fn place(address: usize) -> impl core::fmt::Display {
    Place(address as u64)
}

struct Place(u64);

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let address = self.0;
        let slot = |base: &AtomicU64| {
            let offset = address.wrapping_sub(base.load(Relaxed));
            (offset < SLOT_BYTES).then_some(offset)
        };
        let parts = [
            (symbol!(__rodata_start), symbol!(__rodata_end), "constants"),
            (symbol!(__text_start), symbol!(__text_end), "code"),
            (symbol!(__relro_start), symbol!(__relro_end), "constants"),
            (symbol!(__image_start), symbol!(__image_end), "data"),
        ];
        let part = parts.iter().find(|(start, end, _)| (*start..*end).contains(&address));
        if !is_canonical(address as usize) {
            f.write_str("not an address: its upper bits differ")
        } else if address < 0x1_0000 {
            f.write_str("near null, where nothing ever is")
        } else if address >> 63 == 0 {
            f.write_str("the lower half, which is a program's in ring 3")
        } else if let Some((_, _, name)) = part {
            write!(f, "{name} of the image, image+{:#x}", address.wrapping_sub(image_base()))
        } else if let Some(physical) = slot(&DIRECT_BASE) {
            write!(f, "the heap's part of the address space, RAM at {physical:#x} if there is any")
        } else if let Some(offset) = slot(&MAPPINGS_BASE) {
            write!(f, "the part of the address space for stacks and devices, at {offset:#x}")
        } else {
            f.write_str("no part of the address space that is used")
        }
    }
}

/// Physical address of a byte of the kernel's half, if it is mapped.
pub fn physical(address: usize) -> Option<PhysAddr> {
    // SAFETY: the entry lies in a live table.
    let value = unsafe { entry(address as u64, 0, None).ok()?.read_volatile() };
    let within = if value & LARGE != 0 { BLOCK - 1 } else { PAGE - 1 };
    (value & PRESENT != 0).then_some(PhysAddr(value & ADDRESS & !within | address as u64 & within))
}

/// Copies the entries of the first table for the kernel's half, which never change once memory is set up.
///
/// # Safety
/// There is room for a table.
pub(super) unsafe fn copy_kernel_half(table: *mut u64) {
    let pml4 = symbol!(boot_pml4) as *const u64;
    // SAFETY: a table has 512 entries; the rest by this function's contract.
    unsafe { core::ptr::copy_nonoverlapping(pml4.add(256), table.add(256), 256) };
}

/// Maps the page at `address` to `physical`.
///
/// # Errors
/// [`NoTable`] when a page table is missing and `new_table` has no frame.
///
/// # Safety
/// `address` lies in the slot of the mappings and is not in use; what `access` allows on `physical` breaks
/// nobody's memory.
pub unsafe fn map_page(
    address: u64,
    physical: PhysAddr,
    access: Access,
    new_table: &mut dyn FnMut() -> Option<PhysAddr>,
) -> Result<(), NoTable> {
    let entry = entry(address, 0, Some(new_table))?;
    // SAFETY: the entry lies in a live table; the mapping is the caller's promise.
    unsafe { entry.write_volatile(physical.0 | access.bits()) };
    Ok(())
}

/// Makes the page at `address` unreachable, on this core at once; what it was mapped to is kept for [`unmap_page`].
///
/// # Safety
/// Nothing uses the page any more.
pub unsafe fn withdraw_page(address: u64) {
    if let Some(entry) = existing(address) {
        // SAFETY: the entry lies in a live table; the caller gave the page up.
        unsafe {
            entry.write_volatile(entry.read_volatile() & !PRESENT);
            flush(address);
        }
    }
}

/// Unmaps the page at `address`; what it was mapped to, if it was. Other cores may have cached that: see
/// [`shootdown`](super::shootdown).
///
/// # Safety
/// Nothing uses the page any more.
pub unsafe fn unmap_page(address: u64) -> Option<PhysAddr> {
    let entry = existing(address)?;
    // SAFETY: the entry lies in a live table; the caller gave the page up.
    unsafe {
        let value = entry.read_volatile();
        entry.write_volatile(0);
        flush(address);
        (value & ADDRESS != 0).then_some(PhysAddr(value & ADDRESS))
    }
}

/// Adds the 2 MiB block at `physical` to the direct map, whole.
///
/// # Errors
/// [`NoTable`] as for [`map_page`].
pub fn map_direct_block(physical: PhysAddr, new_table: &mut dyn FnMut() -> Option<PhysAddr>) -> Result<(), NoTable> {
    let entry = entry(direct(physical) as u64, 1, Some(new_table))?;
    // SAFETY: the entry lies in a live table; the block is RAM without any of the image, and entering
    // it a second time changes nothing.
    unsafe { entry.write_volatile(physical.0 | LARGE | Access::ReadWrite.bits()) };
    Ok(())
}

/// Adds page frames `physical..physical + bytes`, in one block that is not whole, to the direct map.
///
/// # Errors
/// [`NoTable`] as for [`map_page`].
pub fn map_direct_pages(
    physical: PhysAddr,
    bytes: u64,
    new_table: &mut dyn FnMut() -> Option<PhysAddr>,
) -> Result<(), NoTable> {
    let first = entry(direct(physical) as u64, 0, Some(new_table))?;
    for page in 0..bytes / PAGE {
        // SAFETY: the entries of one block lie in one table; the frames are RAM outside the image.
        unsafe { first.add(page as usize).write_volatile((physical.0 + page * PAGE) | Access::ReadWrite.bits()) };
    }
    Ok(())
}

/// Adds what lies at `start..end`, in one block and at pages, to the direct map, for reading: memory that stays for good and
/// is no RAM to give away.
///
/// # Errors
/// [`NoTable`] as for [`map_page`].
pub fn map_direct_constant(
    start: PhysAddr,
    end: PhysAddr,
    new_table: &mut dyn FnMut() -> Option<PhysAddr>,
) -> Result<(), NoTable> {
    let is_whole = end.0 - start.0 == BLOCK;
    let first = entry(direct(start) as u64, if is_whole { 1 } else { 0 }, Some(new_table))?;
    let (step, large) = if is_whole { (BLOCK, LARGE) } else { (PAGE, 0) };
    for (number, physical) in (start.0..end.0).step_by(step as usize).enumerate() {
        // SAFETY: the entries of one block lie in one table, and nothing else enters memory that is not given away.
        unsafe { first.add(number).write_volatile(physical | large | Access::ReadOnly.bits()) };
    }
    Ok(())
}

/// Gives each page of the image the least access its section needs.
///
/// # Errors
/// [`NoTable`] when an image of several MiB finds no frame for its tables.
pub fn protect_image(new_table: &mut dyn FnMut() -> Option<PhysAddr>) -> Result<(), NoTable> {
    let (base, range) = (image_base(), image());
    let sections = [
        (symbol!(__rodata_start), symbol!(__rodata_end), Access::ReadOnly),
        (symbol!(__text_start), symbol!(__text_end), Access::ReadExecute),
        (symbol!(__relro_start), symbol!(__relro_end), Access::ReadOnly),
        (symbol!(__relro_end), symbol!(__image_end), Access::ReadWrite),
    ];
    let mut block = range.start & !(BLOCK - 1);
    while block < range.end {
        let frame = new_table().ok_or(NoTable)?;
        let entries = table(frame.0);
        // SAFETY: the frame was given for this.
        unsafe { core::ptr::write_bytes(entries, 0, 512) };
        for &(start, end, access) in &sections {
            let (start, end) = ((start - base).max(block), (end - base).min(block + BLOCK));
            for page in (start..end).step_by(PAGE as usize) {
                // SAFETY: the table has an entry for each page of the block.
                unsafe { entries.add((page - block) as usize / 4096).write_volatile(page | access.bits()) };
            }
        }
        let directory_entry = entry(base + block, 1, Some(new_table))?;
        // SAFETY: the new table maps what this code needs, with the access that it needs.
        unsafe { directory_entry.write_volatile(frame.0 | PRESENT | WRITABLE) };
        block += BLOCK;
    }
    let window = (symbol!(boot_image_pd) as *mut u64).wrapping_add(512 - super::boot::WINDOW_SLOTS);
    // SAFETY: nothing uses the window any more; reloading CR3 forgets every old translation.
    unsafe {
        core::ptr::write_bytes(window, 0, super::boot::WINDOW_SLOTS);
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack));
    }
    Ok(())
}
