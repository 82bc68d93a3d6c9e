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

#[test]
#[ignore = "hours; `cargo xtask soak` runs it"]
fn nothing_is_lost() {
    let total: u64 = std::env::var("TORO_SOAK_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let running = example("http_server").memory_mib(16).ports(&[80]).start();
    let address = running.listening(80).into();
    let start = Instant::now();
    const STEP: u64 = 100_000;
    for done in (0..total).step_by(STEP as usize) {
        requests(address, STEP.min(total - done) / 10, 10);
        println!("{} requests, {:.0} s", (done + STEP).min(total), start.elapsed().as_secs_f64());
    }
    running.stop().expect_kind("stopped");
}
