//! The shared object that a program finds in its memory, and in it functions that need no call: a page with the headers that
//! C libraries and Go look for, around code that the kernel gives.

use alloc::vec;
use alloc::vec::Vec;

/// Bytes of the object: a page.
pub const BYTES: usize = 4096;
/// The version that its functions have.
const VERSION: &str = "LINUX_2.6";
const NAME: &str = "linux-vdso.so.1";

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const SYMBOL_BYTES: usize = 24;

/// The code does not fit behind the headers, or not into the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// A page under construction, filled from its beginning.
struct Page(Vec<u8>);

impl Page {
    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: usize) {
        self.0.extend_from_slice(&(value as u64).to_le_bytes());
    }

    fn here(&mut self, align: usize) -> usize {
        self.0.resize(self.0.len().next_multiple_of(align), 0);
        self.0.len()
    }
}

/// Names, one after the other.
struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        let at = self.0.len() as u32;
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        at
    }
}

/// The hash of a name, System V ABI chapter 5, "Hash table".
fn hash(name: &str) -> u32 {
    name.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

/// Builds the object. The code begins at `text_offset` of the page, and each function at its own offset in the code.
///
/// # Errors
/// [`TooLarge`].
pub fn build(text: &[u8], text_offset: usize, functions: &[(&str, usize)]) -> Result<Vec<u8>, TooLarge> {
    let mut strings = Strings(vec![0]);
    let (name, version) = (strings.add(NAME), strings.add(VERSION));
    let mut page = Page(vec![0; HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES]);

    let symbols = page.here(8);
    page.0.resize(symbols + SYMBOL_BYTES, 0);
    for (function, offset) in functions {
        let at = strings.add(function);
        page.u32(at);
        page.0.extend_from_slice(&[0x12, 0]); // a global function
        page.u16(1); // of some section: this object has no table of them
        page.u64(text_offset + offset);
        page.u64(0);
    }
    let symbol_count = functions.len() as u32 + 1;

    let hashes = page.here(8);
    page.u32(1);
    page.u32(symbol_count);
    page.u32(if symbol_count > 1 { 1 } else { 0 });
    for symbol in 0..symbol_count {
        let next = if symbol == 0 || symbol + 1 == symbol_count { 0 } else { symbol + 1 };
        page.u32(next);
    }

    let versions = page.here(8);
    page.u16(0);
    functions.iter().for_each(|_| page.u16(2));

    let definitions = page.here(8);
    for (index, (flags, text, at)) in [(1, NAME, name), (0, VERSION, version)].into_iter().enumerate() {
        page.u16(1);
        page.u16(flags);
        page.u16(index as u16 + 1);
        page.u16(1);
        page.u32(hash(text));
        page.u32(20); // its name follows
        page.u32(if index == 0 { 28 } else { 0 });
        page.u32(at);
        page.u32(0);
    }

    let names = page.here(8);
    let names_bytes = strings.0.len();
    page.0.extend_from_slice(&strings.0);

    let dynamic = page.here(8);
    for (tag, value) in [
        (14, name as usize),        // DT_SONAME
        (4, hashes),                // DT_HASH
        (5, names),                 // DT_STRTAB
        (6, symbols),               // DT_SYMTAB
        (10, names_bytes),          // DT_STRSZ
        (11, SYMBOL_BYTES),         // DT_SYMENT
        (0x6fff_fff0, versions),    // DT_VERSYM
        (0x6fff_fffc, definitions), // DT_VERDEF
        (0x6fff_fffd, 2),           // DT_VERDEFNUM
        (0, 0),
    ] {
        page.u64(tag);
        page.u64(value);
    }
    let dynamic_bytes = page.0.len() - dynamic;
    if page.0.len() > text_offset || text_offset + text.len() > BYTES {
        return Err(TooLarge);
    }
    page.0.resize(text_offset, 0);
    page.0.extend_from_slice(text);
    page.0.resize(BYTES, 0);
    let headers = headers(dynamic, dynamic_bytes);
    page.0[..headers.len()].copy_from_slice(&headers);
    Ok(page.0)
}

/// The header of the object, and those of its two parts: all of it, and what the dynamic linker reads.
fn headers(dynamic: usize, dynamic_bytes: usize) -> Vec<u8> {
    let mut page = Page(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec());
    page.u16(3); // a shared object
    page.u16(62); // x86-64
    page.u32(1);
    page.u64(0);
    page.u64(HEADER_BYTES);
    page.u64(0);
    page.u32(0);
    page.u16(HEADER_BYTES as u16);
    page.u16(PROGRAM_HEADER_BYTES as u16);
    page.u16(2);
    page.u16(64);
    page.u16(0);
    page.u16(0);
    for (kind, flags, at, bytes, align) in [(1, 5, 0, BYTES, 4096), (2, 4, dynamic, dynamic_bytes, 8)] {
        page.u32(kind);
        page.u32(flags);
        for value in [at, at, at, bytes, bytes, align] {
            page.u64(value);
        }
    }
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the host's own C library does it.
    #[test]
    fn the_hosts_linker_loads_it() {
        // mov eax, 41; ret; mov eax, 42; ret
        let text = [0xb8, 41, 0, 0, 0, 0xc3, 0xb8, 42, 0, 0, 0, 0xc3];
        let bytes = build(&text, 0x800, &[("__vdso_time", 0), ("__vdso_clock_gettime", 6)]).unwrap();
        assert_eq!((bytes.len(), hash(VERSION)), (BYTES, 0x3ae_75f6), "the hash that Go has in its source");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vdso.so");
        std::fs::write(&path, bytes).unwrap();
        let program = "import ctypes, sys; d = ctypes.CDLL(sys.argv[1]); \
                       print(d['__vdso_time'](), d['__vdso_clock_gettime']())";
        let output = std::process::Command::new("python3").args(["-c", program]).arg(&path).output();
        match output {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "41 42\n", "{output:?}"),
            Err(error) => println!("skipped: python3: {error}"),
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(build(&[0; 2049], 0x800, &[]).is_err());
        assert!(build(&[0; 64], 0x100, &[("f", 0)]).is_err());
    }
}
