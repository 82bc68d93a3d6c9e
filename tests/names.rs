//! Names: where they are looked up, and who says so.

use toro_tests::{Libc, MachineType, Program, Spec, built, guest};

/// A card on QEMU's own network, whose DHCP names domains.
fn with_domains(spec: Spec, options: &str) -> Spec {
    let netdev = format!("user,id=net0{options}");
    spec.machine(MachineType::Microvm)
        .with(|machine| machine.vmm_arguments(["-netdev", &netdev, "-device", "virtio-net-device,netdev=net0"]))
}

/// The two are the addresses of a name that has some of both families: first those that there is a way to.
fn expect_names(spec: Spec, server: &str, further: &str, [first, second]: [&str; 2]) {
    // Nobody has port 53 of the first server: it refuses at once.
    let line = format!("dns=127.0.0.2 dns={server} host=db.internal:10.1.1.1 {further}");
    spec.command_line(&line).arguments(&[server]).run().expect_status(0).expect_lines([
        "10.9.8.7: [10.9.8.7]",
        "localhost: [127.0.0.1, ::1]",
        "db.internal: [10.1.1.1]",
        &format!("both.example: [{first}, {second}]"),
        "alias.example: [10.0.0.1]",
        "short: [10.0.0.2]",
        "nobody.example: NotFound, there is no such name",
        "bad..name: InvalidInput, nothing can have such a name",
        "old.example: [10.0.0.3]",
        "many.example: 256 and so on",
        "half.example: [10.0.0.4]",
        "connected: true",
        "true",
        "Err(NotFound)",
    ]);
}

#[test]
fn names_are_looked_up() {
    for server in ["127.0.0.1", "::1"] {
        expect_names(guest("names"), server, "search=domain.test", ["2001:db8::7", "10.0.0.1"]);
    }
}

#[test]
fn dhcp_names_the_domains_of_short_names() {
    for options in [",dnssearch=other.domain.test,dnssearch=domain.test", ",domainname=domain.test"] {
        expect_names(with_domains(guest("names"), options), "127.0.0.1", "ip=dhcp", ["10.0.0.1", "2001:db8::7"]);
    }
}

#[test]
fn a_linux_program_reads_what_dhcp_says() {
    let Some(program) = built(Program::c("resolver", Libc::Musl)) else { return };
    let expect = |options, line, text| {
        with_domains(program.guest(&[]), options).command_line(line).run().expect_status(0).expect_stdout(text);
    };
    expect("", "ip=dhcp", "nameserver 10.0.2.3\n");
    expect(",domainname=lab.test", "ip=dhcp", "nameserver 10.0.2.3\nsearch lab.test\n");
    let domains = ",dnssearch=lab.test,dnssearch=dev.lab.test";
    expect(domains, "ip=dhcp", "nameserver 10.0.2.3\nsearch lab.test dev.lab.test\n");
    // What the user says counts.
    let said = "ip=dhcp dns=10.9.9.9 search=mine.test";
    expect(domains, said, "nameserver 10.9.9.9\nsearch mine.test\n");
}
