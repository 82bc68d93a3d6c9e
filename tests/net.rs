//! The network against real clients: curl, nc, ping, wrk, and many connections.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use toro_tests::bad_wire::{self, Weather};
use toro_tests::{
    ALL_MACHINES, Client, LIMIT, MACHINES, MachineType, Spec, example, flood, frames, guest, on_private_network, run,
    skip,
};
use toro_vmm::Machine;
use toro_vmm::abi::network::Ipv4;

const HTTP: u16 = 80;

fn server() -> Spec {
    example("http_server").ports(&[HTTP])
}

#[test]
fn curl_fetches_a_page() {
    for machine in ALL_MACHINES {
        let running = server().machine(machine).start();
        let url = format!("http://{}/", running.listening(HTTP));
        match run("curl", &["-sS", "--max-time", "30", "-w", "\n%{http_code}", &url]) {
            Ok(page) => assert!(page.ends_with("\n200"), "{page}"),
            Err(why) => return skip("curl_fetches_a_page", &why),
        }
        // Twice over one connection, and in HTTP 1.0.
        let twice = run(
            "curl",
            &["-sS", "--max-time", "30", "-w", "%{num_connects} ", "-o", "/dev/null", "-o", "/dev/null", &url, &url],
        );
        assert_eq!(twice.expect("curl works").trim(), "1 0");
        run("curl", &["-sS", "--max-time", "30", "--http1.0", "-f", &url]).expect("HTTP 1.0 is answered");
        running.stop().expect_kind("stopped");
    }
}

#[test]
fn an_address_comes_by_dhcp() {
    for machine in MACHINES {
        let running = server().machine(machine).command_line("ip=dhcp").start();
        let mut client = running.connect(HTTP);
        assert_eq!(running.address(), "10.0.2.15");
        assert_eq!(client.get("/").0, 200);
    }
}

#[test]
fn nc_gets_its_answer_and_the_end() {
    let running = server().start();
    let address = running.listening(HTTP);
    let mut command = Command::new("nc");
    command.args(["-w", "30", &address.ip().to_string(), &address.port().to_string()]);
    let Ok(mut nc) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        return skip("nc_gets_its_answer_and_the_end", "no nc");
    };
    let mut stdin = nc.stdin.take().expect("a pipe");
    stdin.write_all(b"GET / HTTP/1.1\r\nHost: nc\r\nConnection: close\r\n\r\n").expect("nc takes it");
    let output = nc.wait_with_output().expect("nc ends");
    drop(stdin);
    assert!(output.stdout.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn requests_in_pieces_and_in_one_piece() {
    let running = server().start();
    let mut slow = running.connect(HTTP);
    for byte in b"GET / HTTP/1.1\r\nHost: slow\r\n\r\n" {
        slow.send(&[*byte]);
    }
    assert_eq!(slow.response().0, 200);
    let mut pipelined = running.connect(HTTP);
    pipelined.send(&b"GET / HTTP/1.1\r\nHost: many\r\n\r\n".repeat(20));
    for _ in 0..20 {
        assert_eq!(pipelined.response().0, 200);
    }
}

#[test]
fn half_closed_connections_are_answered() {
    let running = server().start();
    let mut client = running.connect(HTTP);
    client.send(b"GET / HTTP/1.1\r\nHost: half\r\n\r\n");
    client.end_of_stream();
    assert!(client.receive_all().starts_with(b"HTTP/1.1 200"));
}

#[test]
fn connections_that_are_dropped_cost_nothing() {
    let running = server().memory_mib(8).start();
    let address = running.listening(HTTP).into();
    for _ in 0..500 {
        let mut client = Client::connect(address);
        // The first answer is waited for: QEMU's own network lets no more than one connection wait.
        assert_eq!(client.get("/").0, 200);
        client.send(b"GET / HT");
    }
    assert_eq!(running.connect(HTTP).get("/").0, 200);
}

#[test]
fn what_is_not_http_is_refused_politely() {
    let running = server().start();
    for garbage in [&b"\0\0\0\0\r\n\r\n"[..], b"POST\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[b'A'; 100_000]] {
        let mut client = running.connect(HTTP);
        client.send(garbage);
        client.end_of_stream();
        let answer = client.receive_all();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5"),
            "{answer:?}"
        );
    }
    assert_eq!(running.connect(HTTP).get("/").0, 200);
}

