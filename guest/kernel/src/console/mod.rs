//! The console: what the program prints, what the kernel has to say, and the program's input.
//!
//! One byte stream leads to the host, over the UART or, on machines without one, over virtio-console. With
//! a token on the command line it is divided into streams (`toro_abi::console`), so the host can tell
//! program from kernel and trust the outcome; without one (plain QEMU) it is plain text. Output from before
//! there is a device is kept and written when there is.

mod debug_port;
pub mod input;
mod uart;

use crate::arch::interrupt::Vector;
use crate::arch::{SpinLock, depth};
use core::fmt::{self, Write};
use toro_abi::cards::Card;
use toro_abi::cmdline::CommandLine;
use toro_abi::console::{Stream, Token};
use toro_abi::control::Control;
use toro_abi::outcome::Kind;
use toro_abi::sockets::Socket;

const EARLY_BYTES_MAX: usize = 2048;
/// Most of a line that goes out in one piece. A record for the host is shorter.
const LINE_BYTES: usize = 256;

/// Where the bytes go.
#[derive(Clone, Copy)]
enum Device {
    /// Nowhere yet.
    None,
    Uart,
    /// A driver's functions; see [`attach`].
    Driver(&'static dyn Port),
}

/// A console device that a driver found.
pub trait Port: Sync {
    /// Writes all bytes; returns when the device has taken them.
    fn write(&self, bytes: &[u8]);
    /// The next byte of input, if one has arrived.
    fn read(&self) -> Option<u8>;
    /// Asks for an interrupt when input arrives; which one that is, or `None` when looking is cheap.
    fn enable_input(&self) -> Option<Vector>;
}

struct Console {
    device: Device,
    token: Option<Token>,
    stream: Stream,
    /// The last byte of plain output was not a line end.
    middle_of_line: bool,
}

static CONSOLE: SpinLock<Console> =
    SpinLock::new(Console { device: Device::None, token: None, stream: Stream::Log, middle_of_line: false });

/// Output from before there is a device.
struct Early {
    bytes: [u8; EARLY_BYTES_MAX],
    count: usize,
    /// Something did not fit.
    lost: bool,
}

static EARLY: SpinLock<Early> = SpinLock::new(Early { bytes: [0; EARLY_BYTES_MAX], count: 0, lost: false });

impl Early {
    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(EARLY_BYTES_MAX - self.count);
        self.bytes[self.count..][..kept].copy_from_slice(&bytes[..kept]);
        self.count += kept;
        self.lost |= kept < bytes.len();
    }
}

/// Looks for a UART. Everything printed works from here on.
pub fn init() {
    if uart::present() {
        CONSOLE.with(|console| console.device = Device::Uart);
    }
}

/// Reads the token, and tells the host where the image is.
pub fn start_streams(command_line: CommandLine<'_>, image_base: u64) {
    if let Some(token) = command_line.get(toro_abi::cmdline::TOKEN).and_then(|value| Token::parse(value.encoded())) {
        CONSOLE.with(|console| console.token = Some(token));
        control(&Control::Boot { base: image_base, version: toro_abi::VERSION, revision: toro_abi::REVISION });
        crate::power::kernel_spoke();
    }
}

/// Is there a host that tells the streams apart, and reads records?
fn has_streams() -> bool {
    CONSOLE.with(|console| console.token.is_some())
}

/// Is there a device to write to?
pub fn is_attached() -> bool {
    CONSOLE.with(|console| !matches!(console.device, Device::None))
}

/// Uses `port` from now on, and writes to it what was said before.
pub fn attach(port: &'static dyn Port) {
    CONSOLE.with(|console| {
        console.device = Device::Driver(port);
        EARLY.with(|early| {
            port.write(&early.bytes[..early.count]);
            if early.lost {
                port.write(b"[some early output was lost]\n");
            }
        });
    });
}

impl Console {
    fn raw(&mut self, bytes: &[u8]) {
        match self.device {
            Device::Uart => uart::write(bytes),
            Device::Driver(port) => port.write(bytes),
            Device::None => {
                debug_port::write(bytes);
                EARLY.with(|early| early.keep(bytes));
            }
        }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(token) = self.token
            && self.stream != stream
        {
            self.raw(&token.marker(stream));
            self.stream = stream;
        }
        self.raw(bytes);
        self.middle_of_line = bytes.last() != Some(&b'\n');
    }
}

/// What is formatted goes out in pieces as large as a line, so that lines of several cores do not mix.
struct Writer {
    stream: Stream,
    bytes: [u8; LINE_BYTES],
    count: usize,
    /// A line of the kernel begins a line, in plain output too.
    begins: bool,
}

