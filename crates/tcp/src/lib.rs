//! One TCP connection: segments in, segments out, time passed in.
//!
//! A crate of its own because this is what the work of a request is made of: it is built for speed, while what is around it
//! (finding the connection, handshakes that others begin, listening, TIME-WAIT, resets for strangers, limits) is built for
//! size, and knows of a connection only what [`Machine`] shows. Pure: no clock, no device, no thread; memory comes out of a
//! [`Memory`], whose bound is not this crate's business.
//!
//! Inside: `machine/` is the state machine; `answers.rs` what it is told and what it answers; `segment.rs`, `options.rs`,
//! `packet.rs`, `ipv4.rs`, `ipv6.rs` and `checksum.rs` the formats; `ip.rs` addresses; `memory.rs` the buffers of streams.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod answers;
mod checksum;
mod info;
mod ip;
pub mod ipv4;
pub mod ipv6;
mod machine;
mod memory;
mod options;
pub mod packet;
pub mod segment;
mod sink;
mod tune;

pub use answers::{Handshake, NEVER, Output, Phase, Reaction, Read, Sent, Terms};
pub use checksum::Sum;
pub use info::{Info, TcpState};
pub use ip::{End, Ip};
pub use machine::Machine;
pub use machine::recovery::PROBE_NS_MIN;
pub use machine::round_trip::SHORTEST_NS;
pub use machine::stamps::ticks;
pub use memory::Memory;
pub use options::SynOptions;
pub use packet::Packet;
pub use segment::{Segment, Tuple};
pub use sink::{Cut, PacketSink, TcpChecksum};
pub use tune::{KeepAlive, TcpOption};
