//! A machine with several network cards, each on a network of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use toro_tests::{ALL_MACHINES, Client, Libc, MACHINES, Network, Program, Running, Spec, built, guest};
use toro_vmm::NetworkCard;
use toro_vmm::abi::network::Mac;

/// This host, as a guest sees it on QEMU's own networks.
const HOSTS: [&str; 2] = ["10.0.2.2", "10.0.3.2"];
const GUESTS: [[u8; 4]; 2] = [[10, 0, 2, 15], [10, 0, 3, 15]];

/// Connects to `port` of this host on both networks, and serves port 7, which is published on the first.
fn on_two_networks(port: u16) -> Spec {
    let spec = guest("two_links").arguments(&HOSTS.map(|host| format!("{host}:{port}")).each_ref().map(String::as_str));
    spec.ports(&[7]).with(|machine| machine.card(NetworkCard::default()))
}

/// Answers two connections with what they ask.
fn answer_two() -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of this host");
    let port = listener.local_addr().expect("bound").port();
    let answers = move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("the guest connects");
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it asks");
            stream.write_all(&byte).expect("it listens");
        }
    };
    (port, thread::spawn(answers))
}

/// A connection to the guest's port by the second network.
fn connect_by_second(running: &Running) -> Client {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of this host");
    let address: SocketAddr = free.local_addr().expect("bound");
    drop(free);
    let [a, b, c, d] = GUESTS[1];
    let forward = format!("hostfwd_add net1 tcp:{address}-{a}.{b}.{c}.{d}:7");
    let said = running.guest.qmp().monitor(&forward).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(said.trim(), "", "{forward}");
    Client::connect(address)
}

fn echo(client: &mut Client, text: &[u8]) {
    client.send(text);
    assert_eq!(client.receive(text.len()), text);
}

#[test]
fn each_card_has_its_address_its_way_and_its_link() {
    for machine in MACHINES {
        for (cpus, line) in [(1, "ip=dhcp eth1.ip=dhcp"), (2, "")] {
            let (port, answers) = answer_two();
            let running = on_two_networks(port).machine(machine).cpus(cpus).command_line(line).start();
            let mut first = running.connect(7);
            answers.join().expect("both are answered");
            running.wait_for("10.0.2.2 from 10.0.2.15\n10.0.3.2 from 10.0.3.15\n");
            let mut second = connect_by_second(&running);
            echo(&mut first, b"by the first");
            echo(&mut second, b"by the second");

            let cards = running.cards();
            let addresses: Vec<_> =
                cards.iter().flat_map(|card| card.addresses.clone()).filter(|(ip, _)| ip.is_ipv4()).collect();
            assert_eq!(addresses, GUESTS.map(|ip| (ip.into(), 24)));
            assert!(cards.iter().map(|card| card.number).eq(0..2) && cards[0].mac != cards[1].mac);

            running.set_link("net1", false);
            running.wait_for_log("the link of eth1 is down", 1);
            assert_eq!(running.cards_up(), [true, false]);
            second.send(b"while it is down");
            echo(&mut first, b"goes on");
            running.set_link("net1", true);
            running.wait_for_log("the link of eth1 is up", 1);
            assert_eq!(second.receive(16), b"while it is down");
            echo(&mut first, b"still");
            running.stop().expect_kind("stopped");
        }
    }
}

/// `eth0` is what the VMM was told first, however its machine puts devices in order.
#[test]
fn cards_are_called_in_the_order_in_which_they_were_given() {
    let mac = |last| Mac([0x52, 0x54, 0, 0, 0, last]);
    for machine in ALL_MACHINES {
        let running = guest("udp_echo")
            .machine(machine)
            .with(|mut machine| {
                machine.eth0.mac = Some(mac(9));
                machine = machine.network(Network::User);
                [3, 7, 5].into_iter().fold(machine, |machine, last| {
                    machine.card(NetworkCard { mac: Some(mac(last)), ..NetworkCard::default() })
                })
            })
            .start();
        running.wait_for("ready");
        let macs: Vec<Mac> = running.cards().iter().map(|card| card.mac).collect();
        assert_eq!(macs, [9, 3, 7, 5].map(mac), "{machine:?}");
        running.stop().expect_kind("stopped");
    }
}

