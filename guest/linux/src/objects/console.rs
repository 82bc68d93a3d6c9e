//! Standard input, output and error: to the program they are pipes to the host.

use super::{Object, OpenFile, pipe};
use crate::files::anonymous_status;
use crate::memory::Transfer;
use crate::task::Task;
use crate::watch::{Events, Source};
use toro::io::{self, Write, input};
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::raw::ioctl::FIONREAD;
use toro_linux_abi::tree::FileType;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Told when input arrives.
static INPUT: Source = Source::new();

/// Starts to tell who waits for input.
pub(crate) fn begin() {
    input::watch(|| INPUT.notify());
}

/// One of the three.
pub(crate) struct Console(pub Stream);

/// Bytes that are moved at a time.
const PIECE: usize = 1024;

impl Object for Console {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        if self.0 != Stream::Input {
            return Err(Errno::BADF);
        }
        // What is taken from the host cannot be put back, so there is to be a place for it first.
        if to.left() == 0 || !to.is_writable(PIECE) {
            return Ok(0);
        }
        let mut piece = [0; PIECE];
        let room = to.left().min(PIECE);
        let bytes = input::try_read(&mut piece[..room]).ok_or(Errno::AGAIN)?;
        Ok(to.give(&piece[..bytes]))
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        if self.0 == Stream::Input {
            return Err(Errno::BADF);
        }
        let mut done = 0;
        let mut piece = [0; PIECE];
        while from.left() > 0 {
            let bytes = from.take(&mut piece);
            if bytes == 0 {
                break;
            }
            let written = match self.0 {
                Stream::Error => io::stderr().write_all(&piece[..bytes]),
                _ => io::stdout().write_all(&piece[..bytes]),
            };
            written.map_err(|_| Errno::IO)?;
            done += bytes;
        }
        Ok(done)
    }

    fn readiness(&self) -> Events {
        if self.0 != Stream::Input {
            return Events::OUT;
        }
        let (bytes, has_ended) = input::waiting();
        Events::IN.when(bytes > 0).and(Events::HUP.when(has_ended))
    }

    fn source(&self) -> Option<&Source> {
        Some(&INPUT)
    }

    fn status(&self) -> Stat {
        anonymous_status(FileType::Fifo, 0o600, 1 + self.0 as u64)
    }

    fn control(&self, task: &mut Task, request: u32, argument: u64) -> Result<u64, Errno> {
        if request == FIONREAD && self.0 == Stream::Input {
            task.process.memory.put(argument, &(input::waiting().0 as i32))?;
            return Ok(0);
        }
        Err(Errno::NOTTY)
    }

    fn reopen(&self, flags: u32) -> Result<Arc<OpenFile>, Errno> {
        Ok(OpenFile::new(Box::new(Console(self.0)), flags))
    }

    fn pipe_bytes(&self) -> Option<usize> {
        Some(pipe::CAPACITY)
    }

    fn name(&self) -> Vec<u8> {
        format!("pipe:[{}]", 1 + self.0 as u64).into_bytes()
    }
}
