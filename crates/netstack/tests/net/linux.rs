//! Against the host's own Linux, through a TAP device in a network namespace of its own.
//!
//! Needs `unshare`, `ip`, `/dev/net/tun` and the right to use them; where one is missing the test says so and passes.

use crate::world::end;
use smoltcp::phy::{Device as _, Medium, RxToken as _, TunTapInterface, TxToken as _};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use toro_netstack::{
    Address, Checksum, Config, ConnectionId, Device, Ending, Error, Full, ListenerId, Received, Stack,
};

const TAP: &str = "toro0";
const LINUX_V4: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 1);
const STACK_V4: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 2);
const LINUX_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const STACK_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
const INSIDE: &str = "TORO_NETSTACK_IN_NAMESPACE";

/// Which addresses the two have, and how many of a thousand frames each way are lost.
#[derive(Clone, Copy)]
struct Wire {
    linux: IpAddr,
    stack: IpAddr,
    lost_per_mille: u64,
}

const V4: Wire = Wire { linux: IpAddr::V4(LINUX_V4), stack: IpAddr::V4(STACK_V4), lost_per_mille: 0 };
const V6: Wire = Wire { linux: IpAddr::V6(LINUX_V6), stack: IpAddr::V6(STACK_V6), lost_per_mille: 0 };

#[test]
fn linux_is_understood() {
    run("linux_is_understood", V4);
}

#[test]
fn linux_is_understood_on_a_bad_wire() {
    run("linux_is_understood_on_a_bad_wire", Wire { lost_per_mille: 20, ..V4 });
}

#[test]
fn linux_is_understood_by_ipv6() {
    run("linux_is_understood_by_ipv6", V6);
}

#[test]
fn linux_is_understood_by_ipv6_on_a_bad_wire() {
    run("linux_is_understood_by_ipv6_on_a_bad_wire", Wire { lost_per_mille: 20, ..V6 });
}

/// Runs this test again inside a namespace, where it becomes `inside`.
fn run(name: &str, wire: Wire) {
    if std::env::var_os(INSIDE).is_some() {
        return inside(wire);
    }
    // Linux is to be sure of its address at once, as of one of IPv4.
    let address = match wire.linux {
        IpAddr::V4(ip) => format!("{ip}/24 dev {TAP}"),
        IpAddr::V6(ip) => format!("{ip}/64 dev {TAP} nodad"),
    };
    let program = std::env::current_exe().unwrap();
    let set_up = format!(
        "ip link set lo up && ip tuntap add dev {TAP} mode tap && ip addr add {address} && ip link set {TAP} up"
    );
    let possible = Command::new("unshare").args(["-n", "sh", "-c", &set_up]).output();
    match possible {
        Err(error) => return eprintln!("skipped: unshare: {error}"),
        Ok(output) if !output.status.success() => {
            return eprintln!("skipped: no TAP here: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(_) => {}
    }
    let test = format!("{set_up} && exec {} --exact linux::{name} --nocapture", program.display());
    let status = Command::new("unshare").args(["-n", "sh", "-c", &test]).env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "the test inside the namespace failed");
}

/// What the stack's side does with connections, while Linux tests it.
struct Server {
    stack: Stack,
    tap: Tap,
    start: Instant,
    echo: ListenerId,
    source: ListenerId,
    open: Vec<(ConnectionId, Service)>,
    datagrams: toro_netstack::UdpId,
}

enum Service {
    /// Writes back what it reads.
    Echo { pending: Vec<u8> },
    /// Writes so many bytes, then closes.
    Source { left: usize },
}

struct Tap {
    interface: TunTapInterface,
    lost_per_mille: u64,
    random: u64,
}

impl Tap {
    fn loses(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < self.lost_per_mille
    }
}

impl Device for Tap {
    fn ready(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, len: usize, _: Checksum, fill: impl FnOnce(&mut [u8])) -> Result<(), Full> {
        if self.loses() {
            fill(&mut vec![0; len]);
            return Ok(());
        }
        let token = self.interface.transmit(smoltcp::time::Instant::ZERO).ok_or(Full)?;
        token.consume(len, fill);
        Ok(())
    }
}

impl Server {
    fn new(wire: Wire) -> Self {
        let interface = TunTapInterface::new(TAP, Medium::Ethernet).unwrap();
        let tap = Tap { interface, lost_per_mille: wire.lost_per_mille, random: 0x1234_5678_9abc_def1 };
        let mut stack = Stack::new(Config::new([0x52, 0x54, 0, 9, 9, 2], [1, 2, 3, 4]));
        match wire.stack {
            IpAddr::V4(ip) => {
                assert!(stack.set_address(0, Address { ip, prefix_bits: 24, gateway: None, dns: [None; 3] }))
            }
            IpAddr::V6(ip) => assert!(stack.add_address6(0, ip, 64, 0)),
        }
        let any = |port| end(Ipv6Addr::UNSPECIFIED, port);
        let echo = stack.tcp_listen(any(7), 64).unwrap();
        let source = stack.tcp_listen(any(19), 64).unwrap();
        let datagrams = stack.udp_bind(any(7)).unwrap();
        Server { stack, tap, start: Instant::now(), echo, source, open: Vec::new(), datagrams }
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn turn(&mut self) {
        let now_ns = self.now_ns();
        while let Some((rx, _)) = self.tap.interface.receive(smoltcp::time::Instant::ZERO) {
            let frame = rx.consume(<[u8]>::to_vec);
            if !self.tap.loses() {
                self.stack.receive(&frame, Received::Unverified, now_ns);
            }
        }
        while let Ok((id, _)) = self.stack.tcp_accept(self.echo) {
            self.open.push((id, Service::Echo { pending: Vec::new() }));
        }
        while let Ok((id, _)) = self.stack.tcp_accept(self.source) {
            self.open.push((id, Service::Source { left: bulk_bytes(self.tap.lost_per_mille) }));
        }
        let mut buffer = [0; 8192];
        while let Ok((len, from)) = self.stack.udp_receive(self.datagrams, &mut buffer, false) {
            self.stack.udp_send(self.datagrams, &buffer[..len], from).unwrap();
        }
        let stack = &mut self.stack;
        self.open.retain_mut(|(id, service)| {
            let done = match service {
                Service::Echo { pending } => echo(stack, *id, pending),
                Service::Source { left } => source(stack, *id, left),
            };
            if done {
                stack.tcp_close(*id, Ending::Orderly, now_ns);
            }
            !done
        });
        self.stack.flush(&mut self.tap, now_ns);
        while self.stack.next_event().is_some() {}
    }
}

fn echo(stack: &mut Stack, id: ConnectionId, pending: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        while !pending.is_empty() {
            match stack.tcp_write(id, pending) {
                Ok(bytes) => drop(pending.drain(..bytes)),
                Err(Error::WouldBlock) => return false,
                Err(_) => return true,
            }
        }
        match stack.tcp_read(id, &mut buffer) {
            Ok(0) => return true,
            Ok(bytes) => pending.extend_from_slice(&buffer[..bytes]),
            Err(Error::WouldBlock) => return false,
            Err(_) => return true,
        }
    }
}

fn source(stack: &mut Stack, id: ConnectionId, left: &mut usize) -> bool {
    while *left > 0 {
        let chunk = [b'x'; 4096];
        match stack.tcp_write(id, &chunk[..chunk.len().min(*left)]) {
            Ok(bytes) => *left -= bytes,
            Err(Error::WouldBlock) => return false,
            Err(_) => return true,
        }
    }
    true
}

fn inside(wire: Wire) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut server = Server::new(wire);
        let clients = scope.spawn(|| {
            let result = std::panic::catch_unwind(|| linux_clients(wire));
            done.store(true, Ordering::Relaxed);
            result
        });
        let port = scope.spawn(|| linux_server(wire));
        let mut asked = false;
        while !done.load(Ordering::Relaxed) || !port.is_finished() {
            assert!(server.start.elapsed() < Duration::from_secs(100), "it takes too long");
            server.turn();
            if !asked && server.start.elapsed() > Duration::from_millis(200) {
                // We are the client, this time.
                let now_ns = server.now_ns();
                let id = server.stack.tcp_connect(end(wire.linux, 7007), now_ns).unwrap();
                server.open.push((id, Service::Echo { pending: b"hello Linux".to_vec() }));
                asked = true;
            }
            std::thread::yield_now();
        }
        if let Err(panic) = clients.join().unwrap() {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(port.join().unwrap(), b"hello Linux");
        let statistics = server.stack.statistics();
        assert_eq!((statistics.malformed, statistics.packets_dropped), (0, 0), "{statistics:?}");
    });
}

