//! Guests in the background, real ones: they serve, they are read, they end, and nothing of them is left.

use std::net::TcpStream;

use rustix::process::{Pid, Signal, kill_process};
use toro_tests::{Client, Tool, example, guest};

/// Kills one of a guest's processes, and waits until `logs -f` has nobody left to follow.
fn kill(tool: &Tool, name: &str, process: &str) {
    let follower = tool.follow(name);
    let pid = tool.inspect(name)[process].as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a process");
    kill_process(pid, Signal::KILL).expect("it is there");
    follower.wait_with_output().expect("it ends");
}

#[test]
fn a_server_in_the_background_serves_until_it_is_stopped() {
    let tool = Tool::new();
    let server = example("http_server");
    let told = tool.start(&server, "web", &["-p", "0:80", "-m", "8M"]).expect_status(0).expect_stdout("web\n");
    told.expect_stderr("ready: http://127.0.0.1:");
    let address = tool.address("web");
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").0, 200);
    let told = tool.run(&["net", "web"]).expect_status(0);
    for state in ["listen        [::]:80", "established   10.0.2.15:80", "connections: 1 now", "dropped: none"] {
        assert!(told.stdout.contains(state), "{state}: {told:?}");
    }
    let state = tool.inspect("web");
    assert_eq!((&state["state"], &state["memory_bytes"]), (&"running".into(), &(8 << 20).into()));
    assert_eq!(state["ports"][0]["listening"], true);

    tool.start(&server, "web", &[]).expect_status(125).expect_stderr("a guest of this name runs");
    let taken = format!("{}:80", address.port());
    tool.start(&server, "other", &["-p", &taken]).expect_status(125).expect_stderr("the port is taken");

    let follower = tool.follow("web");
    tool.run(&["stop", "web"]).expect_status(0);
    assert!(follower.wait_with_output().expect("it ends with the guest").status.success());
    assert_eq!(tool.inspect("web")["outcome"]["kind"], "stopped");
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
}

#[test]
fn what_is_printed_is_in_the_log_by_stream() {
    let tool = Tool::new();
    tool.start(&guest("arguments"), "quick", &["-e", "COLOUR=blue"]).expect_status(0).expect_stdout("quick\n");
    let told = tool.run(&["logs", "-f", "quick"]).expect_status(0);
    assert!(told.stdout.contains("COLOUR is \"blue\"\n") && told.stderr.is_empty(), "{told:?}");
    let told = tool.start(&guest("panic"), "unlucky", &["--fault", "exit-any"]).expect_status(101).expect_stdout("");
    told.expect_stderr("number 13").expect_stderr("unlucky ended at its start, with status 101");
    tool.run(&["logs", "unlucky"]).expect_status(0).expect_stderr("number 13");
    tool.run(&["ps", "-a"]).expect_status(0);
    assert_eq!(tool.inspect("unlucky")["outcome"]["kind"], "panic");
}

#[test]
fn a_killed_guest_and_killed_processes_leave_nothing_behind() {
    let tool = Tool::new();
    let server = example("http_server");
    let start = || {
        tool.start(&server, "web", &["-p", "0:80"]).expect_status(0);
        tool.address("web")
    };
    let first = start();
    tool.run(&["kill", "web"]).expect_status(0);
    assert_eq!(tool.inspect("web")["outcome"]["status"], 137);
    assert!(TcpStream::connect(first).is_err());

    let second = start();
    kill(&tool, "web", "vmm_pid");
    assert_eq!(tool.inspect("web")["outcome"]["kind"], "vmm");
    assert!(TcpStream::connect(second).is_err());

    start();
    kill(&tool, "web", "pid");
    assert_eq!(tool.inspect("web")["outcome"]["kind"], "lost");
    assert_eq!(tool.run(&["ps"]).stdout.lines().count(), 1, "only the titles");
    // The VMM dies with the process that started it; the name is free at once.
    start();
}