#[test]
fn wrk_finds_no_errors() {
    let running = server().start();
    let url = format!("http://{}/", running.listening(HTTP));
    match run("wrk", &["-t", "1", "-c", "32", "-d", "3", "--timeout", "20", &url]) {
        Ok(text) => assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}"),
        Err(why) => skip("wrk_finds_no_errors", &why),
    }
}

#[test]
fn a_hundred_thousand_requests_over_ten_thousand_connections() {
    let running = server().memory_mib(16).start();
    crate::soak::requests(running.listening(HTTP).into(), 10_000, 10);
    running.stop().expect_kind("stopped");
}

#[test]
fn what_is_sent_comes_back() {
    for machine in MACHINES {
        let running = guest("tcp_echo").machine(machine).ports(&[7]).start();
        let mut client = running.connect(7);
        let bytes: Vec<u8> = (0..500_000_u32).map(|number| (number % 253) as u8).collect();
        let sender = {
            let (mut client, bytes) = (client.clone_handle(), bytes.clone());
            std::thread::spawn(move || {
                client.send(&bytes);
                client.end_of_stream();
            })
        };
        assert!(client.receive_all() == bytes, "other bytes came back");
        sender.join().expect("all was sent");
        running.wait_for("500000 bytes");
    }
}

#[test]
fn many_connections_at_once() {
    let running = guest("tcp_echo").memory_mib(32).ports(&[7]).start();
    let mut clients: Vec<Client> = (0..200)
        .map(|number: u32| {
            let mut client = running.connect(7);
            client.send(&number.to_be_bytes());
            assert_eq!(client.receive(4), number.to_be_bytes());
            client
        })
        .collect();
    for client in &mut clients {
        client.send(b"still there?");
    }
    for client in &mut clients {
        assert_eq!(client.receive(12), b"still there?");
    }
}

#[test]
fn a_guest_connects_to_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let echo = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        std::io::copy(&mut &stream, &mut &stream)?;
        stream.shutdown(Shutdown::Write)
    });
    let spec = guest("tcp_client").arguments(&[&format!("10.0.2.2:{port}")]).ports(&[]);
    let run = spec.run().expect_status(0);
    run.expect_stdout(&format!("connected to 10.0.2.2:{port}\n1048576 bytes came back, the same: true\n"));
    echo.join().expect("no panic").expect("the host's end works");
}

#[test]
fn a_link_that_goes_down_and_comes_up_again_loses_nothing() {
    for machine in ALL_MACHINES {
        for cpus in [1, 2] {
            let running = guest("tcp_echo").machine(machine).cpus(cpus).ports(&[7]).start();
            let mut client = running.connect(7);
            client.send(b"before");
            assert_eq!(client.receive(6), b"before");
            for times in 1..3 {
                running.set_link("net0", false);
                running.wait_for_log("the link of eth0 is down", times);
                assert_eq!(running.cards_up(), [false]);
                client.send(b"while it is down");
                running.set_link("net0", true);
                running.wait_for_log("the link of eth0 is up", times);
                assert_eq!(running.cards_up(), [true]);
                assert_eq!(client.receive(16), b"while it is down");
            }
            let mut other = running.connect(7);
            other.send(b"after");
            assert_eq!(other.receive(5), b"after");
            running.stop().expect_kind("stopped");
        }
    }
}

/// Quicker than anybody looks: it may have been at another switch meanwhile, or not.
#[test]
fn a_link_that_is_plugged_while_nobody_looks_goes_on() {
    for machine in MACHINES {
        let running = guest("tcp_echo").machine(machine).ports(&[7]).start();
        let mut client = running.connect(7);
        for number in 0..20u8 {
            running.set_link("net0", number % 2 == 1);
            client.send(&[number; 1000]);
        }
        for number in 0..20u8 {
            assert_eq!(client.receive(1000), [number; 1000]);
        }
        running.stop().expect_kind("stopped");
    }
}

