//! Devices: found once at boot, all of them virtio.
//!
//! ```text
//! find       where devices are: announced on the command line, in QEMU's slots, on PCI
//! transport  how their registers are reached: MMIO or PCI, chosen at run time
//! net, rng, console   what is said, over the rings of `toro_virtqueue`
//! ```
//! A device that cannot be used is reported in one line and left alone; the machine starts without it.

mod config_space;
mod console;
mod error;
mod find;
mod net;
mod registers;
mod rng;
mod shared;
mod transport;

pub use net::{ControlQueue, LinkWatch, NetDevice, Pair, Receiver, Transmitter};
pub use rng::RngDevice;
pub use toro_virtqueue::net::{Checksum, Full, Offloads, Verification};

use crate::boot::BootInfo;
use alloc::vec::Vec;
use error::DeviceError;
use toro_abi::network::CARDS_MAX;
use toro_virtqueue::spec::device_type;
use transport::Transport;

/// See [`console::hold`](crate::console::hold).
pub(crate) fn hold_console(f: impl FnOnce()) {
    console::hold(f);
}

/// Makes the console's device usable for the last report.
pub(crate) fn seize_console() {
    console::seize();
}

/// What the machine has, ready for use.
#[derive(Debug, Default)]
pub struct Devices {
    /// The network cards, `eth0` first; `None` for one that cannot be used.
    pub net: Vec<Option<NetDevice>>,
    /// The first entropy source.
    pub rng: Option<RngDevice>,
}

/// Finds and starts the devices. A virtio-console becomes the console where there is no other.
#[cold]
pub fn discover(boot: &BootInfo) -> Devices {
    let mut devices = Devices::default();
    find::each(boot, &mut |device_type, transport| devices.start(boot, device_type, transport));
    devices
}

impl Devices {
    #[cold]
    fn start(&mut self, boot: &BootInfo, device_type: u32, transport: Transport) {
        match device_type {
            device_type::NET if self.net.len() < CARDS_MAX => {
                let number = self.net.len();
                self.net.push(NetDevice::start(transport, boot.memory.bytes(), number));
            }
            device_type::NET => log::warn!("the network card at {transport} is not used: {CARDS_MAX} are the most"),
            device_type::RNG if self.rng.is_none() => match RngDevice::start(transport) {
                Ok(rng) => self.rng = Some(rng),
                Err((transport, error)) => log::error!("virtio-rng {transport}: {error}"),
            },
            device_type::CONSOLE if !crate::console::is_attached() => {
                if let Err((transport, error)) = console::start(transport) {
                    log::error!("virtio-console {transport}: {error}");
                }
            }
            device_type::RNG | device_type::CONSOLE => {
                log::info!("another device of type {device_type} at {transport} is not used");
            }
            other => log::info!("no driver for virtio device type {other} at {transport}"),
        }
    }
}
