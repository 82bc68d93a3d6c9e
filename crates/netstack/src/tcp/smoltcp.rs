//! The engine that smoltcp provides: an interface of its own and a set of one socket for each connection.
//!
//! smoltcp looks through all sockets of a set for each packet; with one socket in the set there is nothing to look through,
//! and the cost of a packet does not depend on how many connections there are. All checksums are ours.

use super::engine::{BufferSizes, Engine, Handshake, Output, Phase, Read, Sent};
use super::isn::seed_for;
use super::options::SynOptions;
use super::segment::{Control, HEADER_BYTES, SYN, Tuple};
use crate::checksum::Sum;
use crate::ipv4;
use crate::outbox::{Nowhere, PacketSink, TcpChecksum};
use alloc::vec::Vec;
use core::fmt;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr};

/// One connection inside smoltcp.
pub(super) struct Smoltcp {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    sizes: BufferSizes,
    mtu_bytes: usize,
}

impl fmt::Debug for Smoltcp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Smoltcp({:?})", self.socket().state())
    }
}

impl Smoltcp {
    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// An interface that will draw `isn`, and a socket that remembers nothing of its last connection.
    fn prepare(&mut self, tuple: Tuple, isn: u32, salt: u64, now_ns: u64) {
        self.interface = interface(self.mtu_bytes, seed_for(isn, salt), now_ns);
        let own = IpCidr::new(tuple.local.into(), 32);
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            addresses.push(own).expect("an interface has room for one address");
        });
        let socket = self.socket_mut();
        socket.abort();
        socket.set_congestion_control(CongestionControl::Reno);
        socket.set_nagle_enabled(true);
        socket.set_keep_alive(None);
        socket.set_timeout(None);
    }
}

impl Engine for Smoltcp {
    fn new(sizes: BufferSizes, mtu_bytes: usize) -> Option<Self> {
        let socket = Socket::new(ring(sizes.receive_bytes)?, ring(sizes.send_bytes)?);
        let mut storage = Vec::new();
        storage.try_reserve_exact(1).ok()?;
        storage.push(SocketStorage::EMPTY);
        let mut sockets = SocketSet::new(storage);
        let handle = sockets.add(socket);
        Some(Smoltcp { interface: interface(mtu_bytes, 0, 0), sockets, handle, sizes, mtu_bytes })
    }

    fn sizes(&self) -> BufferSizes {
        self.sizes
    }

    fn accept(&mut self, handshake: &Handshake, salt: u64, now_ns: u64) -> bool {
        let tuple = handshake.tuple;
        self.prepare(tuple, handshake.isn, salt, now_ns);
        let local = (smoltcp::wire::IpAddress::from(tuple.local), tuple.local_port);
        if self.socket_mut().listen(local).is_err() {
            return false;
        }
        // Replay the handshake as the peer saw it: its SYN in, our answer out.
        let mut options = [0; SynOptions::BYTES_MAX];
        let options_bytes = handshake.peer_options.write(&mut options);
        let syn = Control {
            tuple: Tuple {
                local: tuple.remote,
                remote: tuple.local,
                local_port: tuple.remote_port,
                remote_port: tuple.local_port,
            },
            sequence: handshake.peer_isn,
            acknowledgement: 0,
            flags: SYN,
            window: handshake.peer_window,
            options: &options[..options_bytes],
        };
        let mut packet = [0; ipv4::HEADER_BYTES + HEADER_BYTES + SynOptions::BYTES_MAX];
        let packet = &mut packet[..syn.packet_bytes()];
        syn.write(packet);
        let mut nowhere = Nowhere::new();
        self.input(packet, now_ns, &mut nowhere);
        let answered = self.output(now_ns, &mut nowhere);
        matches!(answered, Output::Sent(sent) if sent.next == handshake.isn.wrapping_add(1))
    }

    fn connect(&mut self, tuple: Tuple, isn: u32, salt: u64, now_ns: u64) -> bool {
        self.prepare(tuple, isn, salt, now_ns);
        let remote = (smoltcp::wire::IpAddress::from(tuple.remote), tuple.remote_port);
        let local = (smoltcp::wire::IpAddress::from(tuple.local), tuple.local_port);
        let socket = self.sockets.get_mut::<Socket<'static>>(self.handle);
        socket.connect(self.interface.context(), remote, local).is_ok()
    }

    fn input(&mut self, packet: &[u8], now_ns: u64, replies: &mut dyn PacketSink) {
        let mut sent = None;
        let mut port = Port { packet: Some(packet), sink: replies, mtu_bytes: self.mtu_bytes, sent: &mut sent };
        self.interface.poll_ingress_single(instant(now_ns), &mut port, &mut self.sockets);
    }

    fn output(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        if !sink.ready() {
            return Output::Full;
        }
        let mut sent = None;
        let mut port = Port { packet: None, sink, mtu_bytes: self.mtu_bytes, sent: &mut sent };
        self.interface.poll_egress(instant(now_ns), &mut port, &mut self.sockets);
        sent.map_or(Output::Nothing, Output::Sent)
    }

    fn next_timer(&mut self, now_ns: u64) -> Option<u64> {
        let at = self.interface.poll_at(instant(now_ns), &self.sockets)?;
        Some((at.total_micros().max(0) as u64).saturating_mul(1000))
    }

