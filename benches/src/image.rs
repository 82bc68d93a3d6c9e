//! What the bench must know of an image: where it starts, where `main` is, how large it is stripped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD, SHF_ALLOC, SectionHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};

/// Symbols that the kernel calls when the application starts, in order of preference.
const MAIN_SYMBOLS: &[&str] = &["toro_main", "__toro_main", "main"];

/// An ELF image on disk.
pub struct Image {
    /// The file.
    pub path: PathBuf,
    bytes: Vec<u8>,
}

type Header = FileHeader64<Endianness>;

impl Image {
    /// Reads it.
    pub fn open(path: &Path) -> Result<Image> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Ok(Image {
            path: path.to_owned(),
            bytes,
        })
    }

    fn header(&self) -> Result<(&Header, Endianness)> {
        let header = Header::parse(&*self.bytes)?;
        Ok((header, header.endian()?))
    }

    /// Addresses of the first instruction and of the application's `main`.
    pub fn entry_and_main(&self) -> Result<[u64; 2]> {
        let (header, endian) = self.header()?;
        let sections = header.sections(endian, &*self.bytes)?;
        let symbols = sections.symbols(endian, &*self.bytes, object::elf::SHT_SYMTAB)?;
        for wanted in MAIN_SYMBOLS {
            for symbol in symbols.iter() {
                if symbol.name(endian, symbols.strings()) == Ok(wanted.as_bytes()) {
                    return Ok([header.e_entry(endian), symbol.st_value(endian)]);
                }
            }
        }
        bail!(
            "{}: no symbol {}",
            self.path.display(),
            MAIN_SYMBOLS.join(", ")
        );
    }

    /// Size without symbols and debug information: what the segments need, and a section table.
    pub fn stripped_bytes(&self) -> Result<u64> {
        let (header, endian) = self.header()?;
        let segments = header.program_headers(endian, &*self.bytes)?.iter();
        let ends = segments
            .filter(|segment| segment.p_type(endian) == PT_LOAD)
            .map(|segment| segment.p_offset(endian) + segment.p_filesz(endian));
        let sections = header.sections(endian, &*self.bytes)?;
        let kept = sections
            .iter()
            .filter(|section| section.sh_flags(endian).0 & SHF_ALLOC.0 != 0)
            .count()
            + 2;
        let table = kept as u64 * size_of::<SectionHeader64<Endianness>>() as u64;
        Ok(ends.max().context("no segment")? + table)
    }
}