/// What a host does to a machine that it has just taken over from another.
#[test]
fn the_host_has_a_guest_announced() {
    for machine in MACHINES {
        for cpus in [1, 2] {
            let (spec, wire) = guest("tcp_echo").cpus(cpus).wire_on(machine);
            let running = spec.start();
            wire.expect_alive(1);
            let [a, b, c, d] = frames::GUEST.octets();
            let announcement = frames::arp(1, frames::GUEST_MAC, frames::GUEST, [0; 6], frames::GUEST);
            assert_eq!(announcement[38..42], [a, b, c, d]);
            let rounds = serde_json::json!({ "initial": 50, "max": 100, "rounds": 3, "step": 10 });
            running.guest.qmp().execute("announce-self", rounds).unwrap_or_else(|error| panic!("{error}"));
            // QEMU goes on to the next round when the guest says that it has done as it was asked.
            for _ in 0..3 {
                wire.receive_until("announcement", |frame| {
                    (frame[..6] == frames::BROADCAST_MAC && frame[12..] == announcement[12..]).then_some(())
                });
            }
            wire.expect_alive(2);
            running.stop().expect_kind("stopped");
        }
    }
}

/// On a TAP interface Linux has the card cut what it sends, and make long frames of what it gets: few of them carry much.
#[test]
fn long_frames_go_both_ways() {
    const BYTES: usize = 8 << 20;
    on_private_network("long_frames_go_both_ways", || {
        for machine in MACHINES {
            let running = guest("tcp_echo").machine(machine).memory_mib(64).on_tap().start();
            running.guest.wait_for_listen(7, LIMIT).expect("the guest listens");
            let sent: Vec<u8> = (0..BYTES as u32).map(|number| (number / 9) as u8).collect();
            let mut client = Client::connect(SocketAddr::from((frames::GUEST, 7)));
            let mut reader = client.clone_handle();
            let before = frames_on_tap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    client.send(&sent);
                    client.end_of_stream();
                });
                assert!(reader.receive_all() == sent, "the same comes back");
            });
            let by_guest = frames_on_tap() - before;
            let told = running.guest.network(LIMIT).expect("the guest tells");
            let to_guest = told.stats.iter().find(|stat| stat.name == "net.frames_received");
            let to_guest: usize = to_guest.expect("a count").value.parse().expect("a number");
            let as_segments = BYTES / 1448;
            // Each direction has acknowledgements of the other beside its data.
            assert!(to_guest < as_segments && by_guest < as_segments, "{to_guest} {by_guest} of {as_segments}");
            running.stop().expect_kind("stopped");
        }
    });
}

#[test]
fn packets_of_nine_thousand_bytes() {
    on_private_network("packets_of_nine_thousand_bytes", || {
        run("ip", &["link", "set", "tap0", "mtu", "9000"]).expect("an MTU of 9000");
        for machine in MACHINES {
            let running = on_tap(machine).memory_mib(64).start();
            running.guest.wait_for_listen(HTTP, LIMIT).expect("the guest listens");
            // Not to be cut on its way, there and back.
            let ping = ["-c", "2", "-i", "0.2", "-s", "8972", "-M", "do", "-W", "20", "10.77.0.2"];
            if let Err(why) = run("ping", &ping) {
                assert!(!why.contains("packet loss"), "{why}");
                skip("packets_of_nine_thousand_bytes", &why);
            }
            assert_eq!(Client::connect(SocketAddr::from((frames::GUEST, HTTP))).get("/").0, 200);
            running.stop().expect_kind("stopped");
        }
    });
}

/// Frames that the guest has sent.
fn frames_on_tap() -> usize {
    let text = run("ip", &["-json", "-stats", "link", "show", "dev", "tap0"]).expect("ip works");
    let links: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    links[0]["stats64"]["rx"]["packets"].as_u64().expect("a number") as usize
}

/// The real driver on a wire that loses, doubles, damages and delays, with Linux at the other end: nothing of it reaches a program.
#[test]
fn a_bad_wire_changes_nothing() {
    on_private_network("a_bad_wire_changes_nothing", || {
        let weather = Weather { seed: 0x5eed, lost: 20, doubled: 10, damaged: 5, held_up: 50, delay: Duration::ZERO };
        let (spec, wire) = guest("tcp_echo").wire();
        let running = spec.start();
        bad_wire::between(wire, "tap0", weather, || {
            running.guest.wait_for_listen(7, LIMIT).expect("the guest listens");
            let address = SocketAddr::from((frames::GUEST, 7));
            let sent: Vec<u8> = (0..200_000u32).map(|number| (number / 7) as u8).collect();
            let mut client = Client::connect(address);
            let mut reader = client.clone_handle();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    client.send(&sent);
                    client.end_of_stream();
                });
                assert!(reader.receive_all() == sent, "the same comes back");
            });
            for number in 0..10 {
                let mut client = Client::connect(address);
                client.send(&[number; 100]);
                client.end_of_stream();
                assert_eq!(client.receive_all(), [number; 100]);
            }
        });
        running.stop().expect_kind("stopped");
    });
}

