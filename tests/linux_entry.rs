//! Linux's 64-bit boot protocol, as Firecracker enters an ELF by it; and zero pages that are broken.

use toro_tests::{ALL_MACHINES, LINUX_COMMAND_LINE, MACHINES, MachineType, ZERO_PAGE, example, guest};

/// Offsets in the zero page.
const RSDP: u32 = ZERO_PAGE + 0x70;
const MAP_ENTRIES: u32 = ZERO_PAGE + 0x1e8;
const BOOT_FLAG: u32 = ZERO_PAGE + 0x1fc;
const HEADER: u32 = ZERO_PAGE + 0x202;
const RAMDISK: u32 = ZERO_PAGE + 0x218;
const RAMDISK_BYTES: u32 = ZERO_PAGE + 0x21c;
const COMMAND_LINE: u32 = ZERO_PAGE + 0x228;
const COMMAND_LINE_HIGH: u32 = ZERO_PAGE + 0xc8;
const MAP: u32 = ZERO_PAGE + 0x2d0;

const RAM: u32 = 1;

/// The run's token is known, so the host gets an outcome.
#[track_caller]
fn refused(stores: &[(u32, u32)], reason: &str) {
    let run = guest("exit_code").by_linux_protocol(ZERO_PAGE.into(), stores).run();
    run.expect_kind("boot").expect_status(125).expect_message(reason);
}

/// Without a command line there is no token: a line on the console is all there can be.
#[track_caller]
fn refused_before_the_command_line(zero_page: u64, stores: &[(u32, u32)], reason: &str) {
    let run = guest("exit_code").by_linux_protocol(zero_page, stores).run();
    run.expect_status(125).expect_log(&format!("toro: boot failed: {reason}"));
}

/// A memory map of these entries: start, length, type.
fn map(entries: &[(u32, u32, u32)]) -> Vec<(u32, u32)> {
    let mut stores = vec![(MAP_ENTRIES, entries.len() as u32)];
    for (index, (start, bytes, kind)) in (0..).zip(entries) {
        let words = [*start, 0, *bytes, 0, *kind];
        stores.extend((0..).zip(words).map(|(word, value)| (MAP + index * 20 + word * 4, value)));
    }
    stores
}

#[test]
fn every_machine_boots() {
    for machine in ALL_MACHINES {
        let run = example("hello").machine(machine).by_linux_protocol(ZERO_PAGE.into(), &[]).run();
        run.expect_status(0).expect_stdout("Hello, world, from Toro\n");
    }
}

#[test]
fn the_web_server_serves() {
    for machine in [MachineType::MicrovmMinimal, MachineType::Q35] {
        let running =
            example("http_server").machine(machine).ports(&[80]).by_linux_protocol(ZERO_PAGE.into(), &[]).start();
        assert!(running.connect(80).get("/").1.starts_with(b"<!doctype html>"));
        running.stop().expect_kind("stopped");
    }
}

#[test]
fn the_tables_of_acpi_are_found_when_nobody_tells() {
    for machine in MACHINES {
        let spec = guest("exit_code").machine(machine).command_line("log=info");
        spec.by_linux_protocol(ZERO_PAGE.into(), &[(RSDP, 0)]).run().expect_status(42);
    }
    // Without the tables, microvm's devices would not be found.
    let running = example("http_server").ports(&[80]).by_linux_protocol(ZERO_PAGE.into(), &[(RSDP, 0)]).start();
    assert_eq!(running.connect(80).get("/").0, 200);
}

#[test]
fn a_debugger_gets_a_fixed_base() {
    let spec = guest("exit_code").command_line("kaslr=off").by_linux_protocol(ZERO_PAGE.into(), &[]);
    let base = spec.start().guest.wait_until(Some(toro_tests::LIMIT), toro_vmm::Transcript::image_base);
    assert_eq!(base.expect("the kernel says where it is"), 0xffff_8000_0000_0000);
}

#[test]
fn a_zero_page_that_is_none_is_refused() {
    let why = "the zero page has marks";
    refused_before_the_command_line(ZERO_PAGE.into(), &[(BOOT_FLAG, 0)], why);
    refused_before_the_command_line(ZERO_PAGE.into(), &[(HEADER, 7)], why);
    refused_before_the_command_line(0, &[], why);
    refused_before_the_command_line(1 << 32, &[], "the zero page (2 bytes at 0x1000001fe) is not below 4 GiB");
    refused_before_the_command_line(u64::MAX, &[], "the zero page");
}

#[test]
fn a_memory_map_that_is_none_is_refused() {
    refused(&[(MAP_ENTRIES, 0)], "names no usable RAM");
    refused(&[(MAP_ENTRIES, 129)], "the memory map has 129 entries");
    refused(&map(&[(0, 0x9_f000, RAM)]), "does not list the image's own RAM");
    refused(&map(&[(0x10_0000, 0x80_0000, RAM), (0x10_0000, 0x1000, 2)]), "does not list the image's own RAM");
    let mut wraps = map(&[(0x10_0000, 0x80_0000, RAM), (0xffff_0000, 0x2_0000, RAM)]);
    wraps.push((MAP + 24, u32::MAX));
    refused(&wraps, "past the address space");
}

#[test]
fn holes_overlaps_and_empty_entries_are_no_obstacle() {
    let entries = [
        (0x10_0000, 0x180_0000, RAM),
        (0, 0x9_f000, RAM),
        (0x100_0000, 0x10_0000, 2),
        (0, 0, 0),
        (0x80_0000, 0x200_0000, RAM),
    ];
    guest("exit_code").by_linux_protocol(ZERO_PAGE.into(), &map(&entries)).run().expect_status(42);
}

#[test]
fn a_ramdisk_is_taken_out_of_memory() {
    // All RAM but the image's: nothing is left to boot with.
    refused(&[(RAMDISK, 0), (RAMDISK_BYTES, 0xffff_f000)], "are too little");
    refused(
        &[(RAMDISK, 0x1000), (RAMDISK_BYTES, 1), (ZERO_PAGE + 0xc0, u32::MAX), (ZERO_PAGE + 0xc4, u32::MAX)],
        "past",
    );
    refused(&[(RAMDISK, 0x100_0123), (RAMDISK_BYTES, 5)], "the boot module begins at 0x1000123, not at a page");
}

#[test]
fn a_command_line_that_is_none_is_refused() {
    let refused = |stores: &[(u32, u32)], why| refused_before_the_command_line(ZERO_PAGE.into(), stores, why);
    refused(&[(COMMAND_LINE_HIGH, 9)], "the command line (8192 bytes at");
    refused(&[(COMMAND_LINE, 0xffff_ffff)], "the command line (8192 bytes at");
    refused(&[(LINUX_COMMAND_LINE, 0x00fe_ffff)], "the command line is not UTF-8");
    let endless: Vec<(u32, u32)> = (0..2049).map(|word| (LINUX_COMMAND_LINE + word * 4, 0x6161_6161)).collect();
    refused(&endless, "the command line is longer than 8192 bytes");
}
