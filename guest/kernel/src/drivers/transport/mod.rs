//! How the registers of a virtio device are reached: by MMIO or PCI, chosen when it is found.

mod mmio;
mod pci;

pub(super) use mmio::Mmio;
pub(super) use pci::Pci;

use super::DeviceError;
use super::registers::Doorbell;
use super::shared::SharedRing;
use crate::arch::interrupt::Vector;
use core::fmt;
use toro_virtqueue::spec::{feature, status};
use toro_virtqueue::{Layout, SIZE_MAX};

/// Looks at the status before a reset is given up.
const RESET_LOOKS_MAX: u32 = 100_000;

/// One of a device's interrupts: an entry of its MSI-X table, or its only line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line(pub(super) u16);

impl Line {
    /// The one that every device has.
    pub(super) const FIRST: Line = Line(0);
}

/// The registers of one device.
#[derive(Debug)]
pub(super) enum Transport {
    /// Registers at a fixed place, an interrupt line.
    Mmio(Mmio),
    /// Registers in BARs, interrupts by MSI-X.
    Pci(Pci),
}

/// Calls the transport's own function.
macro_rules! forward {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self {
            Transport::Mmio($inner) => $call,
            Transport::Pci($inner) => $call,
        }
    };
}

impl Transport {
    /// Resets the device and agrees on those of the `wanted` features that it offers; `VERSION_1` is a must.
    pub(super) fn negotiate(&self, wanted: u64) -> Result<u64, DeviceError> {
        self.negotiate_by(|_| wanted)
    }

    /// The same, when what is wanted depends on what is offered.
    pub(super) fn negotiate_by(&self, wanted: impl FnOnce(u64) -> u64) -> Result<u64, DeviceError> {
        self.reset()?;
        self.set_status(status::ACKNOWLEDGE);
        self.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let offered = forward!(self, inner => inner.features());
        if offered & feature::VERSION_1 == 0 {
            self.set_status(status::FAILED);
            return Err(DeviceError::Legacy);
        }
        let agreed = offered & (wanted(offered) | feature::VERSION_1);
        forward!(self, inner => inner.accept_features(agreed));
        self.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
        if self.status() & status::FEATURES_OK == 0 {
            self.set_status(status::FAILED);
            return Err(DeviceError::Features);
        }
        Ok(agreed)
    }

    /// The layout of queue `index`: as many slots as are wanted and the device has.
    pub(super) fn layout(&self, index: u16, wanted: u16) -> Result<Layout, DeviceError> {
        let offered = forward!(self, inner => inner.queue_size_max(index));
        Layout::fitting(offered, wanted.min(SIZE_MAX)).ok_or(DeviceError::Queue(index))
    }

    /// Lets the device use `ring` as its queue `index`. Completions interrupt only when `interrupt` names a [`Line`].
    pub(super) fn start_queue(
        &self,
        index: u16,
        layout: Layout,
        ring: &SharedRing,
        interrupt: Option<Line>,
    ) -> Result<Doorbell, DeviceError> {
        let base = ring.device_address();
        let parts = [layout.descriptors(), layout.avail(), layout.used()].map(|offset| base + offset as u64);
        forward!(self, inner => inner.start_queue(index, layout.size(), parts, interrupt))
    }

    /// How many interrupts it has that can go to different cores.
    pub(super) fn lines(&self) -> u16 {
        match self {
            Transport::Mmio(_) => 1,
            Transport::Pci(pci) => pci.lines(),
        }
    }

    /// Lets the device raise `vector` on this core by `line`.
    pub(super) fn route_interrupts(&self, line: Line, vector: Vector) -> Result<(), DeviceError> {
        match self {
            Transport::Mmio(mmio) => mmio.route_interrupts(vector),
            Transport::Pci(pci) => pci.route_interrupts(line, vector),
        }
    }

    /// Lets the device tell changes of its configuration by `line`; `false` when it cannot.
    pub(super) fn route_changes(&self, line: Line) -> bool {
        match self {
            Transport::Mmio(_) => line == Line::FIRST, // always
            Transport::Pci(pci) => pci.route_changes(line),
        }
    }

    /// The device may work from now on.
    pub(super) fn start(&self) {
        self.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK);
    }

    /// Takes the device out of use: it touches none of its queues any more.
    pub(super) fn stop(&self) {
        if let Err(error) = self.reset() {
            log::warn!("the device at {self}: {error}, and may still write to what it was given");
        }
    }

    /// The device forgets everything, which is done when its status reads 0 (virtio 1.2, 2.4.2).
    fn reset(&self) -> Result<(), DeviceError> {
        self.set_status(0);
        let is_done = (0..RESET_LOOKS_MAX).any(|_| self.status() == 0);
        if is_done { Ok(()) } else { Err(DeviceError::Reset) }
    }

    /// Reads a byte of the device's own configuration; 0 beyond its end.
    pub(super) fn config_u8(&self, offset: usize) -> u8 {
        let config = forward!(self, inner => inner.config());
        config.filter(|config| config.holds(offset, 1)).map_or(0, |config| config.read_u8(offset))
    }

    /// Reads 16 bits of the device's own configuration; 0 beyond its end.
    pub(super) fn config_u16(&self, offset: usize) -> u16 {
        let config = forward!(self, inner => inner.config());
        config.filter(|config| config.holds(offset, 2)).map_or(0, |config| config.read_u16(offset))
    }

    /// The interrupt was taken: lowers the line, where there is one.
    pub(super) fn acknowledge_interrupt(&self) {
        match self {
            Transport::Mmio(mmio) => mmio.acknowledge_interrupt(),
            Transport::Pci(_) => {} // a message, not a line
        }
    }

    fn status(&self) -> u8 {
        forward!(self, inner => inner.status())
    }

    fn set_status(&self, status: u8) {
        forward!(self, inner => inner.set_status(status));
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        forward!(self, inner => inner.fmt(f))
    }
}
