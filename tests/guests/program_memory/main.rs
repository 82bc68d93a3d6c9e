//! Pages of the lower half: what a program may do with them, what the kernel copies, and that all memory comes back.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "code for ring 3")]

#[path = "../programs/mod.rs"]
mod programs;

use programs::{CODE, DATA, PAGE, go, load, pages, program};
use toro::prelude::*;
use toro::user::{Access, Context, END, Event, Fault, MapError, Pages, Rights, START, SharedFrame};

toro::main!(main);

program!(read: "mov rax, [rdi]" "syscall");
program!(write: "mov [rdi], rax" "syscall");
program!(jump: "jmp rdi");

/// Shown in place.
#[repr(align(4096))]
struct Constants([u8; 2 * PAGE]);
static CONSTANTS: Constants = Constants([0x0f; 2 * PAGE]);

fn main() {
    let pages = pages();
    assert!(matches!(Pages::take(), Ok(None)), "there is one lower half");
    rights(&pages);
    in_place(&pages);
    ranges(&pages);
    copies(&pages);
    exchanges(&pages);
    shared(&pages);
    relocated(&pages);
    all_comes_back(&pages);
    drop(pages);
    let again = Pages::take().expect("memory").expect("it was dropped");
    assert_eq!(again.get(DATA), None);
    println!("pages are what they should be");
}

/// What a program may do there, by doing it.
fn may(pages: &Pages, page: usize) -> [bool; 3] {
    let try_to = |code: &[u8], access: Access| {
        let mut context = load(pages, code);
        context.registers_mut().rdi = page as u64;
        context.registers_mut().rax = 0x0b0f_0b0f_0b0f_0b0f; // `ud2`
        match go(&mut context) {
            Event::Fault(fault) if fault.address == page && fault.access() == Some(access) => false,
            Event::Syscall | Event::Fault(Fault { vector: 6, .. }) => true,
            event => panic!("{event:?}"),
        }
    };
    [try_to(read(), Access::Read), try_to(write(), Access::Write), try_to(jump(), Access::Execute)]
}

fn rights(pages: &Pages) {
    let page = DATA + PAGE;
    let all = [
        (Rights::None, [false; 3]),
        (Rights::Read, [true, false, false]),
        (Rights::ReadWrite, [true, true, false]),
        (Rights::ReadExecute, [true, false, true]),
        (Rights::ReadWriteExecute, [true; 3]),
    ];
    let invalid = [0x0f, 0x0b].repeat(PAGE / 2);
    for (rights, allowed) in all {
        pages.map_filled(page, 0, &invalid, rights).expect("a page");
        assert_eq!(pages.map(page, rights), Err(MapError::Occupied));
        assert_eq!(may(pages, page), allowed);
        pages.unmap(page..page + PAGE).expect("a range");
        assert_eq!((may(pages, page), pages.get(page)), ([false; 3], None));
    }
    pages.map_filled(page, 0, &invalid, Rights::None).expect("a page");
    for (rights, allowed) in all.into_iter().chain(all) {
        pages.protect(page..page + PAGE, rights).expect("a range");
        assert_eq!(pages.get(page + 5).map(|leaf| (leaf.rights, leaf.owned)), Some((rights, true)));
        // What the program wrote before stays: zeroes, of which two are an `add`.
        pages.replace(page, invalid.as_slice().try_into().expect("a page"), rights).expect("a page");
        assert_eq!(may(pages, page), allowed, "{rights:?}");
    }
    pages.unmap(page..page + PAGE).expect("a range");
}

fn in_place(pages: &Pages) {
    let page = DATA + 8 * PAGE;
    pages.map_in_place(page, &CONSTANTS.0, Rights::ReadWriteExecute).expect("two pages");
    assert_eq!(pages.get(page).map(|leaf| (leaf.rights, leaf.owned)), Some((Rights::ReadExecute, false)));
    let mut bytes = [0; 2 * PAGE];
    pages.read(page, &mut bytes).expect("mapped");
    assert_eq!(bytes, CONSTANTS.0);
    assert_eq!(pages.write(page + PAGE, &[1]), Err(page + PAGE));
    pages.protect(page..page + 2 * PAGE, Rights::ReadWrite).expect("a range");
    assert_eq!(pages.write(page + PAGE, &[1]), Err(page + PAGE));
    pages.replace(page + PAGE, &[7; PAGE], Rights::ReadWrite).expect("a page");
    pages.write(page + PAGE, &[1]).expect("its own");
    pages.unmap(page..page + 2 * PAGE).expect("a range");
    assert_eq!(CONSTANTS.0, [0x0f; 2 * PAGE]);
    assert!(pages.map_in_place(page, &CONSTANTS.0[..100], Rights::Read).is_err());
    assert!(pages.map_in_place(page, &CONSTANTS.0[8..PAGE + 8], Rights::Read).is_err());
    assert_eq!(pages.get(page), None);
}

