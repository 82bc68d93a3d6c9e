//! What virtual machines must do; one file for each topic.

mod background;
mod boot;
mod collectives;
mod console;
mod cores;
mod devices;
mod examples;
mod hostile;
mod library;
mod linux_entry;
mod machines;
mod malformed;
mod memory;
mod net;
mod net_cores;
mod outcome;
mod protection;
mod soak;
mod sockets;
mod threads;
mod time;
mod tool;
mod user;
