//! What a VMM would refuse in its own words, or accept and then behave strangely: found before it is started.

use crate::addresses;
use crate::addresses6;
use crate::elf;
use crate::error::Error;
use crate::machine::{MEMORY_BYTES_MIN, Machine, MachineType, Network};
use crate::ports;
use std::fs::OpenOptions;
use toro_abi::percent;

/// Checks a machine and the command line that its guest is given.
pub(crate) fn check(machine: &Machine, command_line: &str) -> Result<(), Error> {
    let fail = |why: &str| Error::new(format!("cannot start {}: {why}", machine.image.name));
    if machine.memory_bytes < MEMORY_BYTES_MIN {
        return Err(fail("2 MiB of memory at least").help("-m 2M"));
    }
    if machine.cpus == 0 {
        return Err(fail("it needs a processor").help("--cpus 1"));
    }
    if !machine.ports.is_empty() && machine.cards().all(|card| card.network != Network::User) {
        return Err(Error::new("cannot publish ports: only the user network forwards them")
            .help("leave -p out, or use --net user"));
    }
    if machine.eth0.network == Network::None && machine.pcap.is_some() {
        return Err(Error::new("cannot record frames: there is no network").help("leave --pcap or --net none out"));
    }
    let eth0 = &machine.eth0;
    let has_address =
        eth0.address.is_some() || eth0.gateway.is_some() || eth0.address6.is_some() || eth0.gateway6.is_some();
    if eth0.network == Network::None && has_address {
        return Err(fail("there is no network to have an address on").help("leave --ip and its kin or --net none out"));
    }
    check_files(machine)?;
    addresses::check(machine)?;
    addresses6::check(machine)?;
    check_memory(machine)?;
    check_length(machine, command_line)?;
    if let Some(port) = machine.gdb_port
        && let Err(error) = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port))
    {
        return Err(Error::new(format!("cannot wait for a debugger on port {port}: {error}"))
            .help("end the other guest that waits for one"));
    }
    ports::check_all(&machine.ports)
}

/// Files that QEMU opens: it is told their names as text, and writes a core when it is too late to choose another.
fn check_files(machine: &Machine) -> Result<(), Error> {
    let files = [Some(&machine.image.boot), machine.pcap.as_ref(), machine.core.as_ref()];
    if let Some(file) = files.into_iter().flatten().find(|file| file.to_str().is_none()) {
        return Err(Error::new(format!("cannot use {}: QEMU is told names of UTF-8 alone", file.display()))
            .help("give the file another name"));
    }
    let Some(core) = &machine.core else { return Ok(()) };
    let tried = match core.metadata() {
        Ok(there) if there.is_file() || there.is_dir() => OpenOptions::new().write(true).open(core).map(drop),
        Ok(_) => Ok(()),
        // Where a link leads is made when it is written.
        Err(_) if core.is_symlink() => Ok(()),
        // Nobody may write it meanwhile: it is gone at once.
        Err(_) => OpenOptions::new().write(true).create_new(true).open(core).and_then(|_| std::fs::remove_file(core)),
    };
    tried.map_err(|error| {
        Error::new(format!("cannot write {}: {error}", core.display())).help("--core FILE names a file to write to")
    })
}

/// What a kernel needs beside itself and its module to come up at all; with less it refuses to.
const WORKING_BYTES: u64 = 256 << 10;

/// What SeaBIOS takes at the end of memory while the kernel is in its place already: its own code, and room to work. It looks at
/// nothing that is there.
const SEABIOS_BYTES: u64 = 384 << 10;

/// Whether the kernel fits, with its module or with what the firmware overwrites, as far as the host can know.
fn check_memory(machine: &Machine) -> Result<(), Error> {
    let is_seabios = matches!(machine.machine_type, MachineType::Pc | MachineType::Q35);
    let image = std::fs::read(&machine.image.boot).ok().and_then(|bytes| elf::loaded(&bytes)).unwrap_or_default();
    let (what, more, mib_min) = match &machine.module {
        Some(module) => ("kernel and files", module.len_bytes() + WORKING_BYTES, 64),
        None if is_seabios => ("kernel and SeaBIOS", SEABIOS_BYTES, 0),
        None => return Ok(()),
    };
    let needed = image.end + more;
    if needed <= machine.memory_bytes {
        return Ok(());
    }
    let needed_mib = needed.div_ceil(1 << 20);
    Err(Error::new(format!(
        "cannot start {}: {what} take {needed_mib} MiB, and the machine has {} MiB",
        machine.image.name,
        machine.memory_bytes >> 20
    ))
    .help(format!("give it more memory: -m {}M", needed_mib.next_power_of_two().max(mib_min))))
}

