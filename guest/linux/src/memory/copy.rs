//! How calls reach the program's memory: a pointer is believed when the page behind it answers.
//!
//! [`Memory::read`] and its kin make pages on the way. Whoever holds a lock under which no page may be made moves bytes by a
//! [`Transfer`] instead, which stops where a page is missing, and goes on after [`Transfer::settle`].

use super::{Memory, PAGE, Refused};
use toro::prelude::*;
use toro::process;
use toro::sync::Arc;
use toro::user::{self, Access, SharedFrame};
use toro_linux_abi::errno::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Bytes that the kernel copies at a time: as many before a missing page may not have been.
const CHUNK: usize = 64;

/// How many bytes from `start` on were surely copied when the page of `missing` was not there.
fn copied(start: usize, missing: usize) -> usize {
    (missing & !(PAGE - 1)).saturating_sub(CHUNK - 1).saturating_sub(start)
}

impl Memory {
    /// Makes a page for a call that touched it; `EFAULT` when there can be none.
    fn fetch(&self, address: usize, access: Access) -> Result<(), Errno> {
        match self.commit(address, access) {
            Ok(()) => Ok(()),
            Err(Refused::OutOfMemory) => out_of_memory(address),
            Err(_) => Err(Errno::FAULT),
        }
    }

    /// Repeats `copy` from where it stopped until it is through.
    #[inline]
    fn through(
        &self,
        address: u64,
        access: Access,
        mut copy: impl FnMut(usize, usize) -> Result<(), usize>,
    ) -> Result<(), Errno> {
        let start = usize::try_from(address).map_err(|_| Errno::FAULT)?;
        let mut done = 0;
        while let Err(missing) = copy(start + done, done) {
            self.fetch(missing, access)?;
            done = copied(start, missing).max(done);
        }
        Ok(())
    }

    /// Copies from the program.
    pub(crate) fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Errno> {
        self.through(address, Access::Read, |at, done| self.pages.read(at, &mut to[done..]))
    }

    /// Copies to the program.
    pub(crate) fn write(&self, address: u64, from: &[u8]) -> Result<(), Errno> {
        self.through(address, Access::Write, |at, done| self.pages.write(at, &from[done..]))
    }

    /// A structure of the program's.
    pub(crate) fn get<T: FromBytes + IntoBytes>(&self, address: u64) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        self.read(address, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Gives the program a structure.
    pub(crate) fn put<T: IntoBytes + Immutable + ?Sized>(&self, address: u64, value: &T) -> Result<(), Errno> {
        self.write(address, value.as_bytes())
    }

    /// The same, unless the pointer is null.
    pub(crate) fn put_if<T: IntoBytes + Immutable>(&self, address: u64, value: &T) -> Result<(), Errno> {
        if address == 0 { Ok(()) } else { self.put(address, value) }
    }

    /// A list of structures.
    pub(crate) fn get_list<T: FromZeros + FromBytes + IntoBytes>(
        &self,
        address: u64,
        count: usize,
    ) -> Result<Vec<T>, Errno> {
        let mut list = Vec::new();
        list.try_reserve_exact(count).map_err(|_| Errno::NOMEM)?;
        list.resize_with(count, T::new_zeroed);
        self.read(address, list.as_mut_slice().as_mut_bytes())?;
        Ok(list)
    }

    /// A text that ends with a zero, without it.
    ///
    /// # Errors
    /// `ENAMETOOLONG` when it has no end within `bytes_max`.
    pub(crate) fn text(&self, address: u64, bytes_max: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut piece = [0; 128];
        let mut at = address;
        loop {
            // Not beyond a page: what follows the text may not be there.
            let room = (PAGE - at as usize % PAGE).min(piece.len());
            self.read(at, &mut piece[..room])?;
            if let Some(end) = piece[..room].iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&piece[..end]);
                return if text.len() < bytes_max { Ok(text) } else { Err(Errno::NAMETOOLONG) };
            }
            text.extend_from_slice(&piece[..room]);
            if text.len() >= bytes_max {
                return Err(Errno::NAMETOOLONG);
            }
            at += room as u64;
        }
    }

    /// Compares and exchanges a word, and tells what was there.
    pub(crate) fn compare_exchange(&self, address: u64, expected: u32, new: u32) -> Result<u32, Errno> {
        let mut found = 0;
        self.through(address, Access::Write, |at, _| {
            found = self.pages.compare_exchange(at, expected, new)?;
            Ok(())
        })?;
        Ok(found)
    }
}

