//! A core file that gdb opens with the image, or with the Linux program: the machine's memory as QEMU dumps it, and in front of
//! it what gdb wants to know.
//!
//! QEMU writes physical memory and, in notes, the registers of each processor. Here that file gets new headers behind its
//! memory: segments by virtual address, for which the page tables are walked, and one thread for what the report is about. So
//! memory stands there once, however often it is mapped. The other processors follow as threads; in a program's core, its own
//! threads as the guest has told of them.

use crate::error::Error;
use crate::machine::Module;
use crate::report::{HUNG, Report};
use crate::symbolize::Of;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: usize = 64;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const AT_ENTRY: u64 = 9;
/// From here on the number of program headers stands in a section header.
const PN_XNUM: usize = 0xffff;

/// Page tables that are read: those of 512 GiB in small pages. A guest may have made some that lead to each other.
const TABLES_MAX: u32 = 1 << 18;

/// Bits of a page table's entry.
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const OF_RING_3: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// A processor, as QEMU's note tells of it (`QEMUCPUState`).
#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// In the order of [`crate::report::REGISTERS`].
    registers: [u64; 18],
    fs_base: u64,
    gs_base: u64,
    cr3: u64,
    /// The program's while the kernel runs.
    other_gs_base: u64,
}

/// A thread of the core.
struct Thread<'a> {
    number: u32,
    /// In the order of [`crate::report::REGISTERS`].
    registers: [u64; 18],
    /// Of fs and gs.
    bases: [u64; 2],
    /// x87 and SSE, where they are known.
    fxsave: Option<&'a [u8]>,
}

/// Physical memory in the file.
#[derive(Clone, Copy, Debug)]
struct Ram {
    physical: u64,
    offset: u64,
    bytes: u64,
}

/// A part of the address space, and where it is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    address: u64,
    offset: u64,
    bytes: u64,
    flags: u32,
}

/// Turns QEMU's dump of physical memory into a core for `report`, whose code `elf` has.
pub(crate) fn finish(path: &Path, report: &Report, elf: Option<&Module>) -> Result<(), Error> {
    // QEMU makes it one that nobody may write.
    let file = std::fs::set_permissions(path, Permissions::from_mode(0o600));
    let file = file.and_then(|()| File::options().read(true).write(true).open(path));
    let done = file.and_then(|file| rewrite(&file, report, elf));
    done.map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))
}

/// Removes one that could not be completed, where it is a file.
pub(crate) fn discard(path: &Path) {
    if path.symlink_metadata().is_ok_and(|there| there.is_file()) {
        // What cannot be removed stays, as told: it could not be written.
        let _removed = std::fs::remove_file(path);
    }
}

fn rewrite(file: &File, report: &Report, elf: Option<&Module>) -> io::Result<()> {
    let dump = Dump::read(file)?;
    let mut segments = Segments::default();
    let mut roots: Vec<u64> = dump.cpus.iter().map(|cpu| cpu.cr3 & ADDRESS).collect();
    roots.dedup();
    for root in roots {
        dump.walk(root, report.of, &mut segments);
    }
    let segments = segments.joined();
    let notes = notes(&dump.cpus, report, elf);

    let end = file.metadata()?.len().next_multiple_of(8);
    let headers_at = end + notes.len().next_multiple_of(8) as u64;
    let count = segments.len() + 1;
    let mut headers = Vec::with_capacity(count * PROGRAM_HEADER_BYTES + SECTION_HEADER_BYTES);
    push_header(&mut headers, PT_NOTE, 4, end, 0, notes.len() as u64);
    for segment in &segments {
        push_header(&mut headers, PT_LOAD, segment.flags, segment.offset, segment.address, segment.bytes);
    }
    let section_at = headers_at + headers.len() as u64;
    let mut section = [0; SECTION_HEADER_BYTES];
    section[44..48].copy_from_slice(&(count as u32).to_le_bytes()); // sh_info
    headers.extend(section);

    file.write_all_at(&notes, end)?;
    file.write_all_at(&headers, headers_at)?;
    file.write_all_at(&header(headers_at, count, section_at), 0)
}

