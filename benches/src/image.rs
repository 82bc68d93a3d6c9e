//! What the bench must know of an image: where it starts, where `main` is, how large it is stripped.

use std::path::Path;

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use toro_vmm::{Package, Profile};

use crate::artifact;

/// Where QEMU enters an image: by PVH, whose entry is not the ELF's.
const ENTRY_SYMBOL: &str = "pvh_start";
/// Symbols that the kernel calls when the application starts, in order of preference.
const MAIN_SYMBOLS: &[&str] = &["toro_main", "__toro_main", "main"];

/// How much of an image is put into a machine: symbols are not.
pub fn segments_bytes(path: &Path) -> Result<u64> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let header = Header::parse(&*bytes).with_context(|| format!("{} is no image", path.display()))?;
    let endian = header.endian()?;
    let loaded = header.program_headers(endian, &*bytes)?.iter().filter(|part| part.p_type(endian) == PT_LOAD);
    Ok(loaded.map(|part| part.p_filesz(endian)).sum())
}

/// An image and what its symbols say.
pub struct Image {
    /// What is booted: the stripped file.
    pub bootable: toro_vmm::Image,
    bytes: Vec<u8>,
}

type Header = FileHeader64<Endianness>;

impl Image {
    /// Builds an example as the tool does.
    pub fn build(example: &str) -> Result<Image> {
        let folder = artifact::root().join("guest/examples").join(example);
        let build = || Package::open(folder)?.build(Profile::Release);
        let bootable = build().map_err(|error| anyhow::anyhow!("{error}"))?;
        let bytes = std::fs::read(&bootable.symbols).with_context(|| bootable.symbols.display().to_string())?;
        Ok(Image { bootable, bytes })
    }

    fn header(&self) -> Result<(&Header, Endianness)> {
        let header = Header::parse(&*self.bytes)?;
        Ok((header, header.endian()?))
    }

    /// Addresses of the first instruction and of the application's `main`.
    pub fn entry_and_main(&self) -> Result<[u64; 2]> {
        Ok([self.address_of(&[ENTRY_SYMBOL])?, self.address_of(MAIN_SYMBOLS)?])
    }

    /// Address of the first of these symbols that there is.
    fn address_of(&self, wanted: &[&str]) -> Result<u64> {
        let (header, endian) = self.header()?;
        let sections = header.sections(endian, &*self.bytes)?;
        let symbols = sections.symbols(endian, &*self.bytes, object::elf::SHT_SYMTAB)?;
        for name in wanted {
            for symbol in symbols.iter() {
                if symbol.name(endian, symbols.strings()) == Ok(name.as_bytes()) {
                    return Ok(symbol.st_value(endian));
                }
            }
        }
        bail!("{}: no symbol {}", self.bootable.symbols.display(), wanted.join(", "));
    }

    /// Size of the file that is booted.
    pub fn stripped_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.bootable.boot)?.len())
    }
}
