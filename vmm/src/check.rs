//! What a VMM would refuse in its own words, or accept and then behave strangely: found before it is started.

use crate::addresses;
use crate::error::Error;
use crate::machine::{MEMORY_BYTES_MIN, Machine, MachineType, Network};
use crate::ports;
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
    if machine.network != Network::User && !machine.ports.is_empty() {
        return Err(Error::new("cannot publish ports: only the user network forwards them")
            .help("leave -p out, or use --net user"));
    }
    if machine.network == Network::None && machine.pcap.is_some() {
        return Err(Error::new("cannot record frames: there is no network").help("leave --pcap or --net none out"));
    }
    addresses::check(machine)?;
    check_length(machine, command_line)?;
    if let Some(port) = machine.gdb_port
        && let Err(error) = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port))
    {
        return Err(Error::new(format!("cannot wait for a debugger on port {port}: {error}"))
            .help("end the other guest that waits for one"));
    }
    ports::check_all(&machine.ports)
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
    use toro_abi::console::Token;

    fn check_with(machine_type: MachineType, value_bytes: usize) -> Result<(), Error> {
        let image = Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        let machine = Machine::new(image).machine_type(machine_type).network(Network::None).arguments(["x"]);
        let machine = machine.environment("SHORT", "1").environment("BIG", &"b".repeat(value_bytes));
        check(&machine, &machine.command_line(Token::from_random(1)))
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
