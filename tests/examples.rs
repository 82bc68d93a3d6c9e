//! The examples do what they say.

use toro_tests::{MACHINES, example};

#[test]
fn hello_greets() {
    for machine in MACHINES {
        example("hello").machine(machine).run().expect_status(0).expect_stdout("Hello, world, from Toro\n");
    }
    let run = example("hello").environment("NAME", "Ada").run();
    run.expect_status(0).expect_stdout("Hello, Ada, from Toro\n");
}

#[test]
fn threads_sleep_at_the_same_time() {
    // Had they slept one after another, they would have ended in the order they were made.
    let run = example("threads").run().expect_status(0);
    let run = run.expect_lines(["worker 3 slept 10ms", "worker 2 slept 20ms", "worker 1 slept 30ms"]);
    assert!(run.exit.stdout_text().contains("60ms of sleep took "), "{}", run.exit.stdout_text());
}

#[test]
fn a_ball_goes_to_another_core_and_back() {
    let run = example("two_cores").cpus(2).run().expect_status(0);
    run.expect_lines(["core 0 and core 1: 10000 rounds"]);
    example("two_cores").run().expect_status(0);
}

#[test]
fn the_store_keeps_values() {
    let running = example("key_value").ports(&[80]).start();
    let mut client = running.connect(80);
    let mut ask = |method: &str, path: &str, body: &str| {
        let length = body.len();
        client
            .send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
        let (status, body) = client.response();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    assert_eq!(ask("GET", "/colour", "").0, 404);
    assert!(matches!(ask("PUT", "/colour", "blue").0, 200 | 201 | 204));
    assert_eq!(ask("GET", "/colour", ""), (200, "blue".to_owned()));
    assert_eq!(ask("GET", "/", ""), (200, "1 keys\n".to_owned()));
    assert!(matches!(ask("PUT", "/colour", "green").0, 200 | 201 | 204));
    assert_eq!(ask("GET", "/colour", ""), (200, "green".to_owned()));
}

#[test]
fn the_web_server_serves_its_site() {
    let running = example("http_server").ports(&[80]).start();
    let mut client = running.connect(80);
    assert!(client.get("/").1.starts_with(b"<!doctype html>"));
    assert_eq!(client.get("/style.css").0, 200);
    assert_eq!(client.get("/nothing").0, 404);
    let (status, body) = client.get("/api/status");
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(status == 200 && text.starts_with("{\"requests\":4,"), "{text}");
}
