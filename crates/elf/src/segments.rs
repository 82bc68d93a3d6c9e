//! Load segments: what of the file goes where.

use crate::fields::{slice_at, u32_at, u64_at};
use crate::{ADDRESS_END, ADDRESS_MIN, PAGE_BYTES, Refusal};

/// Bytes of a program header.
pub(crate) const HEADER_BYTES: usize = 56;
/// `p_type` of what is loaded.
const LOAD: u32 = 1;
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;
/// Beyond this an alignment helps nobody.
const ALIGNMENT_MAX: u64 = 1 << 30;

/// What a program may do with a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Read it.
    pub read: bool,
    /// Write to it.
    pub write: bool,
    /// Execute it.
    pub execute: bool,
}

/// A load segment (`PT_LOAD`), of one byte at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its address, to which the caller adds where it puts a program that is position independent.
    pub address: u64,
    /// Its length in memory; what `data` does not fill is zero.
    pub memory_bytes: u64,
    /// Where `data` begins in the file. If there is any, it agrees with `address` modulo [`PAGE_BYTES`].
    pub offset: u64,
    /// What it holds at first, as long as `memory_bytes` at most.
    pub data: &'a [u8],
    /// What the program may do with it.
    pub access: Access,
    /// A power of two; 1 when the file does not care.
    pub align_bytes: u64,
}

impl Segment<'_> {
    /// One past its last byte.
    pub fn end(&self) -> u64 {
        self.address + self.memory_bytes
    }
}

/// A program header as it stands in the file.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    address: u64,
    pub(crate) file_bytes: u64,
    memory_bytes: u64,
    align_bytes: u64,
}

impl Header {
    /// One of `table`, which is cut to whole headers.
    pub(crate) fn read(table: &[u8], number: usize) -> Option<Self> {
        let header = table.get(number * HEADER_BYTES..)?;
        Some(Self {
            kind: u32_at(header, 0)?,
            flags: u32_at(header, 4)?,
            offset: u64_at(header, 8)?,
            address: u64_at(header, 16)?,
            file_bytes: u64_at(header, 32)?,
            memory_bytes: u64_at(header, 40)?,
            align_bytes: u64_at(header, 48)?,
        })
    }

    pub(crate) fn is_executable(self) -> bool {
        self.flags & EXECUTE != 0
    }

    /// The load segment that this is; `None` when it is none, or empty.
    fn segment<'a>(self, file: &'a [u8], number: u16) -> Result<Option<Segment<'a>>, Refusal<'a>> {
        if self.kind != LOAD {
            return Ok(None);
        }
        if self.file_bytes > self.memory_bytes {
            return Err(Refusal::FileBytes(number));
        }
        let data = slice_at(file, self.offset, self.file_bytes).ok_or(Refusal::OutsideFile(number))?;
        if self.memory_bytes == 0 {
            return Ok(None);
        }
        if self.address.checked_add(self.memory_bytes).is_none_or(|end| end > ADDRESS_END) {
            return Err(Refusal::Address(number));
        }
        if !data.is_empty() && self.offset % PAGE_BYTES != self.address % PAGE_BYTES {
            return Err(Refusal::Congruence(number));
        }
        let align_bytes = self.align_bytes.max(1);
        if !align_bytes.is_power_of_two() || align_bytes > ALIGNMENT_MAX {
            return Err(Refusal::Alignment(number));
        }
        let may = |flag| self.flags & flag != 0;
        let access = Access { read: may(READ), write: may(WRITE), execute: may(EXECUTE) };
        let (address, memory_bytes, offset) = (self.address, self.memory_bytes, self.offset);
        Ok(Some(Segment { address, memory_bytes, offset, data, access, align_bytes }))
    }
}

/// The load segments, by address.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    file: &'a [u8],
    table: &'a [u8],
    next: usize,
}

impl<'a> Segments<'a> {
    /// Of a table that [`check`] has found good.
    pub(crate) fn new(file: &'a [u8], table: &'a [u8]) -> Self {
        Self { file, table, next: 0 }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        loop {
            let header = Header::read(self.table, self.next)?;
            self.next += 1;
            if let Ok(Some(segment)) = header.segment(self.file, 0) {
                return Some(segment);
            }
        }
    }
}

/// Checks all of them: each by itself, their order, and whether they are where a program can be. One that is position
/// independent is moved by its loader, so that its addresses begin wherever they like.
pub(crate) fn check<'a>(file: &'a [u8], table: &'a [u8], is_fixed: bool) -> Result<(), Refusal<'a>> {
    let mut end = 0;
    let mut is_first = true;
    let headers = (0_u16..).map_while(|number| Some((number, Header::read(table, usize::from(number))?)));
    for (number, header) in headers {
        let Some(segment) = header.segment(file, number)? else { continue };
        if is_fixed && segment.address < ADDRESS_MIN {
            return Err(Refusal::Address(number));
        }
        let page = segment.address & !(PAGE_BYTES - 1);
        if !is_first && page < end {
            return Err(Refusal::Overlap(number));
        }
        is_first = false;
        // The end of what a program can have is the end of a page, so this is no further.
        end = segment.end().next_multiple_of(PAGE_BYTES);
    }
    if is_first { Err(Refusal::NoSegment) } else { Ok(()) }
}
