//! TCP/IP for one virtual machine: frames in, frames out, time passed in.
//!
//! 1. **Pure.** No processor, driver, thread or clock: [`Stack`] is a value, so two of them can talk in a test, in virtual
//!    time, over a wire that loses, repeats and reorders what a seed says.
//! 2. **Cost does not grow with connections.** A keyed hash finds the connection; each is a
//!    machine of its own (`toro_tcp`), and has buffers only while there are bytes in them.
//! 3. **Everything a peer can make grow is bounded** (`config.rs`), and past the bound there is a typed refusal or a
//!    counted drop. Handshakes and closed connections cost a few numbers, not buffers.
//! 4. **Calls never send.** Frames leave at [`Stack::flush`], so acknowledgements ride on answers, and one notification of
//!    the device serves a whole batch.
//! 5. **Packets are not trusted.** No length in them is believed before it is checked; nothing they contain can panic.
//!
//! 6. **One stack a core.** They share the address and the table of who listens (`steering.rs`), and hand each other the
//!    packets that belong elsewhere (`message.rs`); the caller carries them.
//!
//! Inside: `stack.rs` has the story of what comes, `flush.rs` that of what goes; `tcp/` the connections; `neighbor.rs` ARP and its kin of IPv6; `dhcp.rs`, `udp.rs`, `icmp.rs` what they say;
//! `fragments.rs` packets in pieces, `groups.rs` those for several receivers, `carrier.rs` a link that goes down, `links.rs` several of them. Of IPv6
//! alone are `stack6.rs`, `address6.rs` (addresses, networks and routers of the link), `autoconf.rs` (where they come from), `discovery.rs`, `icmp6.rs`.
//! `calls.rs` is what programs ask; `ports.rs` the ports they hold; `report.rs` what others are told; `sound.rs` what tests ask.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod address6;
mod autoconf;
mod calls;
mod carrier;
mod config;
mod datagram;
mod device;
mod dhcp;
mod discovery;
pub mod dns;
mod error;
mod ethernet;
mod event;
mod exchange;
mod flush;
mod fragments;
mod groups;
mod icmp;
mod icmp6;
mod links;
mod message;
mod neighbor;
mod outbox;
mod ports;
mod random;
mod report;
mod shared;
mod sharing;
mod slab;
mod sound;
mod stack;
mod stack6;
mod steering;
mod tcp;
mod udp;

pub use address::Address;
pub use address6::{Address6, State6};
pub use config::{Config, Limits, LinkConfig};
pub use device::{Checksum, Device, Devices, Full, NoDevice, Received};
pub use error::Error;
pub use event::{ConnectionId, Event, ListenerId, Readiness, Statistics, UdpId};
pub use flush::Flushed;
pub use links::LINKS_MAX;
pub use message::Message;
pub use ports::{Ports, ephemeral_ports};
pub use report::{LinkReport, SocketReport};
pub use sharing::Sharing;
pub use stack::Stack;
pub use steering::{CORES_MAX, Protocol, Seat, Steering};
pub use tcp::Ending;
pub use toro_tcp::{Info, KeepAlive, TcpOption, TcpState};
pub use udp::{Datagram, UdpOption};
