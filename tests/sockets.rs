//! `toro::net` from a program's side: over loopback, and as a client of this host.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::thread;

use toro_tests::{MACHINES, Network, Spec, guest};

/// This host, as a guest on QEMU's own network sees it.
const HOST: &str = "10.0.2.2";

#[test]
fn a_machine_without_a_card_talks_to_itself() {
    guest("sockets").run().expect_status(0).expect_stdout("all is well\n");
}

#[test]
fn sockets_that_never_wait_are_used_from_any_core() {
    for cores in [1, 4] {
        let machine = guest("readiness").with(|machine| machine.cpus(cores));
        machine.run().expect_status(0).expect_stdout("all is well\n");
    }
}

#[test]
fn a_small_machine_talks_to_itself_beside_a_card() {
    guest("sockets").memory_mib(5).with(|machine| machine.network(Network::User)).run().expect_status(0);
}

#[test]
fn a_program_connects_to_this_host() {
    // Connecting waits for the address that DHCP brings.
    expect_conversations(Ipv4Addr::LOCALHOST.into(), HOST, |spec| spec.command_line("ip=dhcp"));
}

/// Has a guest on QEMU's own network talk to this host: where it listens, as the guest sees that.
pub(crate) fn expect_conversations(here: IpAddr, seen: &str, prepare: impl Fn(Spec) -> Spec) {
    for machine in MACHINES {
        let listener = TcpListener::bind((here, 0)).expect("a port of this host");
        let address = format!("{seen}:{}", listener.local_addr().expect("bound").port());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the guest connects");
            let mut question = String::new();
            stream.read_to_string(&mut question).expect("it asks");
            stream.write_all(question.to_uppercase().as_bytes()).expect("it listens");
        });
        let client = guest("client").machine(machine).with(|machine| machine.network(Network::User));
        prepare(client).arguments(&[&address, "hello", "host"]).run().expect_status(0).expect_stdout("HELLO\nHOST\n");
        server.join().expect("the server ends");
    }
}

#[test]
fn a_refused_connection_says_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of this host");
    let address = format!("{HOST}:{}", listener.local_addr().expect("bound").port());
    drop(listener);
    let client = guest("client").with(|machine| machine.network(Network::User)).arguments(&[&address]);
    client.run().expect_status(1).expect_stderr("Error: Kind(ConnectionRefused)\n");
    // Without a card there is no network to reach anybody by.
    guest("client").arguments(&[&address]).run().expect_status(1).expect_stderr("Error: Kind(NetworkUnreachable)\n");
}
