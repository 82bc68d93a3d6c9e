//! One guest under QEMU, started for a measurement and ended with it.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use toro_counter::Reader;

use crate::process::{CpuSeconds, cpu_seconds};

/// The machine types that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// microvm, virtio over MMIO.
    Microvm,
    /// q35, virtio over PCI with MSI-X.
    Q35,
    /// pc, virtio over PCI with MSI-X.
    Pc,
}

impl Machine {
    /// QEMU's name.
    pub fn name(self) -> &'static str {
        match self {
            Machine::Microvm => "microvm",
            Machine::Q35 => "q35",
            Machine::Pc => "pc",
        }
    }

    fn net_device(self) -> &'static str {
        match self {
            Machine::Microvm => "virtio-net-device,netdev=n0",
            Machine::Q35 | Machine::Pc => "virtio-net-pci,netdev=n0,disable-legacy=on,romfile=",
        }
    }
}

/// What is started.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Name in reports.
    pub name: String,
    /// ELF image for `-kernel`.
    pub image: PathBuf,
    /// Initial RAM disk, for Linux.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub command_line: String,
    /// Text on the serial console that says the guest is ready.
    pub ready: String,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// False for a machine without a network device.
    pub network: bool,
}

/// What the counter plugin records.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    /// Device memory accesses too; slower.
    pub devices: bool,
    /// Addresses whose first execution is wanted.
    pub watches: Vec<u64>,
}

/// A running guest. Dropping it ends QEMU.
pub struct Vm {
    child: Child,
    directory: PathBuf,
    console: Arc<Console>,
    counters: Option<Reader>,
    /// Host port forwarded to the guest's port 80.
    pub port: u16,
    limit: Duration,
}

#[derive(Default)]
struct Console {
    /// Everything the guest has said, and whether more can come.
    text: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

/// Longest wait for a guest; Linux with the plugin takes half a minute on a busy host.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

impl Vm {
    /// Starts QEMU. `counting` loads the plugin at `plugin`.
    pub fn start(
        guest: &Guest,
        machine: Machine,
        counting: Option<(&Path, &Counting)>,
    ) -> Result<Vm> {
        let directory = scratch_directory()?;
        let port = free_port()?;
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ]);
        command.args(["-cpu", "max", "-accel", "tcg,thread=single", "-smp", "1"]);
        command.args([
            "-name",
            "bench,debug-threads=on",
            "-machine",
            machine.name(),
        ]);
        command.args(["-global", "virtio-mmio.force-legacy=false"]);
        command
            .args(["-m", &guest.memory_mib.to_string()])
            .arg("-kernel")
            .arg(&guest.image);
        if let Some(initrd) = &guest.initrd {
            command.arg("-initrd").arg(initrd);
        }
        if !guest.command_line.is_empty() {
            command.args(["-append", &guest.command_line]);
        }
        if guest.network {
            // Without IPv6 QEMU sends no router advertisements, so that a quiet guest is really quiet.
            let user = format!("user,id=n0,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:80");
            command.args(["-netdev", &user, "-device", machine.net_device()]);
        }
        if let Some((plugin, counting)) = counting {
            command.arg("-plugin").arg(plugin_option(
                plugin,
                &directory.join("counters"),
                counting,
            ));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(directory.join("stderr"))?);
        let mut child = command
            .spawn()
            .context("cannot start qemu-system-x86_64; `cargo xtask setup` installs it")?;
        let console = Arc::new(Console::default());
        if let Some(output) = child.stdout.take() {
            let console = Arc::clone(&console);
            std::thread::spawn(move || console.fill(output));
        }
        let mut vm = Vm {
            child,
            directory,
            console,
            counters: None,
            port,
            limit: BOOT_LIMIT,
        };
        if counting.is_some() {
            vm.counters = Some(vm.open_counters()?);
        }
        Ok(vm)
    }

    /// The same, with another limit for each wait.
    pub fn limit(mut self, limit: Duration) -> Vm {
        self.limit = limit;
        self
    }

    /// The counters; only with a plugin.
    pub fn counters(&self) -> Result<&Reader> {
        self.counters
            .as_ref()
            .context("this guest was started without the counter")
    }

    /// CPU seconds QEMU has used.
    pub fn cpu(&self) -> CpuSeconds {
        cpu_seconds(self.child.id())
    }

    /// Waits until the guest has written `text` on its console.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let end = Instant::now() + self.limit;
        let mut guard = self
            .console
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if guard
                .0
                .windows(text.len().max(1))
                .any(|window| window == text.as_bytes())
            {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if guard.1 || left.is_zero() {
                let why = if guard.1 { "QEMU ended" } else { "timeout" };
                let said = String::from_utf8_lossy(&guard.0).into_owned();
                drop(guard);
                bail!(
                    "{why} before the guest said {text:?}; console: {said:?}; QEMU: {}",
                    self.stderr()
                );
            }
            guard = self
                .console
                .changed
                .wait_timeout(guard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.directory.join("stderr")).unwrap_or_default()
    }

    /// QEMU makes the counter file while it starts.
    fn open_counters(&mut self) -> Result<Reader> {
        let end = Instant::now() + self.limit;
        loop {
            match Reader::open(&self.directory.join("counters")) {
                Ok(reader) => return Ok(reader),
                Err(error) => {
                    if self.child.try_wait()?.is_some() || Instant::now() > end {
                        bail!("no counters ({error}); QEMU said: {}", self.stderr());
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Both fail only when QEMU is gone already; a directory left in the temporary folder does no harm.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

impl Console {
    fn fill(&self, mut output: impl Read) {
        let mut chunk = [0; 4096];
        loop {
            let read = output.read(&mut chunk).unwrap_or(0);
            let mut guard = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            guard.0.extend_from_slice(&chunk[..read]);
            guard.1 = read == 0;
            self.changed.notify_all();
            if read == 0 {
                return;
            }
        }
    }
}

fn plugin_option(plugin: &Path, out: &Path, counting: &Counting) -> String {
    let mut option = format!("{},out={}", plugin.display(), out.display());
    if counting.devices {
        option.push_str(",devices=on");
    }
    for address in &counting.watches {
        option.push_str(&format!(",watch={address:#x}"));
    }
    option
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn scratch_directory() -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory =
        std::env::temp_dir().join(format!("toro-bench-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
