//! A virtual machine in no VMM's words: what boots, how large it is, what it is connected to.

use crate::cards::NetworkCard;
use crate::child::Cancel;
use crate::console::Sinks;
use crate::error::Error;
use crate::guest::Guest;
use crate::image::Image;
use crate::linux::Program;
use crate::memory_file::MemoryFile;
use crate::ports::Port;
use crate::qemu;
use crate::start;
use crate::tsc;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use toro_abi::cmdline::{self, Builder};
use toro_abi::console::Token;
use toro_abi::policy::Policy;
use toro_abi::power::Mode;

/// Smallest memory that a machine is started with.
pub const MEMORY_BYTES_MIN: u64 = 2 << 20;
/// Memory when nothing else is said.
pub const MEMORY_BYTES_DEFAULT: u64 = 64 << 20;

/// The board and its firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MachineType {
    /// QEMU's microvm: virtio-mmio, hardware-reduced ACPI.
    #[default]
    Microvm,
    /// microvm without ACPI, PIC, PIT and RTC.
    MicrovmMinimal,
    /// microvm with PCI Express: virtio-pci, BARs that no firmware assigned.
    MicrovmPci,
    /// q35 with SeaBIOS.
    Q35,
    /// q35 with qboot, which assigns no BARs.
    Q35Qboot,
    /// The i440FX PC with SeaBIOS.
    Pc,
    /// The i440FX PC with qboot.
    PcQboot,
}

impl MachineType {
    /// All of them, for tests and for help texts.
    pub const ALL: [Self; 7] =
        [Self::Microvm, Self::MicrovmMinimal, Self::MicrovmPci, Self::Q35, Self::Q35Qboot, Self::Pc, Self::PcQboot];

    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Microvm => "microvm",
            Self::MicrovmMinimal => "microvm-minimal",
            Self::MicrovmPci => "microvm-pci",
            Self::Q35 => "q35",
            Self::Q35Qboot => "q35-qboot",
            Self::Pc => "pc",
            Self::PcQboot => "pc-qboot",
        }
    }

    /// The machine of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|machine| machine.name() == name)
    }

    /// Whether its devices are found over PCI.
    pub const fn has_pci(self) -> bool {
        !matches!(self, Self::Microvm | Self::MicrovmMinimal)
    }
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// KVM where it really works, else TCG.
    #[default]
    Auto,
    /// QEMU's translator: works everywhere.
    Tcg,
    /// The processor.
    Kvm,
}

impl Accelerator {
    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }
}

/// What the guest's network card is plugged into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// No network card.
    None,
    /// A private network inside the VMM; the host reaches published ports only.
    #[default]
    User,
    /// An existing TAP interface of the host.
    Tap(String),
}

/// As on a command line: `user`, `tap:NAME` or `none`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::User => f.write_str("user"),
            Self::Tap(name) => write!(f, "tap:{name}"),
        }
    }
}

/// What carries the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsoleDevice {
    /// A 16550 UART.
    #[default]
    Serial,
    /// virtio-console; the machine has no UART.
    Virtio,
}

/// What a kernel is handed beside its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// A file.
    File(PathBuf),
    /// Bytes that this process holds, until the VMM has loaded them.
    Memory(MemoryFile),
}

impl Module {
    /// The file from which the VMM reads it.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Memory(file) => file.path(),
        }
    }

    /// Its length.
    pub fn len_bytes(&self) -> u64 {
        match self {
            Self::File(path) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
            Self::Memory(file) => file.len_bytes(),
        }
    }
}

