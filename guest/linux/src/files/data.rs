//! What is in a regular file: pages of the boot module as long as nobody changes them, else frames of its own.

use crate::memory::{PAGE, Transfer};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use toro::prelude::*;
use toro::sync::{Arc, Mutex};
use toro::user::SharedFrame;
use toro_linux_abi::errno::Errno;

/// The part of memory that files leave to everything else.
const RESERVED_PART: usize = 16;
/// Longest file, in bytes.
pub(super) const BYTES_MAX: u64 = i64::MAX as u64 - PAGE as u64;

/// A page of a file.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// In the boot module.
    Base(&'static [u8; PAGE]),
    /// In a frame.
    Frame(Arc<SharedFrame>),
    /// Nowhere: zeroes.
    Hole,
}

/// A regular file's contents.
#[derive(Debug)]
pub(crate) struct FileData {
    contents: Mutex<Contents>,
    /// When it was last written, in ns since 1970; 0: not since its times were set.
    written_ns: AtomicU64,
    /// The program has it mapped, or had.
    is_mapped: AtomicBool,
}

#[derive(Debug)]
struct Contents {
    bytes: u64,
    base: &'static [[u8; PAGE]],
    frames: toro::collections::BTreeMap<usize, Arc<SharedFrame>>,
}

/// Pages whose place has changed: whoever maps them has to look again.
pub(crate) type Moved = Option<core::ops::Range<usize>>;

impl Contents {
    fn view(&self, index: usize) -> View {
        match (self.frames.get(&index), self.base.get(index)) {
            (Some(frame), _) => View::Frame(Arc::clone(frame)),
            (None, Some(page)) => View::Base(page),
            (None, None) => View::Hole,
        }
    }

    /// The frame of a page, made if it has none; whether it was.
    fn frame(&mut self, index: usize) -> Result<(Arc<SharedFrame>, bool), Errno> {
        if let Some(frame) = self.frames.get(&index) {
            return Ok((Arc::clone(frame), false));
        }
        let usage = toro::memory::usage();
        if usage.free < usage.total / RESERVED_PART {
            return Err(Errno::NOSPC);
        }
        let frame = SharedFrame::zeroed().map_err(|_| Errno::NOSPC)?;
        if let Some(page) = self.base.get(index) {
            frame.write(0, page);
        }
        self.frames.insert(index, Arc::clone(&frame));
        Ok((frame, true))
    }

    /// Makes it that long; what lies beyond is gone.
    fn set_bytes(&mut self, bytes: u64) -> Result<Moved, Errno> {
        if bytes >= self.bytes {
            self.bytes = bytes;
            return Ok(None);
        }
        let (index, rest) = ((bytes / PAGE as u64) as usize, (bytes % PAGE as u64) as usize);
        let kept = if rest == 0 { index } else { index + 1 };
        if rest != 0 && !matches!(self.view(index), View::Hole) {
            // What is there again, should the file grow, is zero.
            self.frame(index)?.0.clear(rest, PAGE - rest);
        }
        drop(self.frames.split_off(&kept));
        self.base = &self.base[..self.base.len().min(kept)];
        self.bytes = bytes;
        Ok(Some(index..usize::MAX))
    }
}

impl FileData {
    fn with_contents(contents: Contents) -> Arc<FileData> {
        Arc::new(FileData {
            contents: Mutex::new(contents),
            written_ns: AtomicU64::new(0),
            is_mapped: AtomicBool::new(false),
        })
    }

    /// An empty file.
    pub(crate) fn empty() -> Arc<FileData> {
        Self::with_contents(Contents { bytes: 0, base: &[], frames: Default::default() })
    }

    /// A file in the boot module: so many bytes, in whole pages.
    pub(crate) fn in_module(bytes: usize, pages: &'static [u8]) -> Arc<FileData> {
        let (base, _) = pages.as_chunks::<PAGE>();
        Self::with_contents(Contents { bytes: bytes as u64, base, frames: Default::default() })
    }

    /// A file with these contents.
    pub(crate) fn from_text(text: &[u8]) -> Result<Arc<FileData>, Errno> {
        let file = Self::empty();
        {
            let mut contents = file.contents.lock();
            for (index, piece) in text.chunks(PAGE).enumerate() {
                contents.frame(index)?.0.write(0, piece);
            }
            contents.bytes = text.len() as u64;
        }
        Ok(file)
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.contents.lock().bytes
    }

