//! The Linux guests to compare with: Debian's cloud kernel and a trimmed one, with one static server in the initial RAM disk.
//!
//! The same machine, processor model, memory and client as for Toro. What is not the same is said in the
//! report: Linux needs microvm's legacy timers, and an uncompressed kernel to be entered by PVH.

mod cpio;
mod trimmed;
mod vmlinux;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::artifact;
use crate::vm::{Guest, Kind};
use cpio::Entry;
use toro_vmm::{Image, MachineType, Mode};

/// Which kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// Debian's for clouds, with its drivers as modules.
    #[default]
    Cloud,
    /// Debian's source with as little as serves, its drivers built in.
    Trimmed,
    /// The user's own, with an initial RAM disk whose server listens on port 80 and prints `listening on port 80`.
    Own {
        /// Entered by PVH.
        kernel: PathBuf,
        /// Holds the server.
        initrd: PathBuf,
    },
}

impl Kernel {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Kernel::Cloud => "linux-cloud",
            Kernel::Trimmed => "linux-trimmed",
            Kernel::Own { .. } => "linux",
        }
    }
}

const READY: &str = "listening on port 80";
/// What the first program says at its beginning.
pub const INIT: &str = "LINUX-INIT";
/// Modules in the order of loading, under the package's `kernel/` folder.
const MODULES_COMMON: &[&str] = &["drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko"];
const MODULES_MMIO: &[&str] = &["drivers/virtio/virtio_mmio.ko"];
const MODULES_PCI: &[&str] = &[
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
];
const MODULES_NET: &[&str] = &["net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"];

/// What a guest runs once its drivers are there: one static executable.
pub struct Server {
    /// On the host.
    pub file: PathBuf,
    /// What it is given, each without a space in it.
    pub arguments: Vec<String>,
    /// What it prints when it listens on port 80.
    pub ready: &'static str,
}

/// Makes the guest for `machine`, with 256 MiB and one processor.
pub fn guest(kernel: &Kernel, machine: MachineType) -> Result<Guest> {
    guest_with(kernel, machine, &Server { file: server()?, arguments: Vec::new(), ready: READY })
}

/// The same with another server.
pub fn guest_with(kernel: &Kernel, machine: MachineType, server: &Server) -> Result<Guest> {
    let folder = artifact::root().join("target/linux-guest");
    fs::create_dir_all(&folder)?;
    let (image, initrd) = match kernel {
        Kernel::Cloud => debian(&folder, machine, &server.file)?,
        Kernel::Trimmed => {
            let initrd = folder.join(format!("initrd-trimmed-{}", base_name(&server.file)));
            fs::write(&initrd, pack(Path::new(""), &[], &server.file)?)?;
            (trimmed::kernel()?, initrd)
        }
        Kernel::Own { kernel, initrd } => (kernel.clone(), initrd.clone()),
    };
    let mut command_line = "console=ttyS0 quiet".to_owned();
    if !machine.has_pci() {
        // QEMU's translator offers microvm no reference to calibrate the time stamp counter with.
        command_line.push_str(&format!(" tsc=reliable no_timer_check tsc_early_khz={}", host_tsc_khz()?));
    }
    if !server.arguments.is_empty() {
        command_line.push_str(&format!(" -- {}", server.arguments.join(" ")));
    }
    let name = kernel.name().to_owned();
    let image = Image { name: name.clone(), boot: image.clone(), symbols: image };
    let kind = Kind::Foreign { ready: server.ready.to_owned(), command_line, initrd: Some(initrd) };
    Ok(Guest { name, image, kind, memory_mib: 256, cpus: 1, serves: true, mode: Mode::default() })
}

/// Toro for Linux programs, built as what ships; the one inside of this program is built as this program is.
pub fn personality(name: &str) -> Result<Image> {
    let folder = artifact::root().join("guest");
    let path = artifact::build(&folder, &["--quiet", "-p", "toro-linux", "--bin", "linux"], None, "linux")?;
    let image = Image::open(path).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Image { name: name.to_owned(), ..image })
}

/// The server's static binary.
pub fn server() -> Result<PathBuf> {
    static_binary("httpd")
}

/// The program that measures what a Linux program's operations cost.
pub fn costs() -> Result<PathBuf> {
    static_binary("costs")
}

fn static_binary(name: &str) -> Result<PathBuf> {
    artifact::build(
        &artifact::root(),
        &["--quiet", "-p", "toro-bench-programs", "--bin", name, "--target", "x86_64-unknown-linux-gnu"],
        Some("-Ctarget-feature=+crt-static -Crelocation-model=static -Cstrip=symbols"),
        name,
    )
}

/// Downloads Debian's cloud kernel and packs the initial RAM disk.
fn debian(folder: &Path, machine: MachineType, server: &Path) -> Result<(PathBuf, PathBuf)> {
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
    let initrd = folder.join(format!("initrd-{}-{}", machine.name(), base_name(server)));
    fs::write(&initrd, pack(&modules, &names, server)?)?;
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

fn base_name(file: &Path) -> std::borrow::Cow<'_, str> {
    file.file_name().unwrap_or_default().to_string_lossy()
}

fn pack(modules: &Path, names: &[&str], server: &Path) -> Result<Vec<u8>> {
    let server = fs::read(server).with_context(|| server.display().to_string())?;
    let init = fs::read(static_binary("linux-init")?)?;
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
        Entry::file("server", &server),
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
