//! Says what its boot module holds, and that it holds the same when all other memory was used.
#![no_std]
#![no_main]

use toro::boot;
use toro::prelude::*;
use toro::user::{Pages, Rights};

toro::main!(main);

const PAGE: usize = 4096;
const PLACE: usize = 0x1_0000_0000;

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let Some(module) = boot::module()? else {
        println!("no module");
        return Ok(());
    };
    assert_eq!(boot::module()?.map(<[u8]>::as_ptr), Some(module.as_ptr()), "it stays where it is");
    assert!(module.as_ptr().addr().is_multiple_of(PAGE), "it begins at {:p}", module.as_ptr());
    println!("{} bytes, {:x}", module.len(), hash(module));
    let whole = &module[..module.len() / PAGE * PAGE];
    show(whole)?;
    if !toro::env::args().any(|argument| argument == "quick") {
        use_all_memory();
    }
    println!("{} bytes, {:x}", module.len(), hash(module));
    Ok(())
}

/// FNV-1a, as the test has it.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// A program sees its pages in place.
fn show(whole: &'static [u8]) -> Result<(), Box<dyn core::error::Error>> {
    let pages = Pages::take()?.ok_or("somebody has the lower half")?;
    pages.map_in_place(PLACE, whole, Rights::Read)?;
    let mut page = [0; PAGE];
    for (number, contents) in whole.chunks(PAGE).enumerate() {
        let at = PLACE + number * PAGE;
        assert!(pages.read(at, &mut page).is_ok() && page == contents, "page {number}");
        assert_eq!(pages.write(at, &[1]), Err(at));
    }
    Ok(())
}

fn use_all_memory() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 1 << 20;
    while bytes >= PAGE {
        let mut more = Vec::new();
        let has_room = kept.try_reserve(1).is_ok() && more.try_reserve_exact(bytes).is_ok();
        if has_room {
            more.resize(bytes, 0xaa);
            kept.push(more);
        } else {
            bytes /= 2;
        }
    }
    assert!(!kept.is_empty());
}
