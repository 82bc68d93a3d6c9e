//! Why a device cannot be used.

use crate::mm::{MapError, OutOfMemory};
use toro_pci::NoSpace;

/// Why a device cannot be used; the line that reports it names the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeviceError {
    /// Its registers are said to be in RAM, or nowhere.
    Place(u64),
    /// Its registers cannot be mapped, or its interrupt cannot be routed.
    Map(MapError),
    /// No memory for its queues.
    OutOfMemory,
    /// It speaks only the protocol from before version 1 of the specification.
    Legacy,
    /// It does not finish its reset.
    Reset,
    /// It does not accept features that it offered.
    Features,
    /// It has no such queue.
    Queue(u16),
    /// Its PCI structures are missing or outside its BARs.
    Structures,
    /// There is no place for its BARs.
    NoSpace(NoSpace),
    /// It has no MSI-X, or no vector is left.
    Interrupt,
}

impl From<MapError> for DeviceError {
    fn from(error: MapError) -> DeviceError {
        DeviceError::Map(error)
    }
}

impl From<OutOfMemory> for DeviceError {
    fn from(_: OutOfMemory) -> DeviceError {
        DeviceError::OutOfMemory
    }
}

impl From<NoSpace> for DeviceError {
    fn from(error: NoSpace) -> DeviceError {
        DeviceError::NoSpace(error)
    }
}

impl core::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Place(address) => write!(f, "there can be no device at {address:#x}"),
            Self::Map(error) => error.fmt(f),
            Self::OutOfMemory => f.write_str("no memory for its queues"),
            Self::Legacy => f.write_str(
                "it speaks only legacy virtio (QEMU: add -global virtio-mmio.force-legacy=false, or disable-modern=off)",
            ),
            Self::Reset => f.write_str("it does not finish its reset"),
            Self::Features => f.write_str("it refuses features that it offered"),
            Self::Queue(index) => write!(f, "it has no queue {index}"),
            Self::Structures => f.write_str("its PCI structures are missing or out of range"),
            Self::NoSpace(error) => error.fmt(f),
            Self::Interrupt => f.write_str("it has no MSI-X (QEMU: use -netdev and -device, not -nic, and leave vectors= out)"),
        }
    }
}
