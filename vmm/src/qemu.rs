//! A machine in QEMU's words, versions 7.2 to 10; and QEMU's complaints in ours.

use crate::addresses::PrivateNetwork;
use crate::addresses6::PrivateNetwork6;
use crate::cards::NetworkCard;
use crate::error::Error;
use crate::machine::{Accelerator, ConsoleDevice, Machine, MachineType, Network};
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use toro_abi::network::Address;

/// The oldest version that is known to work.
pub const VERSION_MIN: (u64, u64) = (7, 2);
/// The newest major version that is known to work.
pub const VERSION_MAX: u64 = 10;

/// The program: `explicit`, `$TORO_QEMU`, or the one in `$PATH`.
pub fn program(explicit: Option<&Path>) -> PathBuf {
    let named = std::env::var_os("TORO_QEMU").filter(|value| !value.is_empty());
    explicit.map(PathBuf::from).or(named.map(PathBuf::from)).unwrap_or_else(|| "qemu-system-x86_64".into())
}

/// Who tells QEMU the guest's command line.
#[derive(Clone, Copy, Debug)]
pub enum Control<'a> {
    /// Nobody but its own arguments.
    None {
        /// The guest's command line.
        command_line: &'a str,
    },
    /// The other end of a socket that QEMU inherits. Every user of the host can read the arguments of a process, so a
    /// command line that may hold secrets does not stand there.
    Socket(RawFd),
}

/// The arguments for `machine`, whose accelerator has been decided.
pub fn arguments(machine: &Machine, accelerator: Accelerator, control: Control<'_>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut push = |words: &[&str]| all.extend(words.iter().map(|word| (*word).to_owned()));
    push(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    push(&["-machine", &board(machine)]);
    if matches!(machine.machine_type, MachineType::Q35Qboot | MachineType::PcQboot) {
        push(&["-bios", "qboot.rom"]);
    }
    // Under TCG `max` is what QEMU can do; under KVM `host` is what the processor can.
    match accelerator {
        Accelerator::Kvm => push(&["-accel", "kvm", "-cpu", "host"]),
        Accelerator::Tcg | Accelerator::Auto => push(&["-accel", "tcg", "-cpu", "max"]),
    }
    push(&["-m", &format!("{}K", machine.memory_bytes >> 10), "-smp", &machine.cpus.to_string()]);
    push(&["-global", "virtio-mmio.force-legacy=false"]);
    if let Some(name) = &machine.name {
        push(&["-name", &format!("guest={}", escape(name))]);
    }
    if let Control::Socket(fd) = control {
        push(&["-chardev", &format!("socket,id=control,fd={fd}")]);
        // `--preconfig`: the machine is made when the caller has told the command line. `-S`: it runs when the caller has
        // asked all it wants to know: QEMU 7.2 hangs for good when a command arrives while a guest that was quick switches
        // its machine off.
        push(&["-mon", "chardev=control,mode=control", "--preconfig", "-S"]);
    }
    push(&["-chardev", "stdio,id=console,signal=off"]);
    match machine.console {
        ConsoleDevice::Serial => push(&["-serial", "chardev:console"]),
        ConsoleDevice::Virtio => {
            let serial = if machine.machine_type.has_pci() {
                "virtio-serial-pci,disable-legacy=on"
            } else {
                "virtio-serial-device"
            };
            push(&["-device", serial, "-device", "virtconsole,chardev=console"]);
        }
    }
    if machine.rng {
        push(&["-device", &format!("virtio-rng-{}", bus(machine))]);
    }
    for (number, card) in machine.cards().enumerate() {
        let [netdev, device] = network_card(machine, number, card);
        push(&["-netdev", &netdev, "-device", &device]);
    }
    if let Some(file) = &machine.pcap {
        push(&["-object", &format!("filter-dump,id=pcap,netdev=net0,file={}", escape_path(file))]);
    }
    if machine.core.is_some() {
        push(&["-action", "shutdown=pause"]); // so that there is a memory to be dumped
    }
    if let Some(port) = machine.gdb_port {
        push(&["-gdb", &format!("tcp:127.0.0.1:{port}"), "-S"]);
    }
    push(&["-kernel", &machine.image.boot.to_string_lossy()]);
    if let Control::None { command_line } = control {
        push(&["-append", command_line]);
    }
    if let Some(module) = &machine.module {
        push(&["-initrd", &module.path().to_string_lossy()]);
    }
    all.extend(machine.vmm_arguments.iter().cloned());
    all
}

/// The `-machine` value.
fn board(machine: &Machine) -> String {
    let (mut board, is_microvm) = match machine.machine_type {
        MachineType::Microvm => ("microvm".to_owned(), true),
        MachineType::MicrovmMinimal => ("microvm,acpi=off,pic=off,pit=off,rtc=off".into(), true),
        MachineType::MicrovmPci => ("microvm,pcie=on".into(), true),
        MachineType::Q35 | MachineType::Q35Qboot => ("q35".into(), false),
        MachineType::Pc | MachineType::PcQboot => ("pc".into(), false),
    };
    // microvm has a UART unless told otherwise; the others only when a -serial option asks for it.
    if is_microvm && machine.console == ConsoleDevice::Virtio {
        board.push_str(",isa-serial=off");
    }
    board
}

fn bus(machine: &Machine) -> &'static str {
    if machine.machine_type.has_pci() { "pci,disable-legacy=on" } else { "device" }
}