/// More handshakes than are remembered are begun and never completed; who completes one gets in all the same.
#[test]
fn a_flood_of_first_segments_keeps_nobody_out() {
    on_private_network("a_flood_of_first_segments_keeps_nobody_out", || {
        let with_gateway = |mut machine: Machine| {
            machine.eth0.gateway = Some(Ipv4(frames::HOST.octets()));
            machine
        };
        let running = on_tap(MachineType::Microvm).with(with_gateway).memory_mib(16).start();
        running.guest.wait_for_listen(HTTP, LIMIT).expect("the guest listens");
        let server = SocketAddrV4::new(frames::GUEST, HTTP);
        let count = |name: &str| -> u64 {
            let told = running.guest.network(LIMIT).expect("the guest tells");
            let stat = told.stats.iter().find(|stat| stat.name.strip_prefix("net.") == Some(name));
            stat.expect("a count").value.parse().expect("a number")
        };
        let mut open = Client::connect(server.into());
        let (_, flood) = flood::during(server, 100_000, || {
            let end = Instant::now() + LIMIT;
            while count("cookies_sent") == 0 {
                assert!(Instant::now() < end, "no cookie was sent");
                assert_eq!(open.get("/").0, 200);
            }
            for _ in 0..20 {
                assert_eq!(open.get("/").0, 200);
                assert_eq!(Client::connect(server.into()).get("/").0, 200);
            }
        })
        .expect("packets made by hand");
        assert!(count("cookies_accepted") > 0, "{flood:?}");
        assert_eq!(open.get("/").0, 200);
        running.stop().expect_kind("stopped");
    });
}

#[test]
fn datagrams_come_back() {
    for machine in MACHINES {
        let running = guest("udp_echo").machine(machine).udp_port(7).start();
        running.wait_for("ready");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(running.guest.ports()[0].host).expect("an address");
        socket.set_read_timeout(Some(LIMIT)).expect("a time above zero");
        for length in [1, 100, 1472, 1473, 20_000] {
            let (sent, mut back) = (vec![length as u8; length], vec![0; 30_000]);
            socket.send(&sent).expect("sent");
            let length = socket.recv(&mut back).expect("an answer");
            assert_eq!(back[..length], sent);
        }
    }
}

#[test]
fn a_machine_talks_to_itself() {
    let expected = "tcp: 300000\nudp: Ok(\"datagram\") from the right one: true\n";
    guest("loopback").run().expect_status(0).expect_stdout(expected);
    guest("loopback").ports(&[]).run().expect_status(0).expect_stdout(expected);
}

#[test]
fn what_goes_wrong_says_what_it_is() {
    guest("net_errors").ports(&[]).run().expect_status(0).expect_lines([
        "refused: Some(ConnectionRefused)",
        "refused by myself: Some(ConnectionRefused)",
        "nobody there in time: true",
        "in use: Some(AddrInUse)",
        "not mine: Some(AddrNotAvailable)",
        "nothing to read in time: Some(TimedOut)",
        "no datagram in time: Some(TimedOut)",
    ]);
}

/// A server at 10.77.0.2 on the TAP interface.
fn on_tap(machine: MachineType) -> Spec {
    example("http_server").machine(machine).on_tap()
}

#[test]
fn ping_and_tcp_through_a_tap() {
    on_private_network("ping_and_tcp_through_a_tap", || {
        for machine in [MachineType::Microvm, MachineType::Q35] {
            let running = on_tap(machine).start();
            running.guest.wait_for_listen(HTTP, toro_tests::LIMIT).expect("the guest listens");
            match run("ping", &["-c", "3", "-i", "0.2", "-W", "20", "10.77.0.2"]) {
                Ok(text) => {
                    assert!(text.contains(" 0% packet loss"), "{text}");
                    run("ping", &["-c", "1", "-s", "1472", "-W", "20", "10.77.0.2"]).expect("a full frame comes back");
                }
                Err(why) => {
                    assert!(!why.contains("packet loss"), "{why}");
                    skip("ping through a TAP", &why);
                }
            }
            let mut client = Client::connect(([10, 77, 0, 2], HTTP).into());
            for _ in 0..100 {
                assert_eq!(client.get("/").0, 200);
            }
            running.stop().expect_kind("stopped");
        }
    });
}