fn header(headers_at: u64, count: usize, section_at: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let is_many = count >= PN_XNUM;
    header[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    header[16..18].copy_from_slice(&4_u16.to_le_bytes()); // a core
    header[18..20].copy_from_slice(&62_u16.to_le_bytes()); // of an x86-64
    header[20..24].copy_from_slice(&1_u32.to_le_bytes());
    header[32..40].copy_from_slice(&headers_at.to_le_bytes());
    header[40..48].copy_from_slice(&(if is_many { section_at } else { 0 }).to_le_bytes());
    let sizes = [HEADER_BYTES, PROGRAM_HEADER_BYTES, count.min(PN_XNUM), SECTION_HEADER_BYTES, usize::from(is_many), 0];
    for (at, size) in sizes.into_iter().enumerate() {
        header[52 + 2 * at..54 + 2 * at].copy_from_slice(&(size as u16).to_le_bytes());
    }
    header
}

fn push_header(headers: &mut Vec<u8>, kind: u32, flags: u32, offset: u64, address: u64, bytes: u64) {
    headers.extend(kind.to_le_bytes());
    headers.extend(flags.to_le_bytes());
    for value in [offset, address, 0, bytes, bytes, 0] {
        headers.extend(value.to_le_bytes());
    }
}

/// What QEMU wrote.
struct Dump<'a> {
    file: &'a File,
    ram: Vec<Ram>,
    cpus: Vec<Cpu>,
    tables_left: Cell<u32>,
}

impl<'a> Dump<'a> {
    fn read(file: &'a File) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let (at, mut count) = (u64_at(&header, 32), u64::from(u16_at(&header, 56)));
        if count == PN_XNUM as u64 {
            let mut section = [0; SECTION_HEADER_BYTES];
            file.read_exact_at(&mut section, u64_at(&header, 40))?;
            count = u32_at(&section, 44).into();
        }
        let mut dump = Dump { file, ram: Vec::new(), cpus: Vec::new(), tables_left: Cell::new(TABLES_MAX) };
        for number in 0..count {
            let mut header = [0; PROGRAM_HEADER_BYTES];
            file.read_exact_at(&mut header, at + number * PROGRAM_HEADER_BYTES as u64)?;
            let (offset, physical, bytes) = (u64_at(&header, 8), u64_at(&header, 24), u64_at(&header, 32));
            match u32_at(&header, 0) {
                PT_LOAD => dump.ram.push(Ram { physical, offset, bytes }),
                PT_NOTE => {
                    let mut notes = vec![0; bytes as usize];
                    file.read_exact_at(&mut notes, offset)?;
                    dump.cpus.extend(cpus(&notes));
                }
                _ => {}
            }
        }
        Ok(dump)
    }

    /// Where physical memory is in the file, and how much of it follows.
    fn find(&self, physical: u64) -> Option<(u64, u64)> {
        let ram = self.ram.iter().find(|ram| (ram.physical..ram.physical + ram.bytes).contains(&physical))?;
        let from_start = physical - ram.physical;
        Some((ram.offset + from_start, ram.bytes - from_start))
    }

    fn table(&self, physical: u64) -> Option<Vec<u64>> {
        self.tables_left.set(self.tables_left.get().checked_sub(1)?);
        let (offset, bytes) = self.find(physical)?;
        let mut table = [0; 4096];
        if bytes < table.len() as u64 {
            return None;
        }
        self.file.read_exact_at(&mut table, offset).ok()?;
        Some(table.chunks_exact(8).map(|entry| u64_at(entry, 0)).collect())
    }

    fn walk(&self, root: u64, of: Of, segments: &mut Segments) {
        // A program's core has what is the program's.
        let wanted = if of == Of::Program { PRESENT | OF_RING_3 } else { PRESENT };
        let Some(root) = self.table(root) else { return };
        for (number, entry) in root.iter().enumerate().filter(|(_, entry)| *entry & wanted == wanted) {
            let address = (number as u64) << 39;
            let address = if number >= 256 { 0xffff << 48 | address } else { address };
            self.walk_table(*entry, address, 2, wanted, segments);
        }
    }

    /// Walks the table of an entry, whose entries are for 4 KiB (level 0), 2 MiB or 1 GiB each.
    fn walk_table(&self, entry: u64, address: u64, level: u32, wanted: u64, segments: &mut Segments) {
        let Some(table) = self.table(entry & ADDRESS) else { return };
        let bytes = 4096_u64 << (9 * level);
        for (number, entry) in table.iter().enumerate().filter(|(_, entry)| *entry & wanted == wanted) {
            let address = address + number as u64 * bytes;
            if level > 0 && entry & LARGE == 0 {
                self.walk_table(*entry, address, level - 1, wanted, segments);
                continue;
            }
            if let Some((offset, left)) = self.find(entry & ADDRESS & !(bytes - 1)) {
                let flags = 4 | if entry & WRITABLE != 0 { 2 } else { 0 } | u32::from(entry & NO_EXECUTE == 0);
                segments.add(Segment { address, offset, bytes: bytes.min(left), flags });
            }
        }
    }
}

