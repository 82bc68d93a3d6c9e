//! The little of ELF that the host needs: is this an image, what of it boots, where is its embedded command line.

use crate::error::Error;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};
use std::path::Path;
use toro_abi::embedded;
use toro_abi::outcome::status;

type Header = elf::FileHeader64<Endianness>;

/// Type of the note that holds the PVH entry (`XEN_ELFNOTE_PHYS32_ENTRY`).
const NOTE_PVH_ENTRY: elf::NoteType = elf::NoteType(18);

/// Reads an image; a file that cannot boot is status 126, a missing one 127.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(format!("cannot run {name}: no such file or directory"))
            .help("give a package directory or an image; `toro new NAME` makes a package")
            .with_status(status::NOT_FOUND),
        _ => Error::new(format!("cannot read {name}: {error}")).with_status(status::NOT_RUNNABLE),
    })?;
    check(&bytes).map_err(|why| {
        Error::new(format!("cannot run {name}: {why}"))
            .help("give a package's directory, or an image that `toro build` made")
            .with_status(status::NOT_RUNNABLE)
    })?;
    Ok(bytes)
}

/// Whether `bytes` are an image.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err("it is no ELF file".into());
    }
    let text = |error: object::read::Error| format!("its ELF is damaged: {error}");
    let header = Header::parse(bytes).map_err(|_| "it is no 64-bit ELF file".to_owned())?;
    let endian = header.endian().map_err(text)?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err("it is for another processor".into());
    }
    let segments = header.program_headers(endian, bytes).map_err(text)?;
    if segments.iter().any(|segment| segment.data(endian, bytes).is_err()) {
        return Err("it is cut short".into());
    }
    for segment in segments {
        let Some(mut notes) = segment.notes(endian, bytes).map_err(text)? else {
            continue;
        };
        while let Some(note) = notes.next().map_err(text)? {
            if note.name() == b"Xen" && note.n_type(endian) == NOTE_PVH_ENTRY {
                return Ok(());
            }
        }
    }
    Err("it is no Toro image (it has no PVH entry)".into())
}

/// Physical addresses that the segments are loaded to.
pub(crate) fn loaded(bytes: &[u8]) -> Option<std::ops::Range<u64>> {
    let header = Header::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, bytes).ok()?;
    let loads = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    let ranges = loads.map(|segment| {
        let start = segment.p_paddr(endian);
        start..start.saturating_add(segment.p_memsz(endian))
    });
    ranges.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end))
}

/// The image without symbols and debug information: what the segments hold, and a header that promises nothing else.
pub fn strip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let text = |error: object::read::Error| format!("its ELF is damaged: {error}");
    let header = Header::parse(bytes).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let segments = header.program_headers(endian, bytes).map_err(text)?;
    let ends = segments.iter().map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    let table_end = header.e_phoff(endian) + size_of_val(segments) as u64;
    let end = ends.chain([table_end]).max().unwrap_or(0);
    let kept = usize::try_from(end).ok().and_then(|end| bytes.get(..end));
    let mut stripped = kept.ok_or("its ELF is cut short")?.to_vec();
    // e_shoff, and e_shentsize, e_shnum, e_shstrndx at the end of the header: no section table.
    stripped[0x28..0x30].fill(0);
    stripped[0x3a..0x40].fill(0);
    Ok(stripped)
}

/// Where the room for the embedded command line lies in the file. It is found by what it holds, so that an image without
/// a section table has it, too: the magic, a length that fits, a text, and nothing but zeros behind.
fn embedded_range(bytes: &[u8]) -> Result<std::ops::Range<usize>, String> {
    let is_room = |at: &usize| {
        let room = bytes.get(*at..*at + embedded::SECTION_BYTES).unwrap_or_default();
        let text = embedded::read(room);
        text.is_some_and(|text| room[embedded::MAGIC.len() + 4 + text.len()..].iter().all(|byte| *byte == 0))
    };
    let mut found = memory_find(bytes, &embedded::MAGIC).filter(is_room);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at..at + embedded::SECTION_BYTES),
        (None, _) => Err(format!("it has no room for a command line ({})", embedded::SECTION)),
        (Some(_), Some(_)) => Err("it has room for more than one command line".into()),
    }
}

fn memory_find<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(wanted.len()).enumerate().filter(move |(_, window)| *window == wanted).map(|(at, _)| at)
}

/// The command line embedded in an image.
pub fn embedded_cmdline(bytes: &[u8]) -> Result<&str, String> {
    let range = embedded_range(bytes)?;
    embedded::read(&bytes[range]).ok_or_else(|| format!("its section {} is damaged", embedded::SECTION))
}

/// Replaces the command line embedded in an image.
pub fn embed_cmdline(bytes: &mut [u8], text: &str) -> Result<(), String> {
    let range = embedded_range(bytes)?;
    let section = bytes[range].first_chunk_mut().ok_or("its section is too short")?;
    embedded::write(section, text).map_err(|error| {
        format!("arguments and environment take {} bytes, and {} fit", error.len_bytes, embedded::TEXT_BYTES_MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test program: an ELF, but no image.
    fn test_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert_eq!(check(b"#!/bin/sh\n").unwrap_err(), "it is no ELF file");
        assert!(check(&test_program()).unwrap_err().contains("no PVH entry"));
        assert!(check(&test_program()[..100]).is_err());
        assert_eq!(check(&test_program()[..0x1000]).unwrap_err(), "it is cut short");
        assert_eq!(read(Path::new("/nonexistent")).unwrap_err().status(), 127);
        assert_eq!(read(Path::new("/etc/passwd")).unwrap_err().status(), 126);
    }

    #[test]
    fn stripping_keeps_the_segments() {
        let whole = test_program();
        let stripped = strip(&whole).unwrap();
        assert!(stripped.len() < whole.len());
        let header = Header::parse(&*stripped).unwrap();
        let endian = header.endian().unwrap();
        assert_eq!(header.e_shnum(endian), 0);
        for segment in header.program_headers(endian, &*stripped).unwrap() {
            assert!(segment.data(endian, &*stripped).is_ok());
        }
        assert!(strip(&whole[..0x1000]).is_err());
    }

    #[test]
    fn the_room_for_a_command_line_is_found_and_filled() {
        // The magic alone, as code has it that looks for it, is no room.
        let mut image = [&b"code "[..], &embedded::MAGIC, &[0xff; 3000], &embedded::empty(), b"data"].concat();
        assert_eq!(embedded_cmdline(&image), Ok(""));
        embed_cmdline(&mut image, "arg=app arg=x").unwrap();
        assert_eq!(embedded_cmdline(&image), Ok("arg=app arg=x"));
        embed_cmdline(&mut image, "arg=y").unwrap();
        assert_eq!(embedded_cmdline(&image), Ok("arg=y"));
        assert!(embed_cmdline(&mut image, &"x".repeat(3000)).unwrap_err().contains("3000 bytes"));
        assert!(image.starts_with(b"code ") && image.ends_with(b"data"));
    }

    #[test]
    fn an_image_with_no_room_or_two_is_refused() {
        assert!(embed_cmdline(&mut [0; 100], "arg=x").unwrap_err().contains("no room"));
        let mut two = [embedded::empty(), embedded::empty()].concat();
        assert!(embed_cmdline(&mut two, "arg=x").unwrap_err().contains("more than one"));
    }
}
