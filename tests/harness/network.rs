//! The other end of a guest's network: a byte-exact TCP client, and a TAP interface in a namespace of its own.
#![expect(unsafe_code, reason = "a thread leaves the network namespace of its process")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output};

use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::LIMIT;

/// A TCP connection whose failures fail the test.
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, LIMIT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            std::io::Result::Ok(stream)
        };
        Client { stream: connect().unwrap_or_else(|error| panic!("cannot connect to {address}: {error}")) }
    }

    /// Another handle of the same connection, for another thread.
    #[track_caller]
    pub fn clone_handle(&self) -> Client {
        Client { stream: self.stream.try_clone().unwrap_or_else(|error| panic!("cannot clone: {error}")) }
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Reads exactly `count` bytes.
    #[track_caller]
    pub fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("cannot receive {count} bytes: {error}"));
        bytes
    }

    /// Reads until the guest closes.
    #[track_caller]
    pub fn receive_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("cannot receive: {error}"));
        bytes
    }

    /// Waits for the connection's end, without another byte; `false`: there was one.
    #[track_caller]
    pub fn ends_unanswered(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => true,
            Err(error) => panic!("cannot receive: {error}"),
        }
    }

    /// Says that nothing more will be sent; receiving goes on.
    #[track_caller]
    pub fn end_of_stream(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap_or_else(|error| panic!("cannot shut down: {error}"));
    }

    /// One HTTP request that keeps the connection; the status and the body.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        self.response()
    }

    /// Reads one HTTP response.
    #[track_caller]
    pub fn response(&mut self) -> (u16, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.receive(1));
            assert!(head.len() < 65536, "no end of the response's head");
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let length = head.lines().filter_map(|line| line.split_once(':'));
        let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.next().and_then(|(_, value)| value.trim().parse().ok());
        let (Some(status), Some(length)) = (status, length) else { panic!("not a response: {head}") };
        (status, self.receive(length))
    }
}

/// Whether this host speaks IPv6 with itself; if not, the test is skipped aloud.
pub fn has_ipv6(name: &str) -> bool {
    let error = std::net::UdpSocket::bind((std::net::Ipv6Addr::LOCALHOST, 0)).err();
    if let Some(error) = &error {
        skip(name, &format!("no IPv6 on this host: {error}"));
    }
    error.is_none()
}

/// Runs `test` in a network of its own with a TAP interface `tap0`, 10.77.0.1/24, that a machine can be plugged into.
///
/// The thread, and so the machine and every program that it starts, leave the host's network for an empty one that
/// ends with them: nothing of the host is touched. It needs root and /dev/net/tun; without, the test is skipped aloud.
pub fn on_private_network(name: &str, test: impl FnOnce() + Send) {
    on_network(name, &[], test);
}

/// As [`on_private_network`], with an interface that has as many queues as a machine wants.
pub fn on_private_network_with_queues(name: &str, test: impl FnOnce() + Send) {
    on_network(name, &["multi_queue"], test);
}

fn on_network(name: &str, tap: &[&str], test: impl FnOnce() + Send) {
    let result = std::thread::scope(|scope| {
        let body = || match enter_private_network(tap) {
            Ok(()) => test(),
            Err(why) => skip(name, &why),
        };
        scope.spawn(body).join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn enter_private_network(tap: &[&str]) -> Result<(), String> {
    if !std::path::Path::new("/dev/net/tun").exists() {
        return Err("no /dev/net/tun".to_owned());
    }
    // SAFETY: only the network namespace changes; file descriptors, which are what can dangle, stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|error| format!("cannot leave the host's network: {error}"))?;
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &[&["tuntap", "add", "tap0", "mode", "tap"], tap].concat())?;
    run("ip", &["address", "add", "10.77.0.1/24", "dev", "tap0"])?;
    run("ip", &["link", "set", "tap0", "up"])?;
    Ok(())
}

/// Says that a test did not run, and why, past the test runner's capturing of output.
pub fn skip(name: &str, why: &str) {
    // Nobody to tell when even that fails.
    writeln!(std::io::stderr(), "skipped: {name}: {why}").unwrap_or_default();
}

/// Runs a program to its end; what it printed, or why it failed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    // Debian keeps `ip` where users do not look.
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin"));
    let shown = format!("{program} {}", arguments.join(" "));
    let Output { status, stdout, stderr } = command.output().map_err(|error| format!("{shown}: {error}"))?;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let complaint = String::from_utf8_lossy(&stderr);
    if status.success() { Ok(text) } else { Err(format!("{shown}: {status}: {text}{complaint}")) }
}
