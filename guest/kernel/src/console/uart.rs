//! A 16550 UART at 0x3f8, where there is one.

use crate::arch::interrupt::Vector;
use crate::arch::{interrupt, io_apic, port};

const BASE: u16 = 0x3f8;
const DATA: u16 = BASE;
const INTERRUPT_ENABLE: u16 = BASE + 1;
const FIFO_CONTROL: u16 = BASE + 2;
const MODEM_CONTROL: u16 = BASE + 4;
const LINE_STATUS: u16 = BASE + 5;
const SCRATCH: u16 = BASE + 7;
const DATA_READY: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
const FIFO_BYTES: usize = 16;
/// Line of the first serial port, on every machine that has one.
const GSI: u32 = 4;

/// Is there a UART? Its scratch register keeps what is written; an absent port does not.
pub(super) fn present() -> bool {
    port::outb(SCRATCH, 0x5a);
    if port::inb(SCRATCH) != 0x5a {
        return false;
    }
    port::outb(FIFO_CONTROL, 0x07);
    true
}

/// Writes all bytes, in FIFO-sized pieces. Waits while the host does not read, as a writer to a full pipe does: what
/// was said is not dropped.
pub(super) fn write(bytes: &[u8]) {
    for piece in bytes.chunks(FIFO_BYTES) {
        while port::inb(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {
            core::hint::spin_loop();
        }
        port::write_bytes(DATA, piece);
    }
}

/// Asks for an interrupt when input arrives; which one that is.
pub(super) fn enable_input() -> Option<Vector> {
    let vector = interrupt::allocate("uart")?;
    if let Err(error) = io_apic::route_gsi(GSI, vector) {
        log::warn!("console: input only while something else is awake: interrupt line {GSI}: {error}");
        return None;
    }
    port::outb(MODEM_CONTROL, 0x0b); // OUT2 lets the interrupt out
    port::outb(INTERRUPT_ENABLE, DATA_READY);
    Some(vector)
}

/// The next byte of input, if one has arrived.
pub(super) fn read() -> Option<u8> {
    (port::inb(LINE_STATUS) & DATA_READY != 0).then(|| port::inb(DATA))
}