    /// Pages it occupies, of its own or in the module.
    pub(crate) fn pages_used(&self) -> u64 {
        let contents = self.contents.lock();
        let beyond = contents.frames.range(contents.base.len()..).count();
        (contents.base.len() + beyond) as u64
    }

    /// When it was written since its times were last set, in ns since 1970.
    pub(crate) fn written_ns(&self) -> Option<u64> {
        Some(self.written_ns.load(Relaxed)).filter(|ns| *ns != 0)
    }

    /// Its times were set.
    pub(crate) fn forget_written(&self) {
        self.written_ns.store(0, Relaxed);
    }

    fn mark_written(&self) {
        self.written_ns.store(crate::time::wall_ns(), Relaxed);
    }

    /// The program maps it from now on.
    pub(crate) fn mark_mapped(&self) {
        self.is_mapped.store(true, Relaxed);
    }

    /// Whether the program maps it, or did.
    pub(crate) fn is_mapped(&self) -> bool {
        self.is_mapped.load(Relaxed)
    }

    /// A page of it; `None` beyond its end.
    pub(crate) fn view(&self, index: usize) -> Option<View> {
        let contents = self.contents.lock();
        let is_inside = (index as u64).saturating_mul(PAGE as u64) < contents.bytes;
        is_inside.then(|| contents.view(index))
    }

    /// The frame of a page, for a mapping that all share; `None` beyond its end.
    pub(crate) fn frame(&self, index: usize) -> Result<Option<Arc<SharedFrame>>, Errno> {
        let mut contents = self.contents.lock();
        if (index as u64).saturating_mul(PAGE as u64) >= contents.bytes {
            return Ok(None);
        }
        contents.frame(index).map(|(frame, _)| Some(frame))
    }

