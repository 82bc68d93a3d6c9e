//! Servers of `tests/linux`: asked by the same client on the host's Linux and in a guest.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Stdio};

use crate::{Client, Observed, Program, empty_folder};

/// The port that a server takes in the guest.
const GUEST_PORT: u16 = 80;

/// How a server is told where to listen.
#[derive(Clone, Copy, Debug)]
pub enum Listen {
    /// By one argument, `ADDRESS:PORT`.
    Together,
    /// By two, `ADDRESS PORT`.
    Apart,
    /// By redis's options; it keeps nothing by itself.
    Redis,
}

impl Listen {
    fn arguments(self, address: Ipv4Addr, port: u16) -> Vec<String> {
        match self {
            Self::Together => vec![format!("{address}:{port}")],
            Self::Apart => vec![address.to_string(), port.to_string()],
            Self::Redis => {
                let (port, address) = (port.to_string(), address.to_string());
                let options = ["--port", &port, "--bind", &address, "--protected-mode", "no", "--save", ""];
                options.map(str::to_owned).into()
            }
        }
    }

    /// Whether a server's line says that it is ready.
    fn is_ready(self, line: &str) -> bool {
        match self {
            Self::Together | Self::Apart => line == "listening",
            Self::Redis => line.contains("Ready to accept connections"),
        }
    }
}

/// A server of the host; dropping it ends it.
struct Served {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended; there is nothing to do about it then.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A port that nobody has, at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}

/// Starts a server on the host, and waits until it says that it is listening.
fn serve(program: &Program, listen: Listen) -> (Served, SocketAddr) {
    let (folder, port) = (empty_folder(), free_port());
    let arguments = listen.arguments(Ipv4Addr::LOCALHOST, port);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = program.command(folder.path(), &words);
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{}: {error}", program.title()));
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let listens = lines.any(|line| line.is_ok_and(|line| listen.is_ready(&line)));
    assert!(listens, "{} ends on the host", program.title());
    // It may say more, to nobody.
    std::thread::spawn(move || lines.for_each(drop));
    (Served { child, _folder: folder }, (Ipv4Addr::LOCALHOST, port).into())
}

/// Has `client` ask a server on both sides, and fails when it is told different things. The guest is then stopped as Linux
/// stops a program: by SIGTERM, which ends it, or which it has a handler for.
#[track_caller]
pub fn compare_served(program: &Program, listen: Listen, cpus: u32, client: impl Fn(SocketAddr) -> Vec<String>) {
    let (served, address) = serve(program, listen);
    let host = client(address);
    drop(served);
    let arguments = listen.arguments(Ipv4Addr::UNSPECIFIED, GUEST_PORT);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let running = program.guest(&words).cpus(cpus).ports(&[GUEST_PORT]).start();
    let guest = client(running.listening(GUEST_PORT).into());
    for (number, (expected, found)) in host.iter().zip(&guest).enumerate() {
        assert_eq!(found, expected, "{}, answer {number}: guest and Linux differ", program.title());
    }
    assert_eq!(guest.len(), host.len(), "{}", program.title());
    let run = running.stop();
    let told = Observed::of(&run.exit);
    let is_in_order =
        run.exit.kind() == "signal" && told.status == 143 || run.exit.kind() == "exit" && told.status == 0;
    assert!(is_in_order, "{} is stopped: {told:?}, {:?}\n{}", program.title(), run.exit.ending, run.exit.log_text());
}

/// What servers here are asked: one connection and many, whole requests and requests in pieces, small answers and large.
pub fn ask(address: SocketAddr) -> Vec<String> {
    let mut told = Vec::new();
    let mut note = |(status, body): (u16, Vec<u8>)| {
        let text = if body.len() > 100 { format!("{} bytes, {:x}", body.len(), sum(&body)) } else { text(&body) };
        told.push(format!("{status} {text}"));
    };
    let mut client = Client::connect(address);
    for number in 0..20 {
        note(client.get(&format!("/kept/{number}")));
    }
    for byte in b"GET /in/pieces HTTP/1.1\r\nHost: test\r\n\r\n".chunks(7) {
        client.send(byte);
    }
    note(client.response());
    client.send(&b"GET /one HTTP/1.1\r\nHost: test\r\n\r\nGET /two HTTP/1.1\r\nHost: test\r\n\r\n"[..]);
    note(client.response());
    note(client.response());
    drop(client);
    for number in 0..10 {
        note(Client::connect(address).get(&format!("/new/{number}")));
    }
    told
}

/// The same, of servers that have `/large`, and take several connections at once.
pub fn ask_more(address: SocketAddr) -> Vec<String> {
    let mut told = ask(address);
    // One that is answered before the next comes: QEMU's network takes no more than one on its way, and others wait for a second.
    let answered = |number| {
        let mut client = Client::connect(address);
        assert_eq!(client.get(&format!("/first/{number}")).0, 200);
        client
    };
    let mut clients: Vec<Client> = (0..20).map(answered).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /at/once/{number} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    }
    told.extend(clients.iter_mut().map(|client| text(&client.response().1)));
    let (status, body) = clients[0].get("/large");
    told.push(format!("{status} {} {:x}", body.len(), sum(&body)));
    told
}

/// The same, of servers that have `/echo`, too.
pub fn ask_all(address: SocketAddr) -> Vec<String> {
    let mut told = ask_more(address);
    let mut client = Client::connect(address);
    for bytes in [0, 1, 1000, 30_000] {
        let body = vec![b'e'; bytes];
        client.send(format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {bytes}\r\n\r\n").as_bytes());
        client.send(&body);
        let (status, back) = client.response();
        told.push(format!("{status} {} {}", back.len(), back == body));
    }
    told
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()))
}
