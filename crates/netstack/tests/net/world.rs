//! Two stacks on a wire in memory, in virtual time: what the wire loses, repeats and delays is what a seed says.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use toro_netstack::{
    Address, Checksum, Config, ConnectionId, Device, Ending, Error, Flushed, Full, KeepAlive, ListenerId, Received,
    Stack, TcpOption,
};

pub(crate) const MILLISECOND_NS: u64 = 1_000_000;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;

/// A device that keeps frames, as many as it has room for.
pub(crate) struct Port {
    pub(crate) sent: VecDeque<Vec<u8>>,
    pub(crate) room: usize,
    /// Frames that the device had to cut.
    pub(crate) cut: usize,
}

/// What a device with segmentation offload does to a segment of TCP, which starts there.
fn cut(frame: &[u8], tcp: usize, headers_bytes: usize, segment_bytes: usize) -> Vec<Vec<u8>> {
    let (headers, payload) = frame.split_at(headers_bytes);
    let is_v6 = headers[12..14] == [0x86, 0xdd];
    assert_eq!(tcp, if is_v6 { 54 } else { 34 });
    assert_eq!(usize::from(headers[tcp + 12] >> 4) * 4 + tcp, headers_bytes, "all headers, and nothing else");
    let (len_at, len_from) = if is_v6 { (18, tcp) } else { (16, 14) };
    let len = u16::from_be_bytes([headers[len_at], headers[len_at + 1]]);
    assert_eq!(usize::from(len) + len_from, frame.len());
    let sequence = u32::from_be_bytes(headers[tcp + 4..tcp + 8].try_into().unwrap());
    let pieces = payload.chunks(segment_bytes).enumerate().map(|(number, part)| {
        let mut piece = [headers, part].concat();
        let total = (piece.len() - len_from) as u16;
        piece[len_at..len_at + 2].copy_from_slice(&total.to_be_bytes());
        if !is_v6 {
            piece[24..26].fill(0);
            complete_header(&mut piece);
        }
        let own = sequence.wrapping_add((number * segment_bytes) as u32);
        piece[tcp + 4..tcp + 8].copy_from_slice(&own.to_be_bytes());
        if (number + 1) * segment_bytes < payload.len() {
            piece[tcp + 13] &= !0b1001; // FIN and PSH belong to the last
        }
        // The sum of the pseudo header stands there with the whole length.
        let tcp_bytes = (piece.len() - tcp) as u16;
        let addresses = if is_v6 { 22 } else { 26 };
        let summed = [&piece[addresses..tcp], &[0, 6], &tcp_bytes.to_be_bytes()[..]].concat();
        let [high, low] = crate::frames::checksum(&summed);
        piece[tcp + 16..tcp + 18].copy_from_slice(&[!high, !low]);
        complete(&mut piece, tcp, 16);
        piece
    });
    pieces.collect()
}

fn complete_header(frame: &mut [u8]) {
    let sum = crate::frames::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum);
}

impl Device for Port {
    fn ready(&mut self) -> bool {
        self.sent.len() < self.room
    }

    fn transmit(&mut self, len: usize, checksum: Checksum, fill: impl FnOnce(&mut [u8])) -> Result<(), Full> {
        if !self.ready() {
            return Err(Full);
        }
        let mut frame = vec![0xa5; len];
        fill(&mut frame);
        match checksum {
            Checksum::Complete => {}
            Checksum::Partial { start_bytes, offset_bytes } => {
                complete(&mut frame, start_bytes.into(), offset_bytes.into());
            }
            Checksum::Segments { start_bytes, offset_bytes, headers_bytes, segment_bytes } => {
                assert_eq!(offset_bytes, 16);
                self.cut += 1;
                self.sent.extend(cut(&frame, start_bytes.into(), headers_bytes.into(), segment_bytes.into()));
                return Ok(());
            }
        }
        self.sent.push_back(frame);
        Ok(())
    }
}

/// What a device with checksum offload does.
fn complete(frame: &mut [u8], start: usize, offset: usize) {
    let sum = frame[start..]
        .chunks(2)
        .fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[start + offset..start + offset + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// A frame on its way: arrival, number, destination, bytes.
type Flight = (u64, u64, usize, Vec<u8>);

/// Says of a frame, and who sent it, whether it is lost.
pub(crate) type Loses = Box<dyn FnMut(usize, &[u8]) -> bool>;

/// How bad the wire is, in frames of a thousand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) delayed: u64,
    /// One bit of them is another one.
    pub(crate) damaged: u64,
    /// Of a thousand moments at which something happens, so many are missed by up to 10 seconds: the machine stood still.
    pub(crate) missed: u64,
}

pub(crate) struct World {
    pub(crate) stacks: [Stack; 2],
    pub(crate) ports: [Port; 2],
    pub(crate) now_ns: u64,
    pub(crate) weather: Weather,
    pub(crate) latency_ns: u64,
    /// Says of a frame, and who sent it, whether it is lost beyond what the weather takes.
    pub(crate) loses: Option<Loses>,
    /// They speak IPv6.
    six: bool,
    in_flight: BinaryHeap<Reverse<Flight>>,
    frames: u64,
    random: u64,
}

pub(crate) fn mac(host: usize) -> [u8; 6] {
    [0x52, 0x54, 0, 0, 0, host as u8 + 1]
}

pub(crate) fn ip(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host as u8 + 1)
}