/// The address space; of what several processors have at an address, the first one's.
#[derive(Default)]
struct Segments(BTreeMap<u64, Segment>);

impl Segments {
    fn add(&mut self, segment: Segment) {
        self.0.entry(segment.address).or_insert(segment);
    }

    fn joined(self) -> Vec<Segment> {
        let mut joined: Vec<Segment> = Vec::new();
        for segment in self.0.into_values() {
            match joined.last_mut() {
                Some(last)
                    if last.flags == segment.flags
                        && last.address.wrapping_add(last.bytes) == segment.address
                        && last.offset + last.bytes == segment.offset =>
                {
                    last.bytes += segment.bytes;
                }
                _ => joined.push(segment),
            }
        }
        joined
    }
}

/// The processors of QEMU's own notes.
fn cpus(notes: &[u8]) -> Vec<Cpu> {
    const STATE_BYTES: usize = 440;
    let (mut cpus, mut rest) = (Vec::new(), notes);
    while rest.len() >= 12 {
        let (name_bytes, bytes) = (u32_at(rest, 0) as usize, u32_at(rest, 4) as usize);
        let data_at = 12 + name_bytes.next_multiple_of(4);
        let end = data_at.saturating_add(bytes.next_multiple_of(4));
        let Some(data) = rest.get(data_at..end.min(rest.len())) else { break };
        if rest[12..].starts_with(b"QEMU") && data.len() >= STATE_BYTES {
            // rax rbx rcx rdx rsi rdi rsp rbp, r8 to r15, rip, rflags; ours have rbp before rsp.
            let mut registers: [u64; 18] = std::array::from_fn(|at| u64_at(data, 8 + 8 * at));
            registers.swap(6, 7);
            cpus.push(Cpu {
                registers,
                fs_base: u64_at(data, 240),
                gs_base: u64_at(data, 264),
                cr3: u64_at(data, 416),
                other_gs_base: u64_at(data, 432),
            });
        }
        rest = &rest[end.min(rest.len())..];
    }
    cpus
}

fn notes(cpus: &[Cpu], report: &Report, elf: Option<&Module>) -> Vec<u8> {
    let mut notes = Vec::new();
    // The processor that reports is the one that the cause names.
    let core = report.cause.rsplit_once(" on core ").and_then(|(_, core)| core.trim_end_matches(':').parse().ok());
    let reporting = cpus.get(core.unwrap_or(0)).or(cpus.first());
    let mut threads = Vec::new();
    if let Some(cpu) = reporting.filter(|_| report.states.is_empty()) {
        let gs_base = if report.of == Of::Program { cpu.other_gs_base } else { cpu.gs_base };
        let registers = report.registers.unwrap_or(cpu.registers);
        threads.push(Thread { number: 1, registers, bases: [cpu.fs_base, gs_base], fxsave: None });
    }
    if report.of == Of::Image {
        // Without registers of its own the report is about where its processor is.
        let is_told = |cpu: &&Cpu| report.registers.is_none() && reporting.is_some_and(|it| std::ptr::eq(*cpu, it));
        for cpu in cpus.iter().filter(|cpu| !is_told(cpu)) {
            let bases = [cpu.fs_base, cpu.gs_base];
            threads.push(Thread { number: threads.len() as u32 + 1, registers: cpu.registers, bases, fxsave: None });
        }
    }
    threads.extend(report.states.iter().map(|state| Thread {
        number: state.thread,
        registers: state.registers,
        bases: [state.fs_base, state.gs_base],
        fxsave: Some(&state.fxsave),
    }));
    let name = elf.map(Module::path).and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let mut information = [0; 136];
    for (at, byte) in name.unwrap_or_default().bytes().take(79).enumerate() {
        information[56 + at] = byte; // pr_psargs
        if at < 15 {
            information[40 + at] = byte; // pr_fname
        }
    }
    for (place, thread) in threads.iter().enumerate() {
        push_note(&mut notes, NT_PRSTATUS, &status(thread, report));
        if place == 0 {
            push_note(&mut notes, NT_PRPSINFO, &information);
            let entry = elf.and_then(|elf| std::fs::read(elf.path()).ok()).and_then(|bytes| crate::elf::entry(&bytes));
            if let Some(entry) = entry {
                // By this gdb finds where a file that can be anywhere is.
                let pairs = [AT_ENTRY, report.base.wrapping_add(entry), 0, 0];
                push_note(&mut notes, NT_AUXV, &pairs.map(u64::to_le_bytes).concat());
            }
        }
        if let Some(fxsave) = thread.fxsave {
            push_note(&mut notes, NT_FPREGSET, fxsave); // a `struct user_fpregs_struct` is just that
        }
    }
    notes
}

