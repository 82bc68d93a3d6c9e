//! The little of ELF that the host needs: is this an image, what of it boots, where is its embedded command line.

use crate::error::Error;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf};
use std::path::Path;
use toro_abi::embedded::{self, ModulePlace};
use toro_abi::outcome::status;

type Header = elf::FileHeader64<Endianness>;

const PAGE_BYTES: u64 = 4096;
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

/// Where an executable begins.
pub(crate) fn entry(bytes: &[u8]) -> Option<u64> {
    let header = Header::parse(bytes).ok()?;
    Some(header.e_entry(header.endian().ok()?))
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

/// The libraries that a dynamic program names (`DT_NEEDED`); none when it names none, or that cannot be read.
pub fn needed_libraries(bytes: &[u8]) -> Vec<String> {
    let read = || -> Option<Vec<String>> {
        let header = Header::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        let sections = header.sections(endian, bytes).ok()?;
        let (entries, strings) = sections.dynamic(endian, bytes).ok()??;
        let strings = sections.strings(endian, bytes, strings).ok()?;
        let needed = entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED);
        let names = needed.filter_map(|entry| strings.get(u32::try_from(entry.val(endian)).ok()?).ok());
        Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    };
    read().unwrap_or_default()
}

/// The image without symbols and debug information: what the segments hold, and a header that promises nothing else.
pub fn strip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let text = |error: object::read::Error| format!("its ELF is damaged: {error}");
    let header = Header::parse(bytes).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let segments = header.program_headers(endian, bytes).map_err(text)?;
    // A segment without bytes in the file, as that of memory to be cleared, has a place there all the same, on whose account
    // the file would be longer.
    let has_bytes = |segment: &&object::elf::ProgramHeader64<Endianness>| segment.p_filesz(endian) > 0;
    let ends = segments.iter().filter(has_bytes);
    let ends = ends.map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    let table_end = header.e_phoff(endian) + size_of_val(segments) as u64;
    let end = ends.chain([table_end]).max().unwrap_or(0);
    let kept = usize::try_from(end).ok().and_then(|end| bytes.get(..end));
    let mut stripped = kept.ok_or("its ELF is cut short")?.to_vec();
    // e_shoff, and e_shentsize, e_shnum, e_shstrndx at the end of the header: no section table.
    stripped[0x28..0x30].fill(0);
    stripped[0x3a..0x40].fill(0);
    for (number, segment) in segments.iter().enumerate().filter(|(_, segment)| !has_bytes(segment)) {
        // Its place: inside the file, and as the format wants it, congruent to the address.
        let place = segment.p_vaddr(endian) % segment.p_align(endian).max(1);
        let at = header.e_phoff(endian) as usize + number * size_of_val(segment) + 8;
        stripped[at..at + 8].copy_from_slice(&place.to_le_bytes());
    }
    Ok(stripped)
}

/// The image with one more segment behind all others, for a boot module of so many bytes, which the caller appends: what
/// is loaded by itself needs no `-initrd`. Its program headers move behind it.
pub fn with_room_for_module(image: &[u8], module_bytes: u64) -> Result<Vec<u8>, String> {
    let text = |error: object::read::Error| format!("its ELF is damaged: {error}");
    let header = Header::parse(image).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let segments = header.program_headers(endian, image).map_err(text)?;
    let end = loaded(image).ok_or("it has nothing to load")?.end;
    let address = end.checked_next_multiple_of(PAGE_BYTES).ok_or("it ends at the end of memory")?;
    let mut out = image.to_vec();
    let place = ModulePlace { address, len_bytes: module_bytes };
    let range = module_range(image)?;
    if ModulePlace::read(&image[range.clone()]).is_some() {
        return Err("it has a program already".into());
    }
    out[range].copy_from_slice(&place.section());
    out.resize(out.len().next_multiple_of(8), 0);
    let table_at = out.len() as u64;
    let table_end = size_of_val(segments) + size_of::<elf::ProgramHeader64<Endianness>>();
    let offset = (table_at + table_end as u64).next_multiple_of(PAGE_BYTES);
    // e_phoff and e_phnum.
    out[0x20..0x28].copy_from_slice(&table_at.to_le_bytes());
    out[0x38..0x3a].copy_from_slice(&(segments.len() as u16 + 1).to_le_bytes());
    out.extend_from_slice(object::bytes_of_slice(segments));
    out.extend(elf::PT_LOAD.0.to_le_bytes());
    out.extend(elf::PF_R.0.to_le_bytes());
    for word in [offset, address, address, module_bytes, module_bytes, PAGE_BYTES] {
        out.extend(word.to_le_bytes());
    }
    out.resize(offset as usize, 0);
    Ok(out)
}

/// Bytes of the boot module that is loaded with an image; 0 when there is none.
pub fn embedded_module_bytes(image: &[u8]) -> u64 {
    let section = module_range(image).ok().and_then(|range| image.get(range));
    section.and_then(ModulePlace::read).map_or(0, |place| place.len_bytes)
}

/// Where the file says where its boot module is. It is found by its magic: with numbers behind it that can be, so that
/// code which looks for it is not taken for it.
fn module_range(bytes: &[u8]) -> Result<std::ops::Range<usize>, String> {
    let is_place = |at: &usize| {
        let section = bytes.get(*at..*at + embedded::MODULE_SECTION_BYTES).unwrap_or_default();
        section == ModulePlace::none()
            || ModulePlace::read(section).is_some_and(|place| place.address.is_multiple_of(PAGE_BYTES))
    };
    let mut found = memory_find(bytes, &embedded::MODULE_MAGIC).filter(is_place);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at..at + embedded::MODULE_SECTION_BYTES),
        (None, _) => Err(format!("it has no place for a program ({})", embedded::MODULE_SECTION)),
        (Some(_), Some(_)) => Err("it has more than one place for a program".into()),
    }
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
            let (offset, address) = (segment.p_offset(endian), segment.p_vaddr(endian));
            assert!(offset <= stripped.len() as u64);
            assert_eq!(offset % segment.p_align(endian).max(1), address % segment.p_align(endian).max(1));
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
