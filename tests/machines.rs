//! The matrix of machines: board, firmware, processors, memory. One line of result for each cell; `--nocapture` shows them.

use std::path::Path;

use toro_tests::{ConsoleDevice, LIMIT, MachineType, Spec, ZERO_PAGE, example, guest};

/// SeaBIOS for microvm, where its package is installed: QEMU's own choice there is qboot.
const MICROVM_SEABIOS: &str = "/usr/share/seabios/bios-microvm.bin";

/// A machine, and what it must be like.
struct Row {
    name: &'static str,
    machine: MachineType,
    console: ConsoleDevice,
    /// Further arguments of QEMU.
    arguments: &'static [&'static str],
    /// Where its devices are.
    transport: &'static str,
    /// What QEMU says when it goes off.
    ends: &'static str,
    /// The table of processors that SeaBIOS writes names the first core of each package, so each has its own.
    packages: bool,
}

/// A machine without anything that a PC had, as NEMU's: no UART, PIC, PIT or RTC.
const LEGACY_FREE: &[&str] = &["-machine", "pic=off,pit=off,rtc=off"];
const SEABIOS: &[&str] = &["-bios", MICROVM_SEABIOS];
const LEGACY_FREE_SEABIOS: &[&str] = &["-machine", "pic=off,pit=off,rtc=off", "-bios", MICROVM_SEABIOS];
/// Switched off.
const OFF: &str = "guest-shutdown";
/// Without ACPI there is nothing to switch off by: the machine resets, and QEMU ends.
const RESET: &str = "guest-reset";

const fn row(name: &'static str, machine: MachineType, transport: &'static str) -> Row {
    Row { name, machine, console: ConsoleDevice::Serial, arguments: &[], transport, ends: OFF, packages: false }
}

impl Row {
    const fn with(self, arguments: &'static [&'static str]) -> Row {
        Row { arguments, ..self }
    }

    const fn without_uart(self) -> Row {
        Row { console: ConsoleDevice::Virtio, ..self }
    }

    const fn core_by_package(self) -> Row {
        Row { packages: true, ..self }
    }

    const fn ending(self, ends: &'static str) -> Row {
        Row { ends, ..self }
    }

    fn spec(&self) -> Spec {
        guest("machine").machine(self.machine).console(self.console).qemu(self.arguments)
    }
}

const BOARDS: [Row; 13] = [
    row("microvm, qboot", MachineType::Microvm, "mmio"),
    row("microvm, SeaBIOS", MachineType::Microvm, "mmio").with(SEABIOS),
    row("microvm without ACPI, qboot", MachineType::MicrovmMinimal, "mmio").ending(RESET),
    row("microvm without ACPI, SeaBIOS", MachineType::MicrovmMinimal, "mmio")
        .with(SEABIOS)
        .ending(RESET)
        .core_by_package(),
    row("microvm with PCI, qboot", MachineType::MicrovmPci, "pci"),
    row("microvm with PCI, SeaBIOS", MachineType::MicrovmPci, "pci").with(SEABIOS),
    row("legacy-free, qboot", MachineType::MicrovmPci, "pci").with(LEGACY_FREE).without_uart(),
    row("legacy-free, SeaBIOS", MachineType::MicrovmPci, "pci").with(LEGACY_FREE_SEABIOS).without_uart(),
    row("q35, SeaBIOS", MachineType::Q35, "pci"),
    row("q35, qboot", MachineType::Q35Qboot, "pci"),
    row("q35 without UART", MachineType::Q35, "pci").without_uart(),
    row("pc, SeaBIOS", MachineType::Pc, "pci"),
    row("pc, qboot", MachineType::PcQboot, "pci"),
];

