//! A machine with two cores: their stacks, and what these tell each other.

use toro_netstack::{Config, Seat, Stack, Steering};

/// Seats what `config` describes on `core` of two; the other core's stack.
pub(crate) fn seat(config: &mut Config, core: u8) -> Stack {
    let steering: &'static Steering = Box::leak(Box::default());
    config.seat = Some(Seat { core: 1 - core, cores: 2, steering });
    let other = Stack::new(config.clone());
    config.seat = Some(Seat { core, cores: 2, steering });
    other
}

/// Carries what the cores tell each other. A packet visits each core once, so this has an end.
pub(crate) fn exchange(stack: &mut Stack, other: &mut Stack, now_ns: u64, mut flush: impl FnMut(&mut Stack)) {
    for round in 0.. {
        let mut carried = false;
        while let Some((_, message)) = stack.next_message() {
            other.deliver(message, now_ns);
            carried = true;
        }
        flush(other);
        while let Some((_, message)) = other.next_message() {
            stack.deliver(message, now_ns);
            carried = true;
        }
        while other.next_event().is_some() {}
        if !carried {
            return;
        }
        assert!(round < 64, "the cores talk for ever");
    }
}