    /// All of it where it lies, if nobody has changed it: for the program that is run.
    pub(crate) fn in_place(&self) -> Option<&'static [u8]> {
        let contents = self.contents.lock();
        let bytes = usize::try_from(contents.bytes).ok()?;
        let all = contents.base.as_flattened();
        (contents.frames.is_empty() && bytes <= all.len()).then(|| &all[..bytes])
    }

    /// Gives the program what is there from `offset` on; how much that was, 0 at the end or when the transfer is stuck.
    pub(crate) fn read_at(&self, to: &mut Transfer<'_>, offset: u64) -> usize {
        let contents = self.contents.lock();
        let left = contents.bytes.saturating_sub(offset);
        let mut left = usize::try_from(left).unwrap_or(usize::MAX).min(to.left());
        let mut at = offset;
        let mut done = 0;
        while left > 0 && !to.is_stuck() {
            let (index, start) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let bytes = left.min(PAGE - start);
            let moved = match contents.view(index) {
                View::Base(page) => to.give(&page[start..start + bytes]),
                View::Frame(frame) => to.give_frame(&frame, start, bytes),
                View::Hole => to.give_zeroes(bytes),
            };
            done += moved;
            left -= moved;
            at += moved as u64;
        }
        done
    }

    /// Takes what the program gives for `offset` and after; how much that was, 0 when the transfer is stuck. With `append`
    /// the offset is the end.
    pub(crate) fn write_at(
        &self,
        from: &mut Transfer<'_>,
        offset: Option<u64>,
        bytes_max: u64,
    ) -> Result<(usize, u64, Moved), Errno> {
        let mut contents = self.contents.lock();
        let offset = offset.unwrap_or(contents.bytes);
        let room = bytes_max.min(BYTES_MAX).saturating_sub(offset);
        if room == 0 && from.left() > 0 {
            return Err(Errno::FBIG);
        }
        let mut left = usize::try_from(room).unwrap_or(usize::MAX).min(from.left());
        let mut at = offset;
        let mut done = 0;
        let mut moved_pages: Moved = None;
        while left > 0 && !from.is_stuck() {
            let (index, start) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let bytes = left.min(PAGE - start);
            let (frame, is_new) = match contents.frame(index) {
                Ok(found) => found,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            if is_new {
                let first = moved_pages.map_or(index, |pages| pages.start);
                moved_pages = Some(first..index + 1);
            }
            let moved = from.take_frame(&frame, start, bytes);
            done += moved;
            left -= moved;
            at += moved as u64;
            contents.bytes = contents.bytes.max(at);
        }
        drop(contents);
        if done > 0 {
            self.mark_written();
        }
        Ok((done, at, moved_pages.filter(|_| self.is_mapped())))
    }

    /// Makes it that long.
    pub(crate) fn set_bytes(&self, bytes: u64) -> Result<Moved, Errno> {
        if bytes > BYTES_MAX {
            return Err(Errno::FBIG);
        }
        let moved = self.contents.lock().set_bytes(bytes)?;
        self.mark_written();
        Ok(moved.filter(|_| self.is_mapped()))
    }

    /// Makes frames for a range, and the file as long as that unless `keep_bytes`.
    pub(crate) fn allocate(&self, offset: u64, bytes: u64, keep_bytes: bool) -> Result<Moved, Errno> {
        let end = offset.checked_add(bytes).filter(|end| *end <= BYTES_MAX).ok_or(Errno::FBIG)?;
        let mut contents = self.contents.lock();
        let mut moved: Moved = None;
        let (first, last) = ((offset / PAGE as u64) as usize, end.div_ceil(PAGE as u64) as usize);
        // What cannot be had is not begun, so that nobody else goes without meanwhile.
        let there = contents.frames.range(first..last).count() + contents.base.len().min(last).saturating_sub(first);
        if (last - first).saturating_sub(there) > toro::memory::usage().free / PAGE {
            return Err(Errno::NOSPC);
        }
        let mut made = Vec::new();
        for index in first..last {
            if matches!(contents.view(index), View::Hole) {
                if let Err(error) = contents.frame(index) {
                    made.iter().for_each(|index| drop(contents.frames.remove(index)));
                    return Err(error);
                }
                made.push(index);
                moved = Some(moved.map_or(index, |pages| pages.start)..index + 1);
            }
        }
        if !keep_bytes && end > contents.bytes {
            contents.bytes = end;
        }
        drop(contents);
        self.mark_written();
        Ok(moved.filter(|_| self.is_mapped()))
    }

    /// Makes a range zeroes, and gives the frames back that are only that.
    pub(crate) fn punch(&self, offset: u64, bytes: u64) -> Result<Moved, Errno> {
        let mut contents = self.contents.lock();
        let end = offset.saturating_add(bytes).min(contents.bytes);
        let page = PAGE as u64;
        let (first, last) = (offset.div_ceil(page) as usize, (end / page) as usize);
        if first < last {
            // Frames of whole pages go; where the module would show through again, they are zeroes instead.
            let base = contents.base.len();
            for index in first..last.min(base) {
                contents.frame(index)?.0.clear(0, PAGE);
            }
            let gone: Vec<usize> = contents.frames.range(first.max(base)..last).map(|(index, _)| *index).collect();
            gone.iter().for_each(|index| drop(contents.frames.remove(index)));
        }
        for (from, to) in [(offset, end.min(first as u64 * page)), ((last as u64 * page).max(offset), end)] {
            let (index, start) = ((from / page) as usize, (from % page) as usize);
            if from < to && (first <= last || from == offset) && !matches!(contents.view(index), View::Hole) {
                contents.frame(index)?.0.clear(start, (to - from).min(page - start as u64) as usize);
            }
        }
        drop(contents);
        self.mark_written();
        let pages = (offset / PAGE as u64) as usize..end.div_ceil(PAGE as u64) as usize;
        Ok(Some(pages).filter(|_| self.is_mapped()))
    }

    /// Where data or a hole begins, from `offset` on; `None` beyond the end.
    pub(crate) fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        let contents = self.contents.lock();
        if offset >= contents.bytes {
            return None;
        }
        let page = PAGE as u64;
        let mut index = (offset / page) as usize;
        let next_data = |index: usize| match contents.frames.range(index..).next() {
            _ if index < contents.base.len() => Some(index),
            Some((frame, _)) => Some(*frame),
            None => None,
        };
        if data {
            let found = next_data(index)? as u64 * page;
            return Some(found.max(offset)).filter(|at| *at < contents.bytes);
        }
        while next_data(index) == Some(index) {
            index += 1;
        }
        Some((index as u64 * page).max(offset).min(contents.bytes))
    }
}
