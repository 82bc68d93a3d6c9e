//! Where devices are. Each way costs something, so the first that says anything ends the search:
//!
//! 1. `virtio_mmio.device=` on the command line (QEMU's microvm without ACPI, Firecracker);
//! 2. QEMU's microvm with ACPI, known by its tables: its 24 slots, and the PCI window that no table tells;
//! 3. PCI by the memory window that ACPI's MCFG tells (q35, Cloud Hypervisor, Firecracker);
//! 4. PCI by ports (pc).

use super::DeviceError;
use super::config_space::{MemoryWindow, Ports};
use super::transport::{Mmio, Pci, Transport};
use crate::acpi;
use crate::boot::BootInfo;
use toro_acpi::{Fadt, Mcfg, Segment};
use toro_pci::{Address, ConfigSpace, Window, enumerate, virtio_device_type};

const MICROVM_SLOTS: u32 = 24;
const MICROVM_SLOTS_BASE: u64 = 0xfeb0_0000;
const MICROVM_SLOT_BYTES: u64 = 512;
const MICROVM_GSI_BASE: u32 = 24;
const MICROVM_PCI: Segment = Segment { address: 0xe000_0000, group: 0, bus_first: 0, bus_last: 255 };
/// Vendor and device of the host bridge there.
const MICROVM_HOST_BRIDGE: u32 = 0x0008_1b36;

/// Virtio functions looked at on PCI.
const FUNCTIONS_MAX: usize = 32;

type Found<'a> = &'a mut dyn FnMut(u32, Transport);

/// Shows `found` each virtio device and its type, devices of a kind in the order in which the VMM was told of them.
pub(super) fn each(boot: &BootInfo, found: Found<'_>) {
    let command_line = boot.command_line();
    let mut announced = false;
    for device in command_line.virtio_mmio() {
        announced = true;
        mmio(device.base, device.gsi, found);
    }
    if announced || command_line.get("pci").is_some_and(|value| value.encoded() == "off") {
        return;
    }
    match machine(boot) {
        Machine::Microvm(segment) => {
            // QEMU fills its slots from the last one on.
            for slot in (0..MICROVM_SLOTS).rev() {
                let address = MICROVM_SLOTS_BASE + u64::from(slot) * MICROVM_SLOT_BYTES;
                mmio(address, MICROVM_GSI_BASE + slot, found);
            }
            let config = MemoryWindow::new(segment);
            if config.read(Address { bus: 0, device: 0, function: 0 }, 0) == MICROVM_HOST_BRIDGE {
                pci(&config, window_beside(segment), found);
            }
        }
        Machine::PciWindow(segment) => pci(&MemoryWindow::new(segment), window_beside(segment), found),
        Machine::Plain => {
            if let Some(ports) = Ports::present() {
                pci(&ports, Window::new(0xe000_0000..0xfe00_0000), found);
            }
        }
    }
}

enum Machine {
    Microvm(Segment),
    PciWindow(Segment),
    Plain,
}

/// What ACPI says about the way to devices.
#[cold]
fn machine(boot: &BootInfo) -> Machine {
    let Some(rsdp) = boot.rsdp else { return Machine::Plain };
    let tables = match acpi::tables(rsdp) {
        Ok(tables) => tables,
        Err(error) => {
            log::warn!("{error}");
            return Machine::Plain;
        }
    };
    let segment = tables.find(Mcfg::SIGNATURE).ok().and_then(|table| Mcfg::new(table).segments().next());
    let is_qemu = tables.rsdp().oem_id == *b"BOCHS ";
    let fadt = if is_qemu { tables.find(Fadt::SIGNATURE).and_then(Fadt::new).ok() } else { None };
    match (segment, fadt.is_some_and(|fadt| fadt.hardware_reduced())) {
        (segment, true) => Machine::Microvm(segment.unwrap_or(MICROVM_PCI)),
        (Some(segment), false) => Machine::PciWindow(segment),
        (None, false) => Machine::Plain,
    }
}

/// Addresses for BARs that the firmware left without one: below 4 GiB, not where the PCI window itself is, and
/// above all RAM that the machines have there.
fn window_beside(segment: Segment) -> Window {
    if segment.address >= 0xe000_0000 {
        Window::new(0xc000_0000..0xe000_0000)
    } else {
        Window::new(0xe000_0000..0xfe00_0000)
    }
}

fn mmio(address: u64, gsi: u32, found: Found<'_>) {
    match Mmio::open(address, gsi) {
        Ok(Some((device_type, device))) => found(device_type, Transport::Mmio(device)),
        Ok(None) => {}
        Err(error) => log::error!("virtio-mmio device at {address:#x}: {error}"),
    }
}

#[cold]
fn pci(config: &dyn ConfigSpace, mut window: Window, found: Found<'_>) {
    let mut functions = [None; FUNCTIONS_MAX];
    let mut count = 0;
    let mut bridges = enumerate(config, &mut |function| {
        if let Some(device_type) = virtio_device_type(config, &function) {
            if let Some(slot) = functions.get_mut(count) {
                *slot = Some((function.address, device_type));
            }
            count += 1;
        }
    });
    if count > FUNCTIONS_MAX {
        log::warn!("{count} virtio functions on PCI, {FUNCTIONS_MAX} are looked at");
    }
    for (address, device_type) in functions.into_iter().flatten() {
        match Pci::open(config, address, bridges.window(config, address.bus, &mut window)) {
            Ok(device) => found(device_type.into(), Transport::Pci(device)),
            Err(error) => unusable(address, error),
        }
    }
}

fn unusable(address: Address, error: DeviceError) {
    log::error!("virtio device at pci {address}: {error}");
}
