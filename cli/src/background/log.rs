//! What a guest in the background prints: standard output and standard error in one file, piece by piece, each marked.
//!
//! A piece is a line `o LENGTH` or `e LENGTH` and that many bytes. When the file is full it becomes the older of two, and the
//! older one before it is lost: the end of the story is what is kept.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use toro_vmm::Error;

/// Size of each of the two files. They often lie in memory.
pub(crate) const FILE_BYTES_MAX: u64 = 2 << 20;
/// How long the last words may take to reach the file.
const END_LIMIT: Duration = Duration::from_secs(5);
/// More than any mark of a piece.
const HEAD_BYTES_MAX: usize = 16;
const NEW: &str = "log";
const OLD: &str = "log.old";

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    const fn mark(self) -> char {
        match self {
            Self::Stdout => 'o',
            Self::Stderr => 'e',
        }
    }
}

/// This process's own output, on its way to the log.
#[derive(Debug)]
pub(crate) struct Capture(mpsc::Receiver<()>);

impl Capture {
    /// From here on, standard output and standard error go to the log in `folder`.
    pub(crate) fn begin(folder: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::new(format!("cannot log to {}: {error}", folder.display()));
        let writer = Arc::new(Mutex::new(Writer::open(folder).map_err(failed)?));
        let (alive, threads) = mpsc::channel();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let (reader, pipe) = io::pipe().map_err(failed)?;
            let (writer, alive) = (writer.clone(), alive.clone());
            let copy = move || {
                let _until_the_end = alive;
                copy(reader, stream, &writer);
            };
            std::thread::Builder::new().name("log".into()).spawn(copy).map_err(failed)?;
            redirect(stream, &pipe.into()).map_err(failed)?;
        }
        Ok(Self(threads))
    }

    /// Waits until all that was printed is in the log. What comes later is dropped.
    pub(crate) fn end(self) {
        let Ok(null) = OpenOptions::new().write(true).open("/dev/null") else { return };
        let null = OwnedFd::from(null);
        let is_closed = [Stream::Stdout, Stream::Stderr].into_iter().all(|stream| redirect(stream, &null).is_ok());
        if is_closed {
            // Over when both threads are. Whoever still holds a stream then has nothing to say that anybody waits for.
            let _over = self.0.recv_timeout(END_LIMIT);
        }
    }
}

fn redirect(stream: Stream, to: &OwnedFd) -> io::Result<()> {
    match stream {
        Stream::Stdout => Ok(rustix::stdio::dup2_stdout(to)?),
        Stream::Stderr => Ok(rustix::stdio::dup2_stderr(to)?),
    }
}

fn copy(mut from: PipeReader, stream: Stream, writer: &Mutex<Writer>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => writer.lock().unwrap_or_else(PoisonError::into_inner).append(stream, &buffer[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[derive(Debug)]
struct Writer {
    folder: PathBuf,
    file: File,
    len: u64,
    /// Bytes that the file system did not take.
    lost_bytes: usize,
}

impl Writer {
    fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: folder.into(), file: create(folder)?, len: 0, lost_bytes: 0 })
    }

    /// Appends a piece. A guest does not wait for a full disk: what finds no place is counted, and the count is told later.
    fn append(&mut self, stream: Stream, bytes: &[u8]) {
        if self.lost_bytes > 0 {
            let note = format!("toro: {} bytes of the log are lost: they could not be written\n", self.lost_bytes);
            if self.try_append(Stream::Stderr, note.as_bytes()).is_ok() {
                self.lost_bytes = 0;
            }
        }
        if self.try_append(stream, bytes).is_err() {
            self.lost_bytes += bytes.len();
        }
    }

    fn try_append(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut piece = format!("{} {}\n", stream.mark(), bytes.len()).into_bytes();
        piece.extend_from_slice(bytes);
        if self.len > 0 && self.len + piece.len() as u64 > FILE_BYTES_MAX {
            std::fs::rename(self.folder.join(NEW), self.folder.join(OLD))?;
            self.file = create(&self.folder)?;
            self.len = 0;
        }
        let written = self.file.write_all(&piece);
        match written {
            Ok(()) => self.len += piece.len() as u64,
            // Half a piece would be read as something else.
            Err(_) => self.file.set_len(self.len)?,
        }
        written
    }
}

fn create(folder: &Path) -> io::Result<File> {
    OpenOptions::new().create_new(true).append(true).mode(0o600).open(folder.join(NEW))
}

