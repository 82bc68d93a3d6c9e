//! The program's input, output and error streams, and the macros that print.

use super::{BufRead, BufReader, Lines, Read, Result, Write};
use crate::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use toro_kernel::console;

/// The program's output. Each write goes out at once, byte for byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdout;

/// The program's error output. Each write goes out at once, byte for byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

/// The program's input, buffered; what `toro run` reads, with its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdin;

/// The right to read the program's input, until dropped.
#[derive(Debug)]
pub struct StdinLock<'a> {
    buffer: MutexGuard<'a, BufReader<Console>>,
}

/// The program's output.
#[must_use]
pub const fn stdout() -> Stdout {
    Stdout
}

/// The program's error output.
#[must_use]
pub const fn stderr() -> Stderr {
    Stderr
}

/// The program's input.
#[must_use]
pub const fn stdin() -> Stdin {
    Stdin
}

static INPUT: LazyLock<Mutex<BufReader<Console>>> =
    LazyLock::new(|| Mutex::new(BufReader::with_capacity(1024, Console)));

/// The console as the kernel gives it.
#[derive(Debug)]
struct Console;

impl Read for Console {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(console::input::read(buffer))
    }
}

impl Stdin {
    /// Waits until no other thread reads.
    pub fn lock(&self) -> StdinLock<'static> {
        // A thread that faulted while it read has lost bytes, and nothing is half changed that matters.
        StdinLock { buffer: INPUT.checked_lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Appends a line with its line break; how many bytes it was. 0: the end.
    ///
    /// # Errors
    /// Those of [`BufRead::read_line`].
    pub fn read_line(&self, buffer: &mut String) -> Result<usize> {
        self.lock().read_line(buffer)
    }

    /// The lines, without their line breaks.
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }
}

/// Writes a line to the kernel's log, whatever the filter says: for tools that trace a program.
pub fn log_line(line: fmt::Arguments<'_>) {
    console::kernel_line(line);
}

/// The program's input as it arrives, without a buffer and without waiting: for a program with its own way to wait. What
/// [`Stdin`] has in its buffer is not seen here.
pub mod input {
    pub use toro_kernel::console::input::{try_read, waiting, watch, watch_stop};
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.lock().read(buffer)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.lock().read_to_end(buffer)
    }
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.buffer.read(buffer)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.buffer.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.buffer.consume(amount);
    }
}

impl Write for Stdout {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        console::stdout(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> Result<()> {
        print(console::stdout, arguments).map_err(Into::into)
    }
}

impl Write for Stderr {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        console::stderr(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> Result<()> {
        print(console::stderr, arguments).map_err(Into::into)
    }
}

/// Gathers the pieces that formatting makes, so that a line is one write to the device.
struct Line {
    bytes: [u8; 128],
    count: usize,
    write: fn(&[u8]),
}

impl Line {
    fn flush(&mut self) {
        (self.write)(&self.bytes[..self.count]);
        self.count = 0;
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > self.bytes.len() - self.count {
            self.flush();
        }
        if text.len() > self.bytes.len() {
            (self.write)(text.as_bytes());
        } else {
            self.bytes[self.count..][..text.len()].copy_from_slice(text.as_bytes());
            self.count += text.len();
        }
        Ok(())
    }
}

fn print(write: fn(&[u8]), arguments: fmt::Arguments<'_>) -> fmt::Result {
    if let Some(text) = arguments.as_str() {
        write(text.as_bytes());
        return Ok(());
    }
    let mut line = Line { bytes: [0; 128], count: 0, write };
    let result = fmt::write(&mut line, arguments);
    line.flush();
    result
}

/// What `print!` calls.
///
/// # Panics
/// When a value's own formatting fails, as `std`'s does.
#[doc(hidden)]
pub fn _print(arguments: fmt::Arguments<'_>) {
    print(console::stdout, arguments).expect("a formatting trait implementation returned an error");
}

/// What `eprint!` calls.
///
/// # Panics
/// When a value's own formatting fails, as `std`'s does.
#[doc(hidden)]
pub fn _eprint(arguments: fmt::Arguments<'_>) {
    print(console::stderr, arguments).expect("a formatting trait implementation returned an error");
}

/// Prints to the program's output.
///
/// ```no_run
/// # fn example() {
/// toro::print!("{} and ", 1);
/// toro::print!("2\n");
/// # }
/// ```
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {
        $crate::io::_print($crate::__private::format_args!($($argument)*))
    };
}

/// Prints a line to the program's output.
///
/// ```no_run
/// # fn example() {
/// let name = "Toro";
/// toro::println!("Hello from {name}");
/// # }
/// ```
#[macro_export]
macro_rules! println {
    () => {
        $crate::print!("\n")
    };
    ($($argument:tt)*) => {
        $crate::io::_print($crate::__private::format_args!("{}\n", $crate::__private::format_args!($($argument)*)))
    };
}

/// Prints to the program's error output.
#[macro_export]
macro_rules! eprint {
    ($($argument:tt)*) => {
        $crate::io::_eprint($crate::__private::format_args!($($argument)*))
    };
}

/// Prints a line to the program's error output.
#[macro_export]
macro_rules! eprintln {
    () => {
        $crate::eprint!("\n")
    };
    ($($argument:tt)*) => {
        $crate::io::_eprint($crate::__private::format_args!("{}\n", $crate::__private::format_args!($($argument)*)))
    };
}
