//! The network stack between a program and a peer that both do as the bytes say: frames as they are, segments whose
//! headers are right as far as they must be to get in, calls in any order, and time that jumps.

mod six;

use crate::{Input, cores};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use six::{ip6_frame, pseudo_header6};
use toro_netstack::{
    Address, Checksum, Config, ConnectionId, Device, Ending, Error, Event, Full, KeepAlive, Limits, LinkConfig,
    ListenerId, NoDevice, Received, Sharing, Stack, TcpOption, UdpId, UdpOption,
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const PEER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const STEPS_MAX: usize = 400;

/// A device with so much room; it looks at what it is given.
#[derive(Default)]
struct Port {
    room: usize,
    /// Numbers of the last segment to the peer, so that answers can fit.
    sequence: u32,
    acknowledgement: u32,
    ports: (u16, u16),
}

impl Device for Port {
    fn ready(&mut self) -> bool {
        self.room > 0
    }

    fn transmit(&mut self, len: usize, _: Checksum, fill: impl FnOnce(&mut [u8])) -> Result<(), Full> {
        self.room = self.room.checked_sub(1).ok_or(Full)?;
        assert!((14..=1514).contains(&len), "a frame of {len} bytes");
        let mut frame = vec![0xa5; len];
        fill(&mut frame);
        assert_eq!(frame[6..12], MAC);
        if frame[12..14] == [8, 0] {
            assert_eq!(usize::from(u16::from_be_bytes([frame[16], frame[17]])), len - 14);
            assert_eq!(sum(&frame[14..34]), 0xffff, "the header's checksum is wrong");
            if frame[23] == 6 {
                let number = |at: usize| u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
                self.sequence = number(38);
                self.acknowledgement = number(42);
                self.ports = (u16::from_be_bytes([frame[34], frame[35]]), u16::from_be_bytes([frame[36], frame[37]]));
            }
        }
        if frame[12..14] == [0x86, 0xdd] {
            self.look_at_packet6(&frame[14..]);
        }
        Ok(())
    }
}

impl Port {
    fn look_at_packet6(&mut self, packet: &[u8]) {
        assert_eq!((packet[0] >> 4, usize::from(u16::from_be_bytes([packet[4], packet[5]]))), (6, packet.len() - 40));
        let payload = &packet[40..];
        if matches!(packet[6], 6 | 17 | 58) {
            assert_eq!(sum(&[&pseudo_header6(packet, packet[6], payload.len()), payload].concat()), 0xffff);
        }
        if packet[6] == 6 {
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
            (self.sequence, self.acknowledgement) = (number(4), number(8));
            self.ports = ((number(0) >> 16) as u16, number(0) as u16);
        }
    }
}

struct World {
    stack: Stack,
    /// They speak IPv6.
    six: bool,
    /// The stack of another core.
    other: Option<Stack>,
    port: Port,
    now_ns: u64,
    listeners: Vec<ListenerId>,
    connections: Vec<ConnectionId>,
    sockets: Vec<UdpId>,
    /// There is a second link, on which every other frame comes; both have the same device.
    several: bool,
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut config = Config::new(MAC, [1, 2, 3, 4]);
    config.limits = Limits::for_memory(256 << 10);
    let memory_max = config.limits.memory_bytes as u64;
    let head = input.byte();
    let mut other = None;
    let six = head & 0xe0 == 0xa0;
    if matches!(head & 0xf0, 0x90 | 0xb0) {
        other = Some(cores::seat(&mut config, head >> 1 & 1));
    }
    let mut world = World {
        stack: Stack::new(config),
        six,
        other,
        port: Port::default(),
        now_ns: 1,
        listeners: Vec::new(),
        connections: Vec::new(),
        sockets: Vec::new(),
        several: head & 0xf0 == 0xc0,
    };
    if world.several {
        assert_eq!(world.stack.add_link(LinkConfig::new(MAC)), 1);
        world.stack.start_dhcp(1, world.now_ns);
        world.stack.start_ipv6(1, world.now_ns);
    }
    if six {
        world.stack.start_ipv6(0, world.now_ns);
        assert!(head & 1 == 1 || world.stack.add_address6(0, OWN6, 64, world.now_ns));
    } else if head & 1 == 0 {
        let address = Address { ip: OWN, prefix_bits: 24, gateway: Some(PEER), dns: [None; 3] };
        assert!(world.stack.set_address(0, address));
    } else {
        world.stack.start_dhcp(0, world.now_ns);
    }
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.exchange();
        let statistics = world.stack.statistics();
        assert!(statistics.memory_bytes <= memory_max, "{statistics:?}");
    }
}