/// Hands out the log piece by piece. At its end `wait` is asked: `false` when nothing more can come. Stops when `out` fails.
pub(crate) fn read(
    folder: &Path,
    mut wait: impl FnMut() -> bool,
    mut out: impl FnMut(Stream, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut reader = open(folder, NEW)?;
    // Between these two lines the new one may have become the old one.
    if let Some(mut older) = open(folder, OLD)?.filter(|older| !older.is(&reader)) {
        older.copy(&mut out)?;
    }
    let mut is_over = false;
    loop {
        if let Some(reader) = &mut reader {
            reader.copy(&mut out)?;
        }
        // Only after what was open has been read to its end: it is complete once there is another in its place.
        let current = open(folder, NEW)?;
        match current {
            Some(current) if !current.is(&reader) => {
                if let Some(reader) = &mut reader {
                    reader.copy(&mut out)?;
                    // A reader that is slow finds two new ones.
                    if let Some(mut between) = open(folder, OLD)?.filter(|between| between.inode != reader.inode) {
                        between.copy(&mut out)?;
                    }
                }
                reader = Some(current);
            }
            _ if is_over => return Ok(()),
            // Once more after the end, for what came just before it.
            _ => is_over = !wait(),
        }
    }
}

/// Prints a piece, each stream to where it belongs.
pub(crate) fn print(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Stdout => {
            let mut stdout = io::stdout();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        Stream::Stderr => io::stderr().write_all(bytes),
    }
}

#[derive(Debug)]
struct Reader {
    file: File,
    inode: u64,
    buffer: Vec<u8>,
}

fn open(folder: &Path, name: &str) -> io::Result<Option<Reader>> {
    match File::open(folder.join(name)) {
        Ok(file) => Ok(Some(Reader { inode: file.metadata()?.ino(), file, buffer: Vec::new() })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Reader {
    fn is(&self, other: &Option<Self>) -> bool {
        other.as_ref().is_some_and(|other| other.inode == self.inode)
    }

    /// Hands out all complete pieces.
    fn copy(&mut self, out: &mut impl FnMut(Stream, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.file.read_to_end(&mut self.buffer)?;
        let mut done = 0;
        while let Some((stream, head, len)) = head(&self.buffer[done..])? {
            let Some(bytes) = self.buffer.get(done + head..done + head + len) else { break };
            out(stream, bytes)?;
            done += head + len;
        }
        self.buffer.drain(..done);
        Ok(())
    }
}

/// Stream of a piece, length of its mark and of its bytes.
fn head(bytes: &[u8]) -> io::Result<Option<(Stream, usize, usize)>> {
    let damaged = || io::Error::new(ErrorKind::InvalidData, "it is damaged");
    let Some(end) = bytes.iter().take(HEAD_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(damaged()) };
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| damaged())?;
    let (mark, len) = line.split_once(' ').ok_or_else(damaged)?;
    let stream = [Stream::Stdout, Stream::Stderr].into_iter().find(|stream| *mark == *stream.mark().to_string());
    match (stream, len.parse()) {
        (Some(stream), Ok(len)) if len as u64 <= FILE_BYTES_MAX => Ok(Some((stream, end + 1, len))),
        _ => Err(damaged()),
    }
}

/// Wakes when something changes in a folder.
#[derive(Debug)]
pub(crate) struct Changes(OwnedFd);

impl Changes {
    /// Watches from here on.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let wanted = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&events, folder, wanted | inotify::WatchFlags::DELETE_SELF)?;
        Ok(Self(events))
    }

    /// Waits for a change, or a second: a process that was killed changes nothing.
    pub(crate) fn wait(&self) {
        let limit = Timespec { tv_sec: 1, tv_nsec: 0 };
        // A failure is a wait that is over.
        let _ready = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit));
        let mut seen = [0; 4096];
        while rustix::io::read(&self.0, &mut seen).is_ok_and(|len| len > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(folder: &Path) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        read(
            folder,
            || false,
            |stream, bytes| {
                if stream == Stream::Stdout { &mut stdout } else { &mut stderr }.extend_from_slice(bytes);
                Ok(())
            },
        )?;
        Ok((stdout, stderr))
    }

    #[test]
    fn streams_come_back_apart_and_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path()).unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
        writer.append(Stream::Stdout, &bytes);
        writer.append(Stream::Stderr, b"o 5\n");
        writer.append(Stream::Stdout, b"half a line");
        let (stdout, stderr) = read_all(folder.path()).unwrap();
        assert_eq!((stdout, stderr), ([bytes, b"half a line".to_vec()].concat(), b"o 5\n".to_vec()));
    }

    #[test]
    fn the_end_of_a_long_story_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path()).unwrap();
        let piece = |number: u32| format!("{number:0>1000}");
        let count = 3 * FILE_BYTES_MAX as u32 / 1000;
        (0..count).for_each(|number| writer.append(Stream::Stdout, piece(number).as_bytes()));
        let (stdout, _) = read_all(folder.path()).unwrap();
        assert!(stdout.len() as u64 > FILE_BYTES_MAX && stdout.len() as u64 <= 2 * FILE_BYTES_MAX);
        assert!(stdout.ends_with(piece(count - 1).as_bytes()) && stdout.starts_with(b"000"));
    }

    #[test]
    fn a_reader_that_follows_misses_nothing_when_files_change_places() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path()).unwrap();
        writer.append(Stream::Stdout, b"first ");
        let (mut seen, mut rounds) = (0, 0);
        let big = vec![b'x'; 1 << 20];
        let wait = || {
            rounds += 1;
            writer.append(Stream::Stdout, &big);
            rounds < 6
        };
        let count = |_, bytes: &[u8]| {
            seen += bytes.len();
            Ok(())
        };
        read(folder.path(), wait, count).unwrap();
        assert_eq!(seen, 6 + 6 * big.len());
    }

    #[test]
    fn a_file_that_is_no_log_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["x 5\nabc", "o five\n", "o 99999999999\n", "o\n", "what is this about?"] {
            std::fs::write(folder.path().join(NEW), text).unwrap();
            assert!(read_all(folder.path()).is_err(), "{text:?}");
        }
        std::fs::write(folder.path().join(NEW), "o 3\nabce 100\nab").unwrap();
        assert_eq!(read_all(folder.path()).unwrap().0, b"abc", "a piece that is not complete is not there yet");
    }
}
