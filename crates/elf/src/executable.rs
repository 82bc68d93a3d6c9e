//! The file as a whole: its header, and what follows from all segments.

use crate::fields::{slice_at, u16_at, u32_at, u64_at};
use crate::refusal::Refusal;
use crate::segments::{self, HEADER_BYTES, Header, Segment, Segments};
use core::ops::Range;

const FILE_HEADER_BYTES: usize = 64;
const MACHINE_X86_64: u16 = 62;
/// As many fit into 64 KiB, the most that Linux reads.
const HEADERS_MAX: u16 = 1170;
/// Linux's longest path, with its end.
const PATH_BYTES_MAX: u64 = 4096;
/// Linux's longest line of a script.
const SCRIPT_LINE_BYTES_MAX: usize = 256;

const TYPE_RELOCATABLE: u16 = 1;
const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
const TYPE_CORE: u16 = 4;

const SYSTEM_NONE: u8 = 0;
const SYSTEM_LINUX: u8 = 3;

const INTERPRETER: u32 = 3;
const STACK: u32 = 0x6474_e551;

/// How a program wants to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// At its own addresses, by itself (`ET_EXEC`).
    Static,
    /// At any address, by itself: it relocates itself (`ET_DYN` without an interpreter).
    StaticPie,
    /// Together with an interpreter, which loads its libraries.
    Dynamic {
        /// The interpreter's path, without the zero at its end.
        interpreter: &'a [u8],
        /// Whether it can be put at any address.
        is_position_independent: bool,
    },
}

/// Where the program headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Their address (`AT_PHDR`), like those of segments; `None` when no segment holds them.
    pub address: Option<u64>,
    /// How many there are (`AT_PHNUM`).
    pub count: u16,
    /// Bytes of each (`AT_PHENT`).
    pub entry_bytes: u16,
}

/// A program that can be loaded.
#[derive(Clone, Debug)]
pub struct Executable<'a> {
    /// How it wants to be loaded.
    pub kind: Kind<'a>,
    /// Where it begins: an address in an executable segment.
    pub entry: u64,
    /// From the first byte of the first segment to the end of the last.
    pub extent: Range<u64>,
    /// Where the program headers are.
    pub headers: Headers,
    /// Whether it asks for a stack that can be executed (`PT_GNU_STACK`).
    pub has_executable_stack: bool,
    /// The largest alignment of a segment, a power of two.
    pub align_bytes: u64,
    file: &'a [u8],
    table: &'a [u8],
}

