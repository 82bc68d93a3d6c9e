//! The first Rust function: what was passed in registers becomes a [`BootInfo`].

use super::{local, paging, pvh, time, traps};
use crate::start;

/// Called once by `boot`, in the upper half, on the boot stack, with interrupts off.
pub(super) extern "C" fn entry(start_info: u64, image_base: u64, entropy: u64, entry_ticks: u64) -> ! {
    local::init_boot_core(); // state of a core, and locks, can be used
    paging::set_image_base(image_base);
    crate::console::init(); // first, so that every later failure can be read
    traps::init(); // an exception is now a report, not a reset
    time::start_calibration(entry_ticks);
    match pvh::boot_info(start_info, paging::image()) {
        Ok(info) => start::start(info, entropy),
        Err(error) => start::refuse(&error),
    }
}