/// A `struct elf_prstatus`.
fn status(thread: &Thread<'_>, report: &Report) -> [u8; 336] {
    const CODE: u64 = 0x33;
    const DATA: u64 = 0x2b;
    let [rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags] = thread.registers;
    let registers = [
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        u64::MAX,
        rip,
        CODE,
        rflags,
        rsp,
        DATA,
        thread.bases[0],
        thread.bases[1],
        0,
        0,
        0,
        0,
    ];
    let mut status = [0; 336];
    let signal = signal(&report.cause);
    status[..4].copy_from_slice(&u32::from(signal).to_le_bytes());
    status[12..14].copy_from_slice(&signal.to_le_bytes());
    status[32..36].copy_from_slice(&thread.number.to_le_bytes());
    for (at, value) in registers.into_iter().enumerate() {
        status[112 + 8 * at..120 + 8 * at].copy_from_slice(&value.to_le_bytes());
    }
    status
}

/// The signal by which gdb is to say that it ended: the one that the cause names, or what Linux would have made of it.
fn signal(cause: &str) -> u16 {
    const NAMED: [(&str, u16); 12] = [
        (HUNG, 14),
        ("SIGILL", 4),
        ("SIGTRAP", 5),
        ("SIGBUS", 7),
        ("SIGFPE", 8),
        ("SIGSEGV", 11),
        ("divide error", 8),
        ("floating-point", 8),
        ("invalid instruction", 4),
        ("breakpoint", 5),
        ("panicked", 6),
        ("SIGABRT", 6),
    ];
    NAMED.iter().find(|(name, _)| cause.contains(name)).map_or(11, |(_, signal)| *signal)
}

fn push_note(notes: &mut Vec<u8>, kind: u32, data: &[u8]) {
    notes.extend(5_u32.to_le_bytes());
    notes.extend((data.len() as u32).to_le_bytes());
    notes.extend(kind.to_le_bytes());
    notes.extend(b"CORE\0\0\0\0");
    notes.extend(data);
    notes.resize(notes.len().next_multiple_of(4), 0);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dump of one page, which is a page table all of whose entries lead to itself.
    #[test]
    fn page_tables_that_lead_to_themselves_have_an_end() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[PRESENT as u8, 0x10, 0, 0, 0, 0, 0, 0].repeat(512), 0).unwrap();
        let ram = vec![Ram { physical: 0x1000, offset: 0, bytes: 4096 }];
        let dump = Dump { file: &file, ram, cpus: Vec::new(), tables_left: Cell::new(100) };
        let mut segments = Segments::default();
        dump.walk(0x1000, Of::Image, &mut segments);
        assert_eq!(dump.tables_left.get(), 0);
        // Tables on the way to the first entries of all: the last level, 97 times.
        assert_eq!(segments.joined().iter().map(|segment| segment.bytes).sum::<u64>(), 97 * 512 * 4096);
    }

    #[test]
    fn neighbours_in_memory_and_file_are_one_segment() {
        let mut segments = Segments::default();
        let segment = |address, offset, flags| Segment { address, offset, bytes: 4096, flags };
        for one in [
            segment(0x2000, 0x9000, 6),
            segment(0x1000, 0x8000, 6),
            segment(0x3000, 0xb000, 6),
            segment(0x4000, 0xc000, 5),
        ] {
            segments.add(one);
        }
        segments.add(segment(0x1000, 0xf000, 4)); // another processor's
        let joined = segments.joined();
        assert_eq!(joined[0], Segment { address: 0x1000, offset: 0x8000, bytes: 0x2000, flags: 6 });
        assert_eq!(joined[1..], [segment(0x3000, 0xb000, 6), segment(0x4000, 0xc000, 5)]);
    }

    #[test]
    fn the_signal_is_what_the_cause_says() {
        assert_eq!(signal("SIGABRT, sent by the program itself, in thread 1 'x'"), 6);
        assert_eq!((signal("divide error, in thread 1 'main'"), signal("read of 0x8, near null")), (8, 11));
    }
}
