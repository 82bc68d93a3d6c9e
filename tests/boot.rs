//! Boot and power-off: on every machine, in little and in much memory, whatever the VMM says.

use toro_tests::{MACHINES, guest};

#[test]
fn every_machine_boots_and_goes_off() {
    for machine in MACHINES {
        guest("exit_code").machine(machine).run().expect_kind("exit");
    }
}
