//! Guest instructions and exits, counted live while QEMU runs the guest.
//!
//! One crate, two halves that share `layout`: built as a shared object it is a QEMU TCG plugin that
//! adds to counters in a mapped file (`plugin`, `qemu`, `decode`); linked as a library it reads that
//! file at any moment without asking QEMU (`reader`). Use it as
//! `-plugin libtoro_counter.so,out=FILE[,devices=on][,blocks=on][,processors=N|all][,watch=0xADDRESS]..[,profile=FILE]`.
//! Checked with QEMU 7.2.22 and 10.0.2.
//!
//! Plain adds from several host threads can lose counts: use `-smp 1`, or `-accel tcg,thread=single`.

mod decode;
mod layout;
mod plugin;
mod profile;
mod qemu;
mod reader;

pub use layout::Counter;
pub use profile::Profile;
pub use reader::{DeviceAccesses, Marker, OpenError, Reader, Snapshot};