/// An address and a port.
pub(crate) fn end(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

pub(crate) fn at(host: usize, port: u16) -> SocketAddr {
    end(ip(host), port)
}

pub(crate) fn ip6(host: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host as u16 + 1)
}

/// What the stacks speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Four,
    Six,
}

pub(crate) const FAMILIES: [Family; 2] = [Family::Four, Family::Six];

pub(crate) fn config(host: usize) -> Config {
    let mut config = Config::new(mac(host), [0x1234_5678 + host as u64, 0x9abc, 0xdef0, 77 + host as u64]);
    // Small, so that they are filled soon.
    config.limits.receive_buffer_bytes = 8192;
    config.limits.receive_buffer_max_bytes = 8192;
    config.limits.send_buffer_bytes = 16384;
    config.limits.send_buffer_max_bytes = 16384;
    config
}

/// A machine with buffers that grow.
pub(crate) fn large_config(host: usize) -> Config {
    let mut config = config(host);
    config.limits = toro_netstack::Limits::for_memory(512 << 20);
    config
}

pub(crate) fn address(host: usize) -> Address {
    Address { ip: ip(host), prefix_bits: 24, gateway: None, dns: [None; 3] }
}

/// At the end of each test: whatever has happened, the tables are sound.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stacks.iter().for_each(Stack::assert_sound);
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        World::with(config(CLIENT), config(SERVER))
    }

    pub(crate) fn with(client: Config, server: Config) -> Self {
        World::of(Family::Four, client, server)
    }

    /// Two stacks with addresses of that family alone.
    pub(crate) fn of(family: Family, client: Config, server: Config) -> Self {
        let mut stacks = [Stack::new(client), Stack::new(server)];
        for (host, stack) in stacks.iter_mut().enumerate() {
            assert!(match family {
                Family::Four => stack.set_address(0, address(host)),
                Family::Six => stack.add_address6(0, ip6(host), 64, SECOND_NS),
            });
        }
        let port = || Port { sent: VecDeque::new(), room: 64, cut: 0 };
        World {
            stacks,
            ports: [port(), port()],
            now_ns: SECOND_NS,
            weather: Weather::default(),
            latency_ns: 100_000,
            loses: None,
            six: family == Family::Six,
            in_flight: BinaryHeap::new(),
            frames: 0,
            random: 1,
        }
    }

    pub(crate) fn seed(mut self, seed: u64, weather: Weather) -> Self {
        self.random = seed | 1;
        self.weather = weather;
        self
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn happens(&mut self, per_mille: u64) -> bool {
        self.random() % 1000 < per_mille
    }

    fn put(&mut self, to: usize, frame: Vec<u8>) {
        if self.happens(self.weather.lost) || self.loses.as_mut().is_some_and(|loses| loses(1 - to, &frame)) {
            return;
        }
        let copies = 1 + u64::from(self.happens(self.weather.repeated));
        for _ in 0..copies {
            let extra = if self.happens(self.weather.delayed) { self.random() % (5 * MILLISECOND_NS) } else { 0 };
            let mut frame = frame.clone();
            // ARP has no checksum, so nobody would know.
            if self.weather.damaged > 0 && frame[12..14] != [8, 6] && self.happens(self.weather.damaged) {
                let at = 14 + self.random() as usize % (frame.len() - 14);
                frame[at] ^= 1 << (self.random() % 8);
            }
            self.frames += 1;
            let arrival = self.now_ns + self.latency_ns + extra;
            self.in_flight.push(Reverse((arrival, self.frames, to, frame)));
        }
    }

    /// Puts a frame on the wire to `to`, arriving now.
    pub(crate) fn inject(&mut self, to: usize, frame: &[u8]) {
        self.stacks[to].receive(frame, Received::Unverified, self.now_ns);
    }

    /// Lets both stacks speak and takes what arrives now. `true` when something moved.
    pub(crate) fn turn(&mut self) -> bool {
        let mut moved = false;
        for host in 0..2 {
            while self.stacks[host].flush(&mut self.ports[host], self.now_ns) != Flushed::Whole {
                self.carry(host);
            }
            moved |= self.carry(host);
        }
        while let Some(Reverse((arrival, ..))) = self.in_flight.peek()
            && *arrival <= self.now_ns
        {
            let Some(Reverse((_, _, to, frame))) = self.in_flight.pop() else { break };
            self.stacks[to].receive(&frame, Received::Unverified, self.now_ns);
            moved = true;
        }
        moved
    }

    fn carry(&mut self, host: usize) -> bool {
        let moved = !self.ports[host].sent.is_empty();
        while let Some(frame) = self.ports[host].sent.pop_front() {
            self.put(1 - host, frame);
        }
        moved
    }

    /// Goes to the next moment at which anything happens; `false` when nothing ever will.
    pub(crate) fn advance(&mut self) -> bool {
        let arrival = self.in_flight.peek().map(|Reverse((arrival, ..))| *arrival);
        let deadlines = [self.stacks[0].next_deadline(), self.stacks[1].next_deadline()];
        let Some(next) = deadlines.into_iter().chain([arrival]).flatten().min() else { return false };
        self.now_ns = self.now_ns.max(next);
        if self.weather.missed > 0 && self.happens(self.weather.missed) {
            self.now_ns += self.random() % (10 * SECOND_NS);
        }
        true
    }

    /// Runs until `done`, for at most this much virtual time.
    pub(crate) fn run_until(&mut self, limit_ns: u64, mut done: impl FnMut(&mut World) -> bool) {
        let end = self.now_ns + limit_ns;
        loop {
            while self.turn() {}
            if done(self) {
                return;
            }
            if !self.turn() && (!self.advance() || self.now_ns > end) {
                panic!("still waiting at {} ns (limit {end} ns)", self.now_ns);
            }
        }
    }

    /// Runs for this much virtual time.
    pub(crate) fn run_for(&mut self, time_ns: u64) {
        let end = self.now_ns + time_ns;
        loop {
            while self.turn() {}
            let before = self.now_ns;
            if !self.advance() || self.now_ns > end {
                self.now_ns = end;
                while self.turn() {}
                return;
            }
            assert!(self.now_ns > before || self.turn() || self.now_ns == before, "time stands still");
        }
    }

    /// All addresses of whoever binds that.
    pub(crate) fn any(&self, port: u16) -> SocketAddr {
        if self.six { end(Ipv6Addr::UNSPECIFIED, port) } else { end(Ipv4Addr::UNSPECIFIED, port) }
    }

    /// A port of a host.
    pub(crate) fn end(&self, host: usize, port: u16) -> SocketAddr {
        if self.six { end(ip6(host), port) } else { at(host, port) }
    }

    /// A connection from the client to the server, open on both sides.
    pub(crate) fn connect(&mut self, listener: ListenerId, port: u16) -> (ConnectionId, ConnectionId) {
        let client = self.stacks[CLIENT].tcp_connect(self.end(SERVER, port), self.now_ns).unwrap();
        let mut server = None;
        self.run_until(60 * SECOND_NS, |world| {
            if server.is_none() {
                server = world.stacks[SERVER].tcp_accept(listener).ok().map(|(id, _)| id);
            }
            world.stacks[CLIENT].tcp_connected(client) == Ok(()) && server.is_some()
        });
        (client, server.unwrap())
    }

    /// Listens at the server.
    pub(crate) fn listen(&mut self, port: u16, backlog: usize) -> ListenerId {
        self.stacks[SERVER].tcp_listen(self.any(port), backlog).unwrap()
    }

    /// Sends all of `data` one way, reading it at the other end.
    pub(crate) fn transfer(&mut self, from: (usize, ConnectionId), to: (usize, ConnectionId), data: &[u8]) -> Vec<u8> {
        let mut written = 0;
        let mut read = Vec::new();
        self.run_until(3600 * SECOND_NS, |world| {
            while written < data.len() {
                match world.stacks[from.0].tcp_write(from.1, &data[written..]) {
                    Ok(bytes) => written += bytes,
                    Err(Error::WouldBlock) => break,
                    Err(error) => panic!("write: {error}"),
                }
            }
            let mut buffer = [0; 4096];
            loop {
                match world.stacks[to.0].tcp_read(to.1, &mut buffer) {
                    Ok(0) => panic!("end of stream after {} bytes", read.len()),
                    Ok(bytes) => read.extend_from_slice(&buffer[..bytes]),
                    Err(Error::WouldBlock) => break,
                    Err(error) => panic!("read: {error}"),
                }
            }
            read.len() >= data.len()
        });
        read
    }

    /// Closes both ends in order and lets everything settle.
    pub(crate) fn close(&mut self, client: ConnectionId, server: ConnectionId) {
        self.stacks[SERVER].tcp_close(server, Ending::Orderly, self.now_ns);
        self.stacks[CLIENT].tcp_close(client, Ending::Orderly, self.now_ns);
        self.run_until(120 * SECOND_NS, |world| world.stacks.iter().all(|stack| stack.statistics().connections == 0));
    }
}

/// Bytes that tell where they belong.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

/// A silent peer is asked after so long, three times, and then given up.
pub(crate) fn keep_alive(interval_ns: u64) -> TcpOption {
    TcpOption::KeepAlive(Some(KeepAlive { idle_ns: interval_ns, interval_ns, count: 3 }))
}
