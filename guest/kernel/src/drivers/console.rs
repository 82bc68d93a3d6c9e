//! The console of machines without a UART: port 0 of a virtio-console.

use super::DeviceError;
use super::registers::Doorbell;
use super::shared::{SharedBuffers, SharedRing};
use super::transport::{Line, Transport};
use crate::arch::interrupt::{self, Vector};
use crate::arch::{SpinLock, cpu};
use crate::console::{self, Port};
use alloc::boxed::Box;
use toro_virtqueue::{Buffers, Direction, Interrupts, Notify, Options, Queue};

const INPUT_QUEUE: u16 = 0;
const OUTPUT_QUEUE: u16 = 1;
const SLOTS: u16 = 4;
const SLOT_BYTES: usize = 512;

static CONSOLE: SpinLock<Option<Box<Console>>> = SpinLock::new(None);
static PORT: ConsolePort = ConsolePort;

/// See [`SpinLock::hold`].
pub(super) fn hold(f: impl FnOnce()) {
    CONSOLE.hold(f);
}

/// See [`SpinLock::seize`].
pub(super) fn seize() {
    CONSOLE.seize();
}

struct Console {
    input: Half,
    output: Half,
    /// Input that was taken from its queue: the slot, its bytes, and how many of them were read.
    current: Option<(u16, usize, usize)>,
    interrupts: Option<(interrupt::Vector, u64)>,
    transport: Transport,
    /// The host does not read, or the device is broken.
    dead: bool,
}

struct Half {
    queue: Queue<SharedRing>,
    buffers: SharedBuffers,
    doorbell: Doorbell,
}

/// Starts the device behind `transport` and makes it the console.
pub(super) fn start(transport: Transport) -> Result<(), (Transport, DeviceError)> {
    let setup = || -> Result<_, DeviceError> {
        transport.negotiate(0)?;
        let vector = interrupt::allocate("virtio-console");
        let vector = vector.filter(|vector| transport.route_interrupts(Line::FIRST, *vector).is_ok());
        let half = |index, direction, vector: Option<Vector>| -> Result<Half, DeviceError> {
            let layout = transport.layout(index, SLOTS)?;
            let ring = SharedRing::new(layout.bytes())?;
            let buffers = SharedBuffers::new(layout.size(), SLOT_BYTES)?;
            let doorbell = transport.start_queue(index, layout, &ring, vector.map(|_| Line::FIRST))?;
            let options = Options { direction, event_index: false };
            Ok(Half { queue: Queue::new(ring, layout, options, &buffers), buffers, doorbell })
        };
        let input = half(INPUT_QUEUE, Direction::FromDevice, vector)?;
        Ok((input, half(OUTPUT_QUEUE, Direction::ToDevice, None)?, vector))
    };
    let (input, output, vector) = match setup() {
        Ok(parts) => parts,
        Err(error) => {
            transport.stop();
            return Err((transport, error));
        }
    };
    transport.start();
    log::info!("virtio-console {transport}");
    let interrupts = vector.map(|vector| (vector, u64::MAX));
    let mut device = Console { input, output, current: None, interrupts, transport, dead: false };
    for slot in 0..device.input.queue.layout().size() {
        device.input.queue.post(slot);
    }
    device.input.publish();
    CONSOLE.with(|console| *console = Some(Box::new(device)));
    console::attach(&PORT);
    Ok(())
}

impl Half {
    fn publish(&mut self) {
        if self.queue.publish() == Notify::Needed {
            self.doorbell.ring();
        }
    }
}

impl Console {
    /// Writes all bytes and waits until the device has taken them: the last of them may come just before the end.
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(SLOT_BYTES) {
            let Some(slot) = self.free_slot(self.output.queue.layout().size() - 1) else { return };
            self.output.buffers.bytes(slot)[..piece.len()].copy_from_slice(piece);
            self.output.queue.post_bytes(slot, piece.len() as u32);
            self.output.publish();
        }
        let _all_taken = self.free_slot(0);
    }

    /// A free output slot, once at most `in_flight_max` are with the device.
    fn free_slot(&mut self, in_flight_max: u16) -> Option<u16> {
        if self.dead {
            return None;
        }
        while self.output.queue.in_flight() > in_flight_max {
            match self.output.queue.pop() {
                Ok(Some(_)) => {}
                // The host does not read just now: what was said is not dropped.
                Ok(None) => cpu::relax(),
                // There is nobody left whom one could tell.
                Err(_) => {
                    self.dead = true;
                    return None;
                }
            }
        }
        self.output.queue.free_slot()
    }

    fn read(&mut self) -> Option<u8> {
        loop {
            if let Some((slot, bytes, read)) = &mut self.current {
                if *read < *bytes {
                    *read += 1;
                    return self.input.buffers.bytes(*slot).get(*read - 1).copied();
                }
                self.input.queue.post(*slot);
                self.input.publish();
                self.current = None;
            }
            match self.input.queue.pop() {
                Ok(Some(used)) => self.current = Some((used.slot, used.bytes as usize, 0)),
                Ok(None) if self.rest() == Interrupts::Pending => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Nothing is there: asks for an interrupt, if input is wanted at all.
    fn rest(&mut self) -> Interrupts {
        let Some((vector, acknowledged)) = &mut self.interrupts else { return Interrupts::Armed };
        let taken = interrupt::count(*vector);
        if *acknowledged != taken {
            *acknowledged = taken;
            self.transport.acknowledge_interrupt();
        }
        self.input.queue.enable_interrupts()
    }
}

struct ConsolePort;

impl Port for ConsolePort {
    fn write(&self, bytes: &[u8]) {
        CONSOLE.with(|console| {
            if let Some(console) = console {
                console.write(bytes);
            }
        });
    }

    fn read(&self) -> Option<u8> {
        CONSOLE.with(|console| console.as_mut().and_then(|console| console.read()))
    }

    /// Nothing to do: [`read`](Port::read) asks for an interrupt whenever it finds nothing, and costs no exit.
    fn enable_input(&self) -> Option<Vector> {
        None
    }
}
