//! One guest started for a measurement, through the same library as the tool, and ended with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use toro_counter::{Profile, Reader};
use toro_vmm::abi::control::Control;
use toro_vmm::linux::Program;
use toro_vmm::{Accelerator, Files, Guest as Handle, Image, Machine, MachineType, MemoryFile, Mode, Module, Network};

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
    /// How one of ours trades processor time for latency.
    pub mode: Mode,
}

/// How a guest is started, and how it says that it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of ours: it listens, or for a program without a server, it ends.
    Toro,
    /// One of ours, whose program is this static Linux binary.
    ToroLinux {
        /// Its path on the host.
        program: PathBuf,
        /// What it is given.
        arguments: Vec<String>,
    },
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
        let (name, mode) = (image.name.clone(), Mode::default());
        Guest { name, image, kind: Kind::Toro, memory_mib: 64, cpus: 1, serves, mode }
    }

    /// A static Linux executable that serves, on such a machine.
    ///
    /// # Errors
    /// The kernel for Linux programs cannot be had.
    pub fn linux_program(program: PathBuf, arguments: &[String]) -> Result<Guest> {
        let image = crate::linux::personality("program")?;
        Ok(Guest { kind: Kind::ToroLinux { program, arguments: arguments.to_vec() }, ..Guest::ours(image, true) })
    }

    /// What is started: by QEMU's translator, unless it is changed.
    ///
    /// # Errors
    /// A Linux program cannot be packed.
    pub fn machine(&self, machine_type: MachineType) -> Result<Machine> {
        let machine = Machine::new(self.image.clone())
            .machine_type(machine_type)
            .accelerator(Accelerator::Tcg)
            .memory(self.memory_mib << 20)
            .cpus(self.cpus)
            // So that the virtual processors' threads are told apart.
            .vmm_arguments(["-name", "bench,debug-threads=on"]);
        let mut machine =
            if self.serves { machine.network(Network::User).publish(HTTP) } else { machine.network(Network::None) };
        Ok(match &self.kind {
            Kind::Toro if self.mode == Mode::default() => machine,
            Kind::Toro => machine.power(self.mode),
            Kind::ToroLinux { program, arguments } => {
                let (path, module) = pack(program)?;
                machine.module = Some(Module::Memory(module));
                machine.arguments = [std::slice::from_ref(&path), arguments.as_slice()].concat();
                machine.program = Some(Program { path, workdir: "/".into(), strace: false, symbols: None });
                machine
            }
            Kind::Foreign { command_line, initrd, .. } => {
                machine.plain = true;
                machine.module = initrd.clone().map(Module::File);
                machine.raw_cmdline(command_line)
            }
        })
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

/// CPU seconds of a QEMU process.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuSeconds {
    /// All threads.
    pub all: f64,
    /// The virtual processors: guest code, its translation, its device accesses.
    pub vcpu: f64,
}

