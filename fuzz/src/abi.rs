//! What guest and host say to each other, both ways: command lines and standard input for the guest, the console and its
//! records for the host.

use crate::Input;
use toro_abi::cmdline::{ARG, CommandLine, ENV};
use toro_abi::console::{Demux, Stream, Token};
use toro_abi::control::Control;
use toro_abi::outcome::Outcome;
use toro_abi::{embedded, stdin};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => command_line(input.rest()),
        1 => console(input.byte(), input.rest()),
        2 => records(&String::from_utf8_lossy(input.rest())),
        _ => standard_input(input.rest()),
    }
}

/// An image's own and the VMM's, with a line end between them.
fn command_line(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (embedded, given) = text.split_once('\n').unwrap_or(("", &text));
    let line = CommandLine::with_embedded(embedded, given);
    if let Err(malformed) = line.check() {
        assert!(text.contains(malformed.word) && !malformed.to_string().is_empty());
    }
    let words = line.words().count();
    assert!(line.unknown().count() <= words && line.virtio_mmio().count() <= words);
    let values = line.all(ARG).chain(line.all(ENV));
    assert!(values.map(|value| value.to_vec().len()).sum::<usize>() <= text.len());
    let _ = (line.address(0), line.gateway(3), line.address6(1), line.gateway6(0), line.tsc_khz(), line.epoch_ns());
    let _ = embedded::read(bytes);
}

/// A console says the same in one piece and in two; 0xff stands for the beginning of a marker.
fn console(cut: u8, bytes: &[u8]) {
    let token = Token::from_random(7);
    let [start @ .., _] = token.marker(Stream::Log);
    let bytes: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| if *byte == 0xff { &start[..] } else { std::slice::from_ref(byte) })
        .copied()
        .collect();
    let told = |pieces: &[&[u8]]| {
        let mut demux = Demux::new(token);
        let mut streams: Vec<(Stream, Vec<u8>)> = Vec::new();
        let mut sink = |stream, piece: &[u8]| match streams.last_mut() {
            Some((last, text)) if *last == stream => text.extend(piece),
            _ => streams.push((stream, piece.to_vec())),
        };
        pieces.iter().for_each(|piece| demux.feed(piece, &mut sink));
        demux.finish(&mut sink);
        streams
    };
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let streams = told(&[&bytes]);
    assert_eq!(told(&[first, second]), streams);
    assert!(streams.iter().map(|(_, text)| text.len()).sum::<usize>() <= bytes.len());
}

/// What is read of a record is read again of what is written of it.
fn records(line: &str) {
    if let Some(control) = Control::parse(line) {
        assert_eq!(Control::parse(&control.to_string()), Some(control));
    }
    if let Some(Outcome { kind, message }) = Outcome::parse(line) {
        let mut written = String::new();
        toro_abi::outcome::write(&mut written, kind, format_args!("{message}")).expect("a string takes all");
        assert_eq!(Outcome::parse(&written), Some(Outcome { kind, message }));
    }
}

/// What the host encodes arrives; anything else is some input.
fn standard_input(bytes: &[u8]) {
    let mut encoded = Vec::new();
    stdin::encode(bytes, &mut encoded);
    let decode = |bytes: &[u8]| {
        let mut decoder = stdin::Decoder::new();
        bytes.iter().filter_map(|byte| decoder.push(*byte)).collect::<Vec<_>>()
    };
    assert!(decode(&encoded).into_iter().eq(bytes.iter().map(|byte| stdin::Input::Byte(*byte))));
    assert!(decode(bytes).len() <= bytes.len());
}