#[test]
fn a_fifth_card_is_left_alone_and_told() {
    for machine in MACHINES {
        let device = if machine.has_pci() {
            "virtio-net-pci,disable-legacy=on,romfile=,netdev=more"
        } else {
            "virtio-net-device,netdev=more"
        };
        let running = guest("udp_echo")
            .machine(machine)
            .memory_mib(8)
            .with(|machine| (0..3).fold(machine.network(Network::User), |it, _| it.card(NetworkCard::default())))
            .qemu(&["-netdev", "user,id=more", "-device", device])
            .start();
        running.wait_for("ready");
        running.wait_for_log("is not used: 4 are the most", 1);
        assert_eq!(running.cards().len(), 4);
        running.stop().expect_kind("stopped");
    }
}

/// One card may have no address, and another one is used all the same.
#[test]
fn a_card_that_is_not_to_be_used_leaves_the_others_their_names() {
    let (port, answers) = answer_two();
    let running = guest("two_links")
        .arguments(&[&format!("10.0.3.2:{port}"), &format!("10.0.3.2:{port}")])
        .with(|machine| machine.network(Network::User).card(NetworkCard::default()))
        .command_line("ip=none")
        .start();
    answers.join().expect("both are answered");
    running.wait_for("10.0.3.2 from 10.0.3.15\n10.0.3.2 from 10.0.3.15\n");
    assert!(running.cards().iter().map(|card| card.number).eq([1]));
    running.stop().expect_kind("stopped");
}

#[test]
fn a_linux_program_names_the_card_that_it_means() {
    for libc in [Libc::Musl, Libc::Glibc] {
        let Some(program) = built(Program::c("cards", libc)) else { continue };
        program
            .guest(&[])
            .with(|machine| machine.network(Network::User).card(NetworkCard::default()))
            .run()
            .expect_lines([
                "before there is a port: 0 0",
                "by the second: 10.0.3.15",
                "of the first: 0",
                "by the first: nothing",
                "twice: 98",
                "of both: 0",
                "by the first: 10.0.2.15",
                "left: 0",
                "not there: 99",
                "by the first: nothing",
                "divides 1: 0 0 0",
                "divides 2: 0 90 0",
                "divides 3: 0 90 0",
                "of none: 99 99",
            ]);
    }
}

#[test]
fn a_linux_program_sees_its_interfaces() {
    for libc in [Libc::Musl, Libc::Glibc] {
        let Some(program) = built(Program::c("interfaces", libc)) else { continue };
        let mac = |last| Some(Mac([0x52, 0x54, 0, 0, 0, last]));
        let running = program
            .guest(&[])
            .with(|mut machine| {
                machine.eth0.mac = mac(9);
                machine.network(Network::User).card(NetworkCard { mac: mac(3), ..NetworkCard::default() })
            })
            .start();
        running.wait_for("3: eth1, 9: none\n");
        running.set_link("net1", false);
        running.finish().expect_status(0).expect_lines([
            "lo 1 127.0.0.1 mask 255.0.0.0 everybody 0.0.0.0 flags 0x49 mtu 65536 mac ..:00:00 of 772 address 00:00:00:00:00:00 \
             carrier 1 operstate unknown mtu 65536 ifindex 1 type 772 flags 0x9",
            "eth0 2 10.0.2.15 mask 255.255.255.0 everybody 10.0.2.255 flags 0x1043 mtu 1500 mac ..:00:09 of 1 address \
             52:54:00:00:00:09 carrier 1 operstate up mtu 1500 ifindex 2 type 1 flags 0x1003",
            "eth1 3 10.0.3.15 mask 255.255.255.0 everybody 10.0.3.255 flags 0x1043 mtu 1500 mac ..:00:03 of 1 address \
             52:54:00:00:00:03 carrier 1 operstate up mtu 1500 ifindex 3 type 1 flags 0x1003",
            "eth9: 19, no request: 25",
            "3: eth1, 9: none",
            "flags 0x1003 operstate down",
        ]);
    }
}