/// Ranges that are nearly empty cost nothing, and are done to their ends.
fn ranges(pages: &Pages) {
    let places = [START, 0x10_0000_0000, 0x10_0020_0000, 0x4000_0000_0000, END - PAGE];
    for place in places {
        pages.map(place, Rights::ReadWrite).expect("a page");
        pages.write(place, &[1; PAGE]).expect("mapped");
    }
    pages.protect(START..END, Rights::Read).expect("a range");
    for place in places {
        assert_eq!(pages.write(place, &[2]), Err(place));
        assert_eq!(pages.get(place).map(|leaf| leaf.rights), Some(Rights::Read));
    }
    pages.unmap(START + PAGE..END).expect("a range");
    assert_eq!(places.map(|place| pages.get(place).is_some()), [true, false, false, false, false]);
    pages.unmap(START..END).expect("a range");
    let reversed = core::ops::Range { start: DATA + PAGE, end: DATA };
    for range in [0..PAGE, START..END + PAGE, reversed, START + 1..START + PAGE] {
        assert_eq!(pages.unmap(range), Err(MapError::NotAPage));
    }
    pages.map(DATA, Rights::ReadWrite).expect("a page");
}

fn copies(pages: &Pages) {
    let next = DATA + PAGE;
    for bytes in [0, 1, 7, 8, 9, 15, 16, 63, 64, 65, 127, 128, 200, 1000, PAGE] {
        for offset in [0, 1, 3] {
            let offset = offset.min(PAGE - bytes);
            let values: Vec<u8> = (0..bytes).map(|number| (number * 3 + bytes) as u8 | 1).collect();
            pages.zero(DATA, PAGE).expect("mapped");
            pages.write(DATA + offset, &values).expect("mapped");
            let mut page = vec![9; PAGE];
            pages.read(DATA, &mut page).expect("mapped");
            assert_eq!(page[offset..][..bytes], values);
            assert!(page[..offset].iter().chain(&page[offset + bytes..]).all(|byte| *byte == 0));
            pages.zero(DATA + offset, bytes).expect("mapped");
            pages.read(DATA, &mut page).expect("mapped");
            assert!(page.iter().all(|byte| *byte == 0));
        }
        // Across the end of what there is.
        if bytes > 0 {
            let values = vec![5; bytes + 1];
            assert_eq!(pages.write(next - bytes, &values), Err(next));
            assert_eq!(pages.read(next - bytes, &mut vec![0; bytes + 1]), Err(next));
            assert_eq!(pages.zero(next - bytes, bytes + 1), Err(next));
        }
    }
    assert_eq!(pages.write(usize::MAX - 3, &[0; 8]), Err(usize::MAX - 3));
}

fn exchanges(pages: &Pages) {
    pages.write(DATA, &41_u32.to_le_bytes()).expect("mapped");
    assert_eq!(pages.compare_exchange(DATA, 40, 1), Ok(41));
    assert_eq!(pages.compare_exchange(DATA, 41, 42), Ok(41));
    assert_eq!(pages.compare_exchange(DATA, 41, 43), Ok(42));
    assert_eq!(pages.compare_exchange(DATA + PAGE, 0, 1), Err(DATA + PAGE));
    assert_eq!(pages.compare_exchange(END - 2, 0, 1), Err(END));
}

