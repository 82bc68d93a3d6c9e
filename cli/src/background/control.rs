//! The socket on which a guest's process is asked, a word a line. `stop` and `kill` it answers by ending: the connection closes.
//! `stats` and `net` it answers with a line of JSON: what was counted, how the network stands, or `error` and perhaps `help`.

use crate::figures::Figures;
use crate::signals;
use crate::sockets::Sockets;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use toro_vmm::{Error, Guest};

const SOCKET: &str = "control";
/// How long a guest may take to say what it has counted: it does so when it next looks for work.
const STATS_LIMIT: Duration = Duration::from_secs(10);

/// The guest of this process, once it runs.
static GUEST: OnceLock<Weak<Guest>> = OnceLock::new();

/// This is whom questions are about.
pub(crate) fn set_guest(guest: &Arc<Guest>) {
    GUEST.get_or_init(|| Arc::downgrade(guest));
}

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
    for line in BufReader::new(&stream).lines().map_while(Result::ok) {
        match line.as_str() {
            "stop" => signals::stop(),
            "kill" => signals::kill(),
            // Whoever asked may have gone.
            "stats" => {
                let _told = writeln!(&stream, "{}", answer(|guest| Ok(Figures::ask(guest, STATS_LIMIT)?.to_json())));
            }
            "net" => {
                let state = |guest: &Guest| Ok(Sockets::new(guest.network(STATS_LIMIT)?).to_json());
                let _told = writeln!(&stream, "{}", answer(state));
            }
            _ => break,
        }
    }
}

fn answer(ask: impl FnOnce(&Guest) -> Result<Value, Error>) -> Value {
    let guest = GUEST.get().and_then(Weak::upgrade).ok_or_else(|| Error::new("the guest does not run yet, or no more"));
    match guest.and_then(|guest| ask(&guest)) {
        Ok(told) => told,
        Err(error) => json!({ "error": error.message(), "help": error.cure() }),
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

    /// Asks what was counted.
    pub(crate) fn stats(&self) -> Result<Figures, Error> {
        Figures::from_json(&self.question("stats")?).ok_or_else(|| silent("what it says is not understood"))
    }

    /// Asks how the network stands.
    pub(crate) fn network(&self) -> Result<Sockets, Error> {
        Sockets::from_json(&self.question("net")?).ok_or_else(|| silent("what it says is not understood"))
    }

    /// Asks for `word`, and waits for the line of JSON that answers it.
    fn question(&self, word: &str) -> Result<Value, Error> {
        self.0.set_read_timeout(Some(STATS_LIMIT * 2)).map_err(|error| silent(&error.to_string()))?;
        self.ask(word);
        let mut line = String::new();
        let read = BufReader::new(&self.0).read_line(&mut line);
        read.map_err(|error| silent(&error.to_string()))?;
        let answer: Value = serde_json::from_str(&line).map_err(|_| silent("it ends"))?;
        match answer["error"].as_str().map(Error::new) {
            None => Ok(answer),
            Some(error) => Err(match answer["help"].as_str() {
                Some(cure) => error.help(cure),
                None => error,
            }),
        }
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

fn silent(why: &str) -> Error {
    Error::new(format!("the guest's process does not answer: {why}"))
}
