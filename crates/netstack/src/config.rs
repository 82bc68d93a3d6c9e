//! What a stack is told at its creation: link, secret, limits.

use crate::steering::Seat;
use toro_tcp::Ip;

/// A link's settings.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Hardware address of this machine.
    pub mac: [u8; 6],
    /// Largest IP packet that it carries, in bytes (1500 on Ethernet).
    pub mtu_bytes: usize,
    /// Whether the device completes the TCP and UDP checksums of what it sends.
    pub checksum_offload: bool,
    /// The largest IP packet with a TCP segment that the device cuts into such as the link carries; 0: it cuts none.
    pub large_bytes_max: usize,
    /// The same of IPv6.
    pub large_bytes_max6: usize,
}

impl LinkConfig {
    /// An Ethernet link of the usual size, with software checksums.
    #[must_use]
    pub fn new(mac: [u8; 6]) -> Self {
        LinkConfig { mac, mtu_bytes: 1500, checksum_offload: false, large_bytes_max: 0, large_bytes_max6: 0 }
    }

    /// The largest packet to an address that the device cuts.
    #[inline]
    pub(crate) fn large_bytes_max_to(&self, ip: Ip) -> usize {
        if ip.is_v4() { self.large_bytes_max } else { self.large_bytes_max6 }
    }
}

/// A stack's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first link.
    pub link: LinkConfig,
    /// Secret random bits: they key the connection table, sequence numbers and ports.
    pub secret: [u64; 4],
    /// Name given to the DHCP server; empty for none.
    pub hostname: alloc::string::String,
    /// Its place among the stacks of several cores, which have all other settings in common; `None` for the only one.
    pub seat: Option<Seat>,
    /// Bounds on everything a peer or a program can make grow.
    pub limits: Limits,
}

impl Config {
    /// Settings for an Ethernet link, and limits for 64 MiB of memory.
    #[must_use]
    pub fn new(mac: [u8; 6], secret: [u64; 4]) -> Self {
        Config {
            link: LinkConfig::new(mac),
            secret,
            hostname: alloc::string::String::new(),
            seat: None,
            limits: Limits::for_memory(64 << 20),
        }
    }
}

/// Bounds on what the stack keeps; every one has a typed refusal or a counted drop behind it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What a connection takes in before it is read, at first, and at most when the peer waits for the window to open.
    pub receive_buffer_bytes: usize,
    /// As above, at most 4 MiB.
    pub receive_buffer_max_bytes: usize,
    /// What a connection takes before it is sent, at first, and at most when that much is under way.
    pub send_buffer_bytes: usize,
    /// As above, at most 4 MiB.
    pub send_buffer_max_bytes: usize,
    /// Memory for all connections with their buffers and all UDP queues.
    pub memory_bytes: usize,
    /// Handshakes under way, over all listeners; past it newcomers are answered and not remembered.
    pub half_open_max: usize,
    /// Closed connections remembered so that late segments do no harm; past it the oldest is forgotten.
    pub time_wait_max: usize,
    /// Bytes that may wait in one UDP socket.
    pub udp_queue_bytes: usize,
    /// Bytes of packets that wait for their other pieces.
    pub fragments_bytes: usize,
    /// Hardware addresses remembered.
    pub neighbors_max: usize,
    /// Packets and frames that may wait for the device: datagrams, answers to others (resets, echo replies), ARP and DHCP.
    pub outbox_max: usize,
}

impl Limits {
    /// Limits for a guest that has this much memory left for everything.
    #[must_use]
    pub fn for_memory(free_bytes: usize) -> Self {
        let (receive_buffer_bytes, send_buffer_bytes) = match free_bytes {
            0..0x40_0000 => (2048, 4096),
            0x40_0000..0x80_0000 => (4096, 8192),
            0x80_0000..0x200_0000 => (16384, 16384),
            _ => (65536, 65536),
        };
        // A few connections may have much, all of them nothing like it.
        let buffer_max_bytes = (free_bytes / 64).clamp(send_buffer_bytes, 4 << 20);
        Limits {
            receive_buffer_bytes,
            receive_buffer_max_bytes: buffer_max_bytes,
            send_buffer_bytes,
            send_buffer_max_bytes: buffer_max_bytes,
            memory_bytes: free_bytes / 2,
            half_open_max: (free_bytes / 0x1_0000).clamp(64, 4096),
            time_wait_max: (free_bytes / 0x4000).clamp(64, 16384),
            udp_queue_bytes: (free_bytes / 64).clamp(4096, 256 << 10),
            fragments_bytes: (free_bytes / 32).clamp(16 << 10, 1 << 20),
            neighbors_max: 256,
            outbox_max: 128,
        }
    }
}