impl Writer {
    fn new(stream: Stream) -> Self {
        Writer { stream, bytes: [0; LINE_BYTES], count: 0, begins: stream == Stream::Log }
    }

    #[inline(never)]
    fn flush(&mut self) {
        let _kernel = depth::enter();
        CONSOLE.with(|console| {
            if self.begins && console.token.is_none() && console.middle_of_line {
                console.raw(b"\n");
            }
            console.write(self.stream, &self.bytes[..self.count]);
            if self.stream == Stream::Control {
                console.stream = Stream::Log; // a record is one line
            }
        });
        (self.begins, self.count) = (false, 0);
    }

    /// Writes a line.
    #[inline(never)]
    fn line(mut self, line: fmt::Arguments<'_>) {
        let _infallible = self.write_fmt(line).and_then(|()| self.write_str("\n"));
        self.flush();
    }
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.as_bytes().chunks(LINE_BYTES) {
            if piece.len() > LINE_BYTES - self.count {
                self.flush();
            }
            self.bytes[self.count..][..piece.len()].copy_from_slice(piece);
            self.count += piece.len();
        }
        Ok(())
    }
}

/// Writes program output.
pub fn stdout(bytes: &[u8]) {
    let _kernel = depth::enter();
    CONSOLE.with(|console| console.write(Stream::Stdout, bytes));
}

/// Writes program errors.
pub fn stderr(bytes: &[u8]) {
    let _kernel = depth::enter();
    CONSOLE.with(|console| console.write(Stream::Stderr, bytes));
}

/// Writes a line of the kernel's log or of a report.
pub fn kernel_line(line: fmt::Arguments<'_>) {
    Writer::new(Stream::Log).line(line);
}

/// Tells the host something; nothing without a host that listens.
pub fn control(record: &Control) {
    if has_streams() {
        Writer::new(Stream::Control).line(format_args!("{record}"));
    }
}

/// Tells the host a figure that was asked for; nothing without a host that listens.
#[inline(never)]
pub fn stat(core: Option<usize>, prefix: &str, name: &str, value: &dyn fmt::Display) {
    if has_streams() {
        let writer = Writer::new(Stream::Control);
        match core {
            None => writer.line(format_args!("event=stat name={prefix}{name} value={value}")),
            Some(core) => writer.line(format_args!("event=stat name={prefix}{name} value={value} core={core}")),
        }
    }
}

/// Sends a piece of a crashed program's stack; nothing without a host that unwinds it.
pub fn stack(piece: &toro_abi::stack::Piece<'_>) {
    record(piece);
}

/// Sends a piece of what a thread of a crashed program has in registers; nothing without a host that wants it.
pub fn thread_state(piece: &toro_abi::thread_state::Piece<'_>) {
    record(piece);
}

/// All figures were told.
pub fn stats_end() {
    record(&toro_abi::stats::END);
}

/// Tells the host how a network card stands; nothing without a host that listens.
pub fn card(card: &Card) {
    record(card);
}

/// Tells the host how a socket stands; nothing without a host that listens.
pub fn socket(socket: &Socket) {
    record(socket);
}

/// All sockets were told.
pub fn network_end() {
    record(&toro_abi::stats::NETWORK_END);
}

fn record(record: &dyn fmt::Display) {
    if has_streams() {
        Writer::new(Stream::Control).line(format_args!("{record}"));
    }
}

/// Writes the outcome; the last thing a guest says.
pub fn outcome(kind: Kind, message: fmt::Arguments<'_>) {
    if has_streams() {
        let mut writer = Writer::new(Stream::Outcome);
        let _infallible = toro_abi::outcome::write(&mut writer, kind, message).and_then(|()| writer.write_str("\n"));
        return writer.flush();
    }
    let separator = if message.as_str() == Some("") { "" } else { ": " };
    match kind {
        Kind::Exit { status } => kernel_line(format_args!("toro: the program ended with status {status}")),
        Kind::Boot => kernel_line(format_args!("toro: boot failed: {message}")),
        Kind::Signal { number } => {
            kernel_line(format_args!("toro: the program was ended by signal {number}{separator}{message}"));
        }
        kind => kernel_line(format_args!("toro: ended by {}{separator}{message}", kind.name())),
    }
}

/// Runs `f` while no core is in the middle of writing, if that comes about soon: a core that is stopped there takes
/// the device's queue with it, and the machine's last words.
pub fn hold(f: impl FnOnce()) {
    CONSOLE.hold(|| crate::drivers::hold_console(f));
}

/// Makes the console usable for the last report, whatever it was in the middle of.
pub fn seize() {
    CONSOLE.seize();
    EARLY.seize();
    crate::drivers::seize_console();
}
