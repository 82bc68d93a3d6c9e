//! Executables made of arbitrary bytes: as they are, and with a sound file header so that the program headers are reached.

use crate::Input;
use toro_elf::{ADDRESS_END, ADDRESS_MIN, Executable, Kind, PAGE_BYTES};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => check(input.rest()),
        kind => check(&made(kind, &mut input)),
    }
}

/// A file with a header that is right, program headers whose numbers are small or large but seldom in between, and bytes.
fn made(kind: u8, input: &mut Input<'_>) -> Vec<u8> {
    let count = u16::from(input.byte() % 6);
    let entry = number(input);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(u16::from(kind + 1).to_le_bytes());
    file.extend([62, 0, 1, 0, 0, 0]);
    file.extend(entry.to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.resize(52, 0);
    for half in [64, 56, count, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for _ in 0..count {
        let bits = input.byte();
        let kind: u32 = [1, 1, 1, 3, 2, 0x6474_e551, 0, 6][usize::from(bits >> 5)];
        file.extend(kind.to_le_bytes());
        file.extend(u32::from(bits & 7).to_le_bytes());
        for _ in 0..6 {
            file.extend(number(input).to_le_bytes());
        }
    }
    file.extend(input.rest());
    file
}

fn number(input: &mut Input<'_>) -> u64 {
    let (shape, low) = (input.byte(), u64::from(input.u16()));
    match shape % 4 {
        0 => low,
        1 => low << 12,
        2 => ADDRESS_END.wrapping_add(low),
        _ => u64::MAX - low,
    }
}

/// What is promised of a program that is accepted.
fn check(file: &[u8]) {
    let program = match Executable::parse(file) {
        Ok(program) => program,
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(!text.is_empty() && text.is_ascii() && !text.contains(['\n', '\x1b']), "{text:?}");
            return;
        }
    };
    let mut end = None;
    let mut holds_entry = false;
    for segment in program.segments() {
        assert!(segment.memory_bytes > 0 && segment.data.len() as u64 <= segment.memory_bytes);
        assert!(segment.data.is_empty() || segment.address % PAGE_BYTES == segment.offset % PAGE_BYTES);
        assert!(end.is_none_or(|end| end <= segment.address / PAGE_BYTES));
        assert!(segment.end() <= ADDRESS_END && (program.kind != Kind::Static || segment.address >= ADDRESS_MIN));
        assert!(segment.align_bytes.is_power_of_two() && segment.align_bytes <= program.align_bytes);
        holds_entry |= segment.access.execute && (segment.address..segment.end()).contains(&program.entry);
        end = Some(segment.end().div_ceil(PAGE_BYTES));
    }
    assert!(holds_entry && end == Some(program.extent.end.div_ceil(PAGE_BYTES)));
    let table_bytes = u64::from(program.headers.count) * u64::from(program.headers.entry_bytes);
    let in_extent = |address: u64| program.extent.contains(&address) && address + table_bytes <= program.extent.end;
    assert!(program.headers.address.is_none_or(in_extent));
    if let Kind::Dynamic { interpreter, .. } = program.kind {
        assert!(!interpreter.is_empty() && interpreter.len() < 4096 && !interpreter.contains(&0));
    }
}
