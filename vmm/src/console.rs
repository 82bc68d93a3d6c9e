//! The guest's console: its streams to their sinks, its records to the transcript. The way back is `input`.

use crate::symbolize::Symbolizer;
use crate::transcript::{Shared, Transcript};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use toro_abi::console::{Demux, Stream, Token};
use toro_abi::control::Control;
use toro_abi::outcome::Outcome;

/// Longest record; more is a broken guest.
const RECORD_BYTES_MAX: usize = 64 << 10;
/// Longest line of the log that waits for its end before it is passed on.
const LOG_LINE_BYTES_MAX: usize = 4 << 10;

/// Where a stream goes.
#[derive(Default)]
pub enum Sink {
    /// Kept in the transcript.
    #[default]
    Keep,
    /// Written, and flushed whenever the guest pauses.
    Write(Box<dyn Write + Send>),
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Write(_) => "Write",
        })
    }
}

/// Where the guest's streams go.
#[derive(Debug, Default)]
pub struct Sinks {
    /// The program's standard output.
    pub stdout: Sink,
    /// The program's standard error.
    pub stderr: Sink,
    /// Kernel log and reports.
    pub log: Sink,
}

/// Reads the console to its end.
pub(crate) fn read(mut console: impl Read, token: Token, sinks: Sinks, symbolizer: &Symbolizer, shared: &Shared) {
    let mut reader = Reader { sinks, symbolizer, shared, record: Vec::new(), log_line: Vec::new() };
    let mut demux = Demux::new(token);
    let mut buffer = vec![0; 64 << 10];
    let mut pace = Pace::default();
    loop {
        match console.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                demux.feed(&buffer[..len], |stream, bytes| reader.take(stream, bytes));
                pace.after(len);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break, // a pipe whose other end is gone
        }
        reader.flush();
    }
    demux.finish(|stream, bytes| reader.take(stream, bytes));
    reader.end_log_line();
    reader.flush();
    shared.update(|transcript| transcript.streams_ended += 1);
}

/// A UART gives one byte at a time. Waking up for each costs more than the guest spends, so in a long run of little
/// pieces the reader lets some gather; what comes now and then is passed on at once.
#[derive(Default)]
struct Pace {
    little_pieces: u32,
    last: Option<Instant>,
}

impl Pace {
    const LITTLE_BYTES: usize = 4096;
    const RUN_PIECES: u32 = 64;
    const GATHER: Duration = Duration::from_micros(500);
    const PAUSE: Duration = Duration::from_millis(5);

    fn after(&mut self, len: usize) {
        let now = Instant::now();
        let paused = self.last.is_none_or(|last| now - last > Self::PAUSE);
        self.little_pieces = if paused || len >= Self::LITTLE_BYTES { 0 } else { self.little_pieces + 1 };
        if self.little_pieces > Self::RUN_PIECES {
            std::thread::sleep(Self::GATHER);
        }
        self.last = Some(Instant::now());
    }
}

struct Reader<'a> {
    sinks: Sinks,
    symbolizer: &'a Symbolizer,
    shared: &'a Shared,
    record: Vec<u8>,
    log_line: Vec<u8>,
}

