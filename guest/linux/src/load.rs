//! Loading the program: its segments into memory, its first stack, and what the kernel puts beside them.

use crate::files::FileData;
use crate::limits;
use crate::memory::{Behind, FilePart, MapRequest, MapTarget, Memory, Name, PAGE};
use core::fmt;
use toro::prelude::*;
use toro::sync::Arc;
use toro::user::{self, Context, Rights};
use toro_elf::{Access, Executable, Kind, Segment};
use toro_linux_abi::areas::{Area, Protection};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::stack::{self, Told};
use toro_linux_abi::vdso;

/// Random bits of where the stack, mappings, a program that can be anywhere, and the heap are; in pages.
const STACK_BITS: u32 = 22;
const MAP_BITS: u32 = 28;
const PROGRAM_BITS: u32 = 28;
const HEAP_BITS: u32 = 13;
/// Where a program is put that can be anywhere, before what is random.
const PROGRAM_BASE: usize = 0x5555_5555_4000;
/// Free below the first stack.
const STACK_GAP: usize = 1 << 20;

/// Where things are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// One past the first stack.
    pub stack_top: usize,
    /// Mappings are found a place below.
    pub ceiling: usize,
}

fn random_pages(bits: u32) -> usize {
    (toro::random::u64() & ((1 << bits) - 1)) as usize * PAGE
}

impl Layout {
    /// A layout of this run's own.
    pub(crate) fn random() -> Self {
        let stack_top = user::END - random_pages(STACK_BITS);
        let bottom = stack_top - limits::STACK_BYTES as usize - STACK_GAP;
        Layout { stack_top, ceiling: bottom - random_pages(MAP_BITS) }
    }
}

/// Why the program cannot begin.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// There is no room for a part of it.
    NoRoom(&'static str),
    /// There is no memory for a part of it.
    OutOfMemory(&'static str),
    /// Arguments and environment are too long.
    TooLong,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom(what) => write!(f, "there is no place for {what}"),
            Self::OutOfMemory(what) => write!(f, "there is no memory for {what}; give the machine more (-m)"),
            Self::TooLong => f.write_str("arguments and environment are longer than 2 MiB"),
        }
    }
}

/// A program in memory, and how it is to begin.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Where it begins.
    pub entry: u64,
    /// What is added to an address of its file.
    pub base: usize,
    /// What it is told of itself.
    pub told: Told,
}

fn protection(access: Access) -> Protection {
    Protection { read: access.read, write: access.write, execute: access.execute }
}

/// Puts the segments of a program into memory.
pub(crate) fn load(
    memory: &Memory,
    executable: &Executable<'_>,
    file: &Arc<FileData>,
    path: &[u8],
) -> Result<Loaded, LoadError> {
    let bias = match executable.kind {
        Kind::Static => 0,
        _ => {
            let align = (executable.align_bytes as usize).max(PAGE);
            let base = (PROGRAM_BASE + random_pages(PROGRAM_BITS)) & !(align - 1);
            base - (executable.extent.start as usize & !(align - 1))
        }
    };
    let path: Arc<[u8]> = path.into();
    for segment in executable.segments() {
        load_segment(memory, &segment, bias, file, &path)?;
    }
    let end = (executable.extent.end as usize + bias).next_multiple_of(PAGE);
    let mut map = memory.map();
    let heap = end + PAGE + random_pages(HEAP_BITS);
    map.heap = heap..heap;
    let at = |address: u64| address + bias as u64;
    let told = Told {
        headers: executable.headers.address.map_or(0, at),
        header_count: executable.headers.count.into(),
        header_bytes: executable.headers.entry_bytes.into(),
        entry: at(executable.entry),
        hwcap: user::processor().features[0].into(),
        ..Told::default()
    };
    Ok(Loaded { entry: told.entry, base: bias, told })
}

