//! The guest's console: its streams to their sinks, its records to the transcript. The way back is `input`.

use crate::hurry::Hurry;
use crate::input::Input;
use crate::report::{self, Report, Taken};
use crate::symbolize::Symbolizer;
use crate::transcript::{NetworkState, Shared, Transcript};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use toro_abi::cards::Card;
use toro_abi::console::{Demux, Stream, Token};
use toro_abi::control::Control;
use toro_abi::network::CARDS_MAX;
use toro_abi::outcome::Outcome;
use toro_abi::sockets::Socket;
use toro_abi::stats::{self, Stat};

/// Longest record; more is a broken guest.
const RECORD_BYTES_MAX: usize = 64 << 10;
/// Most figures of an answer: more is a broken guest.
const STATS_MAX: usize = 1 << 14;
/// Longest line of the log that waits for its end before it is passed on.
const LOG_LINE_BYTES_MAX: usize = 4 << 10;

/// Where a stream goes.
#[derive(Debug, Default)]
pub enum Sink {
    /// Kept in the transcript.
    #[default]
    Keep,
    /// Written at once; the guest waits for a reader who does not take it.
    Write(OwnedFd),
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

/// What the console's reader passes on to whom.
pub(crate) struct Console<'a> {
    pub(crate) sinks: Sinks,
    pub(crate) symbolizer: &'a Symbolizer,
    pub(crate) shared: &'a Shared,
    pub(crate) input: &'a Input,
    pub(crate) hurry: &'a Hurry,
}

/// Reads the console to its end.
pub(crate) fn read(mut pipe: impl Read, token: Token, console: Console<'_>) {
    let shared = console.shared;
    let (record, stats, cards, sockets, log_line) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut reader = Reader { console, record, stats, cards, sockets, log_line, reports: report::Reader::default() };
    let mut demux = Demux::new(token);
    let mut buffer = vec![0; 64 << 10];
    let mut pace = Pace::default();
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                demux.feed(&buffer[..len], |stream, bytes| reader.take(stream, bytes));
                pace.after(len);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break, // a pipe whose other end is gone
        }
    }
    demux.finish(|stream, bytes| reader.take(stream, bytes));
    reader.end_log_line();
    reader.end_report();
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
    console: Console<'a>,
    record: Vec<u8>,
    /// Figures of an answer that is not complete.
    stats: Vec<Stat>,
    cards: Vec<Card>,
    sockets: Vec<Socket>,
    log_line: Vec<u8>,
    reports: report::Reader,
}

impl Reader<'_> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout | Stream::Stderr => self.console.pass(stream, bytes),
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
            let Taken { report, shown } = self.reports.take(&String::from_utf8_lossy(&line), self.console.symbolizer);
            self.note(report);
            let line = shown.map_or(line, String::into_bytes);
            for line in line.split_inclusive(|byte| *byte == b'\n') {
                self.console.pass(Stream::Log, &self.console.symbolizer.replace(line));
            }
        }
    }

    fn end_report(&mut self) {
        let report = self.reports.end();
        self.note(report);
    }

    fn note(&self, report: Option<Report>) {
        if let Some(report) = report {
            self.console.shared.update(|transcript| transcript.note_report(report));
        }
    }

    fn take_record(&mut self, stream: Stream, line: &str) {
        self.end_log_line();
        let shared = self.console.shared;
        let after = shared.started.elapsed();
        if stream == Stream::Outcome {
            self.end_report();
            match Outcome::parse(line) {
                Some(outcome) => shared.update(|transcript| {
                    transcript.outcome = Some(outcome);
                    transcript.outcome_after = Some(after);
                }),
                None => self.complain(line),
            }
        } else if let Some(line) = stats::Line::parse(line) {
            self.take_stat(line);
        } else if let Some((at, bytes)) = toro_abi::stack::parse(line) {
            self.reports.take_stack(at, &bytes);
        } else if let Some((thread, offset, bytes)) = toro_abi::thread_state::parse(line) {
            self.reports.take_thread_state(thread, offset, &bytes);
        } else if let Some(card) = Card::parse(line) {
            if self.cards.len() < CARDS_MAX {
                self.cards.push(card);
            }
        } else if let Some(socket) = Socket::parse(line) {
            if self.sockets.len() < STATS_MAX {
                self.sockets.push(socket);
            }
        } else {
            match Control::parse(line) {
                Some(Control::Stdin { room }) => self.console.input.grant(room),
                Some(control) => shared.update(|transcript| transcript.note(after, control)),
                None => self.complain(line),
            }
        }
    }

    fn take_stat(&mut self, line: stats::Line) {
        match line {
            stats::Line::Stat(stat) if self.stats.len() < STATS_MAX => self.stats.push(stat),
            stats::Line::Stat(_) => {}
            stats::Line::End => {
                let stats = std::mem::take(&mut self.stats);
                self.console.shared.update(|transcript| {
                    transcript.stats = stats;
                    transcript.stats_told += 1;
                });
            }
            stats::Line::NetworkEnd => {
                let network = NetworkState {
                    stats: std::mem::take(&mut self.stats),
                    cards: std::mem::take(&mut self.cards),
                    sockets: std::mem::take(&mut self.sockets),
                };
                self.console.shared.update(|transcript| {
                    transcript.network = network;
                    transcript.network_told += 1;
                });
            }
        }
    }

    fn complain(&mut self, line: &str) {
        let line = format!("vmm: the guest sent a record that is not understood: {}\n", line.trim_end());
        self.console.pass(Stream::Log, line.as_bytes());
    }
}

