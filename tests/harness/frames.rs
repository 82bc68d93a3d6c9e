//! Frames made by hand, and the wire to a guest on which they travel unchanged.

use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddrV4};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use toro_vmm::{Machine, MachineType};

use crate::{LIMIT, Spec};

/// The guest's address on a wire.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Our address on a wire.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The guest's hardware address, which is QEMU's usual one.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Our hardware address.
pub const HOST_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// Everybody's hardware address.
pub const BROADCAST_MAC: [u8; 6] = [0xff; 6];

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// Protocol numbers of IPv4.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMP of IPv6.
pub const ICMP6: u8 = 58;

/// A wire with the guest on the other end: each datagram is a frame.
pub struct Wire {
    socket: UnixDatagram,
    folder: PathBuf,
    /// What comes. A thread takes it from the socket at once: while that is full, QEMU tries again and again, and does little else.
    frames: mpsc::Receiver<Vec<u8>>,
}

impl Spec {
    /// A network card on a wire of our own; the guest has the address `GUEST`.
    pub fn wire(self) -> (Spec, Wire) {
        let mut wire = None;
        let spec = self.with(|machine| {
            let (machine, plugged) = Wire::plug(machine);
            wire = Some(plugged);
            machine
        });
        (spec.command_line(&format!("ip={GUEST}/24 gw={HOST}")), wire.expect("a machine is changed at once"))
    }

    /// The same on that machine type.
    pub fn wire_on(self, machine: MachineType) -> (Spec, Wire) {
        self.machine(machine).wire()
    }
}

/// Reads frames until the socket is shut down.
fn read(socket: &UnixDatagram) -> mpsc::Receiver<Vec<u8>> {
    let (sender, frames) = mpsc::channel();
    let socket = socket.try_clone().expect("a second handle of a socket");
    std::thread::spawn(move || {
        let mut frame = vec![0; 70_000];
        while let Ok(length @ 1..) = socket.recv(&mut frame)
            && sender.send(frame[..length].to_vec()).is_ok()
        {}
    });
    frames
}

impl Wire {
    /// A wire with this machine on it, by a card of its own.
    pub fn plug(machine: Machine) -> (Machine, Wire) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("toro-wire-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let (here, there) = (folder.join("host"), folder.join("guest"));
        let socket = UnixDatagram::bind(&here).unwrap_or_else(|error| panic!("{}: {error}", here.display()));
        let netdev = format!(
            "dgram,id=net0,local.type=unix,local.path={},remote.type=unix,remote.path={}",
            there.display(),
            here.display()
        );
        let device = if machine.machine_type.has_pci() {
            "virtio-net-pci,disable-legacy=on,romfile=,netdev=net0"
        } else {
            "virtio-net-device,netdev=net0"
        };
        let machine = machine.vmm_arguments(["-netdev", &netdev, "-device", device]);
        (machine, Wire { frames: read(&socket), socket, folder })
    }

    /// Puts a frame on the wire. One that the guest has no room for is lost, as on any wire.
    pub fn send(&self, frame: &[u8]) {
        let guest = self.folder.join("guest");
        let end = Instant::now() + LIMIT;
        while let Err(error) = self.socket.send_to(frame, &guest) {
            // QEMU reads as fast as the guest takes; until then its socket is full.
            assert!(Instant::now() < end, "cannot send a frame of {} bytes: {error}", frame.len());
            std::thread::yield_now();
        }
    }

    /// Puts a frame on the wire, or finds that the guest is gone.
    pub(crate) fn pass_on(&self, frame: &[u8]) {
        let _gone = self.socket.send_to(frame, self.folder.join("guest"));
    }

