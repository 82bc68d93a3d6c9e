//! Memory that many cores share.

use toro_tests::guest;

#[test]
fn cores_give_stacks_back_at_each_other() {
    let said = |stacks, of: &str| format!("{stacks} stacks on {of} cores\n");
    for (cpus, said) in [(1, said(400, "1 of 1")), (2, said(800, "2 of 2")), (4, said(1200, "3 of 4"))] {
        guest("unmap").cpus(cpus).run().expect_status(0).expect_stdout(&said);
    }
}

#[test]
fn a_core_forgets_what_another_unmapped() {
    for reader in ["asleep", "awake"] {
        let guest = guest("stale").arguments(&[reader]).cpus(2);
        guest.run().expect_status(0).expect_stdout("40 stacks at 1 place\n");
    }
}

#[test]
fn what_others_keep_is_given_back_when_memory_runs_out() {
    for cpus in [1, 2, 4] {
        let guest = guest("memory_elsewhere").cpus(cpus);
        guest.run().expect_status(0).expect_stdout(&"512\n".repeat(4));
    }
}