/// One cell: the guest runs, finds its device, and the machine goes off. What it was like, or what is wrong.
fn cell(row: &Row, spec: Spec, cores: u32) -> Result<String, String> {
    let spec = spec.command_line("log=info").with(|mut machine| {
        machine.rng = true;
        machine.cpus(cores)
    });
    let spec = if row.packages { spec.qemu(&["-smp", &format!("{cores},sockets={cores},cores=1")]) } else { spec };
    let running = spec.start();
    let end = running.guest.wait_until(Some(LIMIT), |said| said.shutdown_reason.clone());
    let run = running.finish();
    let (output, log) = (run.exit.stdout_text(), run.exit.log_text());
    let wrong = |what: &str| Err(format!("{what}\n{output}\n{log}\n{}", run.exit.vmm_messages));
    let said = format!("{cores} cores run\n");
    if run.exit.status() != 0 || output != said {
        return wrong(&format!("status {} ({})", run.exit.status(), run.exit.kind()));
    }
    let Some(device) = log.lines().find_map(|line| line.split_once("virtio-rng ")).map(|(_, place)| place) else {
        return wrong("no virtio-rng");
    };
    if !device.starts_with(row.transport) {
        return wrong(&format!("virtio-rng at {device}, not by {}", row.transport));
    }
    // QEMU may be gone before its last event is out; then it ended by itself, and that must do.
    let end = end.unwrap_or_else(|_| "ended".into());
    if end != row.ends && end != "ended" {
        return wrong(&format!("the machine ended by {end}, not {}", row.ends));
    }
    let console = if log.contains("virtio-console ") { "virtio-console" } else { "uart" };
    Ok(format!("{}, {console}, rng {device}, {end}", output.trim_end()))
}

/// Runs cells one after another, prints a line for each, and fails when one has.
fn matrix(cells: impl Iterator<Item = (String, Result<String, String>)>) {
    let mut failed = Vec::new();
    for (name, result) in cells {
        match result {
            Ok(what) => println!("{name:<44} {what}"),
            Err(why) => {
                println!("{name:<44} FAILED: {why}");
                failed.push(name);
            }
        }
    }
    assert!(failed.is_empty(), "failed: {}", failed.join("; "));
}

fn can_run(row: &Row) -> bool {
    let lacks = row.arguments.contains(&MICROVM_SEABIOS) && !Path::new(MICROVM_SEABIOS).exists();
    if lacks {
        toro_tests::skip(row.name, &format!("no {MICROVM_SEABIOS}; package seabios has it"));
    }
    !lacks
}

fn boards(cores: u32) {
    let rows = BOARDS.iter().filter(|row| can_run(row));
    matrix(rows.map(|row| (format!("{}, {cores} vCPUs", row.name), cell(row, row.spec(), cores))));
}

#[test]
fn every_board_with_one_processor() {
    boards(1);
}

#[test]
fn every_board_with_two_processors() {
    boards(2);
}

#[test]
fn every_board_with_four_processors() {
    boards(4);
}

/// The boards on which processor models and memory sizes are tried.
fn few() -> impl Iterator<Item = &'static Row> {
    BOARDS.iter().filter(|row| ["microvm, qboot", "q35, SeaBIOS", "pc, SeaBIOS"].contains(&row.name))
}

#[test]
fn every_processor_model() {
    const MODELS: [&str; 6] =
        ["qemu64", "Nehalem", "Haswell", "EPYC", "max", "max,-x2apic,-tsc-deadline,-rdrand,-rdseed"];
    let cells = few().flat_map(|row| MODELS.map(|model| (row, model)));
    matrix(
        cells.map(|(row, model)| (format!("{}, {model}", row.name), cell(row, row.spec().qemu(&["-cpu", model]), 2))),
    );
}

#[test]
fn every_size_of_memory() {
    // The hole for PCI lies below 4 GiB: from some size on, RAM goes on above it.
    const MIB: [u64; 6] = [2, 3, 64, 3584, 5 << 10, 64 << 10];
    let cells = few().flat_map(|row| MIB.map(|mib| (row, mib)));
    // A debug build is too large to stand beside SeaBIOS in 2 MiB; what ships does (`boot.rs`).
    let cells = cells.filter(|(row, mib)| *mib > 2 || row.machine == MachineType::Microvm);
    matrix(cells.map(|(row, mib)| {
        // The host need not have it: pages come when they are touched, and few are.
        let memory = format!("memory-backend-ram,id=ram,size={mib}M,reserve=off");
        let spec = row.spec().memory_mib(mib).qemu(&["-object", &memory, "-machine", "memory-backend=ram"]);
        (format!("{}, {mib} MiB", row.name), cell(row, spec, 1))
    }));
}

/// Boots `spec` and returns what is logged of a device.
#[track_caller]
fn device_line(spec: Spec, device: &str) -> String {
    let run = spec.command_line("log=info").run().expect_status(0);
    let log = run.exit.log_text();
    let line = log.lines().find_map(|line| line.split_once(device)).map(|(_, rest)| rest.trim().to_owned());
    line.unwrap_or_else(|| panic!("no {device}: {log}"))
}

