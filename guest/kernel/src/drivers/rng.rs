//! The entropy source: asks for some bytes at once, and takes them when they are needed.

use super::DeviceError;
use super::registers::Doorbell;
use super::shared::{SharedBuffers, SharedRing};
use super::transport::Transport;
use crate::arch::{cpu, time};
use toro_virtqueue::{Buffers, Direction, Notify, Options, Queue};

const QUEUE: u16 = 0;
const SLOT: u16 = 0;
const BYTES: usize = 64;
/// How long an answer may take before the device is given up.
const WAIT_NS_MAX: u64 = 100_000_000;

/// A virtio entropy source.
#[derive(Debug)]
pub struct RngDevice {
    queue: Queue<SharedRing>,
    buffers: SharedBuffers,
    doorbell: Doorbell,
    transport: Transport,
}

impl RngDevice {
    /// Starts the device behind `transport`, and asks for the first bytes.
    #[cold]
    pub(super) fn start(transport: Transport) -> Result<RngDevice, (Transport, DeviceError)> {
        let setup = || -> Result<_, DeviceError> {
            transport.negotiate(0)?;
            let layout = transport.layout(QUEUE, 1)?;
            let ring = SharedRing::new(layout.bytes())?;
            let buffers = SharedBuffers::new(layout.size(), BYTES)?;
            let doorbell = transport.start_queue(QUEUE, layout, &ring, None)?;
            let options = Options { direction: Direction::FromDevice, event_index: false };
            Ok((Queue::new(ring, layout, options, &buffers), buffers, doorbell))
        };
        let (queue, buffers, doorbell) = match setup() {
            Ok(parts) => parts,
            Err(error) => {
                transport.stop();
                return Err((transport, error));
            }
        };
        transport.start();
        log::info!("virtio-rng {transport}");
        let mut device = RngDevice { queue, buffers, doorbell, transport };
        device.ask();
        Ok(device)
    }

    fn ask(&mut self) {
        self.queue.post(SLOT);
        if self.queue.publish() == Notify::Needed {
            self.doorbell.ring();
        }
    }

    /// Shows `mix` the bytes that were asked for, and asks for more. Waits for them at most a tenth of a second;
    /// false when none came.
    pub fn take(&mut self, mix: impl FnOnce(&[u8])) -> bool {
        let start_ns = time::now_ns();
        loop {
            match self.queue.pop() {
                Ok(Some(used)) => {
                    let bytes = self.buffers.bytes(SLOT);
                    let bytes = bytes.get_mut(..used.bytes as usize).unwrap_or_default();
                    mix(bytes);
                    bytes.fill(0);
                    let some = !bytes.is_empty();
                    self.ask();
                    return some;
                }
                Ok(None) if time::now_ns() - start_ns < WAIT_NS_MAX => cpu::relax(),
                Ok(None) => {
                    log::warn!("virtio-rng {} does not answer", self.transport);
                    return false;
                }
                Err(broken) => {
                    log::warn!("virtio-rng {}: {broken}", self.transport);
                    return false;
                }
            }
        }
    }
}

impl Drop for RngDevice {
    /// The device must not write into memory that is given back.
    fn drop(&mut self) {
        self.transport.stop();
    }
}
