//! Readers, writers and their buffers, on memory: what `std`'s do, these do.
#![no_std]
#![no_main]

use toro::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use toro::prelude::*;

toro::main!(main);

/// Gives one byte at a time, and an interruption before each.
struct Slow<'a> {
    bytes: &'a [u8],
    interrupt: bool,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = buffer.len().min(1);
        self.bytes.read(&mut buffer[..most])
    }
}

fn slow(text: &str) -> Slow<'_> {
    Slow { bytes: text.as_bytes(), interrupt: false }
}

fn main() -> io::Result<()> {
    reading()?;
    lines()?;
    writing()?;
    errors();
    println!("as std does");
    Ok(())
}

fn reading() -> io::Result<()> {
    let mut word = [0; 5];
    let mut source = slow("hello world");
    source.read_exact(&mut word)?;
    assert_eq!(&word, b"hello");
    let mut rest = String::from("rest:");
    assert_eq!(source.read_to_string(&mut rest)?, 6);
    assert_eq!(rest, "rest: world");
    assert_eq!(slow("abc").read_exact(&mut word).map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));

    let mut limited = slow("0123456789").take(4);
    assert_eq!(io::read_to_string(&mut limited)?, "0123");
    assert_eq!((limited.limit(), limited.into_inner().bytes), (0, &b"456789"[..]));
    assert_eq!((&b"xyz"[..]).bytes().collect::<io::Result<Vec<u8>>>()?, b"xyz");

    let not_text = io::read_to_string(&[0xff_u8][..]).map_err(|error| error.kind());
    assert_eq!(not_text, Err(ErrorKind::InvalidData));
    Ok(())
}

fn lines() -> io::Result<()> {
    for bytes in [1, 3, 4096] {
        let text = BufReader::with_capacity(bytes, &b"one\r\ntwo\n\nlast"[..]);
        assert_eq!(text.lines().collect::<io::Result<Vec<_>>>()?, ["one", "two", "", "last"]);
        let words = BufReader::with_capacity(bytes, &b"a,b,,c,"[..]).split(b',');
        assert_eq!(words.collect::<io::Result<Vec<_>>>()?, [&b"a"[..], b"b", b"", b"c"]);
    }
    let mut reader = BufReader::with_capacity(4, &b"abcdefgh"[..]);
    assert_eq!(reader.fill_buf()?, b"abcd");
    reader.consume(3);
    assert_eq!(reader.buffer(), b"d");
    let mut large = [0; 8];
    assert_eq!(reader.read(&mut large)?, 1);
    assert_eq!(reader.read(&mut large)?, 4);
    assert_eq!(&large[..4], b"efgh");
    Ok(())
}

fn writing() -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(4, Vec::new());
    writer.write_all(b"ab")?;
    assert_eq!((writer.buffer(), writer.get_ref().len()), (&b"ab"[..], 0));
    write!(writer, "{}-long {:?}", 12, Some(1))?;
    writer.flush()?;
    assert_eq!(writer.get_ref(), b"ab12-long Some(1)");

    let mut space = [0; 4];
    let mut full = &mut space[..];
    assert_eq!(full.write_all(b"12345").map_err(|error| error.kind()), Err(ErrorKind::WriteZero));
    assert_eq!(&space, b"1234");
    assert_eq!(io::copy(&mut slow("copied"), &mut io::sink())?, 6);
    assert_eq!(io::copy(&mut io::empty(), &mut io::sink())?, 0);
    Ok(())
}

fn errors() {
    let error = io::Error::new(ErrorKind::InvalidInput, "too odd");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, "too odd"));
    assert_eq!(format!("{error:?}"), "Custom { kind: InvalidInput, error: \"too odd\" }");
    assert_eq!(io::Error::from(ErrorKind::TimedOut).to_string(), "timed out");
    assert!(io::Error::other("x").into_inner().is_some_and(|cause| cause.to_string() == "x"));
}
