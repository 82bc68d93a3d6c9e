//! Writing to readers who may be slow, or may not read at all: as long as it takes, until somebody is in a hurry.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What a reader has left to take in what is meant for him, once somebody is in a hurry.
const GRACE: Duration = Duration::from_secs(1);
/// A pipe that has room has room for this much.
const PIECE_BYTES: usize = 4096;

/// Whether writers may still wait for their readers.
#[derive(Debug)]
pub struct Hurry {
    /// Wakes writers; without one, which a process with too many files does not get, they wait until the limit.
    event: Option<OwnedFd>,
    began: OnceLock<Instant>,
    limit: OnceLock<Instant>,
}

impl Default for Hurry {
    fn default() -> Self {
        Self::new()
    }
}

impl Hurry {
    /// Nobody is in a hurry yet.
    pub fn new() -> Self {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        Self { event, began: OnceLock::new(), limit: OnceLock::new() }
    }

    /// Readers have one more second, together, and then what they have not taken is dropped.
    pub fn begin(&self) {
        self.began.get_or_init(Instant::now);
        if let Some(event) = &self.event {
            // It fails only when it has been written so often that it wakes anyway.
            let _written = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.began.get().is_some()
    }

    /// Has the hurry begin by itself at `limit`. Only the first call counts.
    pub fn begin_at(&self, limit: Instant) {
        self.limit.get_or_init(|| limit);
    }

    /// Writes all bytes; [`io::ErrorKind::TimedOut`] when the reader did not take them and somebody is in a hurry.
    pub fn write_all(&self, fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match write_if_room(fd, bytes)? {
                Some(len) => bytes = &bytes[len..],
                None if self.wait_for_room(fd)? => {}
                None => return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it")),
            }
        }
        Ok(())
    }

    /// Waits until something can be written, be it only to learn of an error; `false` when there is no time left.
    fn wait_for_room(&self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        loop {
            let began = self.began.get().copied();
            let end = began.into_iter().chain(self.limit.get().copied()).min().map(|began| began + GRACE);
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let timeout =
                left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
            let room = PollFd::from_borrowed_fd(fd, PollFlags::OUT);
            let polled = match &self.event {
                Some(event) if began.is_none() => {
                    let mut both = [room, PollFd::new(event, PollFlags::IN)];
                    poll(&mut both, timeout.as_ref()).map(|_| !both[0].revents().is_empty())
                }
                _ => poll(&mut [room], timeout.as_ref()).map(|ready| ready == 1),
            };
            match polled {
                Ok(true) => return Ok(true),
                Ok(false) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
                Ok(false) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Writes a piece, and tells how much of it; `None` when that would have to wait.
fn write_if_room(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    // Whoever finds room uses it before another thread does, or its write would wait after all.
    static WRITE: Mutex<()> = Mutex::new(());
    let _turn = WRITE.lock().unwrap_or_else(PoisonError::into_inner);
    if poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&Timespec::default())) != Ok(1) {
        return Ok(None);
    }
    match rustix::io::write(fd, &bytes[..bytes.len().min(PIECE_BYTES)]) {
        Ok(len) => Ok(Some(len)),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_slow_reader_gets_every_byte() {
        let (mut reader, writer) = io::pipe().unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number / 7) as u8).collect();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || Hurry::new().write_all(writer.as_fd(), &sent));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(writing.join().unwrap().is_ok() && read == bytes);
    }

    #[test]
    fn nobody_waits_for_one_who_does_not_read() {
        let (reader, writer) = io::pipe().unwrap();
        let hurry = std::sync::Arc::new(Hurry::new());
        let writing = std::thread::spawn({
            let hurry = hurry.clone();
            move || hurry.write_all(writer.as_fd(), &[0; 1 << 20])
        });
        hurry.begin();
        assert_eq!(writing.join().unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(reader);
    }

    #[test]
    fn a_limit_is_a_hurry_too() {
        let (reader, writer) = io::pipe().unwrap();
        let hurry = Hurry::new();
        hurry.begin_at(Instant::now());
        assert_eq!(hurry.write_all(writer.as_fd(), &[0; 1 << 20]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(reader);
        assert_eq!(hurry.write_all(writer.as_fd(), b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
