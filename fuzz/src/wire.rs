//! A machine on several links whose other ends are hostile: frames made layer by layer, each layer as often as it goes in, with
//! checksums that are right; bursts of frames that differ in one thing; time that moves.
//!
//! It runs on a stack as small as that of a guest's thread. All the while tables stay within their bounds (`Stack::assert_sound`), what
//! is left to do comes to an end, and clocks come to rest; afterwards the machine serves an honest peer, and has its memory back.

mod frames;
mod honest;

use crate::{Input, cores};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use frames::{Kind, Maker};
use toro_netstack::{
    Address, Checksum, Config, ConnectionId, Device, Devices, Ending, Flushed, Full, Limits, LinkConfig, ListenerId,
    Received, Stack, UdpId, UdpOption,
};

/// That of a guest's thread, twice because what is built for fuzzing needs more.
const STACK_BYTES: usize = 128 << 10;
const LINKS: usize = 3;
const STEPS_MAX: usize = 120;
const SECOND_NS: u64 = 1_000_000_000;

/// How long nothing happens: as long as something of the stack's waits, or a little longer.
const TIMES_NS: [u64; 8] = [
    1_000,
    SECOND_NS / 1000,
    SECOND_NS / 50,
    SECOND_NS / 5,
    SECOND_NS,
    11 * SECOND_NS,
    61 * SECOND_NS,
    7200 * SECOND_NS,
];

/// A link's device: it notes what the other side needs to know.
struct Port {
    mac: [u8; 6],
    room: usize,
    /// Questions about neighbours are answered; the answers.
    polite: bool,
    answers: Vec<Vec<u8>>,
    /// Numbers, ports and ends of the last segment.
    next: u32,
    acknowledgement: u32,
    ports: (u16, u16),
    ends: Option<(IpAddr, IpAddr)>,
    /// The last question of DHCP.
    transaction: [u8; 4],
    /// The last packet, of which errors quote.
    last: Vec<u8>,
    /// All that was sent, if somebody looks.
    sent: Option<Vec<Vec<u8>>>,
}

impl Port {
    fn new(link: usize) -> Self {
        Port {
            mac: mac(link),
            room: 64,
            polite: true,
            answers: Vec::new(),
            next: 0,
            acknowledgement: 0,
            ports: (0, 0),
            ends: None,
            transaction: [0; 4],
            last: Vec::new(),
            sent: None,
        }
    }

    fn note(&mut self, frame: &[u8]) {
        assert_eq!(frame[6..12], self.mac);
        let packet = &frame[14..];
        let start = match frame[12..14] {
            [8, 0] => usize::from(packet[0] & 15) * 4,
            [0x86, 0xdd] => 40,
            _ => return self.answers.extend(self.polite.then(|| frames::arp_answer(frame)).flatten()),
        };
        let protocol = if start == 40 { packet[6] } else { packet[9] };
        let number = |at: usize| u32::from_be_bytes(packet[start + at..start + at + 4].try_into().expect("four bytes"));
        if protocol == 6 {
            let flags = packet[start + 13];
            let data_bytes = packet.len() - start - usize::from(packet[start + 12] >> 4) * 4;
            self.next = number(4).wrapping_add(data_bytes as u32 + u32::from(flags & 1) + u32::from(flags >> 1 & 1));
            self.acknowledgement = number(8);
            self.ports = ((number(0) >> 16) as u16, number(0) as u16);
            self.ends = Some(frames::ends(packet));
        }
        if protocol == 58 && self.polite {
            self.answers.extend(frames::neighbor_answer(frame));
        }
        if protocol == 17 && number(0) as u16 == 67 {
            self.transaction = number(12).to_be_bytes();
        }
        self.last = packet[..packet.len().min(200)].to_vec();
    }
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
        self.note(&frame);
        if let Some(sent) = &mut self.sent {
            sent.push(frame);
        }
        Ok(())
    }
}

struct Ports([Port; LINKS]);

impl Devices for Ports {
    type Device = Port;

    fn device(&mut self, link: usize) -> &mut Port {
        &mut self.0[link]
    }
}

fn mac(link: usize) -> [u8; 6] {
    [2, 0, 0, 0, link as u8, 1]
}

fn own(link: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, link as u8, 1)
}

fn own6(link: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, link as u16, 0, 0, 0, 0, 0, 1)
}

/// The machine, with sockets of each kind, and its links.
struct World {
    stack: Stack,
    /// The stack of another core, of a machine with two.
    other: Option<Stack>,
    /// This one speaks with the links for both.
    is_first: bool,
    ports: Ports,
    links: usize,
    now_ns: u64,
    listener: Option<ListenerId>,
    connections: Vec<ConnectionId>,
    sockets: Vec<UdpId>,
}

pub(crate) fn run(data: &[u8]) {
    let play = || play(data);
    let ended = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, play);
        thread.expect("there is memory for a thread").join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

fn play(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.carry();
        world.assert_sound();
    }
    world.end();
}

