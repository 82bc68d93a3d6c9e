//! Pipes, with a name and without.
//!
//! A pipe is a ring of bytes and who has which end open; an end is what a descriptor stands for.

use super::{Object, OpenFile};
use crate::files::{Files, Held, anonymous_status};
use crate::memory::Transfer;
use crate::process;
use crate::task::Task;
use crate::watch::{Events, Source};
use toro::collections::VecDeque;
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::raw::{O_NONBLOCK, ioctl::FIONREAD};
use toro_linux_abi::tree::{FileType, NodeId};

/// Bytes that a pipe holds.
pub(crate) const CAPACITY: usize = 64 << 10;
/// Most that `F_SETPIPE_SZ` makes of it.
pub(crate) const CAPACITY_MAX: usize = 1 << 20;
/// As many bytes are written in one piece or not at all.
const PIECE: usize = 4096;

/// Bytes under way, and who is at the ends.
pub(crate) struct Pipe {
    state: SpinLock<State>,
    readable: Source,
    writable: Source,
    /// Told both, for ends that read and write.
    either: Source,
    ino: u64,
}

struct State {
    bytes: VecDeque<u8>,
    /// How long each packet is, in a pipe of packets.
    packets: Option<VecDeque<usize>>,
    capacity: usize,
    readers: usize,
    writers: usize,
    /// How many ends of either kind there have ever been: who opens a name waits for the other kind.
    readers_ever: usize,
    writers_ever: usize,
}

impl core::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Pipe {
    /// An empty pipe without ends.
    pub(crate) fn new() -> Arc<Pipe> {
        Self::with_ino(process::get().files.next_ino())
    }

    /// The same, whose number is known elsewhere.
    pub(crate) fn with_ino(ino: u64) -> Arc<Pipe> {
        let state = State {
            bytes: VecDeque::new(),
            packets: None,
            capacity: CAPACITY,
            readers: 0,
            writers: 0,
            readers_ever: 0,
            writers_ever: 0,
        };
        let state = SpinLock::new(state);
        Arc::new(Pipe { state, readable: Source::new(), writable: Source::new(), either: Source::new(), ino })
    }

    /// Reads as much as there is; `None` when nothing is there and something may come.
    fn read(&self, to: &mut Transfer<'_>) -> Option<usize> {
        let (taken, was_full) = self.state.with(|state| {
            if state.bytes.is_empty() {
                return (if state.writers == 0 { Some(0) } else { None }, false);
            }
            let was_full = state.room() < PIECE;
            let packet = state.packets.as_ref().and_then(|packets| packets.front().copied());
            let wanted = to.left().min(packet.unwrap_or(usize::MAX));
            if packet.is_some() && !to.is_writable(wanted) {
                return (Some(0), false);
            }
            let (one, other) = state.bytes.as_slices();
            let mut taken = to.give(&one[..one.len().min(wanted)]);
            if taken == one.len() {
                taken += to.give(&other[..other.len().min(wanted - taken)]);
            }
            // Nothing of a packet is left for another reader.
            state.bytes.drain(..packet.unwrap_or(taken));
            state.packets.as_mut().map(VecDeque::pop_front);
            (Some(taken), was_full)
        });
        if was_full && taken.is_some_and(|taken| taken > 0) {
            self.writable.notify();
            self.either.notify();
        }
        taken
    }

    /// Writes as much as there is room for.
    fn write(&self, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        let mut done = 0;
        let is_one_piece = from.left() <= PIECE;
        while from.left() > 0 {
            let written = self.state.with(|state| {
                if state.readers == 0 {
                    return Err(Errno::PIPE);
                }
                let (wanted, room) = (from.left().min(PIECE), state.room());
                let is_whole = is_one_piece || state.packets.is_some();
                if if is_whole { room < wanted } else { room == 0 } {
                    return Err(Errno::AGAIN);
                }
                state.append(from, wanted.min(room), is_whole)
            });
            match written {
                Ok(0) => break, // stuck
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if done > 0 {
            self.readable.notify();
            self.either.notify();
        }
        Ok(done)
    }

    /// Tells all that the ends are others.
    fn notify_all(&self) {
        self.readable.notify();
        self.writable.notify();
        self.either.notify();
    }
}

impl State {
    /// Bytes of the capacity that are in use; a packet takes a piece, however short it is.
    fn taken(&self) -> usize {
        self.packets.as_ref().map_or(self.bytes.len(), |packets| packets.len() * PIECE)
    }

    /// What was put back may be beyond the capacity.
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.taken())
    }

