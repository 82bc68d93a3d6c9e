//! What a program finds on its stack when it begins: arguments, environment, and what the kernel tells it (System V ABI,
//! AMD64 supplement, "Process initialization").

use alloc::vec::Vec;
use linux_raw_sys::auxvec;

/// Arguments, environment and what else is on the stack may take this much, as on Linux with its usual limits.
pub const BYTES_MAX: usize = 2 << 20;

/// It would be too much: `E2BIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// What the kernel tells a program of itself and of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Where the program's headers are, how many, and how long one is.
    pub headers: u64,
    /// How many.
    pub header_count: u64,
    /// Bytes of one.
    pub header_bytes: u64,
    /// Where the program begins.
    pub entry: u64,
    /// Where its interpreter was loaded; 0: it has none.
    pub base: u64,
    /// Where the vDSO is; 0: nowhere.
    pub vdso: u64,
    /// CPUID 1, register edx.
    pub hwcap: u64,
    /// `AT_HWCAP2`.
    pub hwcap2: u64,
    /// Least bytes of a stack for signal handlers.
    pub signal_stack_bytes_min: u64,
    /// User and group.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Random bytes for the C library.
    pub random: [u8; 16],
}

/// The first contents of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The stack pointer.
    pub pointer: usize,
    /// What lies from there to the top.
    pub bytes: Vec<u8>,
}

/// Strings and bytes, filled from the top down.
struct Strings {
    top: usize,
    /// In reverse.
    bytes: Vec<u8>,
}

impl Strings {
    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.extend(bytes.iter().rev());
        (self.top - self.bytes.len()) as u64
    }

    fn text(&mut self, text: &[u8]) -> u64 {
        self.bytes.push(0);
        self.push(text)
    }
}

/// The stack that ends at `top`, for the program at `path`.
///
/// # Errors
/// [`TooLong`].
pub fn build(
    top: usize,
    path: &[u8],
    arguments: &[Vec<u8>],
    environment: &[Vec<u8>],
    told: &Told,
) -> Result<Image, TooLong> {
    let mut strings = Strings { top, bytes: Vec::new() };
    strings.push(&[0; 8]);
    let path = strings.text(path);
    let mut texts = |list: &[Vec<u8>]| {
        let mut addresses: Vec<u64> = list.iter().rev().map(|text| strings.text(text)).collect();
        addresses.reverse();
        addresses
    };
    let environment = texts(environment);
    let arguments = texts(arguments);
    let platform = strings.text(b"x86_64");
    let random = strings.push(&told.random);

    let mut words = Vec::new();
    words.push(arguments.len() as u64);
    words.extend(arguments);
    words.push(0);
    words.extend(environment);
    words.push(0);
    for (tag, value) in [
        (auxvec::AT_SYSINFO_EHDR, told.vdso),
        (auxvec::AT_HWCAP, told.hwcap),
        (auxvec::AT_PAGESZ, 4096),
        (auxvec::AT_CLKTCK, 100),
        (auxvec::AT_PHDR, told.headers),
        (auxvec::AT_PHENT, told.header_bytes),
        (auxvec::AT_PHNUM, told.header_count),
        (auxvec::AT_BASE, told.base),
        (auxvec::AT_FLAGS, 0),
        (auxvec::AT_ENTRY, told.entry),
        (auxvec::AT_UID, told.uid),
        (auxvec::AT_EUID, told.uid),
        (auxvec::AT_GID, told.gid),
        (auxvec::AT_EGID, told.gid),
        (auxvec::AT_SECURE, 0),
        (auxvec::AT_RANDOM, random),
        (auxvec::AT_HWCAP2, told.hwcap2),
        (auxvec::AT_MINSIGSTKSZ, told.signal_stack_bytes_min),
        (auxvec::AT_EXECFN, path),
        (auxvec::AT_PLATFORM, platform),
    ] {
        if value != 0 || !matches!(tag, auxvec::AT_SYSINFO_EHDR) {
            words.extend([u64::from(tag), value]);
        }
    }
    words.extend([u64::from(auxvec::AT_NULL), 0]);

    let lowest = top.checked_sub(strings.bytes.len() + words.len() * 8).ok_or(TooLong)?;
    let pointer = lowest & !15;
    if top - pointer > BYTES_MAX {
        return Err(TooLong);
    }
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(top - pointer - strings.bytes.len(), 0);
    bytes.extend(strings.bytes.iter().rev());
    Ok(Image { pointer, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: usize = 0x7fff_0000;

    fn word(image: &Image, at: usize) -> u64 {
        let bytes = &image.bytes[at - image.pointer..][..8];
        u64::from_le_bytes(bytes.try_into().unwrap())
    }

    fn text(image: &Image, at: u64) -> &str {
        let bytes = &image.bytes[at as usize - image.pointer..];
        std::str::from_utf8(&bytes[..bytes.iter().position(|byte| *byte == 0).unwrap()]).unwrap()
    }

    #[test]
    fn a_program_finds_what_it_looks_for() {
        let told = Told { headers: 0x40_0040, header_count: 9, entry: 0x40_1000, random: [7; 16], ..Told::default() };
        let arguments = [b"prog".to_vec(), b"-x".to_vec()];
        let image = build(TOP, b"/bin/prog", &arguments, &[b"A=1".to_vec()], &told).unwrap();
        assert_eq!(image.pointer % 16, 0);
        assert_eq!(image.pointer + image.bytes.len(), TOP);
        let mut at = image.pointer;
        let mut next = || {
            at += 8;
            word(&image, at - 8)
        };
        assert_eq!(next(), 2);
        assert_eq!([text(&image, next()), text(&image, next())], ["prog", "-x"]);
        assert_eq!(next(), 0);
        assert_eq!((text(&image, next()), next()), ("A=1", 0));
        let mut found = std::collections::BTreeMap::new();
        loop {
            match (next(), next()) {
                (0, 0) => break,
                (tag, value) => assert_eq!(found.insert(tag as u32, value), None),
            }
        }
        assert_eq!(found[&auxvec::AT_PHNUM], 9);
        assert_eq!(found[&auxvec::AT_ENTRY], 0x40_1000);
        assert_eq!(text(&image, found[&auxvec::AT_EXECFN]), "/bin/prog");
        let random = found[&auxvec::AT_RANDOM] as usize - image.pointer;
        assert_eq!(image.bytes[random..][..16], [7; 16]);
        assert!(!found.contains_key(&auxvec::AT_SYSINFO_EHDR), "no vDSO");
    }

    #[test]
    fn too_much_is_refused() {
        let long = vec![b'x'; BYTES_MAX];
        assert_eq!(build(TOP, b"p", &[long], &[], &Told::default()), Err(TooLong));
        assert_eq!(build(64, b"p", &[], &[], &Told::default()), Err(TooLong));
    }
}