/// How much goes through in one piece: a bad wire is slow.
fn bulk_bytes(lost_per_mille: u64) -> usize {
    if lost_per_mille == 0 { 3_000_000 } else { 300_000 }
}

/// Listens with Linux; what the first connection said.
fn linux_server(wire: Wire) -> Vec<u8> {
    let listener = TcpListener::bind(end(wire.linux, 7007)).unwrap();
    let (mut stream, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), wire.stack);
    let mut said = vec![0; 11];
    stream.read_exact(&mut said).unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    said
}

fn linux_clients(Wire { linux, stack, lost_per_mille }: Wire) {
    let good = lost_per_mille == 0;
    let connect = |port| {
        let stream = TcpStream::connect(end(stack, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    // Neighbours and ICMP.
    match Command::new("ping").args(["-c", "3", "-i", "0.2", "-W", "5", &stack.to_string()]).output() {
        Ok(output) => assert!(!good || output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => eprintln!("ping is not tried: {error}"),
    }
    // A conversation, then half a close.
    let mut stream = connect(7);
    stream.set_nodelay(true).unwrap();
    for round in 0..if good { 500u32 } else { 50 } {
        let question = round.to_be_bytes();
        stream.write_all(&question).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, question);
    }
    stream.write_all(b"the end").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"the end");
    // Much, down; and up and down at once.
    let mut all = Vec::new();
    connect(19).read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), bulk_bytes(lost_per_mille));
    let stream = connect(7);
    let data: Vec<u8> = (0..bulk_bytes(lost_per_mille) as u32).map(|index| ((index >> 8) ^ index) as u8).collect();
    let mut echoed = vec![0; data.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&data).unwrap());
        (&stream).read_exact(&mut echoed).unwrap();
    });
    assert!(echoed == data);
    drop(stream);
    // Many, one after the other.
    for _ in 0..if good { 300 } else { 20 } {
        let mut stream = connect(7);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    // Nobody there.
    assert!(TcpStream::connect(end(stack, 81)).is_err());
    if !good {
        return;
    }
    let socket = UdpSocket::bind(end(linux, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.connect(end(stack, 7)).unwrap();
    socket.send(b"datagram").unwrap();
    let mut answer = [0; 8000];
    assert_eq!(socket.recv(&mut answer).unwrap(), 8);
    // In pieces, both ways.
    let long: Vec<u8> = (0..6000u32).map(|index| (index ^ index >> 8) as u8).collect();
    socket.send(&long).unwrap();
    assert_eq!(socket.recv(&mut answer).unwrap(), long.len());
    assert!(answer[..long.len()] == long);
    socket.connect(end(stack, 9)).unwrap();
    socket.send(b"datagram").unwrap();
    assert_eq!(socket.recv(&mut answer).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}
