//! What ACPI says about the machine: its tables, its processors, and how to switch it off.

#![expect(unsafe_code, reason = "a register named by ACPI is written")]

use crate::arch::{SpinLock, io_apic, port};
use crate::boot::BootInfo;
use crate::mm::{self, Caching, PhysAddr};
use toro_acpi as acpi;

/// Maps bytes of physical memory for reading.
pub(crate) type Read = fn(u64, usize) -> Option<&'static [u8]>;

/// The firmware's pages that were mapped last: tables lie together.
static LAST: SpinLock<(u64, &'static [u8])> = SpinLock::new((0, &[]));

fn read(address: u64, bytes: usize) -> Option<&'static [u8]> {
    let within = |(base, pages): (u64, &'static [u8])| {
        let offset = usize::try_from(address.checked_sub(base)?).ok()?;
        pages.get(offset..offset.checked_add(bytes)?)
    };
    let last = LAST.with(|last| *last);
    within(last).or_else(|| {
        let page = mm::PAGE_BYTES as u64;
        let first = address & !(page - 1);
        let span = address.checked_add(bytes as u64)?.checked_next_multiple_of(page)? - first;
        let mapped = (first, mm::map_firmware(PhysAddr(first), span as usize).ok()?);
        LAST.with(|last| *last = mapped);
        within(mapped)
    })
}

/// The tables whose root pointer is at `rsdp`.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn tables(rsdp: PhysAddr) -> Result<acpi::Tables<'static, Read>, acpi::Error> {
    acpi::Tables::open(rsdp.0, read)
}

/// Shows `found` the local APIC of each processor: by ACPI, which tells of the I/O APICs too, else by the MP table, else
/// none.
#[cold]
pub(crate) fn processors(boot: &BootInfo, found: &mut dyn FnMut(u32)) {
    let madt = boot.rsdp.map(|rsdp| tables(rsdp)?.find(acpi::Madt::SIGNATURE).and_then(acpi::Madt::new));
    match madt {
        Some(Ok(madt)) => {
            for entry in madt.entries() {
                match entry {
                    acpi::Entry::Processor { apic_id } => found(apic_id),
                    acpi::Entry::IoApic { address, gsi_base } => io_apic::add(PhysAddr(address), gsi_base),
                    _ => {}
                }
            }
            return;
        }
        Some(Err(error)) => log::warn!("processors: {error}"),
        None => {}
    }
    let pointer = |(area, bytes)| acpi::MpTable::find(read(area, bytes)?);
    match acpi::MP_AREAS.into_iter().find_map(pointer).map(|table| acpi::MpTable::open(table, read)) {
        Some(Ok(table)) => table.processors().for_each(found),
        Some(Err(error)) => log::warn!("processors: MP table: {error}"),
        None => {}
    }
}

/// Asks for the state "off" the way ACPI describes, which comes in the VMM's own time; false when ACPI does not say how.
pub(crate) fn power_off(boot: &BootInfo) -> bool {
    let tables = boot.rsdp.and_then(|rsdp| tables(rsdp).ok());
    let fadt = tables.as_ref().and_then(|tables| tables.find(acpi::Fadt::SIGNATURE).and_then(acpi::Fadt::new).ok());
    let Some((tables, fadt)) = tables.as_ref().zip(fadt) else { return false };
    let dsdt = fadt.dsdt_address().and_then(|address| tables.at(address, *b"DSDT").ok());
    let kind = dsdt.and_then(|dsdt| acpi::sleep_type_s5(dsdt.bytes()));
    let mut asked = false;
    if let Some(register) = fadt.sleep_control() {
        asked |= write(register, 1, 0x20 | u16::from(kind.unwrap_or(5)) << 2);
    }
    for register in fadt.pm1_control() {
        asked |= write(register, 2, 0x2000 | u16::from(kind.unwrap_or(0)) << 10);
    }
    asked
}

/// Writes a register; false when it cannot be reached.
fn write(register: acpi::Register, bytes: usize, value: u16) -> bool {
    match (register.space, u16::try_from(register.address)) {
        (acpi::Space::Port, Ok(number)) if bytes == 1 => port::outb(number, value as u8),
        (acpi::Space::Port, Ok(number)) => port::outw(number, value),
        (acpi::Space::Port, Err(_)) => return false,
        (acpi::Space::Memory, _) => {
            let Ok(mapping) = mm::map_device(PhysAddr(register.address), bytes, Caching::Uncached) else {
                return false;
            };
            // SAFETY: mapped for the device; ACPI says that this register takes this value.
            unsafe {
                match bytes {
                    1 => mapping.as_ptr().write_volatile(value as u8),
                    _ => mapping.as_ptr().cast::<u16>().write_volatile(value),
                }
            }
        }
    }
    true
}
