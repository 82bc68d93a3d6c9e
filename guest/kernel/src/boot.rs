//! What the VMM handed over, in one shape for every boot protocol.

use crate::mm::PhysAddr;
use toro_abi::cmdline::CommandLine;
use toro_memory::map::{MapError, Range, Usable};

/// Longest command line, in bytes.
pub const COMMAND_LINE_BYTES_MAX: usize = 8192;
/// Most entries of a memory map.
pub const MEMORY_MAP_ENTRIES_MAX: usize = 128;

/// The machine as the VMM described it; copied out of memory that the kernel will reuse.
#[derive(Debug)]
pub struct BootInfo {
    /// RAM that may be used; the image and the module are taken out.
    pub memory: Usable,
    /// The command line as given.
    pub command_line: &'static str,
    /// ACPI's root pointer, where the protocol passes it.
    pub rsdp: Option<PhysAddr>,
    /// The boot module, from a page's start: `-initrd`, else the one that is loaded with the image.
    pub module: Option<Range>,
}

impl BootInfo {
    /// The keys of the embedded and the given command line.
    pub fn command_line(&self) -> CommandLine<'static> {
        command_line(self.command_line)
    }

    /// Takes the module that is loaded with the image, where the VMM gave none.
    pub(crate) fn with_embedded_module(mut self) -> Result<Self, BootError> {
        let (None, Some(place)) = (self.module, crate::start::embedded_module()) else { return Ok(self) };
        let module = Range { start: place.address, end: place.address.saturating_add(place.len_bytes) };
        if !self.memory.ranges().iter().any(|ram| ram.start <= module.start && module.end <= ram.end) {
            return Err(BootError::ModuleNotInRam(module));
        }
        self.add_module(module)?;
        Ok(self)
    }

    /// Takes a module out of what is usable. The first is ours; the memory of others is left alone.
    pub(crate) fn add_module(&mut self, module: Range) -> Result<(), BootError> {
        self.memory.reserve(module.start, module.bytes()).map_err(BootError::Memory)?;
        if self.module.is_none() && !module.start.is_multiple_of(toro_memory::PAGE_BYTES) {
            return Err(BootError::ModuleNotAtPage(module.start));
        }
        self.module = self.module.or(Some(module));
        Ok(())
    }
}

/// The keys of the embedded command line, and of the one that was given.
pub(crate) fn command_line(given: &'static str) -> CommandLine<'static> {
    CommandLine::with_embedded(crate::start::embedded_command_line(), given)
}

/// Why the machine cannot be started from what the VMM handed over.
#[derive(Debug)]
pub enum BootError {
    /// `hvm_start_info` does not begin with its magic number.
    BadMagic(u32),
    /// What a Linux loader passed does not have the marks of a zero page.
    BadZeroPage {
        /// Its boot flag.
        flag: u16,
        /// Its header's magic number.
        header: u32,
    },
    /// A structure lies above 4 GiB, or runs past it.
    OutOfReach {
        /// Which structure.
        what: &'static str,
        /// Its address.
        address: u64,
        /// Its length in bytes.
        bytes: u64,
    },
    /// More than [`MEMORY_MAP_ENTRIES_MAX`] entries.
    LongMemoryMap(u32),
    /// The memory map makes no sense.
    Memory(MapError),
    /// The map does not list the memory in which the image lies.
    ImageNotInRam(Range),
    /// The boot module does not begin at a page.
    ModuleNotAtPage(u64),
    /// The memory has no room for the module that is loaded with the image.
    ModuleNotInRam(Range),
    /// The command line is longer than [`COMMAND_LINE_BYTES_MAX`].
    LongCommandLine,
    /// The command line is not UTF-8.
    CommandLineNotText,
    /// Not enough RAM beside the image; usable bytes.
    TooLittleMemory(u64),
}

impl core::fmt::Display for BootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::BadMagic(magic) => write!(f, "the PVH start info has magic {magic:#x} instead of 0x336ec578"),
            Self::BadZeroPage { flag, header } => {
                write!(f, "the zero page has marks {flag:#x} and {header:#x} instead of 0xaa55 and 0x53726448")
            }
            Self::OutOfReach { what, address, bytes } => {
                write!(f, "the {what} ({bytes} bytes at {address:#x}) is not below 4 GiB")
            }
            Self::LongMemoryMap(entries) => {
                write!(f, "the memory map has {entries} entries, at most {MEMORY_MAP_ENTRIES_MAX} are supported")
            }
            Self::Memory(error) => error.fmt(f),
            Self::ImageNotInRam(image) => {
                write!(f, "the memory map does not list the image's own RAM at {:#x}..{:#x}", image.start, image.end)
            }
            Self::ModuleNotAtPage(start) => write!(f, "the boot module begins at {start:#x}, not at a page"),
            Self::ModuleNotInRam(module) => write!(
                f,
                "the boot module at {:#x}..{:#x} does not fit into RAM; give the VM more memory (-m)",
                module.start, module.end
            ),
            Self::LongCommandLine => {
                write!(f, "the command line is longer than {COMMAND_LINE_BYTES_MAX} bytes; pass less in -append")
            }
            Self::CommandLineNotText => f.write_str("the command line is not UTF-8"),
            Self::TooLittleMemory(bytes) => {
                write!(f, "{} KiB of RAM beside the image are too little; give the VM more memory (-m)", bytes >> 10)
            }
        }
    }
}
