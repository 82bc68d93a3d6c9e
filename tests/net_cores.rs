//! The network on several cores: listeners on one and on all of them, one queue and several, and calls from elsewhere.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;

use toro_tests::{
    Client, MachineType, Running, Spec, example, guest, on_private_network, on_private_network_with_queues, run, skip,
};

const PORT: u16 = 7;
const ALL: [&str; 4] = ["0", "1", "2", "3"];

/// Four cores, of which these listen.
fn listening(cores: &[&str]) -> Spec {
    guest("net_cores").arguments(cores).with(|machine| machine.cpus(4))
}

fn on_user_network(cores: &[&str]) -> Running {
    let running = listening(cores).ports(&[PORT]).start();
    wait(&running, cores);
    running
}

fn on_tap(cores: &[&str], machine: MachineType) -> Running {
    let running = listening(cores).machine(machine).on_tap().start();
    wait(&running, cores);
    running
}

fn wait(running: &Running, cores: &[&str]) {
    for core in cores {
        running.wait_for(&format!("core {core} listens"));
    }
}

/// One line there and one back.
fn ask(client: &mut Client, line: &str) -> String {
    client.send(format!("{line}\n").as_bytes());
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        answer.extend(client.receive(1));
    }
    String::from_utf8_lossy(&answer).trim().to_owned()
}

/// Opens connections one after the other, and says how many each core served.
fn spread(connect: impl Fn() -> Client, connections: usize) -> BTreeMap<String, usize> {
    let mut served = BTreeMap::new();
    for number in 0..connections {
        let mut client = connect();
        *served.entry(ask(&mut client, "who")).or_default() += 1;
        let text = "x".repeat(1 + number * 37 % 4000);
        assert_eq!(ask(&mut client, &text), text);
        if number % 2 == 0 {
            client.end_of_stream();
            assert_eq!(client.receive_all(), b"");
        }
    }
    served
}

/// A figure of the core that serves `client`.
fn count(client: &mut Client, name: &str) -> u64 {
    let counts = ask(client, "counts");
    let text = counts.split_once(&format!("{name}: ")).unwrap_or_else(|| panic!("no {name} in {counts}")).1;
    text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).expect("a number")
}

fn on_lan() -> Client {
    Client::connect(([10, 77, 0, 2], PORT).into())
}

#[test]
fn one_queue_feeds_whoever_listens() {
    for cores in [&ALL[..1], &ALL[3..], &ALL] {
        let running = on_user_network(cores);
        let served = spread(|| running.connect(PORT), 100);
        let names: Vec<String> = cores.iter().map(|core| format!("core {core}")).collect();
        assert!(served.keys().eq(names.iter()), "{cores:?}: {served:?}");
        running.stop().expect_kind("stopped");
    }
}

#[test]
fn queues_of_their_own_feed_the_cores() {
    on_private_network_with_queues("queues_of_their_own_feed_the_cores", || {
        for machine in [MachineType::Q35, MachineType::MicrovmPci] {
            for cores in [&ALL[..1], &ALL[1..3], &ALL] {
                let running = on_tap(cores, machine);
                let served = spread(on_lan, 100);
                let names: Vec<String> = cores.iter().map(|core| format!("core {core}")).collect();
                assert!(served.keys().eq(names.iter()), "{machine:?} {cores:?}: {served:?}");
                // By now each core that listens has its own queue, and what comes there stays there.
                for _ in 0..8 {
                    let mut client = on_lan();
                    let before = [count(&mut client, "taken_over"), count(&mut client, "frames_received")];
                    for _ in 0..20 {
                        ask(&mut client, "who");
                    }
                    let after = [count(&mut client, "taken_over"), count(&mut client, "frames_received")];
                    assert!(after[0] <= before[0] + 1 && after[1] >= before[1] + 20, "{cores:?} {before:?} {after:?}");
                }
                running.stop().expect_kind("stopped");
            }
        }
    });
}

#[test]
fn a_connection_is_used_from_another_core() {
    let running = on_user_network(&["1"]);
    let mut client = running.connect(PORT);
    for core in [0, 1, 2, 3, 0] {
        assert!(ask(&mut client, &format!("carry {core}")).starts_with(&format!("core {core} at 7 for ")));
        assert_eq!(ask(&mut client, "who"), "core 1");
    }
    for core in [0, 1, 3] {
        let mut client = running.connect(PORT);
        assert_eq!(ask(&mut client, &format!("give {core}")), format!("core {core}"));
        assert_eq!(client.receive_all(), b"", "its last handle is gone, and so is the connection");
    }
    running.stop().expect_kind("stopped");
}