/// The `-netdev` and the `-device` value of a card.
fn network_card(machine: &Machine, number: usize, card: &NetworkCard) -> [String; 2] {
    let tap = Tap::of(&card.network);
    let queues = tap.has_queues.then(|| machine.cpus.max(2));
    let netdev = match &card.network {
        Network::Tap(name) => {
            let queues = queues.map_or(String::new(), |pairs| format!(",queues={pairs}"));
            format!("tap,id=net{number},ifname={},script=no,downscript=no{queues}", escape(name))
        }
        _ => user_network(machine, number, card),
    };
    let rom = if machine.machine_type.has_pci() { ",romfile=" } else { "" };
    // The guest uses several of its first card where they can interrupt different cores: an interrupt for each queue, one for
    // the control queue and one for changes of the configuration.
    let queues = queues.filter(|_| machine.cpus > 1 && machine.machine_type.has_pci());
    let queues = queues.map_or(String::new(), |pairs| format!(",mq=on,vectors={}", 2 * pairs + 2));
    // What is longer than an Ethernet frame the guest has to be told.
    let mtu = tap.mtu.map_or(String::new(), |mtu| format!(",host_mtu={mtu}"));
    let mac = card.mac.map_or_else(|| mac(&card.network), |mac| format!(",mac={mac}"));
    [netdev, format!("virtio-net-{},netdev=net{number}{rom}{mac}{mtu}{queues}", bus(machine))]
}

fn user_network(machine: &Machine, number: usize, card: &NetworkCard) -> String {
    let mut text = format!("user,id=net{number}");
    let mut guest = String::new();
    let usual = number == 0 && card.gateway.is_none() && !matches!(card.address, Some(Address::Static { .. }));
    if let Some(private) = card.private(number).filter(|_| !usual) {
        guest = private.guest.to_string();
        let PrivateNetwork { host, dns, .. } = private;
        text.push_str(&format!(",net={},dhcpstart={guest},host={host},dns={dns}", private.network()));
    }
    if let Some(PrivateNetwork6 { network, prefix, host }) = PrivateNetwork6::of(number, card) {
        text.push_str(&format!(",ipv6-net={network}/{prefix},ipv6-host={host}"));
    }
    let is_first = machine.cards().position(|card| card.network == Network::User) == Some(number);
    for port in machine.ports.iter().filter(|_| is_first) {
        text.push_str(&format!(",hostfwd={}:{}-{guest}:{}", port.protocol, port.host, port.guest));
    }
    text
}

const ETHERNET_MTU: u64 = 1500;
/// What a virtio card can say.
const MTU_MIN: u64 = 68;
const MTU_MAX: u64 = 65535;

/// What is to be known of a TAP interface.
#[derive(Default)]
struct Tap {
    /// It was made for several queues (`ip tuntap add .. multi_queue`): one for each core. It cannot be opened with one.
    has_queues: bool,
    /// The longest packet that it carries, if that is not Ethernet's usual.
    mtu: Option<u64>,
}

