//! The socket on which a guest's process is asked: a word a line, `stop` or `kill`. It answers by ending: the connection closes.

use crate::signals;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};
use toro_vmm::Error;

const SOCKET: &str = "control";

/// Listens in `folder`, on threads of its own.
pub(crate) fn serve(folder: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::new(format!("cannot listen in {}: {error}", folder.display()));
    let listener = through(folder, |path| UnixListener::bind(path)).map_err(failed)?;
    let accept = move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // One that cannot be heard is closed, which its other end takes for our end and finds out about.
            let _started = std::thread::Builder::new().name("control".into()).spawn(move || obey(stream));
        }
    };
    std::thread::Builder::new().name("control".into()).spawn(accept).map(drop).map_err(failed)
}

fn obey(stream: UnixStream) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        match line.as_str() {
            "stop" => signals::stop(),
            "kill" => signals::kill(),
            _ => break,
        }
    }
}

/// Calls `with` with a path of the socket that is short, however long the folder's is: a socket's has 107 bytes at most.
fn through<T>(folder: &Path, with: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let folder = std::fs::File::open(folder)?;
    with(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET))
}

/// A connection to the process of a guest.
#[derive(Debug)]
pub(crate) struct Connection(UnixStream);

impl Connection {
    /// `None` when there is no such process any more.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, Error> {
        match through(folder, |path| UnixStream::connect(path)) {
            Ok(stream) => Ok(Some(Self(stream))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) => Err(Error::new(format!("cannot reach the guest in {}: {error}", folder.display()))),
        }
    }

    /// Asks for `word`. A process that has just ended did what was asked.
    pub(crate) fn ask(&self, word: &str) {
        let _asked = writeln!(&self.0, "{word}");
    }

    /// Waits for the process to end; `false` when it has not within `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let end = Instant::now().checked_add(limit);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) || self.0.set_read_timeout(left).is_err() {
                return false;
            }
            match (&self.0).read(&mut [0]) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                }
                Ok(1..) => {}
                Ok(0) | Err(_) => return true,
            }
        }
    }
}
