//! TCP/IP for one virtual machine: frames in, frames out, time passed in.
//!
//! 1. **Pure.** No processor, driver, thread or clock: [`Stack`] is a value, so two of them can talk in a test, in virtual
//!    time, over a wire that loses, repeats and reorders what a seed says.
//! 2. **Cost does not grow with connections.** A keyed hash finds the connection; each has a TCP engine of its own
//!    (`tcp/machine`, behind a small trait in `tcp/engine.rs`), and buffers only while there are bytes in them.
//! 3. **Everything a peer can make grow is bounded** (`config.rs`), and past the bound there is a typed refusal or a
//!    counted drop. Handshakes and closed connections cost a few numbers, not buffers.
//! 4. **Calls never send.** Frames leave at [`Stack::flush`], so acknowledgements ride on answers, and one notification of
//!    the device serves a whole batch.
//! 5. **Packets are not trusted.** No length in them is believed before it is checked; nothing they contain can panic.
//!
//! 6. **One stack a core.** They share the address and the table of who listens (`steering.rs`), and hand each other the
//!    packets that belong elsewhere (`message.rs`); the caller carries them.
//!
//! Inside: `stack.rs` has the story; `tcp/` the connections; `neighbor.rs` ARP; `dhcp.rs`, `udp.rs`, `icmp.rs` what they say.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod calls;
mod checksum;
mod config;
mod device;
mod dhcp;
mod error;
mod ethernet;
mod event;
mod exchange;
mod icmp;
mod ipv4;
mod message;
mod neighbor;
mod outbox;
mod random;
mod shared;
mod slab;
mod stack;
mod steering;
mod tcp;
mod udp;

pub use address::Address;
pub use config::{Config, Limits};
pub use device::{Checksum, Device, Full, NoDevice, Received};
pub use error::Error;
pub use event::{ConnectionId, Event, ListenerId, Statistics, UdpId};
pub use message::Message;
pub use stack::{Flushed, Stack};
pub use steering::{CORES_MAX, Seat, Steering};
pub use tcp::Ending;
