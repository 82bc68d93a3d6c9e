//! The network against real clients: curl, nc, ping, wrk, and many connections.

use std::io::Write;
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use toro_tests::{
    ALL_MACHINES, Client, LIMIT, MACHINES, MachineType, Network, Spec, example, guest, on_private_network, run, skip,
};
use toro_vmm::abi::network::Address;

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
fn datagrams_come_back() {
    for machine in MACHINES {
        let running = guest("udp_echo").machine(machine).udp_port(7).start();
        running.wait_for("ready");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(running.guest.ports()[0].host).expect("an address");
        socket.set_read_timeout(Some(LIMIT)).expect("a time above zero");
        for length in [1, 100, 1472] {
            let (sent, mut back) = (vec![length as u8; length], vec![0; 2000]);
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
    example("http_server").machine(machine).with(|mut machine| {
        machine.address = Address::parse("10.77.0.2/24");
        machine.network(Network::Tap("tap0".to_owned()))
    })
}

#[test]
fn ping_and_tcp_through_a_tap() {
    on_private_network("ping_and_tcp_through_a_tap", || {
        for machine in [MachineType::Microvm, MachineType::Q35] {
            let running = on_tap(machine).start();
            running.guest.wait_for_listen(HTTP, toro_tests::LIMIT).expect("the guest listens");
            match run("ping", &["-c", "3", "-i", "0.2", "-W", "20", "10.77.0.2"]) {
                Ok(text) => assert!(text.contains(" 0% packet loss"), "{text}"),
                Err(why) => skip("ping through a TAP", &why),
            }
            run("ping", &["-c", "1", "-s", "1472", "-W", "20", "10.77.0.2"]).expect("a full frame comes back");
            let mut client = Client::connect(([10, 77, 0, 2], HTTP).into());
            for _ in 0..100 {
                assert_eq!(client.get("/").0, 200);
            }
            running.stop().expect_kind("stopped");
        }
    });
}