impl World {
    fn exchange(&mut self) {
        let Some(other) = &mut self.other else { return };
        let now_ns = self.now_ns;
        cores::exchange(&mut self.stack, other, now_ns, |other| {
            other.flush(&mut NoDevice, now_ns);
        });
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 => self.frame(input),
            1 => self.packet(input, if self.six { 58 } else { 1 }),
            2 => self.packet(input, 17),
            3 if self.six => self.discovery(input),
            3 => self.arp(input),
            4..=7 => self.segment(input),
            8 => {
                self.port.room = usize::from(input.byte() % 8);
                self.stack.flush(&mut self.port, self.now_ns);
            }
            9 => {
                // Up to 18 minutes.
                self.now_ns += u64::from(input.u16()) << (input.byte() % 25);
            }
            10 => {
                let next = self.stack.next_deadline();
                self.now_ns = self.now_ns.max(next.unwrap_or(0));
            }
            11..=14 => self.call(input),
            _ => {
                while let Some(event) = self.stack.next_event() {
                    if let Event::Acceptable(listener) = event {
                        self.connections.extend(self.stack.tcp_accept(listener).map(|(id, _)| id));
                    }
                }
            }
        }
    }

    fn take(&mut self, frame: &[u8]) {
        self.receive(frame, Received::Verified);
    }

    fn receive(&mut self, frame: &[u8], checksum: Received) {
        let link = usize::from(self.several) & self.stack.statistics().frames_received as usize;
        self.stack.receive_on(link, frame, checksum, self.now_ns);
    }

    /// Bytes as they are, addressed to us or not.
    fn frame(&mut self, input: &mut Input<'_>) {
        let mut frame = MAC.to_vec();
        frame.extend(bytes(input));
        if input.byte() & 1 == 0 {
            frame.drain(..6);
        }
        self.receive(&frame, Received::Unverified);
    }

    fn packet(&mut self, input: &mut Input<'_>, protocol: u8) {
        let mut payload = bytes(input);
        if protocol == 1 && payload.len() >= 4 {
            payload[2..4].fill(0);
            let checksum = !sum(&payload);
            payload[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        if self.six {
            return self.packet6(input, protocol, &payload);
        }
        let source = if input.byte() & 7 == 0 { Ipv4Addr::from_bits(input.u32()) } else { PEER };
        let destination = if input.byte() & 7 == 0 { Ipv4Addr::from_bits(input.u32()) } else { OWN };
        let frame = ip_frame(source, destination, protocol, &payload);
        self.take(&frame);
    }

    fn arp(&mut self, input: &mut Input<'_>) {
        let mut frame = [&MAC[..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + input.byte() % 3], &PEER_MAC].concat();
        let ip = if input.byte() & 1 == 0 { PEER } else { Ipv4Addr::from_bits(0x0a00_0000 | u32::from(input.u16())) };
        frame.extend(ip.octets());
        frame.extend([0; 6]);
        frame.extend(OWN.octets());
        self.take(&frame);
    }

    /// A segment that fits what we said last, give or take what the bytes say.
    fn segment(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let (own, peer) = if kind & 1 == 0 { self.port.ports } else { (80, 1000 + u16::from(input.byte())) };
        let near = |base: u32, input: &mut Input<'_>| match input.byte() % 4 {
            0 => base,
            1 => base.wrapping_add(u32::from(input.byte())),
            2 => base.wrapping_sub(u32::from(input.u16())),
            _ => base.wrapping_add(input.u32()),
        };
        let sequence = near(self.port.acknowledgement, input);
        let acknowledgement = near(self.port.sequence.wrapping_add(1), input);
        let options = if kind & 2 == 0 { Vec::new() } else { bytes(input) };
        let options = &options[..options.len().min(40) & !3];
        let mut tcp = Vec::new();
        tcp.extend(peer.to_be_bytes());
        tcp.extend(own.to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(acknowledgement.to_be_bytes());
        tcp.push(((5 + options.len() / 4) << 4) as u8);
        tcp.push(input.byte());
        tcp.extend(input.u16().to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        if kind & 4 == 0 {
            tcp.extend(bytes(input));
        } else {
            tcp.resize(tcp.len() + usize::from(input.u16() % 1400), kind);
        }
        let frame =
            if self.six { ip6_frame((PEER6, OWN6), (6, 64), (6, &[]), &tcp) } else { ip_frame(PEER, OWN, 6, &tcp) };
        self.take(&frame);
    }

    fn own(&self) -> IpAddr {
        if self.six { OWN6.into() } else { OWN.into() }
    }

    fn peer(&self) -> IpAddr {
        if self.six { PEER6.into() } else { PEER.into() }
    }

    fn any(&self) -> IpAddr {
        if self.six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
    }

    fn localhost(&self) -> IpAddr {
        if self.six { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
    }

    /// Calls that look, share and tune.
    fn rare_call(&mut self, kind: u8, input: &mut Input<'_>) {
        let which = usize::from(input.byte());
        let now_ns = self.now_ns;
        let sharing = Sharing { reuse_address: which & 1 != 0, reuse_port: which & 2 != 0, v6_only: which & 16 != 0 };
        let bound = if which & 4 == 0 { self.any() } else { self.own() };
        let at = |port| SocketAddr::new(bound, port);
        let connection = self.connections.get(which % self.connections.len().max(1)).copied();
        let socket = self.sockets.get(which % self.sockets.len().max(1)).copied();
        match (kind % 8, connection, socket) {
            (0, ..) => self.listeners.extend(self.stack.tcp_listen_beside(at(80), sharing, which).map(|(id, _)| id)),
            (1, ..) => self.sockets.extend(self.stack.udp_bind_beside(at(u16::from(which as u8 % 4)), sharing)),
            (2, ..) => {
                let remote = SocketAddr::new(self.peer(), 80);
                let taken = |port: u16| port & 1 == 0;
                let begun = self.stack.tcp_connect_from(Some(at(which as u16 & 3)), remote, &taken, now_ns);
                self.connections.extend(begun);
            }
            (3, Some(id), _) => {
                let readiness = self.stack.tcp_readiness(id);
                let peeked = self.stack.tcp_peek(id, &mut [0; 100]);
                assert!(readiness.readable || peeked == Err(Error::WouldBlock), "{readiness:?} {peeked:?}");
                let info = self.stack.tcp_info(id);
                let (unacknowledged, unsent) = self.stack.tcp_pending_bytes(id);
                assert!(unsent <= unacknowledged, "{info:?}");
                let _ = self.stack.tcp_drained(id);
            }
            (4, Some(id), _) => {
                let number = input.u16();
                let option = match number & 7 {
                    0 => TcpOption::Cork(number & 8 != 0),
                    1 => TcpOption::QuickAck(number & 8 != 0),
                    2 => TcpOption::UserTimeout(Some(u64::from(number) << 20)),
                    3 => TcpOption::Hops(number as u8),
                    4 => TcpOption::Service(number as u8),
                    5 => TcpOption::SendBuffer(number.into()),
                    6 => TcpOption::ReceiveBuffer(number.into()),
                    _ => TcpOption::KeepAlive(None),
                };
                let _ = self.stack.tcp_set(id, option, now_ns);
            }
            (5, Some(id), _) => {
                let (most, some) = (usize::from(input.u16() % 9000), usize::from(input.byte()) * 16);
                let _ = self.stack.tcp_read_with(id, most, &mut |piece| piece.len().min(some));
                let _ = self.stack.tcp_write_with(id, most, &mut |room| room.len().min(some));
            }
            (6, Some(id), _) => {
                self.stack.tcp_shutdown_read(id);
                let _ = self.stack.tcp_take_error(id);
            }
            (7, _, Some(id)) => {
                let _ = self.stack.udp_readiness(id);
                let _ = self.stack.udp_set(id, UdpOption::Broadcast(which & 1 != 0));
                let group = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, which as u16 & 0x3f);
                let _ = self.stack.udp_set(id, UdpOption::Join(group.into()));
                let _ = self.stack.udp_connect(id, (which & 2 != 0).then_some(at(7)));
                let _ = self.stack.udp_take_error(id);
            }
            _ => {}
        }
    }

    fn call(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        if kind >= 0xf0 {
            return self.rare_call(kind, input);
        }
        let which = usize::from(input.byte());
        let any_ip = self.any();
        let any = |port| SocketAddr::new(any_ip, port);
        let connection = self.connections.get(which % self.connections.len().max(1)).copied();
        let socket = self.sockets.get(which % self.sockets.len().max(1)).copied();
        match (kind % 14, connection, socket) {
            (0, ..) => self.listeners.extend(self.stack.tcp_listen(any(80), which)),
            (1, ..) => {
                let to = if which & 1 == 0 { self.peer() } else { self.localhost() };
                self.connections.extend(self.stack.tcp_connect(SocketAddr::new(to, 80), self.now_ns));
            }
            (2, ..) if !self.listeners.is_empty() => {
                let listener = self.listeners[which % self.listeners.len()];
                self.connections.extend(self.stack.tcp_accept(listener).map(|(id, _)| id));
            }
            (3, ..) if which == 0 => self.listeners.drain(..).for_each(|id| self.stack.tcp_close_listener(id)),
            (4, Some(id), _) => {
                let _ = self.stack.tcp_read(id, &mut vec![0; usize::from(input.u16() % 9000)]);
            }
            (5, Some(id), _) => {
                let _ = self.stack.tcp_write(id, &vec![7; usize::from(input.u16() % 9000)]);
            }
            (6, Some(id), _) => {
                let _ = self.stack.tcp_shutdown_write(id);
            }
            (7, Some(id), _) => {
                let ending = if input.byte() & 1 == 0 { Ending::Orderly } else { Ending::Reset };
                self.stack.tcp_close(id, ending, self.now_ns);
            }
            (8, Some(id), _) => {
                let _ = self.stack.tcp_set(id, TcpOption::NoDelay(which & 1 == 0), self.now_ns);
                let _ = self.stack.tcp_connected(id);
            }
            (9, Some(id), _) => {
                let time_ns = u64::from(input.u32()) << 8;
                let keep_alive = KeepAlive { idle_ns: time_ns, interval_ns: time_ns, count: 3 };
                let _ = self.stack.tcp_set(id, TcpOption::KeepAlive(Some(keep_alive)), self.now_ns);
            }
            (10, ..) => self.sockets.extend(self.stack.udp_bind(any(u16::from(input.byte() % 4)))),
            (11, _, Some(id)) => {
                let ip = if which & 1 == 0 { self.peer() } else { self.own() };
                let to = SocketAddr::new(ip, u16::from(input.byte() % 4));
                let _ = self.stack.udp_send(id, &vec![9; usize::from(input.u16() % 2000)], to);
                if which & 2 == 0 {
                    let _ = self.stack.udp_connect(id, Some(to));
                }
            }
            (12, _, Some(id)) => {
                let _ = self.stack.udp_receive(id, &mut [0; 100], which & 1 == 0);
            }
            (13, _, Some(id)) => {
                self.stack.udp_close(id);
                self.sockets.retain(|other| *other != id);
            }
            _ => {}
        }
    }
}

/// Up to 255 of the bytes that are left.
fn bytes(input: &mut Input<'_>) -> Vec<u8> {
    let len = input.byte();
    (0..len).map_while(|_| (!input.is_empty()).then(|| input.byte())).collect()
}

fn ip_frame(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len() as u16).to_be_bytes();
    let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header.extend(source.octets());
    header.extend(destination.octets());
    let checksum = !sum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    [&MAC[..], &PEER_MAC, &[8, 0], &header, payload].concat()
}

/// The ones' complement sum.
pub(crate) fn sum(data: &[u8]) -> u16 {
    let mut sum: u32 =
        data.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
