//! Files made byte by byte, each with one thing wrong, and real programs.

use super::*;
use std::path::Path;
use std::process::Command;

/// `p_type`, `p_flags`, `p_offset`, `p_vaddr`, `p_filesz`, `p_memsz`, `p_align`.
type Header = [u64; 7];

const TEXT: Header = [1, 5, 0, 0x40_0000, 0x300, 0x300, 0x1000];
const DATA: Header = [1, 6, 0x1300, 0x40_1300, 0x100, 0x2100, 0x1000];
const STACK: Header = [0x6474_e551, 6, 0, 0, 0, 0, 16];

fn file(kind: u16, entry: u64, headers: &[Header]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(kind.to_le_bytes());
    file.extend(62_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for quad in [entry, 64, 0] {
        file.extend(quad.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64, 56, headers.len() as u16, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for [kind, flags, offset, address, file_bytes, memory_bytes, align] in headers {
        file.extend((*kind as u32).to_le_bytes());
        file.extend((*flags as u32).to_le_bytes());
        for quad in [offset, address, address, file_bytes, memory_bytes, align] {
            file.extend(quad.to_le_bytes());
        }
    }
    file.resize(0x1400, 0xcc);
    file
}

fn program(headers: &[Header]) -> Vec<u8> {
    file(2, 0x40_0200, headers)
}

fn refusal(file: &[u8]) -> String {
    Executable::parse(file).expect_err("it is refused").to_string()
}

/// A header with one of its fields changed.
fn with(mut header: Header, field: usize, value: u64) -> Header {
    header[field] = value;
    header
}

#[test]
fn a_program_is_read() {
    let file = program(&[TEXT, DATA, STACK]);
    let program = Executable::parse(&file).unwrap();
    assert_eq!((program.kind, program.entry), (Kind::Static, 0x40_0200));
    assert_eq!(program.extent, 0x40_0000..0x40_3400);
    assert_eq!(program.headers, Headers { address: Some(0x40_0040), count: 3, entry_bytes: 56 });
    assert!(!program.has_executable_stack && !program.is_position_independent());
    assert_eq!(program.align_bytes, 0x1000);
    let segments: Vec<_> = program.segments().collect();
    let writable = Access { read: true, write: true, execute: false };
    assert_eq!((segments.len(), segments[1].access, segments[1].end()), (2, writable, 0x40_3400));
    assert_eq!((segments[1].offset, segments[1].data.len()), (0x1300, 0x100));
}

#[test]
fn what_the_stack_may_is_the_headers_to_say() {
    let stack = |header| Executable::parse(&program(&[TEXT, header])).unwrap().has_executable_stack;
    assert!(stack(with(STACK, 1, 7)) && !stack(STACK) && !stack(with(STACK, 0, 0)));
}

#[test]
fn headers_that_no_segment_holds_have_no_address() {
    let file = program(&[with(TEXT, 2, 0x1000)]);
    assert_eq!(Executable::parse(&file).unwrap().headers.address, None);
}

#[test]
fn kinds_are_told_apart() {
    let (text, data) = (with(TEXT, 3, 0), with(DATA, 3, 0x1300));
    let pie = file(3, 0x200, &[text, data]);
    let pie = Executable::parse(&pie).unwrap();
    assert_eq!((pie.kind, pie.extent.start, pie.is_position_independent()), (Kind::StaticPie, 0, true));
    let mut dynamic = file(3, 0x200, &[text, [3, 4, 0x200, 0x200, 9, 9, 1], data]);
    dynamic[0x200..0x209].copy_from_slice(b"/lib/ld.\0");
    let kind = Executable::parse(&dynamic).unwrap().kind;
    assert_eq!(kind, Kind::Dynamic { interpreter: b"/lib/ld.", is_position_independent: true });
    dynamic[0x208] = b'x';
    assert!(refusal(&dynamic).contains("the interpreter's path"));
    assert_eq!(refusal(&file(3, 0, &[with(text, 1, 4)])), "it is a shared library: it has no entry");
}

#[test]
fn what_is_no_program_is_named() {
    assert_eq!(refusal(b""), "it is no ELF file");
    assert_eq!(refusal(b"MZ"), "it is no ELF file");
    assert_eq!(refusal(b"#! /usr/bin/env python3\nprint()\n"), "it is a script for /usr/bin/env");
    assert_eq!(refusal(b"#!\n"), "it is a script");
    assert_eq!(refusal(b"#!/bin/\x1b[2J"), "it is a script for /bin/\\x1b[2J");
    let changed = |at: usize, byte: u8| {
        let mut file = program(&[TEXT]);
        file[at] = byte;
        refusal(&file)
    };
    assert_eq!(changed(4, 1), "it is a 32-bit program");
    assert_eq!(changed(5, 2), "it is for a big-endian processor");
    assert_eq!(changed(18, 183), "it is for AArch64, not for x86-64");
    assert_eq!(changed(18, 99), "it is for another processor (ELF machine 99), not for x86-64");
    assert_eq!(changed(7, 9), "it is for FreeBSD, not for Linux");
    assert_eq!(changed(16, 1), "it is an object file that is not linked yet");
    assert_eq!(changed(16, 4), "it is a core dump");
    assert_eq!(changed(16, 7), "it is no executable (ELF type 7)");
    assert!(changed(6, 2).contains("version") && changed(20, 2).contains("version") && changed(5, 3).contains("order"));
}

#[test]
fn headers_must_be_there() {
    let whole = program(&[TEXT]);
    for length in [5, 20, 63, 64, 100] {
        assert_eq!(refusal(&whole[..length]), "it is cut short: its headers lie outside the file", "{length}");
    }
    let changed = |at: usize, value: u16| {
        let mut file = whole.clone();
        file[at..at + 2].copy_from_slice(&value.to_le_bytes());
        refusal(&file)
    };
    assert_eq!(changed(0x38, 0), "its ELF is damaged: 0 program headers");
    assert_eq!(changed(0x38, 0xffff), "its ELF is damaged: 65535 program headers");
    assert_eq!(changed(0x36, 32), "its ELF is damaged: program headers of 32 bytes");
    assert!(changed(0x24, 0xffff).contains("cut short"), "a table that begins beyond all files");
}

#[test]
fn segments_must_make_sense() {
    assert_eq!(refusal(&program(&[STACK])), "it has nothing to load");
    assert!(refusal(&program(&[TEXT, with(DATA, 4, 0x101)])).starts_with("it is cut short: segment 1 "));
    assert!(refusal(&program(&[TEXT, with(DATA, 2, u64::MAX)])).contains("segment 1 lies outside"));
    assert!(refusal(&program(&[TEXT, with(DATA, 5, 0x10)])).contains("segment 1 has more bytes in the file"));
    assert!(refusal(&program(&[TEXT, with(DATA, 2, 0x1200)])).contains("differ modulo 4096"));
    assert!(refusal(&program(&[TEXT, with(DATA, 6, 3)])).contains("alignment of segment 1"));
    assert!(refusal(&program(&[TEXT, with(DATA, 6, 1 << 40)])).contains("alignment of segment 1"));
    // Out of order, one in the other, on the same page.
    assert!(refusal(&program(&[DATA, TEXT])).contains("segment 1 does not lie behind"));
    assert!(refusal(&program(&[with(TEXT, 5, 0x4000), DATA])).contains("segment 1 does not lie behind"));
    assert!(refusal(&program(&[with(TEXT, 5, 0x1100), DATA])).contains("pages of its own"));
    // Nothing of the file, so nothing to agree with it; and nothing at all.
    let zeroes = [1, 6, 0x77, 0x40_1000, 0, 0x10, 0];
    assert!(Executable::parse(&program(&[TEXT, zeroes])).is_ok());
    assert!(Executable::parse(&program(&[TEXT, with(with(DATA, 4, 0), 5, 0)])).is_ok());
}

#[test]
fn addresses_are_where_programs_are() {
    let at = |address: u64| {
        let file = file(2, address + 0x200, &[with(TEXT, 3, address)]);
        Executable::parse(&file).map(|_| ()).map_err(|refusal| refusal.to_string())
    };
    assert!(at(ADDRESS_MIN).is_ok() && at(ADDRESS_END - 0x1000).is_ok());
    for address in [0, ADDRESS_MIN - 0x1000, ADDRESS_END, 0xffff_8000_0000_0000, u64::MAX - 0xfff] {
        assert!(at(address).unwrap_err().contains("is not between 0x10000 and 0x7ffffffff000"), "{address:#x}");
    }
    assert!(refusal(&program(&[TEXT, with(DATA, 5, u64::MAX)])).contains("segment 1 is not between"));
}

#[test]
fn the_entry_is_in_a_segment_that_can_be_executed() {
    for entry in [0, 0x3f_ffff, 0x40_0300, 0x40_1300, u64::MAX] {
        assert_eq!(
            refusal(&file(2, entry, &[TEXT, DATA])),
            format!("its entry {entry:#x} is in no executable segment")
        );
    }
}

#[test]
fn any_byte_may_be_wrong() {
    let whole = program(&[TEXT, DATA, STACK]);
    for at in 0..64 + 3 * 56 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut file = whole.clone();
            file[at] = value;
            if let Ok(program) = Executable::parse(&file) {
                assert!(program.segments().all(|segment| segment.data.len() as u64 <= segment.memory_bytes));
            }
        }
    }
}

#[test]
fn the_systems_own_programs_are_dynamic() {
    let file = std::fs::read("/bin/true").unwrap();
    let program = Executable::parse(&file).unwrap();
    assert!(matches!(program.kind, Kind::Dynamic { interpreter: b"/lib64/ld-linux-x86-64.so.2", .. }), "{program:?}");
    assert!(program.headers.address.is_some());
    // And so is this test, which is larger.
    let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(Executable::parse(&file).unwrap().kind, Kind::Dynamic { is_position_independent: true, .. }));
}

