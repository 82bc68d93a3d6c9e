//! What the VMM hands over may be broken: the guest says what is wrong, in one line, and ends as failed.

use toro_tests::{Change, guest};

const RAM: u32 = 1;
const RESERVED: u32 = 2;

/// Offsets in `hvm_start_info`.
const MAGIC: u8 = 0;
const MODULES: u8 = 12;
const MODULE_LIST_HIGH: u8 = 20;
const COMMAND_LINE_HIGH: u8 = 28;
const MEMORY_MAP_HIGH: u8 = 44;
const MEMORY_MAP_ENTRIES: u8 = 48;

/// The run's token is known, so the host gets an outcome.
#[track_caller]
fn refused(change: Change, reason: &str) {
    guest("exit_code").tampered(&[change]).run().expect_kind("boot").expect_status(125).expect_message(reason);
}

/// Without a command line there is no token: a line on the console is all there can be.
#[track_caller]
fn refused_before_the_command_line(change: Change, reason: &str) {
    let line = format!("toro: boot failed: {reason}");
    guest("exit_code").tampered(&[change]).run().expect_status(125).expect_log(&line);
}

#[test]
fn the_stub_alone_changes_nothing() {
    guest("exit_code").tampered(&[]).run().expect_kind("exit").expect_status(42);
}

#[test]
fn start_info_that_is_none_is_refused() {
    refused_before_the_command_line(Change::Store { offset: MAGIC, value: 7 }, "the PVH start info has magic 0x7");
    refused_before_the_command_line(Change::Pointer(0xffff_fff0), "the start info (56 bytes at 0xfffffff0)");
}

#[test]
fn a_memory_map_without_ram_is_refused() {
    let none = "names no usable RAM";
    refused(Change::Store { offset: MEMORY_MAP_ENTRIES, value: 0 }, none);
    refused(Change::MemoryMap(vec![(0, 0, 0); 4]), none);
    refused(Change::MemoryMap(vec![(0, 1 << 30, RESERVED)]), none);
}

#[test]
fn a_memory_map_out_of_bounds_is_refused() {
    refused(Change::Store { offset: MEMORY_MAP_ENTRIES, value: 100_000 }, "has 100000 entries");
    refused(Change::Store { offset: MEMORY_MAP_HIGH, value: 1 }, "the memory map");
    let wraps = (0xffff_ffff_ffff_0000, 0x2_0000, RAM);
    refused(Change::MemoryMap(vec![(0x10_0000, 0x80_0000, RAM), wraps]), "past the address space");
}

#[test]
fn a_memory_map_without_the_image_is_refused() {
    refused(Change::MemoryMap(vec![(0, 0x9_f000, RAM)]), "does not list the image's own RAM");
    let hole = (0x10_0000, 0x1000, RESERVED);
    refused(Change::MemoryMap(vec![(0, 0x80_0000, RAM), hole]), "does not list the image's own RAM");
}

#[test]
fn holes_overlaps_and_empty_entries_are_no_obstacle() {
    let map = vec![
        (0x10_0000, 0x180_0000, RAM),
        (0, 0x9_f000, RAM),
        (0x100_0000, 0x10_0000, RESERVED),
        (0, 0, 0),
        (0x80_0000, 0x200_0000, RAM),
    ];
    guest("exit_code").tampered(&[Change::MemoryMap(map)]).run().expect_kind("exit").expect_status(42);
}

#[test]
fn too_little_memory_is_refused() {
    let image_bytes = guest("exit_code").image_end() - 0x10_0000;
    refused(
        Change::MemoryMap(vec![(0x10_0000, image_bytes + (64 << 10), RAM)]),
        "KiB of RAM beside the image are too little; give the VM more memory (-m)",
    );
}

#[test]
fn a_command_line_that_is_none_is_refused() {
    let text = |text: &[u8]| Change::CommandLine(text.to_vec());
    refused_before_the_command_line(text(&[b'a'; 10_000]), "the command line is longer than 8192 bytes");
    refused_before_the_command_line(text(b"\xff\xfe\0"), "the command line is not UTF-8");
    refused_before_the_command_line(
        Change::Store { offset: COMMAND_LINE_HIGH, value: 9 },
        "the command line (8192 bytes at",
    );
    refused_before_the_command_line(text(b"ip=1.2.3\0"), "command line: `ip=1.2.3`");
}

#[test]
fn a_module_list_out_of_reach_is_refused() {
    let changes = [Change::Store { offset: MODULES, value: 1 }, Change::Store { offset: MODULE_LIST_HIGH, value: 5 }];
    guest("exit_code").tampered(&changes).run().expect_kind("boot").expect_message("the boot module list");
    refused(Change::Store { offset: MODULES, value: u32::MAX }, "the boot module list (137438953440 bytes at");
}
