//! The stack from outside: conversations, limits, hostile packets, the protocols of the link, and a real Linux at the other end.

mod conversations;
mod cores;
mod datagram_regressions;
mod frames;
mod hostile;
mod limits;
mod link;
mod linux;
mod regressions;
mod world;