#[test]
fn what_finds_no_room_at_its_core_is_sent_again() {
    on_private_network("what_finds_no_room_at_its_core_is_sent_again", || {
        let running = on_tap(&["0", "1"], MachineType::Microvm);
        let (mut here, mut there) = (Vec::new(), Vec::new());
        while here.is_empty() || there.len() < 60 {
            let mut client = on_lan();
            if ask(&mut client, "who") == "core 0" { here.push(client) } else { there.push(client) }
        }
        there[0].send(b"hold\n");
        while ask(&mut here[0], "held") != "true" {}
        // More segments than a core that does not look has room for, some of each connection.
        for client in &mut there[1..] {
            (0..8).for_each(|number| client.send(format!("{number}\n").as_bytes()));
        }
        here[0].send(b"release\n");
        for client in &mut there[1..] {
            for number in 0..8 {
                assert_eq!(client.receive(2), format!("{number}\n").as_bytes());
            }
        }
        assert!(count(&mut there[0], "posts_dropped") > 0);
        running.stop().expect_kind("stopped");
    });
}

#[test]
fn every_core_calls_others_and_this_host() {
    let host = TcpListener::bind("127.0.0.1:0").expect("a port of this host");
    let outside = format!("10.0.2.2:{}", host.local_addr().expect("its address").port());
    std::thread::spawn(move || {
        for stream in host.incoming() {
            let mut stream = stream.expect("a connection");
            stream.read_exact(&mut [0; 4]).expect("a question");
            stream.write_all(b"the host\n").expect("an answer");
        }
    });
    let running = on_user_network(&["2"]);
    let mut client = running.connect(PORT);
    for core in [0, 1, 2, 3, 1] {
        assert_eq!(ask(&mut client, &format!("call {core} 127.0.0.1:{PORT}")), format!("{core}: core 2"));
        assert_eq!(ask(&mut client, &format!("call {core} {outside}")), format!("{core}: the host"));
    }
    running.stop().expect_kind("stopped");
}

#[test]
fn many_connections_at_once_on_four_cores() {
    on_private_network("many_connections_at_once_on_four_cores", || {
        let running = on_tap(&ALL, MachineType::Microvm);
        let mut clients: Vec<Client> = (0..200).map(|_| on_lan()).collect();
        for round in 0..5 {
            for (number, client) in clients.iter_mut().enumerate() {
                let text = format!("{round} {number}");
                assert_eq!(ask(client, &text), text);
            }
        }
        running.stop().expect_kind("stopped");
    });
}

#[test]
fn a_store_in_shares_answers_on_every_core() {
    let running = example("key_value").with(|machine| machine.cpus(4)).ports(&[80]).start();
    for number in 0..40 {
        let mut client = running.connect(80);
        let path = format!("/key{number}");
        let body = format!("value {number}");
        client
            .send(format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        assert_eq!(client.response().0, 201);
        let mut other = running.connect(80);
        assert_eq!(other.get(&path), (200, body.into_bytes()));
    }
    let mut client = running.connect(80);
    assert_eq!(client.get("/"), (200, b"40 keys\n".to_vec()));
    assert_eq!(client.get("/nothing").0, 404);
    running.stop().expect_kind("stopped");
}

#[test]
fn four_cores_lose_no_request() {
    let server = || example("http_server").with(|machine| machine.cpus(4));
    let running = server().memory_mib(16).ports(&[80]).start();
    crate::soak::requests(running.listening(80).into(), 1000, 10);
    running.stop().expect_kind("stopped");
    on_private_network_with_queues("four_cores_lose_no_request", || {
        let running = server().machine(MachineType::Q35).on_tap().start();
        running.guest.wait_for_listen(80, toro_tests::LIMIT).expect("the guest listens");
        crate::soak::requests(([10, 77, 0, 2], 80).into(), 1000, 10);
        match run("wrk", &["-t", "1", "-c", "64", "-d", "3", "--timeout", "20", "http://10.77.0.2/"]) {
            Ok(text) => assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}"),
            Err(why) => skip("load on four cores", &why),
        }
        crate::soak::requests(([10, 77, 0, 2], 80).into(), 100, 1);
        running.stop().expect_kind("stopped");
    });
}
