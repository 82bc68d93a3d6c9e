//! The machine's memory.

/// How much memory there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// RAM beside the image and the boot module.
    pub total: usize,
    /// What of it nobody uses. What the kernel keeps for later (stacks, emptied pages) is in use.
    pub free: usize,
}

/// How much there is, and how much nobody uses.
#[must_use]
pub fn usage() -> Usage {
    let (total, free) = toro_kernel::mm::usage();
    Usage { total, free }
}
