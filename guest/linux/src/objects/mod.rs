//! What a descriptor stands for: one trait for every kind of object, one file for each kind.
//!
//! No method here waits: a read that has nothing says `EAGAIN`, and `calls/io.rs` waits for the object's [`Source`] if the
//! program wants that.

pub(crate) mod console;
pub(crate) mod device;
pub(crate) mod directory;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod generated;
pub(crate) mod memory_file;
pub(crate) mod named;
pub(crate) mod pipe;
pub(crate) mod regular;
pub(crate) mod signalfd;
pub(crate) mod timerfd;

use crate::files::{FileData, Files};
use crate::memory::Transfer;
use crate::task::Task;
use crate::watch::{Events, Source};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use toro::prelude::*;
use toro::sync::{Arc, Mutex, SpinLock};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::raw::{O_APPEND, O_DIRECT, O_NOATIME, O_NONBLOCK, O_PATH};
use toro_linux_abi::tree::NodeId;

/// Flags that `fcntl` may change.
pub(crate) const CHANGEABLE: u32 = O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK;

/// How `lseek` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whence {
    /// From the beginning.
    Set,
    /// From where it is.
    Current,
    /// From the end.
    End,
    /// To data.
    Data,
    /// To a hole.
    Hole,
}

/// Anything that a descriptor may stand for.
pub(crate) trait Object: Send + Sync {
    /// Gives the program what there is; 0 at the end, or when the transfer is stuck.
    fn read(&self, _open: &OpenFile, _to: &mut Transfer<'_>) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    /// Takes what the program gives, as far as there is room.
    fn write(&self, _open: &OpenFile, _from: &mut Transfer<'_>) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    /// As [`read`](Self::read), at an offset.
    fn read_at(&self, _to: &mut Transfer<'_>, _offset: u64) -> Result<usize, Errno> {
        Err(Errno::SPIPE)
    }

    /// As [`write`](Self::write), at an offset, or at the end.
    fn write_at(&self, _from: &mut Transfer<'_>, _offset: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::SPIPE)
    }

    /// Moves the position; where it is then.
    fn seek(&self, _open: &OpenFile, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Err(Errno::SPIPE)
    }

    /// What is possible now. From here on the source tells of what becomes possible.
    fn readiness(&self) -> Events {
        Events::IN.and(Events::OUT)
    }

    /// Who is told; `None` for what is always ready, as files are.
    fn source(&self) -> Option<&Source> {
        None
    }

    /// What `fstat` tells.
    fn status(&self) -> Stat;

    /// `ioctl`.
    fn control(&self, _task: &mut Task, _request: u32, _argument: u64) -> Result<u64, Errno> {
        Err(Errno::NOTTY)
    }

    /// The same object, opened by its name in `/proc/self/fd`.
    fn reopen(&self, _flags: u32) -> Result<Arc<OpenFile>, Errno> {
        Err(Errno::NXIO)
    }

    /// Flags of the descriptor have changed.
    fn flags_changed(&self, _flags: u32) {}

    /// How long a read, and a write, may wait, in ns; `None`: for ever.
    fn patience_ns(&self) -> (Option<u64>, Option<u64>) {
        (None, None)
    }

    /// What `/proc/self/fd` says that it is.
    fn name(&self) -> Vec<u8>;

    /// Its place in the tree, if it has one.
    fn node(&self) -> Option<NodeId> {
        None
    }

    /// Its contents, if it is a regular file.
    fn data(&self) -> Option<&Arc<FileData>> {
        None
    }

    /// This, if it is a directory.
    fn as_directory(&self) -> Option<&directory::Directory> {
        None
    }

    /// This, if it is an epoll instance.
    fn as_epoll(&self) -> Option<&Arc<epoll::Epoll>> {
        None
    }

    /// Bytes that a pipe holds, where it is one or seems to be.
    fn pipe_bytes(&self) -> Option<usize> {
        self.as_pipe().map(pipe::End::capacity)
    }

    /// Whether a mapping of it is one of zeroes.
    fn is_zero_device(&self) -> bool {
        false
    }

    /// This, if it is what `memfd_create` made.
    fn as_memory_file(&self) -> Option<&memory_file::MemoryFile> {
        None
    }

    /// This, if it is a pipe's end.
    fn as_pipe(&self) -> Option<&pipe::End> {
        None
    }

    /// This, if it is a timer.
    fn as_timer(&self) -> Option<&timerfd::TimerFile> {
        None
    }

    /// This, if it takes signals.
    fn as_signals(&self) -> Option<&signalfd::SignalFile> {
        None
    }

    /// This, if it is a socket.
    fn as_socket(&self) -> Option<&dyn crate::sockets::Socket> {
        None
    }
}

/// An object as it was opened: what all descriptors that were duplicated from one share.
pub(crate) struct OpenFile {
    /// What was opened.
    pub object: Box<dyn Object>,
    flags: AtomicU32,
    /// Where the next read or write is, in what has positions. Held while one goes on.
    pub position: Mutex<u64>,
    /// Entries of epoll instances that it is in.
    items: SpinLock<Vec<Arc<epoll::Item>>>,
}

impl OpenFile {
    /// An object with the flags it was opened with.
    pub(crate) fn new(object: Box<dyn Object>, flags: u32) -> Arc<OpenFile> {
        Arc::new(OpenFile {
            object,
            flags: AtomicU32::new(flags),
            position: Mutex::new(0),
            items: SpinLock::new(Vec::new()),
        })
    }

    /// Its flags.
    pub(crate) fn flags(&self) -> u32 {
        self.flags.load(Relaxed)
    }

    /// Changes those flags that may be changed.
    pub(crate) fn set_flags(&self, flags: u32) {
        let new = self.flags() & !CHANGEABLE | flags & CHANGEABLE;
        self.flags.store(new, Relaxed);
        self.object.flags_changed(new);
    }

    /// Whether a call is not to wait for it.
    pub(crate) fn is_nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// Whether it names a file and does nothing else.
    pub(crate) fn is_path(&self) -> bool {
        self.flags() & O_PATH != 0
    }

    /// Whether it may be read.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn check_read(&self) -> Result<(), Errno> {
        if !self.is_path() && Files::directions(self.flags()).0 { Ok(()) } else { Err(Errno::BADF) }
    }

    /// Whether it may be written.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn check_write(&self) -> Result<(), Errno> {
        if !self.is_path() && Files::directions(self.flags()).1 { Ok(()) } else { Err(Errno::BADF) }
    }

    /// Enters it into an epoll instance.
    pub(crate) fn add_item(&self, item: Arc<epoll::Item>) {
        self.items.with(|items| items.push(item));
    }

    /// Takes it out of one.
    pub(crate) fn remove_item(&self, item: &Arc<epoll::Item>) {
        let removed = self.items.with(|items| {
            let at = items.iter().position(|there| Arc::ptr_eq(there, item))?;
            Some(items.swap_remove(at))
        });
        drop(removed);
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let items = self.items.with(core::mem::take);
        for item in items {
            item.forget(self.object.source());
        }
        crate::process::get().locks.release(self);
    }
}