/// A running guest. Dropping it ends it.
pub struct Vm {
    handle: Handle,
    kind: Kind,
    counters: Option<Reader>,
    profile: Option<Profile>,
    counter_file: PathBuf,
    limit: Duration,
    serves: bool,
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
        let mut machine = change(guest.machine(machine_type)?);
        if let Some((plugin, counting)) = counting {
            machine = machine.vmm_arguments(["-plugin".to_owned(), plugin_option(plugin, &counter_file, counting)]);
        }
        let handle = machine.start().map_err(|error| anyhow::anyhow!("{error}"))?;
        let counters = counting.map(|_| Reader::open(&counter_file)).transpose()?;
        let wants_profile = counting.is_some_and(|(_, counting)| counting.profile);
        let profile = wants_profile.then(|| Profile::open(&profile_file(&counter_file))).transpose()?;
        let port = handle.host_address(HTTP).map_or(0, |address| address.port());
        Ok(Vm {
            handle,
            kind: guest.kind.clone(),
            counters,
            profile,
            counter_file,
            limit: BOOT_LIMIT,
            serves: guest.serves,
            port,
        })
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
            Kind::Toro | Kind::ToroLinux { .. } if self.serves => {
                self.handle.wait_for_listen(HTTP, self.limit).map(drop)
            }
            Kind::Toro | Kind::ToroLinux { .. } => {
                self.handle.wait_until(Some(self.limit), |said| said.outcome.as_ref().map(drop))
            }
            Kind::Foreign { ready, .. } => self.handle.wait_for_text(ready, self.limit),
        };
        let Err(why) = met else { return Ok(()) };
        let said = self.handle.transcript(|said| {
            let log = String::from_utf8_lossy(&said.log).into_owned();
            format!("{log:?}, outcome {:?}, QEMU: {}", said.outcome, said.vmm_messages)
        });
        // One of ours says where it is; of another kernel these addresses say nothing.
        let place = match &self.kind {
            Kind::Foreign { .. } => String::new(),
            _ => self.handle.backtrace().unwrap_or_else(|error| format!("no backtrace: {error}")),
        };
        bail!("the guest did not get ready ({why:?}); it said {said}; it is at\n{place}");
    }

    /// Waits until a guest of a foreign kernel has said this.
    pub fn says(&self, text: &str) -> Result<()> {
        let said = self.handle.wait_for_text(text, self.limit);
        said.map_err(|why| anyhow::anyhow!("the guest does not say {text:?} ({why:?})"))
    }

    /// How long after its start QEMU had heard this from one of ours.
    pub fn control_after(&self, wanted: impl Fn(&Control) -> bool) -> Result<Duration> {
        let find = |said: &toro_vmm::Transcript| {
            said.controls.iter().find(|(_, control)| wanted(control)).map(|(after, _)| *after)
        };
        self.handle.transcript(find).context("the guest has not said what is waited for")
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

    /// The process id of QEMU.
    pub fn pid(&self) -> u32 {
        self.handle.pid()
    }

    /// What one of ours has counted so far. To ask wakes it.
    pub fn statistics(&self, limit: Duration) -> Result<Vec<toro_vmm::Stat>> {
        self.handle.statistics(limit).map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// What the network of one of ours has counted so far under this name, on all cores together. To ask wakes it.
    pub fn network_count(&self, name: &str, limit: Duration) -> Result<u64> {
        let state = self.handle.network(limit).map_err(|error| anyhow::anyhow!("{error}"))?;
        let counts = state.stats.iter().filter(|stat| stat.name.strip_prefix("net.") == Some(name));
        let counts = counts.map(|stat| stat.value.parse::<u64>().with_context(|| format!("{name}={}", stat.value)));
        counts.sum()
    }

    /// Has the machine stand still.
    pub fn pause(&self) -> Result<()> {
        self.handle.qmp().execute("stop", serde_json::json!({})).map(drop).map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Does `work`; a machine that stands still goes on meanwhile.
    pub fn run<T>(&self, stands_still: bool, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !stands_still {
            return work();
        }
        self.handle.qmp().execute("cont", serde_json::json!({})).map_err(|error| anyhow::anyhow!("{error}"))?;
        let result = work();
        self.pause()?;
        result
    }

    /// CPU seconds that QEMU has used.
    pub fn cpu(&self) -> CpuSeconds {
        let usage = self.handle.usage();
        CpuSeconds { all: usage.cpu.as_secs_f64(), vcpu: usage.vcpu.as_secs_f64() }
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

/// The boot module of a guest with one program, and where that is in it. One for all guests of this process.
fn pack(program: &Path) -> Result<(String, MemoryFile)> {
    let fail = |error: toro_vmm::Error| anyhow::anyhow!("{error}");
    let mut files = Files::new();
    let path = files.add_program(program).map_err(fail)?;
    Ok((path, files.module().map_err(fail)?))
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