impl Console<'_> {
    /// To the sink of one of the three streams that are no records.
    fn pass(&self, stream: Stream, bytes: &[u8]) {
        let (sink, name) = match stream {
            Stream::Stdout => (&self.sinks.stdout, "standard output"),
            Stream::Stderr => (&self.sinks.stderr, "standard error"),
            _ => (&self.sinks.log, "log"),
        };
        match sink {
            Sink::Keep => self.shared.update(|transcript| {
                let kept = match stream {
                    Stream::Stdout => &mut transcript.stdout,
                    Stream::Stderr => &mut transcript.stderr,
                    _ => &mut transcript.log,
                };
                Transcript::keep(kept, bytes);
            }),
            Sink::Write(fd) => {
                if let Err(error) = self.hurry.write_all(fd.as_fd(), bytes) {
                    self.shared.update(|transcript| match error.kind() {
                        std::io::ErrorKind::TimedOut => transcript.is_cut = true,
                        _ => {
                            let why = || format!("cannot write the guest's {name}: {error}");
                            transcript.sink_failure.get_or_insert_with(why);
                        }
                    });
                }
            }
        }
    }
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
        let (symbolizer, input, hurry) = (Symbolizer::none(), Input::default(), Hurry::new());
        let sinks = Sinks::default();
        let console = Console { sinks, symbolizer: &symbolizer, shared: &shared, input: &input, hurry: &hurry };
        read(bytes.as_slice(), token(), console);
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
    fn what_a_guest_says_again_is_noted_once() {
        let listen = |port| format!("event=listen proto=tcp port={port}\n");
        let said = transcript(&[
            (Stream::Control, &listen(80)),
            (Stream::Control, &listen(81)),
            (Stream::Control, &listen(80)),
        ]);
        let ports: Vec<_> = said.controls.iter().map(|(_, control)| *control).collect();
        assert_eq!(ports, [80, 81].map(|port| Control::Listen { protocol: Protocol::Tcp, port }));
    }

    #[test]
    fn figures_replace_those_of_the_answer_before() {
        let answer = |value| format!("event=stat name=sleeps value={value} core=0\n");
        let end = format!("{}\n", stats::END);
        let said = transcript(&[
            (Stream::Control, &answer(1)),
            (Stream::Control, &end),
            (Stream::Control, &answer(2)),
            (Stream::Control, &end),
            (Stream::Control, &answer(3)),
        ]);
        let stat = Stat { core: Some(0), name: "sleeps".into(), value: "2".into() };
        assert_eq!((said.stats, said.stats_told), (vec![stat], 2));
    }

    #[test]
    fn a_record_that_is_not_understood_is_reported() {
        let said = transcript(&[(Stream::Outcome, "kind=mystery\n")]);
        assert_eq!(said.outcome, None);
        assert!(String::from_utf8(said.log).unwrap().contains("not understood: kind=mystery"));
    }
}
