//! A machine as a test wants it, running, and ended.

use std::net::SocketAddrV4;
use std::time::Duration;

use toro_vmm::abi::cards::Card;
use toro_vmm::abi::control::{Control, Protocol};
use toro_vmm::abi::network::{Address, Ipv4};
use toro_vmm::{Accelerator, ConsoleDevice, Exit, Guest, Image, Machine, MachineType, Network, Port};

use crate::frames::GUEST;
use crate::{Client, LIMIT};

/// What is special about a test's machine.
#[must_use]
pub struct Spec {
    name: String,
    machine: Machine,
}

impl Spec {
    pub(crate) fn new(name: &str, image: Image) -> Spec {
        let machine = Machine::new(image).accelerator(Accelerator::Tcg).network(Network::None).memory(64 << 20);
        Spec { name: name.to_owned(), machine }
    }

    /// Changes anything of the machine.
    pub fn with(mut self, change: impl FnOnce(Machine) -> Machine) -> Spec {
        self.machine = change(self.machine);
        self
    }

    /// Board and firmware; microvm otherwise.
    pub fn machine(self, machine_type: MachineType) -> Spec {
        self.with(|machine| machine.machine_type(machine_type))
    }

    /// Virtual processors; one otherwise.
    pub fn cpus(self, count: u32) -> Spec {
        self.with(|machine| machine.cpus(count))
    }

    /// Memory in MiB; 64 otherwise.
    pub fn memory_mib(self, mib: u64) -> Spec {
        self.with(|machine| machine.memory(mib << 20))
    }

    /// The program's arguments, after its name.
    pub fn arguments(self, arguments: &[&str]) -> Spec {
        self.with(|machine| machine.arguments(arguments.iter().copied()))
    }

    /// An environment variable.
    pub fn environment(self, name: &str, value: &str) -> Spec {
        self.with(|machine| machine.environment(name, value))
    }

    /// Text added to the guest's command line as it is.
    pub fn command_line(self, text: &str) -> Spec {
        self.with(|machine| machine.raw_cmdline(text))
    }

    /// What carries the console; a UART otherwise.
    pub fn console(self, device: ConsoleDevice) -> Spec {
        self.with(|machine| machine.console(device))
    }

    /// Standard input is forwarded.
    pub fn stdin(self) -> Spec {
        self.with(Machine::stdin)
    }

    /// A network card on QEMU's own network, with TCP ports of the guest published.
    pub fn ports(self, ports: &[u16]) -> Spec {
        self.with(|machine| ports.iter().fold(machine.network(Network::User), |machine, port| machine.publish(*port)))
    }

    /// A network card on QEMU's own network, with a UDP port of the guest published.
    pub fn udp_port(self, port: u16) -> Spec {
        let published = Port { protocol: Protocol::Udp, ..Port::on_free_port(port) };
        self.with(|machine| machine.network(Network::User).publish_port(published))
    }

    /// A network card on the TAP interface of a network of the test's own, with the address [`GUEST`].
    pub fn on_tap(self) -> Spec {
        self.with(|mut machine| {
            machine.eth0.address = Some(Address::Static { ip: Ipv4(GUEST.octets()), prefix: 24 });
            machine.network(Network::Tap("tap0".to_owned()))
        })
    }

    /// Further arguments for QEMU.
    pub fn qemu(self, arguments: &[&str]) -> Spec {
        self.with(|machine| machine.vmm_arguments(arguments.iter().copied()))
    }

    /// The image's file, for who starts it in another way.
    pub fn image_path(&self) -> String {
        self.machine.image.boot.to_string_lossy().into_owned()
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let title =
            format!("{} on {}, {} KiB", self.name, self.machine.machine_type.name(), self.machine.memory_bytes >> 10);
        let guest = self.machine.start().unwrap_or_else(|error| panic!("{title}: {error}"));
        Running { title, guest }
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Run {
        self.start().finish()
    }
}

/// A running machine. Dropping it ends it.
pub struct Running {
    title: String,
    /// The handle of the vmm library.
    pub guest: Guest,
}

impl Running {
    /// Waits until the guest listens on a TCP port, and tells where the host reaches it.
    pub fn listening(&self, port: u16) -> SocketAddrV4 {
        if let Err(why) = self.guest.wait_for_listen(port, LIMIT) {
            self.fail(&format!("does not listen on port {port} ({why:?})"));
        }
        self.guest.host_address(port).unwrap_or_else(|| panic!("{}: port {port} is not published", self.title))
    }

    /// Waits until the guest has an address, and tells it.
    pub fn address(&self) -> String {
        let found = self.guest.wait_until(Some(LIMIT), |said| {
            said.controls.iter().find_map(|(_, control)| match control {
                Control::Address { ip, .. } => Some(ip.to_string()),
                _ => None,
            })
        });
        found.unwrap_or_else(|why| self.fail(&format!("gets no address ({why:?})")))
    }

    /// A connection to a TCP port of the guest, once it listens.
    pub fn connect(&self, port: u16) -> Client {
        Client::connect(self.listening(port).into())
    }