/// As many pages as there are, again and again, and tables for far places.
fn all_comes_back(pages: &Pages) {
    let start = 0x1_0000_0000;
    let mut fewest = usize::MAX;
    let mut most = 0;
    for round in 0..3 {
        let mut page = start;
        let error = loop {
            match pages.map(page, Rights::ReadWrite) {
                Ok(()) => page += if round == 2 { PAGE << 12 } else { PAGE },
                Err(error) => break error,
            }
        };
        assert_eq!(error, MapError::OutOfMemory);
        let count = (page - start) >> (12 + 12 * usize::from(round == 2));
        if round < 2 {
            (fewest, most) = (fewest.min(count), most.max(count));
        }
        assert!(count > 0);
        drop(Context::new(pages, CODE as u64, 0)); // an error, when nothing is left for it, and no panic
        pages.unmap(start..END).expect("a range");
    }
    assert!(most - fewest < 64, "{fewest} and {most} pages of the same memory");
    let pages_of_far_places = (0..5000_usize).map(|number| start + (number << 27));
    for page in pages_of_far_places {
        pages.map(page, Rights::Read).expect("a page");
        pages.unmap(page..page + PAGE).expect("a range");
    }
}

/// One frame behind two pages and the kernel's own copies.
fn shared(pages: &Pages) {
    let frame = SharedFrame::zeroed().expect("memory");
    let (one, other) = (DATA + 8 * PAGE, DATA + 9 * PAGE);
    pages.map_shared(one, &frame, Rights::ReadWrite).expect("a page");
    pages.map_shared(other, &frame, Rights::Read).expect("a page");
    assert_eq!(pages.map_shared(one, &frame, Rights::Read), Err(MapError::Occupied));
    pages.write(one + 5, b"seen").expect("mapped");
    let mut seen = [0; 4];
    pages.read(other + 5, &mut seen).expect("mapped");
    assert_eq!(&seen, b"seen");
    frame.write(6, b"ank");
    frame.read(5, &mut seen);
    assert_eq!(&seen, b"sank");
    pages.write_from(one + 100, &frame, 5, 4).expect("mapped");
    pages.read_into(one + 100, &frame, 200, 4).expect("mapped");
    frame.clear(5, 4);
    frame.read(200, &mut seen);
    assert_eq!(&seen, b"sank");
    assert_eq!(may(pages, other), [true, false, false]);
    pages.protect(other..other + PAGE, Rights::ReadWrite).expect("a range");
    assert_eq!(may(pages, other)[..2], [true, true], "a lent frame may be written");
    drop(frame); // the pages keep it
    pages.write(other + 7, b"x").expect("mapped");
    pages.unmap(one..one + PAGE).expect("a range");
    pages.read(other + 7, &mut seen).expect("mapped");
    assert_eq!(seen[0], b'x');
    pages.unmap(other..other + PAGE).expect("a range");
}

/// Pages of all kinds move, over the end of a table too.
fn relocated(pages: &Pages) {
    let (from, to) = (DATA + 510 * PAGE, DATA + (5 * 512 - 1) * PAGE);
    let frame = SharedFrame::zeroed().expect("memory");
    frame.write(0, b"lent");
    pages.map_filled(from, 0, b"own", Rights::ReadWrite).expect("a page");
    pages.map_shared(from + PAGE, &frame, Rights::ReadWrite).expect("a page");
    pages.map_in_place(from + 3 * PAGE, &CONSTANTS.0[..PAGE], Rights::Read).expect("a page");
    drop(frame);
    pages.relocate(from..from + 4 * PAGE, to).expect("room");
    assert_eq!([0, 1, 2, 3].map(|page| pages.get(from + page * PAGE)), [None; 4]);
    let mut seen = [0; 4];
    pages.read(to, &mut seen).expect("mapped");
    assert_eq!(&seen, b"own\0");
    pages.read(to + PAGE, &mut seen).expect("mapped");
    assert_eq!(&seen, b"lent");
    assert_eq!(pages.get(to + 2 * PAGE), None);
    pages.read(to + 3 * PAGE, &mut seen).expect("mapped");
    assert_eq!(seen, [0x0f; 4]);
    // Where something is, nothing goes; and all stays.
    pages.map(from + 3 * PAGE, Rights::Read).expect("a page");
    assert_eq!(pages.relocate(to..to + 4 * PAGE, from), Err(MapError::Occupied));
    pages.read(to + PAGE, &mut seen).expect("mapped");
    assert_eq!(&seen, b"lent");
    pages.unmap(from..from + 4 * PAGE).expect("a range");
    pages.unmap(to..to + 4 * PAGE).expect("a range");
}
