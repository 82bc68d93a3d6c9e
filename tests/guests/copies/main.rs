//! Copies, fills and compares of every length up to 700 bytes do what a loop over bytes does, overlapping or not.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

const LENGTH_MAX: usize = 700;
const ROOM: usize = 1200;

/// Bytes that differ from their neighbours.
fn pattern() -> Vec<u8> {
    (0..ROOM as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn main() {
    let source = pattern();
    for length in 0..=LENGTH_MAX {
        for offset in [0, 1, 7] {
            copies_apart(&source, length, offset);
            fills(length, offset);
            compares(&source, length, offset);
        }
        for shift in [-200, -129, -128, -33, -32, -17, -16, -1, 1, 15, 16, 31, 32, 33, 127, 128, 200] {
            copies_over_itself(&source, length, shift);
        }
    }
    println!("as byte by byte");
}

fn copies_apart(source: &[u8], length: usize, offset: usize) {
    let mut copy = vec![0xaa; ROOM];
    black_box(&mut copy)[offset + 8..][..length].copy_from_slice(&source[offset * 3..][..length]);
    for (index, byte) in copy.iter().enumerate() {
        let inside = (offset + 8..offset + 8 + length).contains(&index);
        let expected = if inside { source[offset * 3 + index - offset - 8] } else { 0xaa };
        assert!(*byte == expected, "copy of {length} bytes, offset {offset}: byte {index}");
    }
}

fn fills(length: usize, offset: usize) {
    let mut bytes = vec![0xaa; ROOM];
    black_box(&mut bytes)[offset + 8..][..length].fill(black_box(0xd7));
    for (index, byte) in bytes.iter().enumerate() {
        let inside = (offset + 8..offset + 8 + length).contains(&index);
        assert!(*byte == if inside { 0xd7 } else { 0xaa }, "fill of {length} bytes, offset {offset}: byte {index}");
    }
}

fn compares(source: &[u8], length: usize, offset: usize) {
    let one = &source[offset..][..length];
    let mut other = one.to_vec();
    assert!(black_box(one) == black_box(&other[..]), "{length} equal bytes");
    if length > 0 {
        let changed = length * 7 % length.max(2) % length;
        other[changed] = other[changed].wrapping_add(1);
        let expected = one[changed].cmp(&other[changed]);
        assert!(black_box(one).cmp(black_box(&other[..])) == expected, "{length} bytes that differ at {changed}");
    }
}

fn copies_over_itself(source: &[u8], length: usize, shift: isize) {
    let (from, to) = (250, 250_usize.wrapping_add_signed(shift));
    let mut bytes = source.to_vec();
    black_box(&mut bytes).copy_within(from..from + length, to);
    for (index, byte) in bytes.iter().enumerate() {
        let inside = (to..to + length).contains(&index);
        let expected = if inside { source[index - to + from] } else { source[index] };
        assert!(*byte == expected, "{length} bytes moved by {shift}: byte {index}");
    }
}
