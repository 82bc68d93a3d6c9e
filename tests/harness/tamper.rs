//! Boots an image through a few instructions of our own that first spoil what the VMM handed over.
//!
//! The PVH entry is moved to a stub in a segment of its own. It runs in 32-bit protected mode with
//! `ebx` at `hvm_start_info`, as the image's own entry would, and then jumps there.

use crate::{Spec, linux_loader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use toro_vmm::{Module, elf};

/// Where the stub is loaded: RAM that no firmware uses (SeaBIOS clears what lies below 1 MiB), behind every image.
pub const STUB_ADDRESS: u32 = 0x200_0000;
const PROGRAM_HEADER_BYTES: usize = 56;
const NOTE_DESCRIPTOR_AT: usize = 16;

/// One change to `hvm_start_info`, or to where it seems to be.
#[derive(Clone, Debug)]
pub enum Change {
    /// Stores a 32-bit value at this offset of the structure.
    Store {
        /// Offset in bytes.
        offset: u8,
        /// New value.
        value: u32,
    },
    /// Passes this address instead of the structure's.
    Pointer(u32),
    /// Replaces the memory map: start, length in bytes and type of each entry.
    MemoryMap(Vec<(u64, u64, u32)>),
    /// Replaces ACPI's tables by one that names processors by the numbers of their APICs. They lie at [`STUB_ADDRESS`],
    /// which the memory map must not call RAM.
    Processors(Vec<u8>),
    /// Replaces the command line, which may hold any bytes and need not end in a zero.
    CommandLine(Vec<u8>),
}

/// The image `elf`, entered by PVH through what `stub` makes of the address of its own PVH entry. The code runs at
/// [`STUB_ADDRESS`].
fn through_stub(elf: &[u8], stub: impl FnOnce(u32) -> Vec<u8>) -> Vec<u8> {
    let headers_at = u64_at(elf, 0x20) as usize;
    let count = usize::from(u16::from_le_bytes([elf[0x38], elf[0x39]]));
    let mut headers = elf[headers_at..headers_at + count * PROGRAM_HEADER_BYTES].to_vec();
    let mut out = elf.to_vec();
    let note = (0..count).map(|index| headers_at + index * PROGRAM_HEADER_BYTES).find(|at| out[*at] == 4);
    let note_at = u64_at(elf, note.expect("a PVH note") + 8) as usize;
    let entry = &mut out[note_at + NOTE_DESCRIPTOR_AT..][..4];
    let stub = stub(u32::from_le_bytes(entry.try_into().expect("four bytes")));
    entry.copy_from_slice(&STUB_ADDRESS.to_le_bytes());
    let stub_at = out.len().next_multiple_of(4096);
    headers.extend(1u32.to_le_bytes()); // PT_LOAD
    headers.extend(5u32.to_le_bytes()); // readable, executable
    let address = u64::from(STUB_ADDRESS);
    for word in [stub_at as u64, address, address, stub.len() as u64, stub.len() as u64, 4096] {
        headers.extend(word.to_le_bytes());
    }
    out.resize(stub_at, 0);
    out.extend(stub);
    // One header more than the image has room for: all of them move to the end.
    out.resize(out.len().next_multiple_of(8), 0);
    let headers_at = out.len() as u64;
    out[0x20..0x28].copy_from_slice(&headers_at.to_le_bytes());
    out[0x38..0x3a].copy_from_slice(&(count as u16 + 1).to_le_bytes());
    out.extend(headers);
    out
}

/// Machine code that makes the changes and jumps to `entry`; their data follows the code.
fn stub(changes: &[Change], entry: u32) -> Vec<u8> {
    const CODE_BYTES: usize = 512;
    let (mut code, mut data) = (Vec::new(), Vec::new());
    let mut add_data = |bytes: &[u8]| {
        let address = STUB_ADDRESS + (CODE_BYTES + data.len()) as u32;
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(8), 0);
        address
    };
    for change in changes {
        match change {
            Change::Store { offset, value } => store(&mut code, *offset, *value),
            Change::Pointer(address) => {
                code.push(0xbb); // mov ebx, address
                code.extend(address.to_le_bytes());
            }
            Change::MemoryMap(entries) => {
                let bytes: Vec<u8> = entries
                    .iter()
                    .flat_map(|(start, length, kind)| [*start, *length, u64::from(*kind)])
                    .flat_map(u64::to_le_bytes)
                    .collect();
                store(&mut code, 40, add_data(&bytes));
                store(&mut code, 44, 0);
                store(&mut code, 48, entries.len() as u32);
            }
            Change::Processors(apic_ids) => {
                let entries = apic_ids.iter().flat_map(|id| [0, 8, 0, *id, 1, 0, 0, 0]);
                let madt = add_data(&table(b"APIC", &[0; 8].into_iter().chain(entries).collect::<Vec<u8>>()));
                let rsdt = add_data(&table(b"RSDT", &madt.to_le_bytes()));
                let mut root = b"RSD PTR \0TORO  \0".to_vec();
                root.extend(rsdt.to_le_bytes());
                sum_to_zero(&mut root, 8);
                root.resize(36, 0); // as much is read
                store(&mut code, 32, add_data(&root));
                store(&mut code, 36, 0);
            }
            Change::CommandLine(bytes) => {
                store(&mut code, 24, add_data(bytes));
                store(&mut code, 28, 0);
            }
        }
    }
    code.push(0xb8); // mov eax, entry
    code.extend(entry.to_le_bytes());
    code.extend([0xff, 0xe0]); // jmp eax
    assert!(code.len() <= CODE_BYTES, "{} bytes of code", code.len());
    code.resize(CODE_BYTES, 0);
    code.extend(data);
    code
}

