//! Where each processor is: registers and the chain of frame pointers, read through QEMU's monitor.

use crate::error::Error;
use crate::qmp::Qmp;
use crate::symbolize::{Of, Symbolizer};
use serde_json::json;
use std::ops::Range;

const FRAMES_MAX: usize = 64;
/// Nothing that is farther from the base belongs to the image.
const IMAGE_BYTES_MAX: u64 = 1 << 30;
/// The image runs in the upper half; only firmware, and the image's own first instructions, run below.
const LOW_BYTES: u64 = 1 << 32;

/// Stops the machine, walks each processor's stack, and lets the machine run on.
pub(crate) fn collect(qmp: &Qmp, base: Option<u64>, symbolizer: &Symbolizer) -> Result<String, Error> {
    // First, so that the machine does not stand still for it.
    let loaded = symbolizer.loaded(Of::Image);
    let program = symbolizer.loaded(Of::Program);
    let was_running = qmp.execute("query-status", json!({}))?["running"] == true;
    qmp.execute("stop", json!({}))?;
    let text = qmp.monitor("info registers -a").map(|registers| {
        let mut text = String::new();
        for Processor { cpu, rip, rbp, is_user } in parse_registers(&registers) {
            text.push_str(&format!("vCPU {cpu}:\n"));
            // A program's frame pointer need not be one.
            let frame = if is_user || is_firmware(rip, &loaded) { 0 } else { rbp };
            for (at, address) in walk(qmp, cpu, rip, frame).into_iter().enumerate() {
                let shown = if is_user { show_program(address, &program) } else { show(address, base, &loaded) };
                let line = format!("  #{at} {shown}\n");
                text.push_str(&String::from_utf8_lossy(&symbolizer.replace(line.as_bytes())));
            }
        }
        text
    });
    if was_running {
        qmp.execute("cont", json!({}))?;
    }
    text
}

/// Where a processor is.
#[derive(Debug, PartialEq, Eq)]
struct Processor {
    cpu: usize,
    rip: u64,
    rbp: u64,
    /// It runs a program, in ring 3.
    is_user: bool,
}

fn parse_registers(text: &str) -> Vec<Processor> {
    let register = |text: &str, name: &str| {
        let digits = text.split_once(name)?.1;
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        u64::from_str_radix(&digits[..end], 16).ok()
    };
    let parse = |cpu: &str| {
        let number: usize = cpu.split_whitespace().next()?.parse().ok()?;
        // Before long mode the registers have 32 bits and other names.
        let rip = register(cpu, "RIP=").or_else(|| register(cpu, "EIP="))?;
        let rbp = register(cpu, "RBP=").or_else(|| register(cpu, "EBP="))?;
        Some(Processor { cpu: number, rip, rbp, is_user: register(cpu, "CPL=") == Some(3) })
    };
    text.split("CPU#").skip(1).filter_map(parse).collect()
}

/// The instruction pointer, then the return addresses above it.
fn walk(qmp: &Qmp, cpu: usize, rip: u64, mut frame: u64) -> Vec<u64> {
    let mut addresses = vec![rip];
    while addresses.len() < FRAMES_MAX && frame != 0 && frame.is_multiple_of(8) {
        let Ok(text) = qmp.monitor_on(cpu, &format!("x /2gx {frame:#x}")) else {
            break;
        };
        let Some((next, return_address)) = parse_pair(&text) else {
            break;
        };
        if return_address == 0 {
            break;
        }
        addresses.push(return_address);
        // Frames lie upwards; whatever does not is no frame.
        if next <= frame {
            break;
        }
        frame = next;
    }
    addresses
}

/// `ffff8000001000: 0x0000000000000001 0x0000000000000002`
fn parse_pair(text: &str) -> Option<(u64, u64)> {
    let (_, values) = text.split_once(':')?;
    let mut values = values.split_whitespace().map(|value| u64::from_str_radix(value.strip_prefix("0x")?, 16).ok());
    Some((values.next()??, values.next()??))
}

/// Whether an address is below the image's, and not where the image was loaded, which is where it begins to run.
fn is_firmware(address: u64, loaded: &Range<u64>) -> bool {
    address < LOW_BYTES && !loaded.contains(&address)
}

/// A program at fixed addresses has the file's; where another is, only its kernel knows.
fn show_program(address: u64, program: &Range<u64>) -> String {
    match program.start > 0 && program.contains(&address) {
        true => format!("program+{address:#x}"),
        false => format!("program, at {address:#x}"),
    }
}

fn show(address: u64, base: Option<u64>, loaded: &Range<u64>) -> String {
    if is_firmware(address, loaded) {
        return format!("firmware {address:#x}");
    }
    let base = if address < LOW_BYTES { Some(0) } else { base };
    match base.and_then(|base| address.checked_sub(base)) {
        Some(offset) if offset < IMAGE_BYTES_MAX => format!("image+{offset:#x}"),
        _ => format!("{address:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_of_all_processors_are_read() {
        let text = "\nCPU#0\nRAX=0000000000000000 RBX=1\nRSI=2 RDI=3 RBP=ffff800000002f00 RSP=4\n\
                    RIP=ffff800000101234 RFL=00000246 [---Z-P-] CPL=0 II=0\n\nCPU#1\nEAX=0 EBP=00001000\n\
                    EIP=0000fff0 EFL=00000002\n\nCPU#2\nRBP=0\nRIP=0000000000401234 RFL=00000246 [---Z-P-] CPL=3 II=0\n";
        let processor = |cpu, rip, rbp, is_user| Processor { cpu, rip, rbp, is_user };
        let expected = [
            processor(0, 0xffff_8000_0010_1234, 0xffff_8000_0000_2f00, false),
            processor(1, 0xfff0, 0x1000, false),
            processor(2, 0x40_1234, 0, true),
        ];
        assert_eq!(parse_registers(text), expected);
    }

    #[test]
    fn memory_is_read_and_refusals_are_not() {
        assert_eq!(parse_pair("00007f00: 0x0000000000000010 0xffff800000101234\n"), Some((16, 0xffff_8000_0010_1234)));
        assert_eq!(parse_pair("Cannot access memory at address 0x8\n"), None);
    }

    #[test]
    fn addresses_are_shown_as_the_guest_shows_them() {
        let loaded = 0x10_0000..0x18_0000;
        let base = Some(0xffff_8000_0000_0000);
        assert_eq!(show(0xffff_8000_0010_1234, base, &loaded), "image+0x101234");
        assert_eq!(show(0xffff_8000_0010_1234, None, &loaded), "0xffff800000101234");
    }

    #[test]
    fn a_program_is_neither_image_nor_firmware() {
        assert_eq!(show_program(0x40_1234, &(0x40_0000..0x48_0000)), "program+0x401234");
        assert_eq!(show_program(0x7f00_0000_1234, &(0..0x8_0000)), "program, at 0x7f0000001234");
        assert_eq!(show_program(0x1234, &(0..0)), "program, at 0x1234");
    }

    #[test]
    fn before_the_kernel_says_where_it_runs_it_is_where_it_was_loaded_and_all_else_is_firmware() {
        let loaded = 0x10_0000..0x18_0000;
        assert_eq!(show(0x10_1234, None, &loaded), "image+0x101234");
        for base in [None, Some(0xffff_8000_0000_0000)] {
            assert_eq!(show(0xfff0, base, &loaded), "firmware 0xfff0");
            assert_eq!(show(0x7fb_1234, base, &loaded), "firmware 0x7fb1234");
        }
    }
}
