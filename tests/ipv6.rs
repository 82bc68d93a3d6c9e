//! IPv6: addresses that were chosen and such that routers make possible, servers and clients of both kinds, names.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;

use crate::sockets::expect_conversations;
use toro_tests::{
    Client, LIMIT, Libc, MACHINES, MachineType, Network, Program, Spec, built, example, frames, guest, has_ipv6,
    on_private_network, run,
};
use toro_vmm::abi::network::Address6;
use toro_vmm::abi::sockets::Socket;

/// The guest on the TAP interface, and this host.
const GUEST: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 2);
const HOST: &str = "fd00:77::1/64";

/// Runs `test` in a network of its own that has both families.
fn on_both(name: &str, test: impl FnOnce() + Send) {
    if !has_ipv6(name) {
        return;
    }
    on_private_network(name, || {
        run("ip", &["-6", "address", "add", HOST, "dev", "tap0", "nodad"]).expect("the host has IPv6");
        test();
    });
}

/// A machine on the TAP interface with addresses of both families.
fn on_tap(spec: Spec) -> Spec {
    spec.on_tap().with(|mut machine| {
        machine.eth0.address6 = Some(Address6::Static { ip: GUEST, prefix: 64 });
        machine
    })
}

/// Where a port of the guest is, by each family.
fn both(port: u16) -> [SocketAddr; 2] {
    [SocketAddr::from((GUEST, port)), SocketAddr::from(([10, 77, 0, 2], port))]
}

#[test]
fn a_server_is_reached_by_both_families() {
    on_both("a_server_is_reached_by_both_families", || {
        for machine in MACHINES {
            let running = on_tap(example("http_server").machine(machine)).start();
            running.guest.wait_for_listen(80, LIMIT).expect("the guest listens");
            for address in both(80) {
                let mut client = Client::connect(address);
                for _ in 0..20 {
                    assert_eq!(client.get("/").0, 200, "{address}");
                }
            }
            running.stop().expect_kind("stopped");
        }
    });
}

/// Connections are spread over all cores, each of which knows the addresses that the first one has.
#[test]
fn every_core_answers() {
    on_both("every_core_answers", || {
        let running = on_tap(example("http_server").with(|machine| machine.cpus(4))).start();
        running.guest.wait_for_listen(80, LIMIT).expect("the guest listens");
        let mut clients: Vec<Client> = both(80).into_iter().cycle().take(64).map(Client::connect).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").0, 200);
        }
        let told = running.guest.network(LIMIT).expect("the guest tells");
        let cores: BTreeSet<u8> = told.sockets.iter().filter(|socket| is_of_ipv6(socket)).map(|it| it.core).collect();
        assert_eq!(cores.len(), 4, "{told:?}");
        running.stop().expect_kind("stopped");
    });
}

/// Whether a socket is a connection of the guest's address of IPv6.
fn is_of_ipv6(socket: &Socket) -> bool {
    socket.local.ip() == GUEST && socket.remote.is_some()
}

#[test]
fn a_linux_server_is_reached_by_both_families() {
    on_both("a_linux_server_is_reached_by_both_families", || {
        for program in [Program::rust("std_server"), Program::go("server")].into_iter().filter_map(built) {
            let running = on_tap(program.guest(&["[::]:80"])).start();
            running.guest.wait_for_listen(80, LIMIT).expect("the guest listens");
            for address in both(80) {
                assert_eq!(Client::connect(address).get("/").0, 200, "{address}");
            }
            // As Linux ends it.
            running.stop().expect_status(143);
        }
    });
}

#[test]
fn much_goes_both_ways() {
    const BYTES: usize = 4 << 20;
    on_both("much_goes_both_ways", || {
        for memory_mib in [16, 64] {
            let running = on_tap(guest("tcp_echo").memory_mib(memory_mib)).start();
            running.guest.wait_for_listen(7, LIMIT).expect("the guest listens");
            let sent: Vec<u8> = (0..BYTES as u32).map(|number| (number / 9) as u8).collect();
            let mut client = Client::connect(SocketAddr::from((GUEST, 7)));
            let mut reader = client.clone_handle();
            thread::scope(|scope| {
                scope.spawn(|| {
                    client.send(&sent);
                    client.end_of_stream();
                });
                assert!(reader.receive_all() == sent, "the same comes back");
            });
        }
    });
}

