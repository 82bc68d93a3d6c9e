//! The empty guest: what QEMU and its firmware cost before any kernel has done anything.
//!
//! It says `N` on the serial port, writes to the marker port and halts for good. Built here byte by
//! byte, as an ELF with the PVH note, so that no assembler is needed.

/// Its name in reports.
pub const NAME: &str = "empty";

/// Where it is loaded and entered.
pub const ENTRY: u64 = 0x10_0000;

/// 32-bit code of the whole guest.
const CODE: &[u8] = &[
    0xe6, 0xf4, // out 0xf4, al
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'N', // mov al, 'N'
    0xee, // out dx, al
    0xb0, b'\n', // mov al, '\n'
    0xee,  // out dx, al
    0xfa,  // cli
    0xf4,  // hlt
    0xeb, 0xfc, // jmp to the cli
];

const HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: u64 = 56;
const NOTE_OFFSET: u64 = HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
const NOTE_BYTES: u64 = 20;
const CODE_OFFSET: u64 = 0x1000;

/// The ELF image.
pub fn image() -> Vec<u8> {
    let mut elf = Vec::with_capacity(CODE_OFFSET as usize + CODE.len());
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    push16(&mut elf, [2, 62]); // an executable, for x86-64
    push32(&mut elf, [1]);
    push64(&mut elf, [ENTRY, HEADER_BYTES, 0]);
    push32(&mut elf, [0]);
    push16(&mut elf, [HEADER_BYTES as u16, PROGRAM_HEADER_BYTES as u16, 2, 0, 0, 0]);
    let code_bytes = CODE.len() as u64;
    push32(&mut elf, [1, 5]); // PT_LOAD, read and execute
    push64(&mut elf, [CODE_OFFSET, ENTRY, ENTRY, code_bytes, code_bytes, 0x1000]);
    push32(&mut elf, [4, 4]); // PT_NOTE, read
    push64(&mut elf, [NOTE_OFFSET, 0, 0, NOTE_BYTES, NOTE_BYTES, 4]);
    push32(&mut elf, [4, 4, 18]); // name and description of 4 bytes, XEN_ELFNOTE_PHYS32_ENTRY
    elf.extend_from_slice(b"Xen\0");
    push32(&mut elf, [ENTRY as u32]);
    elf.resize(CODE_OFFSET as usize, 0);
    elf.extend_from_slice(CODE);
    elf
}

fn push16<const N: usize>(elf: &mut Vec<u8>, words: [u16; N]) {
    elf.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn push32<const N: usize>(elf: &mut Vec<u8>, words: [u32; N]) {
    elf.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn push64<const N: usize>(elf: &mut Vec<u8>, words: [u64; N]) {
    elf.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_stand_where_the_header_says() {
        let elf = image();
        assert_eq!(&elf[NOTE_OFFSET as usize + 12..][..4], b"Xen\0");
        assert_eq!(&elf[CODE_OFFSET as usize..], CODE);
        assert_eq!(elf[HEADER_BYTES as usize], 1);
    }
}