/// A machine to start. Fields are public for whoever prints or checks them; the methods are for building one in a row.
#[derive(Debug)]
pub struct Machine {
    /// What boots.
    pub image: Image,
    /// A boot module handed to the kernel.
    pub module: Option<Module>,
    /// Board and firmware.
    pub machine_type: MachineType,
    /// What executes the guest.
    pub accelerator: Accelerator,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Number of virtual processors.
    pub cpus: u32,
    /// The first network card, which may be plugged into nothing: then there is none.
    pub eth0: NetworkCard,
    /// Cards beside the first.
    pub further_cards: Vec<NetworkCard>,
    /// Published ports; only on [`Network::User`], the first of them.
    pub ports: Vec<Port>,
    /// Name servers; none: the private network's, or those that DHCP and routers name.
    pub name_servers: Vec<IpAddr>,
    /// Domains in which the guest looks for short names.
    pub search: Vec<String>,
    /// Names that the guest knows, with their addresses.
    pub hosts: Vec<(String, IpAddr)>,
    /// What carries the console.
    pub console: ConsoleDevice,
    /// A virtio-rng device; a processor with RDRAND needs none.
    pub rng: bool,
    /// `argv`, the program's name first; empty leaves what the image has embedded.
    pub arguments: Vec<String>,
    /// The Linux program in the module, for the image that runs one.
    pub program: Option<Program>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// The guest's name, and the VMM process's.
    pub name: Option<String>,
    /// Log filter.
    pub log: Option<String>,
    /// How the guest trades processor time for latency; `None` leaves what the image has embedded.
    pub power: Option<Mode>,
    /// What a fault comes to that nobody catches; the guest's default when `None`.
    pub fault: Option<Policy>,
    /// Whether the guest tells at its end what it has counted: [`Transcript::stats`](crate::Transcript::stats).
    pub stats: bool,
    /// Whether the host will send standard input.
    pub stdin: bool,
    /// Writes all frames to this file.
    pub pcap: Option<PathBuf>,
    /// Writes a core to this file when something ends the guest that makes a report.
    pub core: Option<PathBuf>,
    /// Waits at the first instruction for a debugger on this port of 127.0.0.1.
    pub gdb_port: Option<u16>,
    /// Command-line text passed as it is, after everything else.
    pub raw_cmdline: String,
    /// Whether to pass the token and time hints; without, the console is plain text, as under a bare VMM.
    pub plain: bool,
    /// Further arguments of the VMM, passed as they are.
    pub vmm_arguments: Vec<String>,
    /// The VMM program; `None` takes `$TORO_QEMU`, else `qemu-system-x86_64`.
    pub vmm_program: Option<PathBuf>,
    /// Where the guest's streams go.
    pub sinks: Sinks,
}

impl Machine {
    /// A machine with the defaults of the tool.
    pub fn new(image: Image) -> Self {
        Self {
            image,
            module: None,
            machine_type: MachineType::default(),
            accelerator: Accelerator::default(),
            memory_bytes: MEMORY_BYTES_DEFAULT,
            cpus: 1,
            eth0: NetworkCard::default(),
            further_cards: Vec::new(),
            ports: Vec::new(),
            name_servers: Vec::new(),
            search: Vec::new(),
            hosts: Vec::new(),
            console: ConsoleDevice::default(),
            rng: false,
            arguments: Vec::new(),
            program: None,
            environment: Vec::new(),
            name: None,
            log: None,
            power: None,
            fault: None,
            stats: false,
            stdin: false,
            pcap: None,
            core: None,
            gdb_port: None,
            raw_cmdline: String::new(),
            plain: false,
            vmm_arguments: Vec::new(),
            vmm_program: None,
            sinks: Sinks::default(),
        }
    }

    /// Sets the board and firmware.
    #[must_use]
    pub fn machine_type(mut self, machine_type: MachineType) -> Self {
        self.machine_type = machine_type;
        self
    }

    /// Sets what executes the guest.
    #[must_use]
    pub fn accelerator(mut self, accelerator: Accelerator) -> Self {
        self.accelerator = accelerator;
        self
    }

