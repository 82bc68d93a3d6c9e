//! Streams on one console: a marker that a program cannot print by accident switches between them.
//!
//! The marker is `0x1e`, the 16 characters of a token that is random for each run, and one byte that names the stream.
//! The guest writes markers with [`Token::marker`]; the host takes them out again with [`Demux`].

/// A marker's first byte (ASCII "record separator").
pub const MARKER_START: u8 = 0x1e;
/// Length of a marker.
pub const MARKER_LEN: usize = 18;
const TOKEN_LEN: usize = 16;

/// What the bytes after a marker belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The program's standard output.
    Stdout,
    /// The program's standard error.
    Stderr,
    /// Kernel log and reports. The stream at the start, and after each record.
    Log,
    /// One line: a control record.
    Control,
    /// One line: the outcome record.
    Outcome,
}

impl Stream {
    /// The byte that names the stream in a marker.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Stdout => b'o',
            Self::Stderr => b'e',
            Self::Log => b'k',
            Self::Control => b'c',
            Self::Outcome => b'x',
        }
    }

    const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'o' => Some(Self::Stdout),
            b'e' => Some(Self::Stderr),
            b'k' => Some(Self::Log),
            b'c' => Some(Self::Control),
            b'x' => Some(Self::Outcome),
            _ => None,
        }
    }

    /// Whether the stream is one line, after which the log goes on.
    const fn is_record(self) -> bool {
        matches!(self, Self::Control | Self::Outcome)
    }
}

/// The secret of one run: 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u8; TOKEN_LEN]);

impl Token {
    /// A token from a random number.
    pub fn from_random(random: u64) -> Self {
        let mut digits = [0; TOKEN_LEN];
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(random >> (60 - 4 * at) & 15) as usize];
        }
        Self(digits)
    }

    /// Reads the token of a command line.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; TOKEN_LEN] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(Self(digits))
    }

    /// The digits, as they stand on the command line.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes that switch to `stream`.
    pub const fn marker(&self, stream: Stream) -> [u8; MARKER_LEN] {
        let mut marker = [0; MARKER_LEN];
        marker[0] = MARKER_START;
        let mut at = 0;
        while at < TOKEN_LEN {
            marker[1 + at] = self.0[at];
            at += 1;
        }
        marker[MARKER_LEN - 1] = stream.letter();
        marker
    }
}

/// Takes a console apart into its streams; a marker may arrive in any number of pieces.
#[derive(Clone, Debug)]
pub struct Demux {
    token: Token,
    stream: Stream,
    /// How many bytes of a marker have been held back; they are `prefix[..held]` by construction.
    held: usize,
    prefix: [u8; MARKER_LEN - 1],
}

impl Demux {
    /// A console at its start.
    pub fn new(token: Token) -> Self {
        let mut prefix = [0; MARKER_LEN - 1];
        prefix.copy_from_slice(&token.marker(Stream::Log)[..MARKER_LEN - 1]);
        Self { token, stream: Stream::Log, held: 0, prefix }
    }

    /// The token that this console is read with.
    pub const fn token(&self) -> Token {
        self.token
    }