/// A machine that is not on the link is reached by the gateway, of a chosen address or of the link's own.
#[test]
fn the_gateway_leads_elsewhere() {
    const ELSEWHERE: &str = "2001:db8:99::1";
    on_both("the_gateway_leads_elsewhere", || {
        run("ip", &["-6", "address", "add", &format!("{ELSEWHERE}/128"), "dev", "lo", "nodad"]).expect("an address");
        run("ip", &["-6", "address", "add", "fe80::1/64", "dev", "tap0", "nodad"]).expect("an address");
        for gateway in [None, Some("fd00:77::1"), Some("fe80::1")] {
            let listener = TcpListener::bind((ELSEWHERE, 0)).expect("a port of this host");
            let address = listener.local_addr().expect("bound").to_string();
            let client = on_tap(guest("client").arguments(&[&address])).with(|mut machine| {
                machine.eth0.gateway6 = gateway.map(|gateway| gateway.parse().expect("an address"));
                machine
            });
            if gateway.is_none() {
                client.run().expect_status(1).expect_stderr("Error: Kind(NetworkUnreachable)\n");
                continue;
            }
            let server = thread::spawn(move || {
                let (mut stream, from) = listener.accept().expect("the guest connects");
                stream.write_all(from.ip().to_string().as_bytes()).expect("it listens");
            });
            client.run().expect_status(0).expect_stdout(&GUEST.to_string());
            server.join().expect("the server ends");
        }
    });
}

#[test]
fn datagrams_come_back_whole() {
    on_both("datagrams_come_back_whole", || {
        let running = on_tap(guest("udp_echo")).start();
        running.wait_for("ready");
        for address in both(7) {
            let here: SocketAddr = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().expect("an address");
            let socket = UdpSocket::bind(here).expect("a free port");
            socket.connect(address).expect("an address");
            socket.set_read_timeout(Some(LIMIT)).expect("a time above zero");
            for length in [1, 100, 1452, 1453, 20_000] {
                let (sent, mut back) = (vec![length as u8; length], vec![0; 30_000]);
                socket.send(&sent).expect("sent");
                let length = socket.recv(&mut back).expect("an answer");
                assert_eq!(back[..length], sent);
            }
        }
    });
}

/// QEMU's own network has a router of IPv6, and reaches this host by it.
#[test]
fn a_program_connects_by_what_a_router_says() {
    if !has_ipv6("a_program_connects_by_what_a_router_says") {
        return;
    }
    // Connecting waits for the address that the router makes possible.
    expect_conversations(Ipv6Addr::LOCALHOST.into(), "[fec0::2]", |spec| spec);
}

/// The same around an address that was chosen.
#[test]
fn a_private_network_is_around_the_guest() {
    if !has_ipv6("a_private_network_is_around_the_guest") {
        return;
    }
    let chosen = Address6::parse("fd00:5::2/64");
    expect_conversations(Ipv6Addr::LOCALHOST.into(), "[fd00:5::4]", |spec| {
        spec.with(|mut machine| {
            machine.eth0.address6 = chosen;
            machine
        })
    });
}

#[test]
fn who_speaks_no_ipv6_reaches_nobody() {
    let client = guest("client").with(|machine| machine.network(Network::User)).command_line("ip6=none");
    client.arguments(&["[fec0::2]:1"]).run().expect_status(1).expect_stderr("Error: Kind(NetworkUnreachable)\n");
}

/// A router that names a network, servers and domains: an address is made, and a Linux program reads who is asked for names.
#[test]
fn routers_name_the_servers_of_names() {
    let Some(program) = built(Program::c("resolver", Libc::Musl)) else { return };
    let (spec, wire) = program.guest(&[]).wire_on(MachineType::Microvm);
    let running = spec.command_line("ip=dhcp").start();
    wire.receive_until("question for routers", |frame| frames::is_router_solicitation(frame).then_some(()));
    let prefix = [&[3, 4, 64, 0xc0][..], &[0, 0, 0x70, 0x80, 0, 0, 0x70, 0x80, 0, 0, 0, 0], &network(0x55)].concat();
    let servers = [&[25, 5, 0, 0, 0, 0, 0x70, 0x80][..], &network(0x53), &network(0x54)].concat();
    let domains = [&[31, 3, 0, 0, 0, 0, 0x70, 0x80][..], b"\x03lab\x04test\0\0\0\0\0\0\0"].concat();
    wire.send(&frames::router_advertisement(&[prefix, servers, domains].concat()));
    assert!(running.address().starts_with("fd00:55::"), "{}", running.address());
    let text = "nameserver fd00:53::\nnameserver fd00:54::\nsearch lab.test\n";
    running.finish().expect_status(0).expect_stdout(text);
}

/// The network `fd00:NUMBER::`.
fn network(number: u8) -> Vec<u8> {
    let mut octets = vec![0; 16];
    (octets[0], octets[3]) = (0xfd, number);
    octets
}
