//! The stack from outside: conversations, limits, hostile packets, the protocols of the link, and a real Linux at the other end.

mod carrier;
mod conversations;
mod cores;
mod cores6;
mod datagram_regressions;
mod fragments;
mod frames;
mod frames6;
mod groups;
mod groups6;
mod high_performance;
mod host6;
mod hostile;
mod limits;
mod link;
mod links;
mod linux;
mod programs;
mod recovery;
mod regressions;
mod routers6;
mod segments;
mod six;
mod two_links;
mod world;