impl World {
    fn new(input: &mut Input<'_>) -> Box<World> {
        let (head, kinds) = (input.byte(), input.byte());
        let mut config = Config::new(mac(0), [1, 2, 3, 4]);
        config.limits = Limits::for_memory(if head & 4 == 0 { 512 << 10 } else { 8 << 20 });
        let mut other = None;
        if head & 0x18 == 0x18 {
            other = Some(cores::seat(&mut config, head >> 5 & 1));
        }
        let mut world = Box::new(World {
            stack: Stack::new(config),
            other,
            is_first: head & 0x38 != 0x38,
            ports: Ports(core::array::from_fn(Port::new)),
            links: 1 + usize::from(head & 3) % LINKS,
            now_ns: SECOND_NS,
            listener: None,
            connections: Vec::new(),
            sockets: Vec::new(),
        });
        for link in 0..world.links {
            if link > 0 {
                assert_eq!(world.stack.add_link(LinkConfig::new(mac(link))), link);
                if let Some(other) = &mut world.other {
                    other.add_link(LinkConfig::new(mac(link)));
                }
            }
            world.begin(link, kinds >> (2 * link));
            world.ports.0[link].polite = head & 0xc0 != 0xc0;
        }
        world.carry();
        world.open();
        world
    }

    /// Addresses of both families on a link: by the first bit those that are chosen, else asked for.
    fn begin(&mut self, link: usize, kind: u8) {
        let core0 = self.core0();
        if kind & 1 == 0 {
            let address = Address { ip: own(link), prefix_bits: 24, gateway: Some(peer(link, 1)), dns: [None; 3] };
            assert!(core0.set_address(link, address));
        } else {
            core0.start_dhcp(link, SECOND_NS);
        }
        if kind & 2 != 0 {
            assert!(core0.start_ipv6(link, SECOND_NS));
        }
        assert!(kind & 3 == 3 || core0.add_address6(link, own6(link), 64, SECOND_NS));
    }

    /// The stack that speaks with the links for all.
    fn core0(&mut self) -> &mut Stack {
        self.other.as_mut().filter(|_| !self.is_first).unwrap_or(&mut self.stack)
    }