/// Ends the machine: the program was promised memory that there is none for.
pub(crate) fn out_of_memory(address: usize) -> ! {
    process::out_of_memory(format_args!("there is no page for address {address:#x} of the program"))
}

/// Where a transfer's bytes are.
#[derive(Clone, Debug)]
enum Place<'a> {
    /// At addresses of the program.
    Program(&'a Memory),
    /// In a frame of the kernel's.
    Frame(Arc<SharedFrame>),
}

/// Pieces of the program's memory, to be read or written from front to back; or a frame of the kernel's in their place.
#[derive(Clone, Debug)]
pub(crate) struct Transfer<'a> {
    place: Place<'a>,
    access: Access,
    /// The piece at work, and those after it, the last first.
    at: usize,
    piece: usize,
    rest: Vec<(usize, usize)>,
    /// Bytes in all that are left.
    left: usize,
    missing: Option<usize>,
}

/// Whether all of it could be the program's.
fn check(address: usize, bytes: usize) -> Result<(), Errno> {
    if address <= user::END && bytes <= user::END - address { Ok(()) } else { Err(Errno::FAULT) }
}

impl<'a> Transfer<'a> {
    /// One piece. `access` is what is done to the program's memory.
    pub(crate) fn new(memory: &'a Memory, access: Access, address: u64, bytes: u64) -> Result<Self, Errno> {
        let (at, left) = (usize::try_from(address), usize::try_from(bytes));
        let (Ok(at), Ok(left)) = (at, left) else { return Err(Errno::FAULT) };
        check(at, left)?;
        Ok(Transfer { place: Place::Program(memory), access, at, piece: left, rest: Vec::new(), left, missing: None })
    }

    /// Several.
    pub(crate) fn of_pieces(memory: &'a Memory, access: Access, pieces: &[(u64, u64)]) -> Result<Self, Errno> {
        let mut transfer = Transfer::new(memory, access, 0, 0)?;
        for (address, bytes) in pieces.iter().rev() {
            let bytes = usize::try_from(*bytes).ok().filter(|bytes| *bytes <= isize::MAX as usize);
            let bytes = bytes.ok_or(Errno::INVAL)?;
            check(*address as usize, bytes)?;
            transfer.left = transfer.left.checked_add(bytes).ok_or(Errno::INVAL)?;
            transfer.rest.push((*address as usize, bytes));
        }
        transfer.next_piece();
        Ok(transfer)
    }

    /// The first bytes of a frame, a page at most.
    pub(crate) fn of_frame(frame: &Arc<SharedFrame>, bytes: usize) -> Self {
        let place = Place::Frame(Arc::clone(frame));
        let bytes = bytes.min(PAGE);
        Transfer { place, access: Access::Write, at: 0, piece: bytes, rest: Vec::new(), left: bytes, missing: None }
    }

