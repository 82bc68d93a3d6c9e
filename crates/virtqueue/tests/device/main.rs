//! Queues against a fake device, which keeps the rules or breaks them.

mod fake;
mod net;
mod queue;
mod threads;