    /// Takes bytes at the end, all of them if it must be `whole`; 0 when the transfer is stuck.
    fn append(&mut self, from: &mut Transfer<'_>, count: usize, whole: bool) -> Result<usize, Errno> {
        let before = self.bytes.len();
        self.bytes.try_reserve(count).map_err(|_| Errno::NOMEM)?;
        self.bytes.resize(before + count, 0);
        let (one, other) = self.bytes.as_mut_slices();
        let skipped = before.min(one.len());
        let mut rest = from.clone();
        let mut taken = rest.take(&mut one[skipped..]);
        if !rest.is_stuck() {
            taken += rest.take(&mut other[before - skipped..]);
        }
        if whole && taken < count {
            from.stick(&rest);
            taken = 0;
        } else {
            *from = rest;
        }
        self.bytes.truncate(before + taken);
        if let Some(packets) = self.packets.as_mut().filter(|_| taken > 0) {
            packets.push_back(taken);
        }
        Ok(taken)
    }
}

/// An end of a pipe; both, if a name is opened so.
pub(crate) struct End {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// Where it has its name.
    held: Option<Held>,
    path: Vec<u8>,
}

impl End {
    fn new(pipe: Arc<Pipe>, reads: bool, writes: bool, held: Option<Held>, path: Vec<u8>) -> Self {
        pipe.state.with(|state| {
            state.readers += usize::from(reads);
            state.writers += usize::from(writes);
            state.readers_ever += usize::from(reads);
            state.writers_ever += usize::from(writes);
        });
        pipe.notify_all();
        End { pipe, reads, writes, held, path }
    }

    /// The ends of a new pipe, perhaps one of packets: the one to read, the one to write.
    pub(crate) fn pair(has_packets: bool) -> (Self, Self) {
        let pipe = Pipe::new();
        pipe.state.with(|state| state.packets = has_packets.then(VecDeque::new));
        let end = |reads| End::new(Arc::clone(&pipe), reads, !reads, None, Vec::new());
        (end(true), end(false))
    }

    /// An end of a pipe that has a name.
    pub(crate) fn of_named(pipe: Arc<Pipe>, held: Held, path: Vec<u8>, flags: u32) -> Result<Self, Errno> {
        let (reads, writes) = Files::directions(flags);
        let has_readers = pipe.state.with(|state| state.readers > 0);
        if writes && !reads && flags & O_NONBLOCK != 0 && !has_readers {
            return Err(Errno::NXIO);
        }
        Ok(End::new(pipe, reads, writes, Some(held), path))
    }

    /// Whether nobody has opened the other end since this one was, which a program waits for: how to ask, and whom.
    pub(crate) fn is_alone(&self, seen: (usize, usize)) -> bool {
        self.pipe.state.with(|state| match (self.reads, self.writes) {
            (true, false) => state.writers == 0 && state.writers_ever == seen.1,
            (false, true) => state.readers == 0 && state.readers_ever == seen.0,
            _ => false,
        })
    }

    /// How many readers and writers there have been.
    pub(crate) fn ever(&self) -> (usize, usize) {
        self.pipe.state.with(|state| (state.readers_ever, state.writers_ever))
    }

    /// Bytes that it holds at most.
    pub(crate) fn capacity(&self) -> usize {
        self.pipe.state.with(|state| state.capacity)
    }

    /// Changes that; what it is then.
    pub(crate) fn set_capacity(&self, bytes: usize) -> Result<usize, Errno> {
        let capacity = bytes.max(PIECE).checked_next_power_of_two().filter(|bytes| *bytes <= 1 << 31);
        let capacity = capacity.ok_or(Errno::INVAL)?;
        if capacity > CAPACITY_MAX {
            return Err(Errno::PERM);
        }
        self.pipe.state.with(|state| {
            if state.taken() > capacity {
                return Err(Errno::BUSY);
            }
            state.capacity = capacity;
            Ok(())
        })?;
        // There may be room now for who waits for it.
        self.pipe.writable.notify();
        self.pipe.either.notify();
        Ok(capacity)
    }
}

