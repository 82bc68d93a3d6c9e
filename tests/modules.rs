//! The boot module: found wherever it comes from, mapped in place, and nobody else's memory.

use toro_tests::{ALL_MACHINES, MachineType, ZERO_PAGE, guest};

/// Bytes that do not repeat.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = count as u64 | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// What the guest says of it, before and after all other memory was used.
fn told(module: &[u8]) -> String {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    format!("{} bytes, {:x}\n", module.len(), module.iter().fold(0xcbf2_9ce4_8422_2325, fnv)).repeat(2)
}

#[test]
fn what_the_vmm_hands_over_is_found_on_every_machine() {
    let module = bytes((5 << 20) + 123);
    for machine in ALL_MACHINES {
        guest("module")
            .machine(machine)
            .memory_mib(16)
            .module(&module)
            .run()
            .expect_status(0)
            .expect_stdout(&told(&module));
    }
}

#[test]
fn what_is_loaded_with_the_image_is_found_on_every_machine() {
    let module = bytes(5 << 20);
    for machine in ALL_MACHINES {
        let spec = guest("module").machine(machine).memory_mib(16).embedded_module(&module);
        spec.run().expect_status(0).expect_stdout(&told(&module));
    }
    let spec = guest("module").embedded_module(&module).by_linux_protocol(ZERO_PAGE.into(), &[]);
    spec.run().expect_status(0).expect_stdout(&told(&module));
}

#[test]
fn a_module_of_any_size_will_do() {
    for count in [1, 4096, 4097, (2 << 20) - 1, 40 << 20] {
        let module = bytes(count);
        guest("module").module(&module).run().expect_status(0).expect_stdout(&told(&module));
    }
}

#[test]
fn the_vmms_module_is_used_where_there_are_two() {
    let module = bytes(70_000);
    let spec = guest("module").embedded_module(&bytes(1 << 20)).module(&module);
    spec.run().expect_status(0).expect_stdout(&told(&module));
}

#[test]
fn without_a_module_there_is_none() {
    guest("module").run().expect_status(0).expect_stdout("no module\n");
}

#[test]
fn a_module_beyond_the_holes_of_a_large_machine_is_found() {
    let module = bytes(3 << 20);
    for (machine, mib) in [(MachineType::Microvm, 4096), (MachineType::Q35, 3072)] {
        let spec = guest("module").machine(machine).memory_mib(mib).module(&module);
        spec.arguments(&["quick"]).run().expect_status(0).expect_stdout(&told(&module));
    }
}

#[test]
fn a_module_that_does_not_fit_is_refused() {
    let spec = guest("module").memory_mib(4).embedded_module(&bytes(5 << 20));
    spec.run().expect_kind("boot").expect_message("does not fit into RAM; give the VM more memory (-m)");
}
