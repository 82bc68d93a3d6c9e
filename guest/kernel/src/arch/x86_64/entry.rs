//! The first Rust function: what was passed in registers becomes a [`BootInfo`].

use super::{linux, local, paging, pvh, time, traps};
use crate::boot::BootInfo;
use crate::start;

/// Called once by `boot`, in the upper half, on the boot stack, with interrupts off. `protocol` says what is at
/// `handed_over`: 0, PVH's start info; 1, Linux's zero page.
pub(super) extern "C" fn entry(handed_over: u64, image_base: u64, entropy: u64, entry_ticks: u64, protocol: u32) -> ! {
    local::init_boot_core(); // state of a core, and locks, can be used
    paging::set_image_base(image_base);
    crate::console::init(); // first, so that every later failure can be read
    traps::init(); // an exception is now a report, not a reset
    time::start_calibration(entry_ticks);
    let read = if protocol == 0 { pvh::boot_info } else { linux::boot_info };
    match read(handed_over, paging::image()).and_then(BootInfo::with_embedded_module) {
        Ok(info) => start::start(info, entropy),
        Err(error) => start::refuse(&error),
    }
}