    /// The next frame as it came, if there is one now.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        self.frames.try_recv().ok()
    }

    /// The next frame, if one comes in time. Questions for our hardware address are answered on the way.
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + limit;
        loop {
            let frame = self.frames.recv_timeout(end.saturating_duration_since(Instant::now())).ok()?;
            if is_arp_request(&frame) {
                self.send(&arp(2, HOST_MAC, HOST, GUEST_MAC, GUEST));
            } else {
                return Some(frame);
            }
        }
    }

    /// The next frame for which `pick` gives a value; anything else that comes is passed over.
    pub fn receive_until<T>(&self, what: &str, mut pick: impl FnMut(&[u8]) -> Option<T>) -> T {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let frame = self.receive(left).unwrap_or_else(|| panic!("no {what} from the guest"));
            if let Some(value) = pick(&frame) {
                return value;
            }
        }
    }

    /// Sends an echo request and waits for its reply: the guest is alive, and has taken all frames before.
    #[track_caller]
    pub fn expect_alive(&self, sequence: u16) {
        let body = [&[8, 0, 0, 0, 0x70, 0x6f][..], &sequence.to_be_bytes(), b"are you alive?"].concat();
        let request = ethernet(GUEST_MAC, IPV4, &ipv4(ICMP, HOST, GUEST, &with_checksum(body, 2, &[])));
        let mut sent = Instant::now();
        self.send(&request);
        let end = Instant::now() + LIMIT;
        loop {
            assert!(Instant::now() < end, "the guest does not answer echo request {sequence}");
            match self.receive(Duration::from_millis(200)) {
                Some(frame) if is_echo_reply(&frame, sequence) => return,
                Some(_) => {}
                None => {}
            }
            // The ring was full of what came before: ask again.
            if sent.elapsed() > Duration::from_secs(1) {
                self.send(&request);
                sent = Instant::now();
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _reader_ends = self.socket.shutdown(Shutdown::Both);
        // A folder left in the temporary one harms nobody.
        std::fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

fn is_arp_request(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&ARP.to_be_bytes()[..])
        && frame.get(20..22) == Some(&[0, 1][..])
        && frame.get(38..42) == Some(&HOST.octets()[..])
}

fn is_echo_reply(frame: &[u8], sequence: u16) -> bool {
    frame.get(23) == Some(&ICMP) && frame.get(34) == Some(&0) && frame.get(40..42) == Some(&sequence.to_be_bytes()[..])
}

/// An Ethernet frame from us.
pub fn ethernet(to: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &HOST_MAC, &ether_type.to_be_bytes(), payload].concat()
}

/// A whole ARP frame: operation 1 asks, 2 answers.
pub fn arp(operation: u16, from_mac: [u8; 6], from: Ipv4Addr, to_mac: [u8; 6], to: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    let operation = operation.to_be_bytes();
    let body = [&head[..], &operation, &from_mac, &from.octets(), &to_mac, &to.octets()].concat();
    ethernet(if operation == [0, 1] { BROADCAST_MAC } else { to_mac }, ARP, &body)
}

/// An IPv4 packet with a valid header.
pub fn ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let start = [&[0x45, 0][..], &length.to_be_bytes(), &[0, 1, 0, 0, 64, protocol, 0, 0]].concat();
    let header = with_checksum([start, from.octets().to_vec(), to.octets().to_vec()].concat(), 10, &[]);
    [header, payload.to_vec()].concat()
}

/// A TCP segment from us to the guest, with a valid checksum; `options` are padded to whole words.
pub fn tcp(ports: (u16, u16), sequence: u32, acknowledgement: u32, flags: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
    with_pseudo_header(tcp_unsummed(ports, sequence, acknowledgement, flags, options, data), 16, TCP)
}

/// The first segment of a connection that somebody at `from` seems to want, as a packet.
pub(crate) fn first_segment(from: SocketAddrV4, to: SocketAddrV4, sequence: u32) -> Vec<u8> {
    const SYN: u8 = 2;
    let most_bytes = [2, 4, 0x05, 0xb4];
    let segment = tcp_unsummed((from.port(), to.port()), sequence, 0, SYN, &most_bytes, &[]);
    let segment = with_checksum(segment, 16, &pseudo_header(*from.ip(), *to.ip(), TCP, 24));
    ipv4(TCP, *from.ip(), *to.ip(), &segment)
}

fn tcp_unsummed(
    ports: (u16, u16),
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    options: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let offset = ((5 + options.len() / 4) as u8) << 4;
    let mut segment = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    segment.extend(sequence.to_be_bytes());
    segment.extend(acknowledgement.to_be_bytes());
    segment.extend([offset, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(options);
    segment.extend(data);
    segment
}

/// Whether a frame asks for routers of IPv6.
pub fn is_router_solicitation(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&IPV6.to_be_bytes()[..]) && frame.get(20) == Some(&ICMP6) && frame.get(54) == Some(&133)
}

/// What a router of IPv6 tells all: that it is there for half an hour, and what `options` say.
pub fn router_advertisement(options: &[u8]) -> Vec<u8> {
    let (from, all) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let message = [&[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], options].concat();
    let length = (message.len() as u16).to_be_bytes();
    let ends = [from.octets(), all.octets()].concat();
    let pseudo = [&ends[..], &[0, 0], &length, &[0, 0, 0, ICMP6]].concat();
    let header = [&[0x60, 0, 0, 0][..], &length, &[ICMP6, 255], &ends].concat();
    ethernet([0x33, 0x33, 0, 0, 0, 1], IPV6, &[header, with_checksum(message, 2, &pseudo)].concat())
}

/// A UDP datagram from us to the guest, with a valid checksum.
pub fn udp(ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let length = (8 + data.len()) as u16;
    let start = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    with_pseudo_header([start, data.to_vec()].concat(), 6, UDP)
}

/// Fills the checksum of a segment or datagram from us to the guest.
pub fn with_pseudo_header(segment: Vec<u8>, at: usize, protocol: u8) -> Vec<u8> {
    let pseudo = pseudo_header(HOST, GUEST, protocol, segment.len() as u16);
    with_checksum(segment, at, &pseudo)
}

fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, bytes: u16) -> Vec<u8> {
    [&from.octets()[..], &to.octets(), &[0, protocol], &bytes.to_be_bytes()].concat()
}

/// Stores at `at` the Internet checksum of `bytes` and what is summed before them.
pub fn with_checksum(mut bytes: Vec<u8>, at: usize, before: &[u8]) -> Vec<u8> {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum()
    };
    let mut sum = words(before) + words(&bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_sums_to_nothing() {
        let packet = ipv4(UDP, HOST, GUEST, b"");
        let again = with_checksum(packet.clone(), 10, &[]);
        assert_eq!(again[10..12], [0, 0], "the sum over a valid header is all ones");
        assert_eq!(packet.len(), 20);
    }
}
