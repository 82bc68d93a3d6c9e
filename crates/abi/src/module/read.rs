//! Reads a module in place. All of it is checked once, when it is opened, in memory that does not grow with it.

use super::entry::{Contents, Entry, File, Metadata, Time};
use super::{
    ENTRY_BYTES, FLAG_READ_ONLY, HEADER_BYTES, KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK, MAGIC, PAGE_BYTES, VERSION,
    compare, is_inside, is_path, is_target,
};
use core::cmp::Ordering;
use core::fmt;
use core::ops::Range;

/// Why bytes are no module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// They begin differently: it is something else.
    Magic,
    /// Of a version that this reader does not know.
    Version(u32),
    /// The module is longer than the bytes, or too short for its entries.
    Short,
    /// What is wrong with the entry of this number.
    Entry(usize, &'static str),
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("the boot module does not begin as one"),
            Self::Version(version) => write!(f, "the boot module has version {version} instead of {VERSION}"),
            Self::Short => f.write_str("the boot module is cut short"),
            Self::Entry(number, what) => write!(f, "the boot module is damaged: entry {number}: {what}"),
        }
    }
}

impl core::error::Error for Damaged {}

/// A boot module.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Module<'a> {
    /// Opens and checks one; what lies behind it is left alone.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damaged> {
        if !bytes.starts_with(&MAGIC) {
            return Err(Damaged::Magic);
        }
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(Damaged::Short)?;
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(Damaged::Version(version));
        }
        let total = usize::try_from(u64_at(header, 16)).ok();
        let bytes = total.and_then(|total| bytes.get(..total)).ok_or(Damaged::Short)?;
        let count = u32_at(header, 12) as usize;
        let table_end = count.checked_mul(ENTRY_BYTES).and_then(|table| table.checked_add(HEADER_BYTES));
        if count == 0 || table_end.is_none_or(|end| end > bytes.len()) {
            return Err(Damaged::Short);
        }
        let module = Self { bytes, count };
        let mut before: Option<Entry<'a>> = None;
        for number in 0..count {
            let entry = module.read(number).map_err(|what| Damaged::Entry(number, what))?;
            check_place(before, &entry).map_err(|what| Damaged::Entry(number, what))?;
            before = Some(entry);
        }
        Ok(module)
    }

    /// How many entries it has; one at least, which is the root.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// All entries: a directory right before all that is in it.
    pub fn entries(&self) -> Entries<'a> {
        Entries { module: *self, numbers: 0..self.count }
    }

    /// The entry of this number, below [`Self::len`].
    pub fn get(&self, number: usize) -> Option<Entry<'a>> {
        if number < self.count { self.read(number).ok() } else { None }
    }

    /// The entry of this path, as it stands in the module: no link is followed.
    pub fn find(&self, path: &[u8]) -> Option<Entry<'a>> {
        let number = self.first(|there| compare(there, path) != Ordering::Less);
        self.get(number).filter(|entry| entry.path == path)
    }

    /// What is in a directory and in its directories, the directory itself left out.
    pub fn inside(&self, directory: &[u8]) -> Entries<'a> {
        let start = self.first(|there| compare(there, directory) == Ordering::Greater);
        let end = self.first(|there| compare(there, directory) == Ordering::Greater && !is_inside(there, directory));
        Entries { module: *self, numbers: start..end }
    }

    /// The number of the first entry whose path is beyond some point of the order.
    fn first(&self, is_beyond: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_beyond = self.path(middle).is_ok_and(&is_beyond);
            if is_beyond { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// The bytes of an entry, which is in the table.
    fn raw(&self, number: usize) -> &'a [u8; ENTRY_BYTES] {
        let table = &self.bytes[HEADER_BYTES..];
        &table.as_chunks::<ENTRY_BYTES>().0[number]
    }

    fn slice(&self, at: u64, bytes: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        self.bytes.get(start..start.checked_add(usize::try_from(bytes).ok()?)?)
    }

    fn path(&self, number: usize) -> Result<&'a [u8], &'static str> {
        let raw = self.raw(number);
        let path = self.slice(u32_at(raw, 0).into(), u16_at(raw, 4).into());
        path.filter(|path| is_path(path)).ok_or("its path is none")
    }

    fn read(&self, number: usize) -> Result<Entry<'a>, &'static str> {
        let raw = self.raw(number);
        let nanoseconds = u32_at(raw, 20);
        if nanoseconds >= 1_000_000_000 {
            return Err("its time is none");
        }
        let metadata = Metadata {
            mode: (u32_at(raw, 8) & 0o7777) as u16,
            uid: u32_at(raw, 12),
            gid: u32_at(raw, 16),
            mtime: Time { seconds: u64_at(raw, 24).cast_signed(), nanoseconds },
            is_read_only: raw[7] & FLAG_READ_ONLY != 0,
        };
        let contents = match raw[6] {
            KIND_DIRECTORY => Contents::Directory,
            KIND_FILE => Contents::File(self.file(number)?),
            KIND_SYMLINK => {
                let target = self.slice(u64_at(raw, 32), u64_at(raw, 40));
                Contents::Symlink(target.filter(|target| is_target(target)).ok_or("its target is none")?)
            }
            _ => return Err("it is neither directory nor file nor link"),
        };
        Ok(Entry { path: self.path(number)?, metadata, contents })
    }

    fn file(&self, number: usize) -> Result<File<'a>, &'static str> {
        let first = u32_at(self.raw(number), 48) as usize;
        let is_file = |number: usize| {
            let raw = self.raw(number);
            raw[6] == KIND_FILE && u32_at(raw, 48) as usize == number
        };
        if first > number || !is_file(first) {
            return Err("the file that it is a link to is none");
        }
        let raw = self.raw(first);
        let (at, bytes) = (u64_at(raw, 32), u64_at(raw, 40));
        if !at.is_multiple_of(PAGE_BYTES as u64) {
            return Err("its data does not begin at a page");
        }
        let pages = File::in_pages(bytes).and_then(|padded| self.slice(at, padded));
        let pages = pages.ok_or("its data lies outside the module")?;
        Ok(File { number: first, pages, bytes: bytes as usize })
    }
}

/// Whether an entry may follow the one before it. By induction its directory is there, if it is that one or around it.
fn check_place(before: Option<Entry<'_>>, entry: &Entry<'_>) -> Result<(), &'static str> {
    let Some(before) = before else {
        let is_root = entry.path.is_empty() && entry.contents == Contents::Directory;
        return if is_root { Ok(()) } else { Err("the first is not the root") };
    };
    if compare(before.path, entry.path) != Ordering::Less {
        return Err("it is out of order");
    }
    let Some(parent) = entry.parent() else { return Err("it is a second root") };
    let is_there =
        if parent == before.path { before.contents == Contents::Directory } else { is_inside(before.path, parent) };
    if is_there { Ok(()) } else { Err("its directory is none") }
}

/// Entries, by their paths.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    module: Module<'a>,
    numbers: Range<usize>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.module.get(self.numbers.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.numbers.size_hint()
    }
}

impl ExactSizeIterator for Entries<'_> {}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, offset))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}

/// A field of a header or an entry, both of which are as long as their fields need.
fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
