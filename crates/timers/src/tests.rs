//! What a user of the queue may rely on, and a model to compare a long random history with.

use super::*;
use std::collections::BTreeMap;

#[test]
fn timers_leave_in_order_of_deadline_and_not_before_it() {
    let mut queue = TimerQueue::new();
    for deadline in [30, 10, 20] {
        queue.insert(deadline, deadline);
    }
    assert_eq!(queue.next_deadline(), Some(10));
    assert_eq!(queue.pop_due(9), None);
    assert_eq!(queue.pop_due(25), Some((10, 10)));
    assert_eq!(queue.pop_due(25), Some((20, 20)));
    assert_eq!(queue.pop_due(25), None);
    assert_eq!(queue.next_deadline(), Some(30));
}

#[test]
fn equal_deadlines_leave_in_the_order_they_came() {
    let mut queue = TimerQueue::new();
    for value in 0..1000 {
        queue.insert(5, value);
    }
    for value in 0..1000 {
        assert_eq!(queue.pop_due(5), Some((5, value)));
    }
}

#[test]
fn a_stale_key_cancels_nothing() {
    let mut queue = TimerQueue::new();
    let fired = queue.insert(1, 'a');
    assert_eq!(queue.pop_due(1), Some((1, 'a')));
    let cancelled = queue.insert(2, 'b');
    assert_eq!(queue.cancel(cancelled), Some('b'));
    let successor = queue.insert(3, 'c');
    assert_eq!(queue.cancel(fired), None);
    assert_eq!(queue.cancel(cancelled), None);
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.cancel(successor), Some('c'));
    assert!(queue.is_empty());
}

#[test]
fn a_reserved_queue_does_not_allocate() {
    let mut queue = TimerQueue::new();
    queue.reserve(100).unwrap();
    let capacities = |queue: &TimerQueue<u64>| (queue.slots.capacity(), queue.tournament.capacity());
    let before = capacities(&queue);
    for round in 0..10 {
        let keys: Vec<_> = (0..100).map(|at| queue.insert(at * 7 % 31 + round, at)).collect();
        for key in keys {
            queue.cancel(key).unwrap();
        }
    }
    assert_eq!(capacities(&queue), before);
}

#[test]
fn a_long_random_history_agrees_with_a_sorted_map() {
    let mut queue = TimerQueue::new();
    let mut model = BTreeMap::new();
    let mut keys = Vec::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for id in 0..200_000_u64 {
        match random.below(4) {
            0 | 1 => {
                let deadline = random.below(10_000);
                keys.push((queue.insert(deadline, id), deadline, id));
                model.insert((deadline, id), ());
            }
            2 if !keys.is_empty() => {
                let (key, deadline, id) = keys.swap_remove(random.below(keys.len() as u64) as usize);
                let pending = model.remove(&(deadline, id)).is_some();
                assert_eq!(queue.cancel(key), pending.then_some(id));
            }
            _ => {
                let now = random.below(10_000);
                let due = model.first_key_value().map(|(&key, ())| key).filter(|&(deadline, _)| deadline <= now);
                if let Some(key) = due {
                    model.remove(&key);
                }
                assert_eq!(queue.pop_due(now), due);
            }
        }
        assert_eq!(queue.len(), model.len());
        assert_eq!(queue.next_deadline(), model.first_key_value().map(|(key, ())| key.0));
    }
}

#[test]
fn a_hundred_thousand_pending_timers_stay_cheap() {
    let mut queue = TimerQueue::new();
    let mut random = Random(7);
    let mut keys: Vec<_> = (0..100_000).map(|id| queue.insert(random.below(1 << 40), id)).collect();
    // A million re-arms of a random timer among them: quadratic work would not end within anyone's patience.
    for id in 0..1_000_000_u64 {
        let at = random.below(100_000) as usize;
        queue.cancel(keys[at]).unwrap();
        keys[at] = queue.insert(random.below(1 << 40), id);
    }
    let mut last = 0;
    while let Some((deadline, _)) = queue.pop_due(u64::MAX) {
        assert!(deadline >= last);
        last = deadline;
    }
}

/// xorshift64*: the same history on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}