/// An ACPI table.
fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.resize(36, 0);
    bytes.extend(body);
    sum_to_zero(&mut bytes, 9);
    bytes
}

fn sum_to_zero(bytes: &mut [u8], at: usize) {
    bytes[at] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
}

/// `mov dword [ebx + offset], value`
fn store(code: &mut Vec<u8>, offset: u8, value: u32) {
    code.extend([0xc7, 0x43, offset]);
    code.extend(value.to_le_bytes());
}

/// A file for a test, beside the image: another one each time.
fn beside(image: &Path) -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    image.with_extension(format!("tampered-{}", MADE.fetch_add(1, Ordering::Relaxed)))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Spec {
    /// Where the image ends in memory: the highest address of its segments.
    pub fn image_end(self) -> u64 {
        let mut end = 0;
        let _same = self.with(|machine| {
            let path = &machine.image.boot;
            let elf = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let headers_at = u64_at(&elf, 0x20) as usize;
            let headers = (0..usize::from(elf[0x38])).map(|index| headers_at + index * PROGRAM_HEADER_BYTES);
            end = headers.map(|at| u64_at(&elf, at + 24) + u64_at(&elf, at + 40)).max().unwrap_or(0);
            machine
        });
        end
    }

    /// Boots through a stub that makes `changes` first.
    pub fn tampered(self, changes: &[Change]) -> Spec {
        self.changed(|elf| through_stub(elf, |entry| stub(changes, entry)))
    }

    /// Boots by Linux's 64-bit protocol with the zero page said to be at `zero_page`, after these 32-bit words were
    /// stored: address, value.
    pub fn by_linux_protocol(self, zero_page: u64, stores: &[(u32, u32)]) -> Spec {
        self.changed(|elf| through_stub(elf, |_pvh| linux_loader::code(u64_at(elf, 0x18), zero_page, stores)))
    }

    /// Boots with `module` as one more segment of the image.
    pub fn embedded_module(self, module: &[u8]) -> Spec {
        let embed = |elf: &[u8]| {
            let image = elf::strip(elf).and_then(|stripped| elf::with_room_for_module(&stripped, module.len() as u64));
            [&image.unwrap_or_else(|why| panic!("the image: {why}")), module].concat()
        };
        self.changed(embed)
    }

    /// Boots with `module` handed over by QEMU.
    pub fn module(self, module: &[u8]) -> Spec {
        self.with(|mut machine| {
            let path = beside(&machine.image.boot);
            std::fs::write(&path, module).expect("write beside the image");
            machine.module = Some(Module::File(path));
            machine
        })
    }

    /// Boots what `change` makes of the image.
    fn changed(self, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Spec {
        self.with(|mut machine| {
            let original = machine.image.boot;
            let elf = std::fs::read(&original).unwrap_or_else(|error| panic!("{}: {error}", original.display()));
            machine.image.boot = beside(&original);
            std::fs::write(&machine.image.boot, change(&elf)).expect("write beside the image");
            machine
        })
    }
}