const PORT: &[&str] = &["-device", "pcie-root-port,id=bridge,chassis=1", "-device", "virtio-rng-pci,bus=bridge"];
const BRIDGE: &[&str] =
    &["-device", "pci-bridge,id=bridge,chassis_nr=1", "-device", "virtio-rng-pci,disable-legacy=on,bus=bridge,addr=1"];

#[test]
fn devices_behind_a_bridge_are_reached() {
    // SeaBIOS sets bridges up, qboot gives them buses but no memory, on microvm nobody does either.
    for machine in [MachineType::Q35, MachineType::Q35Qboot, MachineType::MicrovmPci] {
        assert_eq!(device_line(guest("machine").machine(machine).qemu(PORT), "virtio-rng "), "pci 01:00.0");
    }
    for machine in [MachineType::Pc, MachineType::PcQboot] {
        assert_eq!(device_line(guest("machine").machine(machine).qemu(BRIDGE), "virtio-rng "), "pci 01:01.0");
    }
}

#[test]
fn registers_far_above_4_gib_are_reached() {
    // Where Firecracker and Cloud Hypervisor put them; moved there through the window of configuration space.
    for high in [0x40, 0x3fff] {
        let bar4 = 0xb000_0000 + (1 << 15) + 0x20;
        let spec = example("http_server").machine(MachineType::Q35).ports(&[80]).qemu(&["-cpu", "max,phys-bits=46"]);
        let running = spec.by_linux_protocol(ZERO_PAGE.into(), &[(bar4, 0x8000_000c), (bar4 + 4, high)]).start();
        assert_eq!(running.connect(80).get("/").0, 200);
        running.stop().expect_kind("stopped");
    }
}

#[test]
fn an_announced_device_is_found_whatever_unit_its_size_has() {
    for size in ["512", "4K"] {
        let spec = guest("machine").with(|mut machine| {
            machine.rng = true;
            machine.raw_cmdline = format!("virtio_mmio.device={size}@0xfeb02e00:47 log=info");
            machine
        });
        spec.run().expect_status(0).expect_log("virtio-rng mmio 0xfeb02e00");
    }
}

#[test]
fn a_card_without_msi_x_is_told_and_the_machine_starts() {
    let card =
        ["-netdev", "user,id=card", "-device", "virtio-net-pci,disable-legacy=on,netdev=card,vectors=0,romfile="];
    for machine in [MachineType::Q35, MachineType::PcQboot] {
        let line = device_line(guest("machine").machine(machine).qemu(&card), "error: virtio-net ");
        assert!(line.contains("it has no MSI-X"), "{line}");
    }
}

/// Whether QEMU can give processors numbers of more than eight bits; says so when it cannot.
fn emulates_x2apic() -> bool {
    let (major, minor) = toro_vmm::guest::can_start(None).unwrap_or_else(|error| panic!("{error}"));
    if major < 9 {
        toro_tests::skip("x2APIC", &format!("QEMU {major}.{minor} does not emulate it; 9.0 does"));
    }
    major >= 9
}

#[test]
fn numbers_that_need_more_than_eight_bits_are_no_obstacle() {
    if !emulates_x2apic() {
        return;
    }
    // One processor on each of four sockets, whose numbers are 128 apart.
    let others = ["1", "2", "3"].map(|socket| format!("max-x86_64-cpu,socket-id={socket},core-id=0,thread-id=0"));
    let mut arguments = vec!["-cpu", "max", "-smp", "1,sockets=4,cores=65,maxcpus=260"];
    arguments.extend(others.iter().flat_map(|device| ["-device", device]));
    let run = guest("cores").machine(MachineType::Q35).qemu(&arguments).run();
    run.expect_status(0).expect_stdout("4 cores, 1 leader\n");
}

#[test]
fn a_core_whose_number_needs_x2apic_runs() {
    if !emulates_x2apic() {
        return;
    }
    let core = "max-x86_64-cpu,socket-id=1,core-id=0,thread-id=0,x2apic=on";
    let processors = ["-cpu", "max,+x2apic", "-smp", "1,maxcpus=512,sockets=2,cores=256,threads=1", "-device", core];
    for machine in [MachineType::Q35, MachineType::Q35Qboot] {
        guest("machine").machine(machine).qemu(&processors).run().expect_status(0).expect_stdout("2 cores run\n");
    }
}
