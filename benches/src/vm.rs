//! One guest started for a measurement, through the same library as the tool, and ended with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use toro_counter::{Profile, Reader};
use toro_vmm::{Accelerator, Guest as Handle, Image, Machine, MachineType, Network};

use crate::process::{CpuSeconds, cpu_seconds};

/// What is started.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Name in reports.
    pub name: String,
    /// What boots.
    pub image: Image,
    /// What it is.
    pub kind: Kind,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// True for a guest with a network card and an HTTP server on port 80.
    pub serves: bool,
}

/// How a guest is started, and how it says that it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of ours: it listens, or for a program without a server, it ends.
    Toro,
    /// A foreign kernel, which says this on its serial console.
    Foreign {
        /// The text.
        ready: String,
        /// Kernel command line.
        command_line: String,
        /// Initial RAM disk.
        initrd: Option<PathBuf>,
    },
}

impl Guest {
    /// One of ours, on a machine of 64 MiB and one processor.
    pub fn ours(image: Image, serves: bool) -> Guest {
        Guest { name: image.name.clone(), image, kind: Kind::Toro, memory_mib: 64, cpus: 1, serves }
    }

    /// The empty guest has a network card, as the others, but no server.
    pub fn serves_http(&self) -> bool {
        self.serves && self.name != crate::null::NAME
    }
}

/// What the counter plugin records.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    /// Device memory accesses too; slower.
    pub devices: bool,
    /// Addresses whose first execution is wanted.
    pub watches: Vec<u64>,
    /// How often each address is executed.
    pub profile: bool,
    /// Of several processors, whose instructions are counted: a number, or `all`.
    pub processors: Option<&'static str>,
}

/// The guest's port of HTTP.
const HTTP: u16 = 80;
/// Longest wait for a guest; Linux with the plugin takes half a minute on a busy host.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// A running guest. Dropping it ends it.
pub struct Vm {
    handle: Handle,
    kind: Kind,
    counters: Option<Reader>,
    profile: Option<Profile>,
    counter_file: PathBuf,
    limit: Duration,
    /// Host port that leads to the guest's port 80; 0 without a server.
    pub port: u16,
}

impl Vm {
    /// Starts it. `counting` loads the plugin at that path.
    pub fn start(guest: &Guest, machine_type: MachineType, counting: Option<(&Path, &Counting)>) -> Result<Vm> {
        Vm::start_as(guest, machine_type, counting, |machine| machine)
    }

    /// Starts it on a machine that is changed first.
    pub fn start_as(
        guest: &Guest,
        machine_type: MachineType,
        counting: Option<(&Path, &Counting)>,
        change: impl FnOnce(Machine) -> Machine,
    ) -> Result<Vm> {
        let counter_file = scratch_file();
        let mut machine = Machine::new(guest.image.clone())
            .machine_type(machine_type)
            .accelerator(Accelerator::Tcg)
            .memory(guest.memory_mib << 20)
            .cpus(guest.cpus)
            // So that the virtual processor's thread is told apart.
            .vmm_arguments(["-name", "bench,debug-threads=on"]);
        machine =
            if guest.serves { machine.network(Network::User).publish(HTTP) } else { machine.network(Network::None) };
        if let Kind::Foreign { command_line, initrd, .. } = &guest.kind {
            machine.plain = true;
            machine.module = initrd.clone();
            machine = machine.raw_cmdline(command_line);
        }
        machine = change(machine);
        if let Some((plugin, counting)) = counting {
            machine = machine.vmm_arguments(["-plugin".to_owned(), plugin_option(plugin, &counter_file, counting)]);
        }
        let handle = machine.start().map_err(|error| anyhow::anyhow!("{error}"))?;
        let counters = counting.map(|_| Reader::open(&counter_file)).transpose()?;
        let wants_profile = counting.is_some_and(|(_, counting)| counting.profile);
        let profile = wants_profile.then(|| Profile::open(&profile_file(&counter_file))).transpose()?;
        let port = handle.host_address(HTTP).map_or(0, |address| address.port());
        Ok(Vm { handle, kind: guest.kind.clone(), counters, profile, counter_file, limit: BOOT_LIMIT, port })
    }

    /// The same, with another limit for getting ready.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Vm {
        self.limit = limit;
        self
    }

    /// Waits until the guest listens, says its word, or, a program without a server, has ended.
    pub fn ready(&self) -> Result<()> {
        let met = match &self.kind {
            Kind::Toro if self.port != 0 => self.handle.wait_for_listen(HTTP, self.limit).map(drop),
            Kind::Toro => self.handle.wait_until(Some(self.limit), |said| said.outcome.as_ref().map(drop)),
            Kind::Foreign { ready, .. } => self.handle.wait_for_text(ready, self.limit),
        };
        let Err(why) = met else { return Ok(()) };
        let said = self.handle.transcript(|said| {
            let log = String::from_utf8_lossy(&said.log).into_owned();
            format!("{log:?}, outcome {:?}, QEMU: {}", said.outcome, said.vmm_messages)
        });
        bail!("the guest did not get ready ({why:?}); it said {said}");
    }

    /// Waits until a guest listens that has a network of its own.
    pub fn listens(&self) -> Result<()> {
        match self.handle.wait_for_listen(HTTP, self.limit) {
            Ok(_) => Ok(()),
            Err(why) => bail!("the guest does not listen ({why:?})"),
        }
    }

    /// The counters; only with a plugin.
    pub fn counters(&self) -> Result<&Reader> {
        self.counters.as_ref().context("this guest was started without the counter")
    }

    /// The profile; only when it was asked for.
    pub fn profile(&self) -> Result<&Profile> {
        self.profile.as_ref().context("this guest was started without a profile")
    }

    /// Virtual base of a guest of ours, once it has booted.
    pub fn image_base(&self) -> Result<u64> {
        self.handle.transcript(toro_vmm::Transcript::image_base).context("the guest has not said where it is")
    }

    /// CPU seconds that QEMU has used.
    pub fn cpu(&self) -> CpuSeconds {
        cpu_seconds(self.handle.pid())
    }

    /// How long after its start QEMU had heard that the guest listens.
    pub fn listening_after(&self) -> Result<Duration> {
        let after = self.handle.transcript(|said| said.listening_after(toro_vmm::abi::control::Protocol::Tcp, HTTP));
        after.context("the guest does not listen")
    }

    /// When QEMU was started.
    pub fn started(&self) -> Instant {
        self.handle.started()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Without a plugin there is no file; one left in the temporary folder does no harm.
        drop(std::fs::remove_file(&self.counter_file));
        drop(std::fs::remove_file(profile_file(&self.counter_file)));
    }
}

fn profile_file(counter_file: &Path) -> PathBuf {
    counter_file.with_extension("profile")
}

fn plugin_option(plugin: &Path, out: &Path, counting: &Counting) -> String {
    let mut option = format!("{},out={}", plugin.display(), out.display());
    if counting.devices {
        option.push_str(",devices=on");
    }
    if counting.profile {
        option.push_str(&format!(",profile={}", profile_file(out).display()));
    }
    if let Some(processors) = counting.processors {
        option.push_str(&format!(",processors={processors}"));
    }
    for address in &counting.watches {
        option.push_str(&format!(",watch={address:#x}"));
    }
    option
}

fn scratch_file() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("toro-bench-{}-{number}", std::process::id()))
}
