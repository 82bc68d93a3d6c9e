//! What a stack is told at its creation: link, secret, limits.

use crate::steering::Seat;

/// A stack's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Hardware address of the link.
    pub mac: [u8; 6],
    /// Largest IP packet the link carries, in bytes (1500 on Ethernet).
    pub mtu_bytes: usize,
    /// Secret random bits: they key the connection table, sequence numbers and ports.
    pub secret: [u64; 4],
    /// Whether the device completes the TCP and UDP checksums of what it sends.
    pub checksum_offload: bool,
    /// Name given to the DHCP server; empty for none.
    pub hostname: alloc::string::String,
    /// Its place among the stacks of several cores, which have all other settings in common; `None` for the only one.
    pub seat: Option<Seat>,
    /// Bounds on everything a peer or a program can make grow.
    pub limits: Limits,
}

impl Config {
    /// Settings for an Ethernet link of the usual size, with software checksums and limits for 64 MiB of memory.
    #[must_use]
    pub fn new(mac: [u8; 6], secret: [u64; 4]) -> Self {
        Config {
            mac,
            mtu_bytes: 1500,
            secret,
            checksum_offload: false,
            hostname: alloc::string::String::new(),
            seat: None,
            limits: Limits::for_memory(64 << 20),
        }
    }
}

/// Bounds on what the stack keeps; every one has a typed refusal or a counted drop behind it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Receive buffer of a connection, at most [`Limits::RECEIVE_BUFFER_BYTES_MAX`].
    pub receive_buffer_bytes: usize,
    /// Send buffer of a connection.
    pub send_buffer_bytes: usize,
    /// Memory for all connections with their buffers and all UDP queues.
    pub memory_bytes: usize,
    /// Handshakes under way, over all listeners; past it the newcomer replaces a random one.
    pub half_open_max: usize,
    /// Closed connections remembered so that late segments do no harm; past it the oldest is forgotten.
    pub time_wait_max: usize,
    /// Bytes that may wait in one UDP socket.
    pub udp_queue_bytes: usize,
    /// Hardware addresses remembered.
    pub neighbors_max: usize,
    /// Packets and frames that may wait for the device: datagrams, answers to others (resets, echo replies), ARP and DHCP.
    pub outbox_max: usize,
}

impl Limits {
    /// Windows above this would need a scale that both ends of the handshake agree on; see `tcp/handshake.rs`.
    pub const RECEIVE_BUFFER_BYTES_MAX: usize = 65_535;

    /// Limits for a guest that has this much memory left for everything.
    #[must_use]
    pub fn for_memory(free_bytes: usize) -> Self {
        let (receive_buffer_bytes, send_buffer_bytes) = match free_bytes {
            0..0x40_0000 => (2048, 4096),
            0x40_0000..0x100_0000 => (4096, 8192),
            _ => (8192, 16384),
        };
        Limits {
            receive_buffer_bytes,
            send_buffer_bytes,
            memory_bytes: free_bytes / 2,
            half_open_max: (free_bytes / 0x1_0000).clamp(64, 4096),
            time_wait_max: (free_bytes / 0x4000).clamp(64, 16384),
            udp_queue_bytes: (free_bytes / 64).clamp(4096, 256 << 10),
            neighbors_max: 256,
            outbox_max: 128,
        }
    }
}
