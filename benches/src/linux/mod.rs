//! The Linux guest to compare with: Debian's cloud kernel and one static program in the initial RAM disk.
//!
//! The same machine, processor model, memory and client as for Toro. What is not the same is said in the
//! report: Linux needs microvm's legacy timers, and an uncompressed kernel to be entered by PVH.

mod cpio;
mod vmlinux;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::artifact;
use crate::vm::{Guest, Kind};
use cpio::Entry;
use toro_vmm::{Image, MachineType};

/// Where kernel and initial RAM disk come from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// A kernel of the user's own; Debian's otherwise.
    pub kernel: Option<PathBuf>,
    /// An initial RAM disk of the user's own, with a server on port 80 that prints `LINUX-READY`.
    pub initrd: Option<PathBuf>,
}

const READY: &str = "LINUX-READY";
/// Modules in the order of loading, under the package's `kernel/` folder.
const MODULES_COMMON: &[&str] = &["drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko"];
const MODULES_MMIO: &[&str] = &["drivers/virtio/virtio_mmio.ko"];
const MODULES_PCI: &[&str] = &[
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
];
const MODULES_NET: &[&str] = &["net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"];

/// Makes the guest for `machine`.
pub fn guest(source: &Source, machine: MachineType, memory_mib: u64) -> Result<Guest> {
    let folder = artifact::root().join("target/linux-guest");
    fs::create_dir_all(&folder)?;
    let (image, initrd) = match (&source.kernel, &source.initrd) {
        (Some(kernel), Some(initrd)) => (kernel.clone(), initrd.clone()),
        (None, None) => debian(&folder, machine)?,
        _ => bail!("give both --kernel and --initrd, or neither"),
    };
    let mut command_line = "console=ttyS0 quiet".to_owned();
    if machine == MachineType::Microvm {
        // QEMU's translator offers microvm no reference to calibrate the time stamp counter with.
        command_line.push_str(&format!(" tsc=reliable no_timer_check tsc_early_khz={}", host_tsc_khz()?));
    }
    let name = format!("linux-{}", machine.name());
    let image = Image { name: name.clone(), boot: image.clone(), symbols: image };
    let kind = Kind::Foreign { ready: READY.to_owned(), command_line, initrd: Some(initrd) };
    Ok(Guest { name, image, kind, memory_mib, cpus: 1, serves: true })
}

/// Downloads Debian's cloud kernel and packs the initial RAM disk.
fn debian(folder: &Path, machine: MachineType) -> Result<(PathBuf, PathBuf)> {
    let package = folder.join("package");
    if !package.exists() {
        download(folder, &package)?;
    }
    let kernel = folder.join("vmlinux");
    if !kernel.exists() {
        let bzimage = fs::read(find(&package.join("boot"), "vmlinuz-")?)?;
        fs::write(&kernel, vmlinux::extract(&bzimage)?)?;
    }
    let modules = find(&package.join("lib/modules"), "")?.join("kernel");
    let transport = if machine == MachineType::Microvm { MODULES_MMIO } else { MODULES_PCI };
    let names = [MODULES_COMMON, transport, MODULES_NET].concat();
    let initrd = folder.join(format!("initrd-{}", machine.name()));
    fs::write(&initrd, pack(&modules, &names)?)?;
    Ok((kernel, initrd))
}

fn download(folder: &Path, package: &Path) -> Result<()> {
    let depends = run(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let name = depends.split_whitespace().find(|word| word.starts_with("linux-image-") && word.ends_with("-amd64"));
    let name = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .next()
        .or(name)
        .context("apt-cache knows no linux-image-cloud-amd64; give --kernel and --initrd")?;
    eprintln!("downloading {name}");
    run(Command::new("apt-get").args(["download", name]).current_dir(folder))?;
    let archive = find(folder, name)?;
    run(Command::new("dpkg-deb").arg("-x").args([&archive, package]))?;
    Ok(())
}

fn pack(modules: &Path, names: &[&str]) -> Result<Vec<u8>> {
    let init = artifact::build(
        &artifact::root(),
        &["--quiet", "-p", "toro-benches", "--bin", "linux-init", "--target", "x86_64-unknown-linux-gnu"],
        Some("-Ctarget-feature=+crt-static -Crelocation-model=static -Cstrip=symbols"),
        "linux-init",
    )?;
    let init = fs::read(init)?;
    let files = names
        .iter()
        .map(|name| fs::read(modules.join(name)).with_context(|| format!("module {name}")))
        .collect::<Result<Vec<_>>>()?;
    let short = |name: &&str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let short_names: Vec<String> = names.iter().map(short).collect();
    let list = short_names.iter().map(|name| format!("/{name}\n")).collect::<String>();
    let mut entries = vec![
        Entry { name: "dev", mode: 0o040_755, data: &[], device: (0, 0) },
        Entry { name: "dev/console", mode: 0o020_600, data: &[], device: (5, 1) },
        Entry { name: "dev/null", mode: 0o020_666, data: &[], device: (1, 3) },
        Entry::file("init", &init),
        Entry::file("modules", list.as_bytes()),
    ];
    entries.extend(short_names.iter().zip(&files).map(|(name, data)| Entry::file(name, data)));
    Ok(cpio::archive(&entries))
}

/// The entry of `folder` whose name begins with `prefix`.
fn find(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let found = entries.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    Ok(found.with_context(|| format!("no {prefix}* in {}", folder.display()))?.path())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?} failed: {}", command.get_program(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn host_tsc_khz() -> Result<u64> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let mhz = text.lines().find(|line| line.starts_with("cpu MHz")).and_then(|line| line.split(':').nth(1));
    let mhz: f64 = mhz.and_then(|value| value.trim().parse().ok()).context("no cpu MHz in /proc/cpuinfo")?;
    Ok((mhz * 1000.0) as u64)
}