impl Tap {
    /// Of what a machine is plugged into. `ip` looks in the network namespace of this thread, which `/sys` may not show.
    fn of(network: &Network) -> Tap {
        let Network::Tap(name) = network else { return Tap::default() };
        let output =
            Command::new("ip").args(["-json", "-details", "link", "show", "dev", name]).stdin(Stdio::null()).output();
        let said = output.ok().and_then(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).ok());
        let link = said.as_ref().map_or(&serde_json::Value::Null, |said| &said[0]);
        Tap {
            has_queues: link["linkinfo"]["info_data"]["multi_queue"] == true,
            mtu: link["mtu"].as_u64().filter(|mtu| *mtu != ETHERNET_MTU && (MTU_MIN..=MTU_MAX).contains(mtu)),
        }
    }
}

/// Machines on one bridge need addresses of their own: derived from the interface's name, so it is the same each time.
fn mac(network: &Network) -> String {
    let Network::Tap(name) = network else {
        return String::new();
    };
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [_, a, b, c] = hash.to_be_bytes();
    format!(",mac=52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// A value inside an option list: QEMU reads `,,` as a comma.
fn escape(text: &str) -> String {
    text.replace(',', ",,")
}

fn escape_path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// The command as one line for a shell.
pub fn shell_line(program: &Path, arguments: &[String]) -> String {
    let words = std::iter::once(program.to_string_lossy().into_owned()).chain(arguments.iter().cloned());
    words.map(|word| shell_word(&word)).collect::<Vec<_>>().join(" ")
}

/// A command for a shell that boots `machine` on a microvm by QEMU alone: what the image has embedded is all it is told.
pub fn plain_line(machine: &Machine) -> String {
    let image = shell_word(&machine.image.boot.to_string_lossy());
    let card = NetworkCard { network: Network::User, ..machine.eth0.clone() };
    let card = shell_word(&user_network(machine, 0, &card));
    let memory_mib = machine.memory_bytes.div_ceil(1 << 20);
    format!(
        "qemu-system-x86_64 -machine microvm -cpu max -m {memory_mib}M -nodefaults -no-reboot -display none -serial stdio \
         -global virtio-mmio.force-legacy=false -netdev {card} -device virtio-net-device,netdev=net0 -kernel {image}"
    )
}

/// A word for a shell, quoted where it must be.
pub fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,+@%".contains(&byte);
    let is_plain = !word.is_empty() && word.bytes().all(plain);
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The version that `program --version` prints.
pub fn version(program: &Path) -> Result<(u64, u64), Error> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| cannot_start(program, &error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&text).ok_or_else(|| {
        Error::new(format!("cannot use {}: `--version` does not print a QEMU version", program.display()))
            .help("set TORO_QEMU to a qemu-system-x86_64")
    })
}

fn parse_version(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.split_once("version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Fails for a version that is too old.
pub fn check_version(program: &Path, version: (u64, u64)) -> Result<(), Error> {
    if version >= VERSION_MIN {
        return Ok(());
    }
    let (major, minor) = version;
    Err(Error::new(format!("{} is QEMU {major}.{minor}, which is too old: 7.2 or later is needed", program.display()))
        .help(format!("upgrade it ({}), or set TORO_QEMU to a newer one", install_command())))
}

/// What to say of a version that nobody has tried.
pub fn untried(version: (u64, u64)) -> Option<String> {
    let (major, minor) = version;
    let text = || format!("QEMU {major}.{minor} is newer than what Toro is tested with, 7.2 to {VERSION_MAX}");
    (major > VERSION_MAX).then(text)
}

/// QEMU did not even start.
pub fn cannot_start(program: &Path, error: &std::io::Error) -> Error {
    let name = program.display();
    if error.kind() == std::io::ErrorKind::NotFound {
        let is_named = std::env::var_os("TORO_QEMU").is_some_and(|named| *named == *program);
        return if is_named {
            Error::new(format!("cannot start QEMU: there is no {name}"))
                .help("TORO_QEMU names it: set it to a qemu-system-x86_64, or unset it")
        } else {
            Error::new(format!("cannot start QEMU: {name} is not installed")).help(install_command())
        };
    }
    Error::new(format!("cannot start QEMU: {name}: {error}"))
        .help("set TORO_QEMU to a qemu-system-x86_64 that you can run")
}

/// The command that installs QEMU on this system.
pub fn install_command() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let ids: Vec<&str> = release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '))
        .collect();
    let command = |id: &str| match id {
        "debian" | "ubuntu" => Some("sudo apt-get install qemu-system-x86"),
        "fedora" | "rhel" | "centos" => Some("sudo dnf install qemu-system-x86-core"),
        "arch" => Some("sudo pacman -S qemu-system-x86"),
        "alpine" => Some("sudo apk add qemu-system-x86_64"),
        "suse" | "opensuse" => Some("sudo zypper install qemu-x86"),
        _ => None,
    };
    ids.into_iter().find_map(command).unwrap_or("install the package with qemu-system-x86_64").into()
}

/// QEMU ended before its machine ran: its last words and the cure.
pub(crate) fn explain_death(program: &Path, machine: &Machine, status: &str, messages: &str) -> Error {
    if let Ok(version) = version(program)
        && let Err(error) = check_version(program, version)
    {
        return error;
    }
    let last = messages.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(status).trim();
    // "qemu-system-x86_64: -netdev user,...: why": the program and the option are ours, not the user's.
    let why = last.strip_prefix("qemu-system-x86_64: ").unwrap_or(last);
    let why = if why.starts_with('-') { why.split_once(": ").map_or(why, |(_option, why)| why) } else { why };
    let error = Error::new(format!("cannot start QEMU: {why}"));
    let has = |text: &str| messages.contains(text);
    let cure = if has("KVM kernel module: Permission denied") {
        "add yourself to group kvm, or use --accel tcg (slower)".to_owned()
    } else if has("KVM") {
        "use --accel tcg (slower)".into()
    } else if has("Could not set up host forwarding rule") {
        "the port is taken: choose another with -p, or 0 for a free one".into()
    } else if has("/dev/net/tun") {
        let tap = |card: &NetworkCard| if let Network::Tap(name) = &card.network { Some(name.clone()) } else { None };
        let name = machine.cards().find_map(tap).unwrap_or_else(|| "tap0".into());
        format!("sudo ip tuntap add {name} mode tap user $USER && sudo ip link set {name} up, and stop who uses it")
    } else if has("'user'") || has("expects a netdev backend type") {
        "this QEMU has no user network (slirp): install one that has, or use --net tap:NAME or --net none".into()
    } else if has("qboot.rom") || has("PC BIOS") || has("firmware") {
        format!("QEMU's firmware files are missing: {}", install_command())
    } else if has("net dump: ") {
        "--pcap takes the name of a file that can be written".into()
    } else if has("unsupported machine type") {
        format!("this QEMU lacks the machine: choose another with --machine, or {}", install_command())
    } else if has("cannot set up guest memory") || has("Cannot allocate memory") {
        "give the guest less memory: -m 64M".into()
    } else if !machine.vmm_arguments.is_empty() {
        format!("check the further arguments: {}", machine.vmm_arguments.join(" "))
    } else {
        format!("`toro doctor` checks the installation, and so does `{} --version`", program.display())
    };
    error.help(cure)
}

/// The command that starts `machine`.
pub(crate) fn command(program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(OsString::from));
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::ports::Port;
    use toro_abi::network::{Address6, Ipv4};

    fn machine() -> Machine {
        Machine::new(Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() })
    }

    fn line(machine: &Machine) -> String {
        shell_line(Path::new("qemu"), &arguments(machine, Accelerator::Tcg, Control::None { command_line: "arg=app" }))
    }

    #[test]
    fn the_default_machine_is_a_microvm_with_a_card_on_mmio() {
        assert_eq!(
            line(&machine()),
            "qemu -nodefaults -no-user-config -display none -no-reboot -machine microvm -accel tcg -cpu max -m 65536K -smp 1 \
             -global virtio-mmio.force-legacy=false -chardev stdio,id=console,signal=off -serial chardev:console \
             -netdev user,id=net0 -device virtio-net-device,netdev=net0 -kernel /k/app.elf -append arg=app"
        );
    }

    #[test]
    fn the_plain_line_has_the_card_and_quotes_the_path() {
        let mut machine = machine().publish_port(Port::parse("8080:80").unwrap());
        machine.image.boot = "my app.elf".into();
        let line = plain_line(&machine);
        assert!(
            line.contains("-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80 -device virtio-net-device,"),
            "{line}"
        );
        assert!(line.contains("force-legacy=false") && line.ends_with("-kernel 'my app.elf'"), "{line}");
    }

    #[test]
    fn a_card_on_pci_is_modern_and_has_no_rom() {
        for machine_type in MachineType::ALL.into_iter().filter(|machine_type| machine_type.has_pci()) {
            let line = line(&machine().machine_type(machine_type));
            assert!(line.contains("-device virtio-net-pci,disable-legacy=on,netdev=net0,romfile= "), "{line}");
        }
    }

    #[test]
    fn a_virtio_console_replaces_the_uart() {
        let line = line(&machine().console(ConsoleDevice::Virtio));
        assert!(line.contains("microvm,isa-serial=off") && !line.contains("-serial "), "{line}");
        assert!(line.contains("-device virtio-serial-device -device virtconsole,chardev=console"), "{line}");
    }

    #[test]
    fn ports_lead_to_the_guest_wherever_its_address_is() {
        let mut machine =
            machine().publish_port(Port::parse("8080:80").unwrap()).publish_port(Port::parse("0:53/udp").unwrap());
        assert!(line(&machine).contains("user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:0-:53"));
        machine.eth0.address = Address::parse("192.168.7.9/24");
        machine.eth0.gateway = Ipv4::parse("192.168.7.1");
        let line = line(&machine);
        let wanted = "user,id=net0,net=192.168.7.0/24,dhcpstart=192.168.7.9,host=192.168.7.1,dns=192.168.7.3,hostfwd=tcp:127.0.0.1:8080-192.168.7.9:80";
        assert!(line.contains(wanted), "{line}");
    }

    #[test]
    fn the_private_network_is_around_an_address_of_ipv6() {
        let mut machine = machine();
        machine.eth0.address6 = Address6::parse("fd00:5::9/64");
        let line = line(&machine);
        assert!(line.contains("user,id=net0,ipv6-net=fd00:5::/64,ipv6-host=fd00:5::2"), "{line}");
    }

    #[test]
    fn a_tap_has_its_own_mac_and_a_comma_in_a_name_is_escaped() {
        let mut machine = machine().network(Network::Tap("tap0".into()));
        machine.name = Some("a=1,b".into());
        machine.pcap = Some("/tmp/x,y.pcap".into());
        let line = line(&machine);
        assert!(line.contains("tap,id=net0,ifname=tap0,script=no,downscript=no"), "{line}");
        assert!(line.contains(",mac=52:54:00:"), "{line}");
        assert!(line.contains("-name guest=a=1,,b") && line.contains("file=/tmp/x,,y.pcap"), "{line}");
    }

    #[test]
    fn what_the_guest_is_told_is_no_argument_of_qemu() {
        let mut machine = machine().environment("PASSWORD", "secret");
        machine.gdb_port = Some(1234);
        let all = arguments(&machine, Accelerator::Tcg, Control::Socket(7)).join(" ");
        assert!(all.contains("socket,id=control,fd=7 ") && all.contains(" --preconfig -S "), "{all}");
        assert!(!all.contains("-append") && !all.contains("secret"), "{all}");
    }

    #[test]
    fn a_shell_reads_the_line_back() {
        let words = ["a b".to_owned(), "it's".into(), String::new(), "plain".into()];
        assert_eq!(shell_line(Path::new("q"), &words), r"q 'a b' 'it'\''s' '' plain");
    }

    #[test]
    fn versions_are_read_and_old_ones_refused() {
        assert_eq!(parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)"), Some((7, 2)));
        assert_eq!(parse_version("QEMU emulator version 10.0.2\n"), Some((10, 0)));
        assert_eq!(parse_version("something else"), None);
        assert!(untried((10, 2)).is_none() && untried((11, 0)).unwrap().contains("QEMU 11.0"));
        assert!(check_version(Path::new("q"), (7, 2)).is_ok() && check_version(Path::new("q"), (10, 0)).is_ok());
        let error = check_version(Path::new("q"), (5, 2)).unwrap_err();
        assert!(error.message().contains("QEMU 5.2") && error.cure().is_some());
    }
}