/// For `splice` and `tee`.
impl End {
    /// Whether both are ends of one pipe.
    pub(crate) fn is_of(&self, other: &End) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// Bytes that can be written now.
    ///
    /// # Errors
    /// `EPIPE` when nobody reads, `EAGAIN` when it is full.
    pub(crate) fn room(&self) -> Result<usize, Errno> {
        self.pipe.state.with(|state| match state.room() {
            _ if state.readers == 0 => Err(Errno::PIPE),
            0 => Err(Errno::AGAIN),
            room => Ok(room),
        })
    }

    /// The first bytes, which stay; none when nothing more will come.
    ///
    /// # Errors
    /// `EAGAIN` when nothing is there.
    pub(crate) fn peek(&self, bytes_max: usize) -> Result<Vec<u8>, Errno> {
        self.pipe.state.with(|state| {
            if state.bytes.is_empty() && state.writers > 0 {
                return Err(Errno::AGAIN);
            }
            let count = bytes_max.min(state.bytes.len());
            let mut seen = Vec::new();
            seen.try_reserve_exact(count).map_err(|_| Errno::NOMEM)?;
            seen.extend(state.bytes.iter().take(count));
            Ok(seen)
        })
    }

    /// Puts bytes back that were read and could go nowhere.
    pub(crate) fn put_back(&self, bytes: &[u8]) -> Result<(), Errno> {
        self.pipe.state.with(|state| {
            state.bytes.try_reserve(bytes.len()).map_err(|_| Errno::NOMEM)?;
            bytes.iter().rev().for_each(|byte| state.bytes.push_front(*byte));
            if let Some(packets) = &mut state.packets {
                packets.push_front(bytes.len());
            }
            Ok::<(), Errno>(())
        })?;
        self.pipe.readable.notify();
        self.pipe.either.notify();
        Ok(())
    }
}

impl Object for End {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        if !self.reads {
            return Err(Errno::BADF);
        }
        if to.left() == 0 {
            return Ok(0);
        }
        self.pipe.read(to).ok_or(Errno::AGAIN)
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        if !self.writes {
            return Err(Errno::BADF);
        }
        if from.left() == 0 {
            return Ok(0);
        }
        self.pipe.write(from)
    }

    fn readiness(&self) -> Events {
        self.pipe.state.with(|state| {
            let mut events = Events::NONE;
            if self.reads {
                events = events.and(Events::IN.when(!state.bytes.is_empty()));
                events = events.and(Events::HUP.when(state.writers == 0 && state.writers_ever > 0));
            }
            if self.writes {
                events = events.and(Events::OUT.when(state.room() >= PIECE));
                events = events.and(Events::ERROR.when(state.readers == 0));
            }
            events
        })
    }

    fn source(&self) -> Option<&Source> {
        Some(match (self.reads, self.writes) {
            (true, true) => &self.pipe.either,
            (true, false) => &self.pipe.readable,
            _ => &self.pipe.writable,
        })
    }

    fn status(&self) -> Stat {
        match &self.held {
            Some(held) => process::get().files.status(held.node()),
            None => anonymous_status(FileType::Fifo, 0o600, self.pipe.ino),
        }
    }

    fn control(&self, task: &mut Task, request: u32, argument: u64) -> Result<u64, Errno> {
        if request == FIONREAD {
            let bytes = self.pipe.state.with(|state| state.bytes.len()) as i32;
            task.process.memory.put(argument, &bytes)?;
            return Ok(0);
        }
        Err(Errno::NOTTY)
    }

    fn reopen(&self, flags: u32) -> Result<Arc<OpenFile>, Errno> {
        let (reads, writes) = Files::directions(flags);
        let end = End::new(Arc::clone(&self.pipe), reads, writes, None, self.path.clone());
        Ok(OpenFile::new(Box::new(end), flags))
    }

    fn name(&self) -> Vec<u8> {
        if self.path.is_empty() { format!("pipe:[{}]", self.pipe.ino).into_bytes() } else { self.path.clone() }
    }

    fn node(&self) -> Option<NodeId> {
        self.held.as_ref().map(Held::node)
    }

    fn as_pipe(&self) -> Option<&End> {
        Some(self)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.pipe.state.with(|state| {
            state.readers -= usize::from(self.reads);
            state.writers -= usize::from(self.writes);
        });
        self.pipe.notify_all();
    }
}