impl<'a> Executable<'a> {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Refusal`], the first that is found.
    pub fn parse(file: &'a [u8]) -> Result<Self, Refusal<'a>> {
        let is_position_independent = identify(file)?;
        let (offset, table) = table(file)?;
        segments::check(file, table, !is_position_independent)?;
        let interpreter = interpreter(file, table)?;
        let kind = match interpreter {
            Some(interpreter) => Kind::Dynamic { interpreter, is_position_independent },
            None if is_position_independent => Kind::StaticPie,
            None => Kind::Static,
        };
        let segments = || Segments::new(file, table);
        let (Some(first), Some(last)) = (segments().next(), segments().last()) else {
            return Err(Refusal::NoSegment);
        };
        let entry = u64_at(file, 0x18).ok_or(Refusal::Truncated)?;
        let holds_entry =
            |segment: &Segment<'_>| segment.access.execute && (segment.address..segment.end()).contains(&entry);
        if !segments().any(|segment| holds_entry(&segment)) {
            return Err(if entry == 0 && is_position_independent { Refusal::Library } else { Refusal::Entry(entry) });
        }
        let stack = headers(table).find(|header| header.kind == STACK);
        Ok(Self {
            kind,
            entry,
            extent: first.address..last.end(),
            headers: Headers {
                address: segments().find_map(|segment| table_in(&segment, offset, table)),
                count: (table.len() / HEADER_BYTES) as u16,
                entry_bytes: HEADER_BYTES as u16,
            },
            // Without a word about it, Linux gives a 64-bit program one that cannot be executed.
            has_executable_stack: stack.is_some_and(Header::is_executable),
            align_bytes: segments().map(|segment| segment.align_bytes).max().unwrap_or(1),
            file,
            table,
        })
    }

    /// Its load segments: by address, apart by whole pages.
    pub fn segments(&self) -> Segments<'a> {
        Segments::new(self.file, self.table)
    }

    /// Whether it can be put at any address.
    pub fn is_position_independent(&self) -> bool {
        match self.kind {
            Kind::Static => false,
            Kind::StaticPie => true,
            Kind::Dynamic { is_position_independent, .. } => is_position_independent,
        }
    }
}

/// What kind of file this is; true for one that is position independent.
fn identify(file: &[u8]) -> Result<bool, Refusal<'_>> {
    if let Some(rest) = file.strip_prefix(b"#!") {
        return Err(Refusal::Script { interpreter: script_interpreter(rest) });
    }
    if !file.starts_with(b"\x7fELF") {
        return Err(Refusal::NotElf);
    }
    let [_, _, _, _, class, order, version, system, ..] = *file else { return Err(Refusal::Truncated) };
    match (class, order, version) {
        // Byte order first: a big-endian file's other fields cannot be read.
        (1 | 2, 2, _) => return Err(Refusal::BigEndian),
        (1, 1, _) => return Err(Refusal::Is32Bit),
        (2, 1, 1) => {}
        _ => return Err(Refusal::Identification),
    }
    if file.len() < FILE_HEADER_BYTES {
        return Err(Refusal::Truncated);
    }
    let (kind, machine) = (u16_at(file, 0x10).unwrap_or_default(), u16_at(file, 0x12).unwrap_or_default());
    if machine != MACHINE_X86_64 {
        return Err(Refusal::Machine(machine));
    }
    if system != SYSTEM_NONE && system != SYSTEM_LINUX {
        return Err(Refusal::System(system));
    }
    if u32_at(file, 0x14) != Some(1) {
        return Err(Refusal::Identification);
    }
    match kind {
        TYPE_EXECUTABLE => Ok(false),
        TYPE_SHARED => Ok(true),
        TYPE_RELOCATABLE => Err(Refusal::Relocatable),
        TYPE_CORE => Err(Refusal::Core),
        other => Err(Refusal::Type(other)),
    }
}

/// The first word behind `#!`.
fn script_interpreter(line: &[u8]) -> &[u8] {
    let line = &line[..line.len().min(SCRIPT_LINE_BYTES_MAX)];
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_start();
    line.split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

/// The program headers: where they begin in the file, and their bytes.
fn table(file: &[u8]) -> Result<(u64, &[u8]), Refusal<'_>> {
    let field = |offset| u16_at(file, offset).ok_or(Refusal::Truncated);
    let (entry_bytes, count) = (field(0x36)?, field(0x38)?);
    if count == 0 || count > HEADERS_MAX {
        return Err(Refusal::HeaderCount(count));
    }
    if usize::from(entry_bytes) != HEADER_BYTES {
        return Err(Refusal::HeaderBytes(entry_bytes));
    }
    let offset = u64_at(file, 0x20).ok_or(Refusal::Truncated)?;
    let table = slice_at(file, offset, u64::from(count) * HEADER_BYTES as u64).ok_or(Refusal::Truncated)?;
    Ok((offset, table))
}

fn headers(table: &[u8]) -> impl Iterator<Item = Header> {
    (0..).map_while(|number| Header::read(table, number))
}

fn interpreter<'a>(file: &'a [u8], table: &[u8]) -> Result<Option<&'a [u8]>, Refusal<'a>> {
    let Some(header) = headers(table).find(|header| header.kind == INTERPRETER) else { return Ok(None) };
    if header.file_bytes > PATH_BYTES_MAX {
        return Err(Refusal::Interpreter);
    }
    let path = slice_at(file, header.offset, header.file_bytes).and_then(|path| path.strip_suffix(&[0]));
    match path {
        Some(path) if !path.is_empty() && !path.contains(&0) => Ok(Some(path)),
        _ => Err(Refusal::Interpreter),
    }
}

/// The address of the program headers, which begin at `offset` in the file, if this segment holds them whole.
fn table_in(segment: &Segment<'_>, offset: u64, table: &[u8]) -> Option<u64> {
    let within = offset.checked_sub(segment.offset)?;
    let end = within.checked_add(table.len() as u64)?;
    (end <= segment.data.len() as u64).then_some(segment.address + within)
}