    /// Waits until the guest has printed `text`.
    pub fn wait_for(&self, text: &str) {
        if let Err(why) = self.guest.wait_for_text(text, LIMIT) {
            self.fail(&format!("does not say {text:?} ({why:?})"));
        }
    }

    /// Waits until `text` stands in the guest's log so many times.
    pub fn wait_for_log(&self, text: &str, times: usize) {
        let told = |log: &[u8]| String::from_utf8_lossy(log).matches(text).count() >= times;
        if let Err(why) = self.guest.wait_until(Some(LIMIT), |said| told(&said.log).then_some(())) {
            self.fail(&format!("does not log {text:?} ({why:?})"));
        }
    }

    /// The guest's network cards.
    pub fn cards(&self) -> Vec<Card> {
        self.guest.network(LIMIT).unwrap_or_else(|error| self.fail(&error.to_string())).cards
    }

    /// Whether the link of each card is up.
    pub fn cards_up(&self) -> Vec<bool> {
        self.cards().iter().map(|card| card.up).collect()
    }

    /// Plugs the cable of a network card in or out.
    pub fn set_link(&self, card: &str, up: bool) {
        let arguments = serde_json::json!({ "name": card, "up": up });
        self.guest.qmp().execute("set_link", arguments).unwrap_or_else(|error| self.fail(&error.to_string()));
    }

    /// Waits for the guest to end.
    pub fn finish(self) -> Run {
        self.finish_within(LIMIT)
    }

    /// Waits for the guest to end, for no longer than `limit`.
    pub fn finish_within(self, limit: Duration) -> Run {
        Run { title: self.title, exit: self.guest.wait(limit) }
    }

    /// Asks the guest to stop and waits for its end.
    pub fn stop(self) -> Run {
        Run { title: self.title, exit: self.guest.stop(LIMIT) }
    }

    fn fail(&self, why: &str) -> ! {
        let said = self.guest.transcript(|said| {
            let streams = [("stdout", &said.stdout), ("stderr", &said.stderr), ("log", &said.log)];
            let texts = streams.map(|(name, bytes)| format!("{name}: {}", String::from_utf8_lossy(bytes)));
            format!("{}\noutcome: {:?}\nQEMU: {}", texts.join("\n"), said.outcome, said.vmm_messages)
        });
        let place = self.guest.backtrace().unwrap_or_else(|error| format!("no backtrace: {error}"));
        panic!("{} {why}\n{said}\n{place}", self.title);
    }
}

/// A machine that has ended.
#[derive(Debug)]
pub struct Run {
    title: String,
    /// How it ended and what it said.
    pub exit: Exit,
}

impl Run {
    /// The tool's exit status must be this.
    #[track_caller]
    pub fn expect_status(self, status: u8) -> Run {
        if self.exit.status() != status {
            self.fail(&format!("status {status}"));
        }
        self
    }

    /// The outcome's kind must be this, as `exit`, `panic`, `fault`, `kernel-defect`, `oom`, `boot`, `stopped`.
    #[track_caller]
    pub fn expect_kind(self, kind: &str) -> Run {
        if self.exit.kind() != kind {
            self.fail(&format!("outcome {kind}"));
        }
        self
    }

    /// Standard output must be exactly this.
    #[track_caller]
    pub fn expect_stdout(self, text: &str) -> Run {
        if self.exit.stdout_text() != text {
            self.fail(&format!("standard output {text:?}"));
        }
        self
    }

    /// Standard output must have these lines, in this order, perhaps with others between.
    #[track_caller]
    pub fn expect_lines<const N: usize>(self, wanted: [&str; N]) -> Run {
        let output = self.exit.stdout_text();
        let mut lines = output.lines();
        for line in wanted {
            if !lines.any(|there| there == line) {
                self.fail(&format!("line {line:?}, after the lines before it"));
            }
        }
        self
    }

    /// Standard error must be exactly this.
    #[track_caller]
    pub fn expect_stderr(self, text: &str) -> Run {
        if self.exit.stderr_text() != text {
            self.fail(&format!("standard error {text:?}"));
        }
        self
    }

    /// The kernel's log and reports must contain this.
    #[track_caller]
    pub fn expect_log(self, text: &str) -> Run {
        if !self.exit.log_text().contains(text) {
            self.fail(&format!("{text:?} in the log"));
        }
        self
    }

    /// The outcome's message must contain this.
    #[track_caller]
    pub fn expect_message(self, text: &str) -> Run {
        if !self.exit.outcome().is_some_and(|outcome| outcome.message.contains(text)) {
            self.fail(&format!("{text:?} in the outcome's message"));
        }
        self
    }

    #[track_caller]
    fn fail(&self, expected: &str) -> ! {
        let exit = &self.exit;
        panic!(
            "{}: expected {expected}\nit ended: {:?}, status {}\nstdout: {}\nstderr: {}\nlog: {}\nQEMU: {}\n{}",
            self.title,
            exit.ending,
            exit.status(),
            exit.stdout_text(),
            exit.stderr_text(),
            exit.log_text(),
            exit.vmm_messages,
            exit.backtrace
        );
    }
}