    fn next_piece(&mut self) {
        while self.piece == 0
            && let Some((at, left)) = self.rest.pop()
        {
            (self.at, self.piece) = (at, left);
        }
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// No more than this.
    pub(crate) fn limit(&mut self, bytes: usize) {
        let mut excess = self.left.saturating_sub(bytes);
        self.left -= excess;
        while excess > 0 {
            let piece = match self.rest.first_mut() {
                Some((_, bytes)) => bytes,
                None => &mut self.piece,
            };
            let cut = excess.min(*piece);
            *piece -= cut;
            excess -= cut;
            if !self.rest.is_empty() && self.rest[0].1 == 0 {
                self.rest.remove(0);
            }
        }
        self.next_piece();
    }

    /// A page is missing: the transfer goes on after [`settle`](Self::settle).
    pub(crate) fn is_stuck(&self) -> bool {
        self.missing.is_some()
    }

    /// Is stuck where another was that went further.
    pub(crate) fn stick(&mut self, other: &Self) {
        self.missing = other.missing;
    }

    /// Whether the next bytes, so many at most, can be given now; if not, the transfer is stuck where they cannot.
    pub(crate) fn is_writable(&mut self, bytes: usize) -> bool {
        let Place::Program(memory) = self.place else { return true };
        let mut left = bytes;
        for number in 0..=self.rest.len() {
            // The rest begins with the last.
            let (start, piece) = if number == 0 { (self.at, self.piece) } else { self.rest[self.rest.len() - number] };
            let end = start + piece.min(left);
            left -= piece.min(left);
            let mut at = start;
            while at < end {
                if !memory.pages.get(at).is_some_and(|leaf| super::has(leaf, Access::Write)) {
                    self.missing = Some(at);
                    return false;
                }
                at = (at & !(PAGE - 1)) + PAGE;
            }
        }
        true
    }

    /// Makes the page that was missing. Not under a lock.
    pub(crate) fn settle(&mut self) -> Result<(), Errno> {
        match (self.missing.take(), &self.place) {
            (Some(address), Place::Program(memory)) => memory.fetch(address, self.access),
            _ => Ok(()),
        }
    }

    /// Moves up to `bytes_max` bytes by `copy(place, at, done, bytes)`, which may stop at a missing page.
    #[inline]
    fn step(
        &mut self,
        bytes_max: usize,
        mut copy: impl FnMut(&Place<'a>, usize, usize, usize) -> Result<(), usize>,
    ) -> usize {
        let mut done = 0;
        while done < bytes_max && self.piece > 0 && self.missing.is_none() {
            let bytes = self.piece.min(bytes_max - done);
            let moved = match copy(&self.place, self.at, done, bytes) {
                Ok(()) => bytes,
                Err(missing) => {
                    self.missing = Some(missing);
                    let whole = copied(self.at, missing).min(bytes);
                    // What lies between the last whole piece and the missing page.
                    let rest = missing.saturating_sub(self.at + whole).min(bytes - whole);
                    match copy(&self.place, self.at + whole, done + whole, rest) {
                        Ok(()) => whole + rest,
                        Err(_) => whole,
                    }
                }
            };
            done += moved;
            self.at += moved;
            self.piece -= moved;
            self.left -= moved;
            self.next_piece();
        }
        done
    }

    /// Gives the program bytes; how many it took.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> usize {
        self.step(bytes.len(), |place, at, done, count| {
            let bytes = &bytes[done..done + count];
            match place {
                Place::Program(memory) => memory.pages.write(at, bytes),
                Place::Frame(frame) => {
                    frame.write(at, bytes);
                    Ok(())
                }
            }
        })
    }

    /// Gives the program bytes out of a frame; how many it took.
    pub(crate) fn give_frame(&mut self, from: &SharedFrame, offset: usize, bytes: usize) -> usize {
        self.step(bytes, |place, at, done, count| match place {
            Place::Program(memory) => memory.pages.write_from(at, from, offset + done, count),
            Place::Frame(frame) => {
                frame.copy(at, from, offset + done, count);
                Ok(())
            }
        })
    }

    /// Gives the program zeroes; how many it took.
    pub(crate) fn give_zeroes(&mut self, bytes: usize) -> usize {
        self.step(bytes, |place, at, _, count| match place {
            Place::Program(memory) => memory.pages.zero(at, count),
            Place::Frame(frame) => {
                frame.clear(at, count);
                Ok(())
            }
        })
    }

    /// Takes bytes from the program; how many there were.
    pub(crate) fn take(&mut self, to: &mut [u8]) -> usize {
        self.step(to.len(), |place, at, done, count| {
            let to = &mut to[done..done + count];
            match place {
                Place::Program(memory) => memory.pages.read(at, to),
                Place::Frame(frame) => {
                    frame.read(at, to);
                    Ok(())
                }
            }
        })
    }

    /// Takes bytes from the program into a frame; how many there were.
    pub(crate) fn take_frame(&mut self, to: &SharedFrame, offset: usize, bytes: usize) -> usize {
        self.step(bytes, |place, at, done, count| match place {
            Place::Program(memory) => memory.pages.read_into(at, to, offset + done, count),
            Place::Frame(frame) => {
                to.copy(offset + done, frame, at, count);
                Ok(())
            }
        })
    }

    /// Leaves bytes of the program out.
    pub(crate) fn skip(&mut self, bytes: usize) -> usize {
        self.step(bytes, |_, _, _, _| Ok(()))
    }
}