    fn phase(&self) -> Phase {
        match self.socket().state() {
            State::Listen | State::SynSent | State::SynReceived => Phase::Opening,
            State::Established => Phase::Open,
            State::CloseWait => Phase::PeerClosed,
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => Phase::Closing,
            State::TimeWait => Phase::TimeWait,
            State::Closed => Phase::Closed,
        }
    }

    fn readable_bytes(&self) -> usize {
        self.socket().recv_queue()
    }

    fn writable_bytes(&self) -> usize {
        self.sizes.send_bytes - self.socket().send_queue()
    }

    fn unacknowledged_bytes(&self) -> usize {
        self.socket().send_queue()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Read {
        match self.socket_mut().recv_slice(buffer) {
            Ok(0) => Read::Empty,
            Ok(bytes) => Read::Bytes(bytes),
            Err(RecvError::Finished) => Read::End,
            Err(RecvError::InvalidState) => Read::Broken,
        }
    }

    fn write(&mut self, data: &[u8]) -> Option<usize> {
        self.socket_mut().send_slice(data).ok()
    }

    fn close(&mut self) {
        self.socket_mut().close();
    }

    fn abort(&mut self) {
        self.socket_mut().abort();
    }

    fn set_no_delay(&mut self, on: bool) {
        self.socket_mut().set_nagle_enabled(!on);
    }

    fn set_keep_alive(&mut self, interval_ns: Option<u64>) {
        self.socket_mut().set_keep_alive(interval_ns.map(duration));
    }

    fn set_patience(&mut self, silence_ns: Option<u64>) {
        self.socket_mut().set_timeout(silence_ns.map(duration));
    }
}

fn ring(bytes: usize) -> Option<SocketBuffer<'static>> {
    let mut storage = Vec::new();
    storage.try_reserve_exact(bytes).ok()?;
    storage.resize(bytes, 0);
    Some(SocketBuffer::new(storage))
}

fn interface(mtu_bytes: usize, random_seed: u64, now_ns: u64) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed;
    let mut port = Port { packet: None, sink: &mut Nowhere::new(), mtu_bytes, sent: &mut None };
    Interface::new(config, &mut port, instant(now_ns))
}

fn instant(now_ns: u64) -> Instant {
    Instant::from_micros((now_ns / 1000) as i64)
}

fn duration(ns: u64) -> Duration {
    Duration::from_micros(ns / 1000)
}

/// The one-packet mailbox that smoltcp takes for a network device.
struct Port<'a> {
    packet: Option<&'a [u8]>,
    sink: &'a mut dyn PacketSink,
    mtu_bytes: usize,
    sent: &'a mut Option<Sent>,
}

impl phy::Device for Port<'_> {
    type RxToken<'t>
        = Rx<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Tx<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        let packet = self.packet.take()?;
        Some((Rx(packet), Tx { sink: self.sink, sent: self.sent }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx { sink: self.sink, sent: self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu_bytes;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

struct Rx<'a>(&'a [u8]);

impl phy::RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

struct Tx<'a> {
    sink: &'a mut dyn PacketSink,
    sent: &'a mut Option<Sent>,
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len_bytes: usize, fill: F) -> R {
        let checksum = self.sink.checksum();
        let mut fill = Some(fill);
        let mut result = None;
        self.sink.packet(len_bytes, &mut |packet| {
            if let Some(fill) = fill.take() {
                result = Some(fill(packet));
                *self.sent = finish(packet, checksum);
            }
        });
        match (result, fill) {
            (Some(result), _) => result,
            // The packet is lost, as on any link; smoltcp finds out when no answer comes.
            (None, Some(fill)) => fill(&mut alloc::vec![0; len_bytes]),
            (None, None) => unreachable!("`fill` is only taken to make the result"),
        }
    }
}

/// Completes the checksums that smoltcp left at 0, and notes what the segment says.
fn finish(packet: &mut [u8], checksum: TcpChecksum) -> Option<Sent> {
    let (header, tcp) = packet.split_first_chunk_mut::<{ ipv4::HEADER_BYTES }>()?;
    ipv4::fill_header_checksum(header);
    if checksum != TcpChecksum::Ignored {
        let (addresses, _) = header[12..].as_chunks::<4>();
        let pseudo_header = Sum::pseudo_header(addresses[0], addresses[1], ipv4::TCP, tcp.len());
        let sum = match checksum {
            TcpChecksum::ByDevice => pseudo_header.folded(),
            _ => pseudo_header.bytes(tcp).complement(),
        };
        tcp.get_mut(16..18)?.copy_from_slice(&sum);
    }
    let header = tcp.first_chunk::<HEADER_BYTES>()?;
    let payload_bytes = tcp.len() - usize::from(header[12] >> 4) * 4;
    let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    // SYN and FIN occupy a number each.
    let controls = u32::from(header[13] & 1) + u32::from(header[13] >> 1 & 1);
    Some(Sent {
        payload_bytes,
        next: sequence.wrapping_add(payload_bytes as u32).wrapping_add(controls),
        acknowledgement: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
    })
}
