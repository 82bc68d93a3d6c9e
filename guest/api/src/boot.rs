//! What the machine was given when it started.

pub use toro_kernel::mm::MapError;

/// The boot module, in place: what the VMM passed by `-initrd`, else what is loaded with the image. Its first byte lies at the
/// start of a page. `None` when there is none.
///
/// # Errors
/// [`MapError`], when there is no memory to map it, or it lies out of reach.
pub fn module() -> Result<Option<&'static [u8]>, MapError> {
    toro_kernel::mm::module()
}
