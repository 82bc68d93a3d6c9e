//! The I/O APICs: which controller, and which of its inputs, is a line (global system interrupt) of the machine.

#![expect(unsafe_code, reason = "controllers' registers are mapped")]

use super::interrupt::{self, Vector};
use crate::arch::SpinLock;
use crate::mm::{self, Caching, MapError, PhysAddr};

/// Where the first controller is when no table says so.
const USUAL: Controller = Controller { address: PhysAddr(0xfec0_0000), gsi_base: 0 };
const CONTROLLERS_MAX: usize = 8;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;

#[derive(Clone, Copy)]
struct Controller {
    address: PhysAddr,
    /// The line that is its first input.
    gsi_base: u32,
}

struct Controllers {
    list: [Controller; CONTROLLERS_MAX],
    /// 0: only the usual one.
    count: usize,
}

static CONTROLLERS: SpinLock<Controllers> = SpinLock::new(Controllers { list: [USUAL; CONTROLLERS_MAX], count: 0 });

/// Takes note of a controller that the machine's tables name.
pub fn add(address: PhysAddr, gsi_base: u32) {
    CONTROLLERS.with(|controllers| {
        if let Some(slot) = controllers.list.get_mut(controllers.count) {
            *slot = Controller { address, gsi_base };
            controllers.count += 1;
        }
    });
}

/// Routes line `gsi` to `vector` on this core, as an edge.
///
/// # Errors
/// When the I/O APIC cannot be mapped, or there is none for the line.
pub fn route_gsi(gsi: u32, vector: Vector) -> Result<(), MapError> {
    let controller = CONTROLLERS.with(|controllers| {
        let known = &controllers.list[..controllers.count.max(1)];
        known
            .iter()
            .filter(|controller| controller.gsi_base <= gsi)
            .max_by_key(|controller| controller.gsi_base)
            .copied()
    });
    let controller = controller.ok_or(MapError::NoSuchDevice)?;
    let select = mm::map_device(controller.address, 4096, Caching::Uncached)?.as_ptr().cast::<u32>();
    // SAFETY: an I/O APIC has its selector at 0.
    let point_to = |register: u32| unsafe { select.write_volatile(register) };
    // SAFETY: and its data window at 0x10.
    let data = unsafe { select.byte_add(0x10) };
    point_to(VERSION);
    // SAFETY: as above.
    let input_last = unsafe { data.read_volatile() } >> 16 & 0xff;
    let input = gsi - controller.gsi_base;
    if input > input_last {
        return Err(MapError::NoSuchDevice);
    }
    let redirection = REDIRECTION + input * 2;
    let (target, entry) = interrupt::line_message(vector);
    for (register, value) in [(redirection + 1, target), (redirection, entry)] {
        point_to(register);
        // SAFETY: as above; the entry raises a vector that is this kernel's.
        unsafe { data.write_volatile(value) };
    }
    Ok(())
}
