//! The boot module, in place: shown by the direct map, where its pages have their neighbours' addresses, and never written.

#![expect(unsafe_code, reason = "the module's memory becomes a slice")]

use super::frames::FRAMES;
use super::{MapError, PhysAddr, reclaim_for};
use crate::arch::paging;
use toro_memory::PAGE_BYTES;
use toro_memory::map::Range;

/// The boot module, at a page's start; `None` when there is none. It can be read for good, and costs nothing before it is asked
/// for: a page table's entry for each 2 MiB.
///
/// # Errors
/// [`MapError::OutOfMemory`] when there is no frame for a page table, [`MapError::OutOfReach`] when the module lies beyond 512 GiB.
pub fn module() -> Result<Option<&'static [u8]>, MapError> {
    let Some(module) = crate::start::boot_info().and_then(|boot| boot.module) else { return Ok(None) };
    let bytes = usize::try_from(module.bytes()).map_err(|_| MapError::OutOfReach)?;
    let end = module.end.checked_next_multiple_of(PAGE_BYTES).ok_or(MapError::OutOfReach)?;
    let pages = Range { start: module.start, end };
    let show = || match FRAMES.with(|frames| frames.show(pages)) {
        Err(MapError::OutOfMemory) => None,
        answer => Some(answer),
    };
    show().or_else(|| reclaim_for(show)).unwrap_or(Err(MapError::OutOfMemory))?;
    let start = core::ptr::with_exposed_provenance(paging::direct(PhysAddr(module.start)));
    // SAFETY: mapped for good; these frames were taken out of usable RAM at boot, so the kernel gives them to nobody, nothing
    // writes to them, and any bytes are valid.
    Ok(Some(unsafe { core::slice::from_raw_parts(start, bytes) }))
}