impl Reader<'_> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => pass(&mut self.sinks.stdout, bytes, self.shared, |kept| &mut kept.stdout),
            Stream::Stderr => pass(&mut self.sinks.stderr, bytes, self.shared, |kept| &mut kept.stderr),
            Stream::Log => self.take_log(bytes),
            Stream::Control | Stream::Outcome => {
                let room = RECORD_BYTES_MAX.saturating_sub(self.record.len());
                self.record.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if bytes.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.record);
                    self.take_record(stream, &String::from_utf8_lossy(&line));
                }
            }
        }
    }

    /// Whole lines, so that addresses in them can be replaced.
    fn take_log(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.log_line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.log_line.len() > LOG_LINE_BYTES_MAX {
                self.end_log_line();
            }
        }
    }

    fn end_log_line(&mut self) {
        let line = std::mem::take(&mut self.log_line);
        if !line.is_empty() {
            let line = self.symbolizer.replace(&line);
            pass(&mut self.sinks.log, &line, self.shared, |kept| &mut kept.log);
        }
    }

    fn take_record(&mut self, stream: Stream, line: &str) {
        self.end_log_line();
        let after = self.shared.started.elapsed();
        if stream == Stream::Outcome {
            self.flush(); // whoever learns of the outcome finds all output written
            match Outcome::parse(line) {
                Some(outcome) => self.shared.update(|transcript| {
                    transcript.outcome = Some(outcome);
                    transcript.outcome_after = Some(after);
                }),
                None => self.complain(line),
            }
        } else {
            match Control::parse(line) {
                Some(control) => self.shared.update(|transcript| transcript.controls.push((after, control))),
                None => self.complain(line),
            }
        }
    }

    fn complain(&mut self, line: &str) {
        let line = format!("vmm: the guest sent a record that is not understood: {}\n", line.trim_end());
        pass(&mut self.sinks.log, line.as_bytes(), self.shared, |kept| &mut kept.log);
    }

    fn flush(&mut self) {
        for sink in [&mut self.sinks.stdout, &mut self.sinks.stderr, &mut self.sinks.log] {
            if let Sink::Write(out) = sink
                && let Err(error) = out.flush()
            {
                note_failure(self.shared, &error);
            }
        }
    }
}

fn pass(sink: &mut Sink, bytes: &[u8], shared: &Shared, kept: impl FnOnce(&mut Transcript) -> &mut Vec<u8>) {
    match sink {
        Sink::Keep => shared.update(|transcript| Transcript::keep(kept(transcript), bytes)),
        Sink::Write(out) => {
            if let Err(error) = out.write_all(bytes) {
                note_failure(shared, &error);
            }
        }
    }
}

fn note_failure(shared: &Shared, error: &std::io::Error) {
    shared.update(|transcript| {
        transcript.sink_failure.get_or_insert_with(|| format!("cannot write the guest's output: {error}"));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use toro_abi::control::Protocol;

    fn token() -> Token {
        Token::from_random(42)
    }

    fn transcript(pieces: &[(Stream, &str)]) -> Transcript {
        let mut bytes = Vec::new();
        for (stream, text) in pieces {
            bytes.extend_from_slice(&token().marker(*stream));
            bytes.extend_from_slice(text.as_bytes());
        }
        let shared = Shared::new();
        read(bytes.as_slice(), token(), Sinks::default(), &Symbolizer::none(), &shared);
        std::mem::take(&mut shared.lock())
    }

    #[test]
    fn streams_and_records_end_up_apart() {
        let said = transcript(&[
            (Stream::Control, "event=boot base=0xffff800000000000 version=1\n"),
            (Stream::Stdout, "out"),
            (Stream::Log, "half a "),
            (Stream::Stderr, "err"),
            (Stream::Log, "line\n"),
            (Stream::Control, "event=listen proto=tcp port=80\n"),
            (Stream::Outcome, "kind=exit status=7\n"),
        ]);
        assert_eq!((said.stdout, said.stderr, said.log), (b"out".to_vec(), b"err".to_vec(), b"half a line\n".to_vec()));
        assert!(
            said.controls
                .iter()
                .any(|(_, control)| matches!(control, Control::Listen { protocol: Protocol::Tcp, port: 80 }))
        );
        assert_eq!(said.outcome.map(|outcome| outcome.kind.status()), Some(7));
    }

    #[test]
    fn a_record_that_is_not_understood_is_reported() {
        let said = transcript(&[(Stream::Outcome, "kind=mystery\n")]);
        assert_eq!(said.outcome, None);
        assert!(String::from_utf8(said.log).unwrap().contains("not understood: kind=mystery"));
    }
}