    fn open(&mut self) {
        let any = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        self.listener = self.stack.tcp_listen(any(80), 8).ok();
        for port in [7, 9] {
            self.sockets.extend(self.stack.udp_bind(any(port)));
        }
        for link in 0..self.links {
            for group in [IpAddr::from(GROUP), GROUP6.into()] {
                if let Some(&socket) = self.sockets.first() {
                    let _ = self.stack.udp_set_on(link, socket, UdpOption::Join(group));
                }
            }
        }
        let named = SocketAddr::new(peer(0, 2).into(), 9);
        let _ = self.sockets.get(1).map(|socket| self.stack.udp_connect(*socket, Some(named)));
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=7 => self.frames(input),
            8 => drop(self.flush(usize::from(input.byte()))),
            9 => {
                self.now_ns += (1 + u64::from(input.byte() & 3)) * TIMES_NS[usize::from(input.byte()) % TIMES_NS.len()]
            }
            10 => self.now_ns = self.now_ns.max(self.stack.next_deadline().unwrap_or(0)),
            11 => {
                let up = input.byte();
                let link = usize::from(up >> 1) % self.links;
                let now_ns = self.now_ns;
                if up & 0x80 != 0 {
                    self.ports.0[link].polite = up & 1 != 0;
                } else {
                    self.core0().set_link(link, up & 1 != 0, now_ns);
                }
            }
            12 => self.connect(input),
            13 => self.end_some(input),
            14 => self.greet(input),
            _ => self.serve(usize::from(input.byte()) * 16),
        }
    }

    /// A frame, or a burst of such that differ in one thing each.
    fn frames(&mut self, input: &mut Input<'_>) {
        let link = usize::from(input.byte()) % self.links;
        let kind = Kind::of(input.byte());
        let count = match input.byte() {
            few @ ..0xc0 => 1 + usize::from(few >> 6),
            many => usize::from(many & 0x3f) * 8,
        };
        let mut maker = Maker::new(link, kind, input);
        let settles = count <= 4 && input.byte() & 3 != 0;
        self.ports.0[link].room = self.ports.0[link].room.max(8);
        for number in 0..count {
            let own = self.stack.addresses6(link).last().map(|own| own.ip);
            let address = self.stack.address_on(link).map(|address| address.ip);
            let frames = maker.frames(number, &self.ports.0[link], address, own);
            for frame in frames {
                let before = self.stack.statistics();
                self.stack.receive_on(link, &frame, Received::Unverified, self.now_ns);
                let after = self.stack.statistics();
                let ended = |of: fn(&toro_netstack::Statistics) -> u64| of(&after) - of(&before);
                assert!(ended(|it| it.malformed) + ended(|it| it.not_for_us) <= 1, "{before:?} {after:?}");
                assert!(ended(|it| it.reassembled) <= 1, "{before:?} {after:?}");
            }
            if number % 16 == 15 {
                self.carry();
            }
            if settles {
                self.settle();
            }
        }
    }

    /// Somebody connects, or lends an address, in order; what comes after that is another matter.
    fn greet(&mut self, input: &mut Input<'_>) {
        let (head, seconds) = (input.byte(), input.byte());
        let link = usize::from(head) % self.links;
        let lends = head & 0x80 != 0;
        if lends {
            self.now_ns = self.now_ns.max(self.stack.next_deadline().unwrap_or(0));
            self.settle();
        }
        for flags in if lends { [0, 1] } else { [0x10, 0xd1] } {
            let mut maker = if lends {
                Maker::lease_of(link, flags, 1 << (seconds & 31))
            } else {
                Maker::segment_of(link, flags, input.byte())
            };
            let address = self.stack.address_on(link).map(|address| address.ip);
            let own = self.stack.addresses6(link).last().map(|own| own.ip);
            for frame in maker.frames(0, &self.ports.0[link], address, own) {
                self.stack.receive_on(link, &frame, Received::Unverified, self.now_ns);
            }
            self.settle();
        }
        self.serve(0);
    }

    /// What is said goes out, and neighbours answer.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.flush(64);
            self.carry();
            for link in 0..self.links {
                for frame in core::mem::take(&mut self.ports.0[link].answers) {
                    self.stack.receive_on(link, &frame, Received::Unverified, self.now_ns);
                }
            }
        }
    }

    fn flush(&mut self, room: usize) -> Flushed {
        self.ports.0.iter_mut().for_each(|port| port.room = room);
        let flushed = self.stack.flush(&mut self.ports, self.now_ns);
        assert!(flushed != Flushed::Whole || !self.stack.has_work());
        flushed
    }

    /// Carries what cores tell each other, and hears of what happened.
    fn carry(&mut self) {
        let mut events = 0;
        while self.stack.next_event().is_some() {
            events += 1;
        }
        assert!(events < 10_000, "{events} events");
        let Some(other) = &mut self.other else { return };
        let (ports, now_ns) = (&mut self.ports, self.now_ns);
        cores::exchange(&mut self.stack, other, now_ns, |other| {
            ports.0.iter_mut().for_each(|port| port.room = 1000);
            other.flush(ports, now_ns);
        });
    }

    fn connect(&mut self, input: &mut Input<'_>) {
        let (link, number) = (usize::from(input.byte()) % self.links, input.byte());
        let remote = if number & 1 == 0 { peer(link, number).into() } else { IpAddr::from(peer6(link, number)) };
        self.connections.extend(self.stack.tcp_connect(SocketAddr::new(remote, 80), self.now_ns));
        let socket = usize::from(number) % self.sockets.len().max(1);
        if let Some(&socket) = self.sockets.get(socket) {
            let data = vec![number; usize::from(input.byte()) * 16];
            let _ = self.stack.udp_send(socket, &data, SocketAddr::new(remote, 7));
        }
    }

    fn end_some(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        if self.connections.is_empty() {
            return;
        }
        let connection = self.connections[usize::from(kind >> 2) % self.connections.len()];
        match kind & 3 {
            0 => self.stack.tcp_close(connection, Ending::Orderly, self.now_ns),
            1 => self.stack.tcp_close(connection, Ending::Reset, self.now_ns),
            2 => self.stack.tcp_shutdown_write(connection).unwrap_or(()),
            _ => self.stack.tcp_shutdown_read(connection),
        }
        if kind & 2 == 0 {
            self.connections.retain(|other| *other != connection);
        }
    }

    /// What a program does: takes who comes, and says again what it hears.
    fn serve(&mut self, bytes_max: usize) {
        while let Some(Ok((id, _))) = self.listener.map(|listener| self.stack.tcp_accept(listener)) {
            self.connections.push(id);
        }
        let mut buffer = vec![0; bytes_max];
        for &id in &self.connections {
            if let Ok(bytes @ 1..) = self.stack.tcp_read(id, &mut buffer) {
                let _ = self.stack.tcp_write(id, &buffer[..bytes]);
            }
        }
        for &socket in &self.sockets {
            while let Ok((bytes, from)) = self.stack.udp_receive(socket, &mut buffer, false) {
                let _ = self.stack.udp_send(socket, &buffer[..bytes], from);
            }
        }
    }

    fn assert_sound(&self) {
        for stack in core::iter::once(&self.stack).chain(&self.other) {
            stack.assert_sound();
            assert!(
                stack.search_domains().count() <= 6 * self.links && stack.name_servers6().count() <= 3 * self.links
            );
            assert!(stack.domains6().count() <= 4 * self.links);
            for link in 0..self.links {
                assert!(stack.addresses6(link).count() <= 8 && stack.routers6(link).count() <= 4);
            }
        }
    }
}

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x11);

/// Others on a link.
fn peer(link: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, link as u8, 2 + number % 250)
}

fn peer6(link: usize, number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, link as u16, 0, 0, 0, 0, 1, number.into())
}