    /// Sets the memory.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Sets the number of virtual processors.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Sets what the first network card is plugged into.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.eth0.network = network;
        self
    }

    /// Adds a card beside the first.
    #[must_use]
    pub fn card(mut self, card: NetworkCard) -> Self {
        self.further_cards.push(card);
        self
    }

    /// Publishes a guest's TCP port on a free port of 127.0.0.1; [`Guest::host_address`] tells which.
    #[must_use]
    pub fn publish(mut self, guest_port: u16) -> Self {
        self.ports.push(Port::on_free_port(guest_port));
        self
    }

    /// Publishes a port in the words of the command line.
    #[must_use]
    pub fn publish_port(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Sets what carries the console.
    #[must_use]
    pub fn console(mut self, console: ConsoleDevice) -> Self {
        self.console = console;
        self
    }

    /// Sets `argv` behind the program's name, which is the image's.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments = vec![self.image.name.clone()];
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets the log filter.
    #[must_use]
    pub fn log(mut self, filter: &str) -> Self {
        self.log = Some(filter.into());
        self
    }

    /// Sets how the guest trades processor time for latency.
    #[must_use]
    pub fn power(mut self, mode: Mode) -> Self {
        self.power = Some(mode);
        self
    }

    /// Has the guest tell at its end what it has counted.
    #[must_use]
    pub fn stats(mut self) -> Self {
        self.stats = true;
        self
    }

    /// Announces standard input, which [`Guest::send_stdin`] and [`Guest::close_stdin`] give.
    #[must_use]
    pub fn stdin(mut self) -> Self {
        self.stdin = true;
        self
    }

    /// Appends text to the guest's command line as it is.
    #[must_use]
    pub fn raw_cmdline(mut self, text: &str) -> Self {
        self.raw_cmdline = text.into();
        self
    }

    /// Appends arguments to the VMM's, as they are.
    #[must_use]
    pub fn vmm_arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.vmm_arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts it. Returns when the VMM runs, which is before the guest has said anything.
    pub fn start(self) -> Result<Guest, Error> {
        self.start_unless(&Cancel::new())
    }

    /// The same, unless it is cancelled while it starts, which is an error.
    pub fn start_unless(self, cancel: &Cancel) -> Result<Guest, Error> {
        start::start(self, cancel)
    }

    /// The command that would start it, for a shell; the control connection is left out and the token is an example.
    pub fn shell_line(&self, program: &Path, accelerator: Accelerator) -> String {
        let command_line = self.command_line(Token::from_random(0));
        qemu::shell_line(
            program,
            &qemu::arguments(self, accelerator, qemu::Control::None { command_line: &command_line }),
        )
    }

    /// The guest's command line.
    pub(crate) fn command_line(&self, token: Token) -> String {
        let mut line = Builder::new();
        if !self.plain {
            line.push(cmdline::TOKEN, token.as_str());
            if let Some(tsc_khz) = tsc::khz() {
                line.push(cmdline::TSC_KHZ, tsc_khz.to_string());
            }
            if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
                line.push(cmdline::EPOCH_NS, now.as_nanos().to_string());
            }
        }
        self.push_network(&mut line);
        if let Some(name) = &self.name {
            line.push(cmdline::HOSTNAME, name);
        }
        if let Some(log) = &self.log {
            line.push(cmdline::LOG, log);
        }
        if let Some(policy) = self.fault {
            line.push(cmdline::FAULT, policy.name());
        }
        if let Some(mode) = self.power {
            line.push(cmdline::POWER, mode.name());
        }
        if self.stats {
            line.push(cmdline::STATS, "1");
        }
        if self.gdb_port.is_some() {
            line.push(cmdline::KASLR, "off");
        }
        if self.stdin {
            line.push(cmdline::STDIN, "1");
        }
        if let Some(program) = &self.program {
            line.push(cmdline::EXEC, &program.path).push(cmdline::WORKDIR, &program.workdir);
            if program.strace {
                line.push(cmdline::STRACE, "1");
            }
            for port in &self.ports {
                line.push(cmdline::PUBLISH, port.guest.to_string());
            }
        }
        for argument in &self.arguments {
            line.push(cmdline::ARG, argument);
        }
        for (name, value) in &self.environment {
            line.push_env(name, value);
        }
        let mut text = line.into_string();
        if !self.raw_cmdline.is_empty() {
            text.push(' ');
            text.push_str(&self.raw_cmdline);
        }
        text
    }
}
