//! Boot and power-off: on every machine, in little and in much memory, at another base each time.

use std::collections::HashSet;

use toro_tests::{ALL_MACHINES, ConsoleDevice, MACHINES, MachineType, example, guest};

#[test]
fn every_machine_boots_and_goes_off() {
    for machine in ALL_MACHINES {
        guest("exit_code").machine(machine).run().expect_kind("exit").expect_status(42);
    }
}

#[test]
fn a_console_without_a_uart_says_the_same() {
    for machine in MACHINES {
        let run = guest("exit_code").machine(machine).console(ConsoleDevice::Virtio).run();
        run.expect_status(42).expect_stdout("hello from ring 0\n");
    }
}

#[test]
fn two_mebibytes_are_enough() {
    for machine in MACHINES {
        example("hello").machine(machine).memory_mib(2).run().expect_status(0);
    }
}

#[test]
fn any_size_of_memory_will_do() {
    for mib in [3, 5, 17, 127, 1023, 3072, 4096] {
        guest("exit_code").memory_mib(mib).run().expect_status(42);
        guest("exit_code").machine(MachineType::Q35).memory_mib(mib).run().expect_status(42);
    }
}

#[test]
fn sixteen_gibibytes_are_not_touched() {
    // The host gives pages when they are touched: a kernel that walked its memory would not come through here.
    guest("exit_code").memory_mib(16 << 10).run().expect_status(42);
    guest("exit_code").machine(MachineType::Pc).memory_mib(16 << 10).run().expect_status(42);
}

#[test]
fn all_of_64_gibibytes_can_be_used() {
    // Most of it lies beyond the hole for devices. Nothing is reserved on the host, which need not have so much.
    let reserve_nothing =
        ["-object", "memory-backend-ram,id=ram,size=64G,reserve=off", "-machine", "memory-backend=ram"];
    for machine in [MachineType::Microvm, MachineType::Q35, MachineType::Pc] {
        let guest = guest("all_memory").arguments(&["60"]).machine(machine).memory_mib(64 << 10);
        guest.qemu(&reserve_nothing).run().expect_status(0).expect_stdout("60 GiB\n");
    }
}

#[test]
fn the_image_is_at_another_base_each_time() {
    let base = || {
        let machine = guest("exit_code").start();
        let base = machine.guest.wait_until(Some(toro_tests::LIMIT), toro_vmm::Transcript::image_base);
        base.expect("the kernel says where it is")
    };
    let bases: HashSet<u64> = (0..8).map(|_| base()).collect();
    assert!(bases.len() >= 7, "out of 2^24 places only {bases:x?} in 8 boots");
}

#[test]
fn a_debugger_gets_a_fixed_base() {
    let fixed = guest("exit_code").command_line("kaslr=off").start();
    let base = fixed.guest.wait_until(Some(toro_tests::LIMIT), toro_vmm::Transcript::image_base);
    let again = guest("exit_code").command_line("kaslr=off").start();
    assert_eq!(base, again.guest.wait_until(Some(toro_tests::LIMIT), toro_vmm::Transcript::image_base));
}