    /// Hands `bytes` on, in order, each piece with its stream. A record's last piece ends in `\n`.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Stream, &[u8])) {
        let mut start = 0; // of the bytes not yet handed on
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if self.held == self.prefix.len() {
                if let Some(stream) = Stream::from_letter(byte) {
                    self.held = 0;
                    self.stream = stream;
                    at += 1;
                    start = at;
                } else {
                    self.release(&mut sink); // no marker after all; look at this byte again
                }
            } else if byte == self.prefix[self.held] {
                if self.held == 0 && start < at {
                    sink(self.stream, &bytes[start..at]);
                }
                self.held += 1;
                at += 1;
                start = at;
            } else if self.held > 0 {
                self.release(&mut sink);
            } else {
                at += 1;
                if byte == b'\n' && self.stream.is_record() {
                    sink(self.stream, &bytes[start..at]);
                    start = at;
                    self.stream = Stream::Log;
                }
            }
        }
        if start < bytes.len() {
            sink(self.stream, &bytes[start..]);
        }
    }

    /// Hands on what was held back as the possible start of a marker: the console has ended.
    pub fn finish(&mut self, mut sink: impl FnMut(Stream, &[u8])) {
        self.release(&mut sink);
    }

    /// What was held back is data. Only its first byte can start a marker, so none of it is looked at again.
    fn release(&mut self, sink: &mut impl FnMut(Stream, &[u8])) {
        if self.held > 0 {
            sink(self.stream, &self.prefix[..self.held]);
            self.held = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn token() -> Token {
        Token::from_random(0x0123_4567_89ab_cdef)
    }

    /// Feeds `bytes` in pieces of `size` and joins neighbours of the same stream.
    fn demux(bytes: &[u8], size: usize) -> Vec<(Stream, Vec<u8>)> {
        let mut all: Vec<(Stream, Vec<u8>)> = Vec::new();
        let mut demux = Demux::new(token());
        let mut join = |stream, piece: &[u8]| match all.last_mut() {
            Some((last, text)) if *last == stream => text.extend_from_slice(piece),
            _ => all.push((stream, piece.to_vec())),
        };
        for piece in bytes.chunks(size) {
            demux.feed(piece, &mut join);
        }
        demux.finish(&mut join);
        all
    }

    fn session() -> Vec<u8> {
        let mut bytes = b"early\n".to_vec();
        for (stream, text) in [
            (Stream::Stdout, &b"binary \x1e\x1e\x00 0123"[..]),
            (Stream::Control, b"event=boot\n"),
            (Stream::Stderr, b"oops\n"),
            (Stream::Outcome, b"kind=exit status=0\n"),
        ] {
            bytes.extend_from_slice(&token().marker(stream));
            bytes.extend_from_slice(text);
        }
        bytes.extend_from_slice(b"late");
        bytes
    }

    #[test]
    fn streams_are_told_apart_however_the_bytes_arrive() {
        let whole = demux(&session(), usize::MAX);
        let expected: [(Stream, &[u8]); 6] = [
            (Stream::Log, b"early\n"),
            (Stream::Stdout, b"binary \x1e\x1e\x00 0123"),
            (Stream::Control, b"event=boot\n"),
            (Stream::Stderr, b"oops\n"),
            (Stream::Outcome, b"kind=exit status=0\n"),
            (Stream::Log, b"late"),
        ];
        assert_eq!(whole.len(), expected.len());
        for ((stream, text), (want, bytes)) in whole.iter().zip(expected) {
            assert_eq!((*stream, text.as_slice()), (want, bytes));
        }
        for size in 1..40 {
            assert_eq!(demux(&session(), size), whole, "in pieces of {size}");
        }
    }

    #[test]
    fn a_marker_with_another_token_is_data() {
        let other = Token::from_random(7).marker(Stream::Outcome);
        assert_eq!(demux(&other, 5), [(Stream::Log, other.to_vec())]);
    }

    #[test]
    fn half_a_marker_at_the_end_is_data() {
        let half = &token().marker(Stream::Stdout)[..17];
        assert_eq!(demux(half, 3), [(Stream::Log, half.to_vec())]);
    }

    #[test]
    fn a_marker_right_after_half_a_marker_is_seen() {
        let mut bytes = token().marker(Stream::Stdout)[..9].to_vec();
        bytes.extend_from_slice(&token().marker(Stream::Stderr));
        bytes.push(b'!');
        let half = bytes[..9].to_vec();
        assert_eq!(demux(&bytes, 4), [(Stream::Log, half), (Stream::Stderr, b"!".to_vec())]);
    }

    #[test]
    fn an_unknown_stream_is_data() {
        let mut bytes = token().marker(Stream::Log);
        bytes[17] = b'?';
        assert_eq!(demux(&bytes, 1), [(Stream::Log, bytes.to_vec())]);
    }

    #[test]
    fn tokens_have_sixteen_digits() {
        assert_eq!(token().as_str(), "0123456789abcdef");
        assert_eq!(Token::parse("0123456789abcdef"), Some(token()));
        assert_eq!(Token::parse("0123456789abcde"), None);
        assert_eq!(Token::parse("0123456789abcdeg"), None);
    }
}