/// A program that gcc makes, with these options.
fn compiled(folder: &Path, options: &[&str]) -> Vec<u8> {
    let (source, program) = (folder.join("main.c"), folder.join("program"));
    std::fs::write(&source, "static char zeroes[100000]; int main(void) { return zeroes[5]; }\n").unwrap();
    let status = Command::new("gcc").args(options).arg("-o").arg(&program).arg(&source).status().unwrap();
    assert!(status.success(), "gcc {options:?}");
    std::fs::read(program).unwrap()
}

#[test]
fn what_gcc_makes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let fixed = compiled(folder.path(), &["-static", "-no-pie"]);
    let program = Executable::parse(&fixed).unwrap();
    assert_eq!((program.kind, program.extent.start), (Kind::Static, 0x40_0000));
    assert!(program.extent.end - program.extent.start > 100_000);
    assert!(program.segments().any(|segment| segment.memory_bytes > segment.data.len() as u64 + 99_999));
    assert!(program.segments().all(|segment| !(segment.access.write && segment.access.execute)));

    let pie = compiled(folder.path(), &["-static-pie", "-fPIE"]);
    let program = Executable::parse(&pie).unwrap();
    assert_eq!((program.kind, program.headers.address), (Kind::StaticPie, Some(64)));
    assert!(!program.has_executable_stack);
    let loose = compiled(folder.path(), &["-static", "-z", "execstack"]);
    assert!(Executable::parse(&loose).unwrap().has_executable_stack);

    let dynamic = compiled(folder.path(), &["-no-pie"]);
    let kind = Executable::parse(&dynamic).unwrap().kind;
    assert!(matches!(kind, Kind::Dynamic { is_position_independent: false, .. }), "{kind:?}");
    assert!(refusal(&compiled(folder.path(), &["-c"])).contains("not linked"));
    assert!(refusal(&compiled(folder.path(), &["-shared", "-nostdlib", "-fPIC"])).contains("shared library"));
    for length in [10, 100, 0x1000, fixed.len() / 2] {
        assert!(refusal(&fixed[..length]).contains("cut short"), "{length}");
    }
}
