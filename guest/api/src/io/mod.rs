//! Reading and writing, shaped after `std::io`.
//!
//! `std`'s own traits are not available without an operating system, so these are their likeness: code that says
//! `use std::io::{Read, Write}` mostly needs nothing but the other path.
//!
//! ```no_run
//! use toro::io::{self, BufRead, Write};
//!
//! fn shout() -> io::Result<()> {
//!     for line in io::stdin().lock().lines() {
//!         writeln!(io::stdout(), "{}", line?.to_uppercase())?;
//!     }
//!     Ok(())
//! }
//! ```

mod buffered;
mod error;
mod read;
mod stdio;
mod util;
mod write;

pub use buffered::{BufReader, BufWriter};
pub use error::{Error, ErrorKind, Result};
pub use read::{BufRead, Bytes, Lines, Read, Split, Take};
pub use stdio::{Stderr, Stdin, StdinLock, Stdout, input, log_line, stderr, stdin, stdout};
pub use util::{Empty, Sink, copy, empty, read_to_string, sink};
pub use write::Write;

#[doc(hidden)]
pub use stdio::{_eprint, _print};

/// What programs that do input and output want in scope.
pub mod prelude {
    pub use super::{BufRead, Read, Write};
}
