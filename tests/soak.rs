//! Many requests, one after another: nothing is lost, nothing leaks, nothing stalls.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use toro_tests::{Client, example};

/// What takes so long has not waited for the host's processors, but for something that was lost.
const STALL: Duration = Duration::from_secs(20);

/// Opens `connections`, one after another, with `each` requests on each.
pub(crate) fn requests(address: SocketAddr, connections: u64, each: u64) {
    let mut stalls = 0;
    for _ in 0..connections {
        let began = Instant::now();
        let mut client = Client::connect(address);
        for _ in 0..each {
            let (status, body) = client.get("/");
            assert!(status == 200 && !body.is_empty(), "status {status}, {} bytes", body.len());
        }
        client.end_of_stream();
        assert!(client.receive_all().is_empty(), "bytes after the last answer");
        stalls += u64::from(began.elapsed() > STALL);
    }
    assert_eq!(stalls, 0, "connections with an answer that took more than {STALL:?}");
}

/// So many requests, of which each so manieth has a handler that divides by zero: exactly those are not answered.
pub(crate) fn faulty_requests(address: SocketAddr, requests: u64, each: u64) {
    let mut client = Client::connect(address);
    let mut other = Client::connect(address);
    for number in 1..=requests {
        if number % each == 0 {
            client.send(b"GET /divide/0 HTTP/1.1\r\nHost: test\r\n\r\n");
            assert!(client.ends_unanswered(), "request {number} is answered");
            client = Client::connect(address);
            assert_eq!(other.get("/divide/4").0, 200, "another connection");
        } else {
            let answer = client.get("/divide/8");
            assert_eq!(answer, (200, b"125\n".to_vec()), "request {number}");
        }
    }
}

#[test]
#[ignore = "a quarter of an hour; `cargo xtask soak` runs it"]
fn faults_lose_their_own_answers_alone() {
    let running = example("faults").memory_mib(16).ports(&[80]).start();
    let address = running.listening(80).into();
    const REQUESTS: u64 = 1_000_000;
    for done in (0..REQUESTS).step_by(100_000) {
        faulty_requests(address, 100_000, 1000);
        println!("{} requests", done + 100_000);
    }
    let (status, said) = Client::connect(address).get("/faults");
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status == 200 && said.starts_with("{\"faults\":1000,\"caught\":0,"), "{said}");
    println!("{said}");
    running.stop().expect_kind("stopped");
}