/// What the guest's kernel keeps, less the end of the text.
const LINE_BYTES_MAX: usize = 8191;
/// What QEMU's option ROM for PVH copies under SeaBIOS; more overwrites the start info behind it.
const LINE_BYTES_MAX_SEABIOS: usize = 4095;
/// QEMU appends `virtio_mmio.device=512@0xfeb00e00:12` for each device where ACPI does not tell of them.
const ANNOUNCED_BYTES: usize = 4 * 40;

/// The longest command line that reaches the guest in one piece.
pub(crate) fn line_bytes_max(machine_type: MachineType) -> usize {
    match machine_type {
        MachineType::Pc | MachineType::Q35 => LINE_BYTES_MAX_SEABIOS,
        MachineType::MicrovmMinimal => LINE_BYTES_MAX - ANNOUNCED_BYTES,
        _ => LINE_BYTES_MAX,
    }
}

fn check_length(machine: &Machine, command_line: &str) -> Result<(), Error> {
    let (length, limit) = (command_line.len(), line_bytes_max(machine.machine_type));
    if length <= limit {
        return Ok(());
    }
    let encoded = |text: &str| percent::encode(text.as_bytes()).len();
    let arguments: usize = machine.arguments.iter().map(|text| encoded(text)).sum();
    let variables = machine.environment.iter().map(|(name, value)| (encoded(name) + encoded(value), name));
    let environment: usize = variables.clone().map(|(bytes, _)| bytes).sum();
    let longest = variables.max().map(|(bytes, name)| format!(", {bytes} of them {name}")).unwrap_or_default();
    let error = Error::new(format!(
        "cannot start {}: its command line has {length} bytes and {} takes {limit}; \
         arguments have {arguments} of them, environment variables {environment}{longest}",
        machine.image.name,
        machine.machine_type.name(),
    ));
    let is_fine_elsewhere = length <= line_bytes_max(MachineType::Microvm);
    Err(error.help(match is_fine_elsewhere {
        true => "pass less, or take --machine microvm, which takes 8191 bytes",
        false => "pass less; what is long can come by standard input or the network",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::machine::Module;
    use crate::memory_file::MemoryFile;
    use std::path::Path;
    use toro_abi::console::Token;

    fn check_with(machine_type: MachineType, value_bytes: usize) -> Result<(), Error> {
        let image = Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        let machine = Machine::new(image).machine_type(machine_type).network(Network::None).arguments(["x"]);
        let machine = machine.environment("SHORT", "1").environment("BIG", &"b".repeat(value_bytes));
        check(&machine, &machine.command_line(Token::from_random(1)))
    }

    #[test]
    fn a_module_that_does_not_fit_is_refused() {
        let image = Image { name: "server".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        let mut machine = Machine::new(image).network(Network::None);
        let module = MemoryFile::new("test").unwrap();
        module.file().set_len(62 << 20).unwrap();
        machine.module = Some(Module::Memory(module.clone()));
        assert_eq!(check(&machine, ""), Ok(()));
        module.file().set_len(64 << 20).unwrap();
        let error = check(&machine, "").unwrap_err();
        assert_eq!(error.message(), "cannot start server: kernel and files take 65 MiB, and the machine has 64 MiB");
        assert!(error.cure().unwrap().contains("-m 128M"));
    }

    /// An ELF that has one segment and nothing else, from 1 MiB on.
    fn elf_of(memory_bytes: u64) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(16, &[2, 0, 62, 0, 1]);
        put(32, &[64]); // where the program headers are
        put(52, &[64, 0, 56, 0, 1, 0, 64]);
        put(64, &[1, 0, 0, 0, 7]);
        put(64 + 24, &0x10_0000_u64.to_le_bytes());
        put(64 + 40, &memory_bytes.to_le_bytes());
        bytes
    }

    #[test]
    fn what_seabios_would_overwrite_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let boot = folder.path().join("app.elf");
        let check_in = |machine_type, bytes: u64| {
            std::fs::write(&boot, elf_of(bytes)).unwrap();
            let image = Image { name: "app".into(), boot: boot.clone(), symbols: boot.clone() };
            let machine = Machine::new(image).machine_type(machine_type).network(Network::None).memory(2 << 20);
            check(&machine, "")
        };
        const FITS: u64 = (1 << 20) - SEABIOS_BYTES;
        for machine_type in [MachineType::Pc, MachineType::Q35] {
            assert_eq!(check_in(machine_type, FITS), Ok(()));
            let error = check_in(machine_type, FITS + 1).unwrap_err();
            assert_eq!(error.message(), "cannot start app: kernel and SeaBIOS take 3 MiB, and the machine has 2 MiB");
            assert_eq!(error.cure(), Some("give it more memory: -m 4M"));
        }
        assert_eq!(check_in(MachineType::Microvm, FITS + 1), Ok(()));
    }

    #[test]
    fn a_core_that_cannot_be_written_is_told_before_the_guest_starts() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("core"), folder.path().join("link"));
        let image = Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        let mut machine = Machine::new(image).network(Network::None);
        let mut check_core = |core: &Path| {
            machine.core = Some(core.into());
            check(&machine, "")
        };
        for core in [folder.path(), &folder.path().join("missing/core")] {
            let error = check_core(core).unwrap_err();
            assert!(error.message().starts_with(&format!("cannot write {}: ", core.display())), "{error}");
            assert_eq!(error.cure(), Some("--core FILE names a file to write to"));
        }
        assert_eq!(check_core(&file), Ok(()));
        assert!(!file.exists(), "nothing is left of the trial");
        std::fs::write(&file, "older").unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!([&file, &link, Path::new("/dev/null")].into_iter().all(|core| check_core(core).is_ok()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "older");
    }

    #[test]
    fn a_name_that_qemu_would_not_get_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let name = std::path::PathBuf::from(std::ffi::OsString::from_vec(b"/k/a\xff".to_vec()));
        let set: [fn(&mut Machine, std::path::PathBuf); 3] = [
            |machine, name| machine.image.boot = name,
            |machine, name| machine.pcap = Some(name),
            |machine, name| machine.core = Some(name),
        ];
        for set in set {
            let image = Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
            let mut machine = Machine::new(image);
            set(&mut machine, name.clone());
            let error = check(&machine, "").unwrap_err();
            assert!(error.message().contains("names of UTF-8 alone") && error.cure().is_some(), "{error}");
        }
    }

    #[test]
    fn a_machine_without_a_network_has_no_address() {
        use toro_abi::network::{Address, Address6};
        let image = || Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        let [mut first, mut second] = [image(), image()].map(|image| Machine::new(image).network(Network::None));
        first.eth0.address = Address::parse("10.0.0.15/24");
        second.eth0.address6 = Address6::parse("fd00::15/64");
        for machine in [first, second] {
            let error = check(&machine, "").unwrap_err();
            assert!(error.message().contains("there is no network") && error.cure().is_some(), "{error}");
        }
    }

    #[test]
    fn a_command_line_that_would_be_cut_is_refused() {
        for machine_type in [MachineType::Pc, MachineType::Q35] {
            assert_eq!(check_with(machine_type, 3800), Ok(()));
            let error = check_with(machine_type, 4100).unwrap_err();
            let message = error.message();
            assert!(message.contains(&format!("{} takes 4095;", machine_type.name())), "{message}");
            assert!(
                message.contains("arguments have 4 of them, environment variables 4109, 4103 of them BIG"),
                "{message}"
            );
            assert!(error.cure().unwrap().contains("--machine microvm"), "{error}");
        }
        for machine_type in MachineType::ALL.into_iter().filter(|it| line_bytes_max(*it) > LINE_BYTES_MAX_SEABIOS) {
            assert_eq!(check_with(machine_type, 7700), Ok(()));
            let error = check_with(machine_type, 8200).unwrap_err();
            assert!(error.message().contains("BIG") && error.cure().unwrap().contains("standard input"), "{error}");
        }
    }
}