fn load_segment(
    memory: &Memory,
    segment: &Segment<'_>,
    bias: usize,
    file: &Arc<FileData>,
    path: &Arc<[u8]>,
) -> Result<(), LoadError> {
    let start = segment.address as usize + bias;
    let (first, end) = (start & !(PAGE - 1), (start + segment.memory_bytes as usize).next_multiple_of(PAGE));
    let file_end = start + segment.data.len();
    let protection = protection(segment.access);
    // Whole pages of the file, as far as they are nothing but the file.
    let is_all_file = segment.memory_bytes as usize == segment.data.len();
    let shown_end = if is_all_file { file_end.next_multiple_of(PAGE) } else { file_end & !(PAGE - 1) }.max(first);
    let insert = |range: core::ops::Range<usize>, behind: Behind| {
        if range.is_empty() {
            return Ok(());
        }
        let mut map = memory.map();
        if !map.areas.is_free(range.clone()) {
            return Err(LoadError::NoRoom("the program at its own addresses"));
        }
        map.areas.insert(range, Area { protection, backing: behind });
        Ok(())
    };
    let offset = segment.offset as usize & !(PAGE - 1);
    let part = FilePart { file: Arc::clone(file), offset, shared: false, may_write: false, path: Arc::clone(path) };
    insert(first..shown_end, Behind::File(part))?;
    insert(shown_end..end, Behind::Nothing(Name::None))?;
    if shown_end < file_end && !is_all_file {
        // The page in which the file ends and zeroes begin.
        let skip = shown_end.saturating_sub(start);
        let bytes = &segment.data[skip..];
        let in_page = start.max(shown_end) - shown_end;
        let rights = if protection.write { Rights::ReadWrite } else { Rights::ReadExecute };
        memory
            .pages
            .map_filled(shown_end, in_page, bytes, rights)
            .map_err(|_| LoadError::OutOfMemory("the program's data"))?;
    }
    Ok(())
}

/// Puts the clock's code and page beside the program; where the code is.
pub(crate) fn load_clock(memory: &Memory) -> Result<u64, LoadError> {
    let code = user::clock_code();
    let page = user::clock_page().map_err(|_| LoadError::OutOfMemory("the clock"))?;
    let object = vdso::build(code.text, user::CLOCK_CODE_OFFSET, &code.functions)
        .map_err(|_| LoadError::NoRoom("the clock's code in its page"))?;
    let readable = Protection { read: true, write: false, execute: false };
    let mut map = memory.map();
    let start = map.areas.find_free(2 * PAGE, PAGE).ok_or(LoadError::NoRoom("the clock"))?;
    let text = start + PAGE;
    map.areas.insert(start..text, Area { protection: readable, backing: Behind::Nothing(Name::Vvar) });
    let executable = Protection { execute: true, ..readable };
    map.areas.insert(text..text + PAGE, Area { protection: executable, backing: Behind::Nothing(Name::Vdso) });
    let shown = memory.pages.map_in_place(start, page, Rights::Read);
    let filled = memory.pages.map_filled(text, 0, &object, Rights::ReadExecute);
    shown.and(filled).map_err(|_| LoadError::OutOfMemory("the clock"))?;
    Ok(text as u64)
}

/// Makes the first stack; the stack pointer.
pub(crate) fn load_stack(
    memory: &Memory,
    layout: Layout,
    path: &[u8],
    arguments: &[Vec<u8>],
    environment: &[Vec<u8>],
    told: &Told,
    executable: bool,
) -> Result<u64, LoadError> {
    let image = stack::build(layout.stack_top, path, arguments, environment, told).map_err(|_| LoadError::TooLong)?;
    let bytes = limits::STACK_BYTES as usize;
    let request = MapRequest {
        target: MapTarget::FixedFree(layout.stack_top - bytes),
        bytes,
        protection: Protection { read: true, write: true, execute: executable },
        behind: Behind::Nothing(Name::Stack),
        no_reserve: true,
    };
    memory.map_area(&request).map_err(|_| LoadError::NoRoom("the stack"))?;
    let written = memory.write(image.pointer as u64, &image.bytes);
    written.map_err(|_: Errno| LoadError::OutOfMemory("the stack"))?;
    Ok(image.pointer as u64)
}

/// The registers with which the program begins.
pub(crate) fn first_context(memory: &Memory, entry: u64, stack: u64) -> Result<Context, LoadError> {
    Context::new(&memory.pages, entry, stack).map_err(|_| LoadError::OutOfMemory("the first thread"))
}
