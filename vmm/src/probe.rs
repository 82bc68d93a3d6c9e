//! Does KVM really work here? A guest of a few bytes finds out.
//!
//! On some hosts `/dev/kvm` opens and starts machines, but emulates ring 0: slow by a factor of a thousand, and no SSE.
//! So `auto` boots a probe that uses SSE and counts for a while, and must be done within the limit. Asked once per boot; but a
//! probe that was only too slow, as on a host that is overloaded, is asked again by the next run.

use crate::cache;
use crate::child;
use crate::error::Error;
use crate::machine::Accelerator;
use crate::qemu;
use crate::transcript::Shared;
use rustix::fs::MemfdFlags;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A processor is done in some 60 ms, nearly all of it QEMU's start; emulation needs seconds.
const LIMIT: Duration = Duration::from_millis(1500);
/// What the probe writes to the exit device, and what QEMU makes of it.
const ANSWER: u8 = 0x15;
const STATUS: i32 = (ANSWER as i32) << 1 | 1;
const EXIT_PORT: u8 = 0xf4;
const ENTRY: u32 = 0x10_0000;
const CACHE_KEY: &str = "kvm";

/// What `auto` stands for on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// KVM or TCG.
    pub accelerator: Accelerator,
    /// Why not KVM.
    pub reason: Option<Error>,
    /// Whether this was found out just now, and so is news to the user.
    pub is_news: bool,
}

/// Decides. Fails only when QEMU cannot be started at all.
pub fn choose(program: &Path) -> Result<Choice, Error> {
    let tcg = |reason, is_news| Choice { accelerator: Accelerator::Tcg, reason: Some(reason), is_news };
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    if let Err(error) = device {
        return Ok(match error.kind() {
            std::io::ErrorKind::PermissionDenied => tcg(
                Error::new("/dev/kvm: permission denied").help("add yourself to group kvm: sudo usermod -aG kvm $USER"),
                cache::is_news("kvm-denied"),
            ),
            std::io::ErrorKind::NotFound => {
                tcg(Error::new("there is no /dev/kvm on this host"), cache::is_news("kvm-absent"))
            }
            _ => tcg(Error::new(format!("/dev/kvm: {error}")), cache::is_news("kvm-error")),
        });
    }
    let known = cache::load(CACHE_KEY);
    let is_news = known.is_none();
    let works = match known {
        Some(answer) => Some(answer == "works"),
        None => run(program)?,
    };
    if let (Some(works), true) = (works, is_news) {
        cache::store(CACHE_KEY, if works { "works" } else { "fails" });
    }
    Ok(match works {
        Some(true) => Choice { accelerator: Accelerator::Kvm, reason: None, is_news },
        Some(false) => {
            let why = "/dev/kvm is there, but does not run a kernel at the processor's speed (nested, or emulated)";
            tcg(Error::new(why), is_news)
        }
        None => {
            let why =
                format!("/dev/kvm is there, but did not run a small kernel within {LIMIT:?}; the next run tries again");
            tcg(Error::new(why).help("--accel kvm takes it untried"), cache::is_news("kvm-slow"))
        }
    })
}

/// Boots the probe under KVM; `None` when it was not done in time.
fn run(program: &Path) -> Result<Option<bool>, Error> {
    let failed = |error: std::io::Error| Error::new(format!("cannot probe KVM: {error}"));
    let memory = rustix::fs::memfd_create("probe", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut file = std::fs::File::from(memory);
    file.write_all(&probe_image()).map_err(failed)?;
    let exit_device = format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1");
    let image = format!("/proc/self/fd/{}", file.as_raw_fd());
    let arguments: Vec<String> = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "16",
        "-machine",
        "microvm,acpi=off,pic=off,pit=off,rtc=off,isa-serial=off",
        "-device",
        &exit_device,
        "-kernel",
        &image,
    ]
    .map(str::to_owned)
    .to_vec();
    let shared = Arc::new(Shared::new());
    let exited = shared.clone();
    let (child, pipes) = child::spawn(qemu::command(program, &arguments), file.into(), move |status| {
        exited.update(|transcript| transcript.vmm_exit = status.ok());
    })
    .map_err(|error| qemu::cannot_start(program, &error))?;
    // A failed emulation is told at once, with the machine left standing.
    let messages = shared.clone();
    let listen = move || messages.read_messages(pipes.stderr);
    std::thread::Builder::new().name("probe".into()).spawn(listen).map_err(failed)?;
    let status = shared.wait(Some(Instant::now() + LIMIT), |transcript| match transcript.vmm_exit {
        Some(status) => Some(status.code()),
        None => transcript.why_stuck().map(|_| None),
    });
    child.kill();
    shared.wait(Some(Instant::now() + LIMIT), |transcript| transcript.vmm_exit);
    Ok(status.map(|status| status == Some(STATUS)))
}

/// An ELF with one segment and the PVH note, whose code turns SSE on, uses it, counts to 4 million and exits.
fn probe_image() -> Vec<u8> {
    #[rustfmt::skip]
    let code: &[u8] = &[
        0x0f, 0x20, 0xe0,                         // mov eax, cr4
        0x66, 0x0d, 0x00, 0x06,                   // or ax, OSFXSR | OSXMMEXCPT
        0x0f, 0x22, 0xe0,                         // mov cr4, eax
        0xbb, 0x00, 0x10, 0x10, 0x00,             // mov ebx, ENTRY + 0x1000
        0x0f, 0x57, 0xc0,                         // xorps xmm0, xmm0
        0x0f, 0x11, 0x03,                         // movups [ebx], xmm0
        0xb9, 0x00, 0x09, 0x3d, 0x00,             // mov ecx, 4_000_000
        0x49,                                     // dec ecx
        0x75, 0xfd,                               // jnz back to it
        0xb0, ANSWER,                             // mov al, ANSWER
        0xe6, EXIT_PORT,                          // out EXIT_PORT, al
        0xf4,                                     // hlt
        0xeb, 0xfd,                               // jmp back to it
    ];
    const HEADER: u32 = 64;
    const SEGMENT: u32 = 56;
    const NOTE: u32 = 20;
    let code_at = HEADER + 2 * SEGMENT + NOTE;
    let mut elf = Vec::new();
    // Identification; executable, x86-64, version, entry, program headers behind this header, no sections.
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put16(&mut elf, &[2, 62]);
    put32(&mut elf, &[1]);
    put64(&mut elf, &[u64::from(ENTRY), u64::from(HEADER), 0]);
    put32(&mut elf, &[0]);
    put16(&mut elf, &[HEADER as u16, SEGMENT as u16, 2, 0, 0, 0]);
    let code_len = code.len() as u64;
    put32(&mut elf, &[1, 7]); // LOAD, readable, writable, executable
    put64(&mut elf, &[u64::from(code_at), u64::from(ENTRY), u64::from(ENTRY), code_len, 0x2000, 1]);
    put32(&mut elf, &[4, 4]); // NOTE
    put64(&mut elf, &[u64::from(HEADER + 2 * SEGMENT), 0, 0, u64::from(NOTE), u64::from(NOTE), 4]);
    put32(&mut elf, &[4, 4, 18]);
    elf.extend_from_slice(b"Xen\0");
    put32(&mut elf, &[ENTRY]);
    elf.extend_from_slice(code);
    elf
}

fn put16(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

fn put32(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

fn put64(out: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_a_bootable_image() {
        assert_eq!(crate::elf::check(&probe_image()), Ok(()));
    }
}
