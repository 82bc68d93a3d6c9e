//! A core with threads that are small scripts instead of stacks, and time that jumps to the next deadline.

use super::*;
use std::collections::VecDeque;

fn started(names: &[char]) -> Threads<char> {
    let mut threads = Threads::new();
    for &name in names {
        threads.spawn(name).unwrap();
    }
    assert!(threads.run_next().found());
    threads
}

fn running(threads: &mut Threads<char>) -> char {
    *threads.current_payload().unwrap()
}

#[test]
fn threads_run_in_turn() {
    let mut threads = started(&['a', 'b', 'c']);
    let mut seen = String::new();
    for _ in 0..7 {
        seen.push(running(&mut threads));
        threads.yield_current();
        assert!(threads.run_next().found());
    }
    assert_eq!(seen, "abcabca");
}

#[test]
fn waiters_are_woken_in_order_of_arrival() {
    let list = Waiters::new();
    let mut threads = started(&['a', 'b', 'c']);
    for _ in 0..3 {
        threads.wait(&list, None);
        threads.run_next();
    }
    assert!(!threads.run_next().found());
    assert!(threads.wake_one(&list));
    threads.wake_all(&list);
    assert!(!threads.wake_one(&list));
    let mut seen = String::new();
    while threads.run_next().found() {
        assert_eq!(threads.finish_wait(&list), WaitOutcome::Woken);
        seen.push(threads.exit_current());
    }
    assert_eq!(seen, "abc");
}

#[test]
fn a_deadline_ends_a_wait_anywhere_on_the_list() {
    let list = Waiters::new();
    let mut threads = started(&['a', 'b', 'c']);
    for deadline in [None, Some(10), None] {
        threads.wait(&list, deadline);
        threads.run_next();
    }
    assert_eq!(threads.next_deadline(), Some(10));
    threads.expire(9);
    assert_eq!(threads.ready(), 0);
    threads.expire(10);
    assert!(threads.run_next().found());
    assert_eq!(running(&mut threads), 'b');
    assert_eq!(threads.finish_wait(&list), WaitOutcome::TimedOut);
    threads.exit_current();
    threads.wake_all(&list);
    assert_eq!(threads.ready(), 2);
    assert!(list.is_empty());
}

#[test]
fn a_wake_up_that_meets_a_time_out_is_not_lost() {
    let list = Waiters::new();
    let mut threads = started(&['a']);
    threads.wait(&list, Some(10));
    threads.expire(10);
    assert!(threads.wake_one(&list), "the thread has not run yet, so it still takes the wake-up");
    assert!(threads.run_next().found());
    assert_eq!(threads.finish_wait(&list), WaitOutcome::Woken);
    assert_eq!(threads.ready(), 0, "made ready once, not twice");
}

#[test]
fn a_wake_up_takes_the_deadline_away() {
    let list = Waiters::new();
    let mut threads = started(&['a']);
    threads.wait(&list, Some(10));
    threads.wake_one(&list);
    threads.expire(20);
    assert_eq!(threads.ready(), 1);
    assert!(threads.run_next().found());
    assert_eq!(threads.finish_wait(&list), WaitOutcome::Woken);
    threads.wait(&list, None);
    threads.expire(30);
    assert_eq!((threads.ready(), threads.next_deadline()), (0, None));
}

#[test]
fn a_timer_that_is_set_for_earlier_serves_a_later_deadline() {
    let list = Waiters::new();
    let mut threads = started(&['a']);
    for deadline in 10..1000 {
        threads.wait(&list, Some(deadline));
        assert_eq!(threads.next_deadline(), Some(10), "one timer, set once");
        threads.wake_one(&list);
        threads.run_next();
        threads.finish_wait(&list);
    }
    threads.wait(&list, Some(1000));
    threads.expire(10);
    assert_eq!((threads.ready(), threads.next_deadline()), (0, Some(1000)));
    threads.expire(1000);
    assert!(threads.run_next().found());
    assert_eq!(threads.finish_wait(&list), WaitOutcome::TimedOut);

    threads.wait(&list, Some(3000));
    threads.wake_one(&list);
    threads.run_next();
    threads.finish_wait(&list);
    threads.wait(&list, Some(2000));
    assert_eq!(threads.next_deadline(), Some(2000), "a nearer deadline needs a nearer timer");
}

#[test]
fn a_deadline_waits_for_another_within_its_slack() {
    let list = Waiters::new();
    let mut threads = started(&['a', 'b', 'c']);
    threads.set_slack(Slack { shift: 4, max_ns: 50 });
    threads.wait(&list, Some(320)); // until 340 at the latest
    threads.run_next();
    threads.set_current_slack(Some(Slack::NONE));
    threads.wait(&list, Some(330));
    threads.run_next();
    threads.wait(&list, Some(10_000)); // a sixteenth would be more than the limit
    assert!(!threads.run_next().found());
    assert_eq!(threads.next_deadline(), Some(330));
    threads.expire(330);
    assert_eq!(threads.ready(), 2, "one wake-up for both");
    assert_eq!(threads.next_deadline(), Some(10_050));
    threads.expire(10_010);
    assert_eq!(threads.ready(), 3, "a core that is awake ends it earlier");
}

#[test]
fn a_thread_has_the_slack_of_its_core_unless_it_has_its_own() {
    let mut threads = started(&['a']);
    let (core, own) = (Slack { shift: 1, max_ns: 9 }, Slack { shift: 0, max_ns: 7 });
    threads.set_slack(core);
    assert_eq!(threads.current_slack(), core);
    threads.set_current_slack(Some(own));
    assert_eq!(threads.current_slack(), own);
    threads.exit_current();
    threads.spawn('b').unwrap();
    threads.run_next();
    assert_eq!(threads.current_slack(), core, "whoever comes after it has none of it");
}

#[test]
fn a_timer_dies_with_its_thread() {
    let list = Waiters::new();
    let mut threads = started(&['a']);
    threads.wait(&list, Some(10));
    threads.wake_one(&list);
    threads.run_next();
    threads.exit_current();
    assert_eq!(threads.next_deadline(), None);
    threads.spawn('b').unwrap();
    threads.run_next();
    threads.wait(&list, Some(50));
    threads.expire(10);
    assert_eq!(threads.ready(), 0);
}

#[test]
fn a_thread_is_resumed_by_its_place_once() {
    let mut threads = started(&['a']);
    let place = threads.here();
    threads.suspend(Some(10));
    threads.expire(10);
    threads.resume(place);
    assert_eq!(threads.ready(), 1, "made ready once, not twice");
    assert!(threads.run_next().found());
    assert_eq!(threads.outcome(), WaitOutcome::Woken);
    threads.suspend(Some(20));
    threads.expire(20);
    assert!(threads.run_next().found());
    assert_eq!(threads.outcome(), WaitOutcome::TimedOut);
}

#[test]
fn waits_are_ended_as_by_a_deadline_and_of_those_who_are_meant() {
    let mut threads = started(&['a', 'b', 'c', 'd']);
    let list = Waiters::new();
    for deadline in [None, Some(10), None] {
        threads.wait(&list, deadline);
        threads.run_next();
    }
    threads.end_waits(|name| "bcd".contains(*name)); // the last of them runs
    assert_eq!(threads.ready(), 2);
    assert!(threads.wake_one(&list), "the first still waits");
    threads.exit_current();
    let mut seen = String::new();
    while threads.run_next().found() {
        seen.push(running(&mut threads));
        let expected = if seen.ends_with('a') { WaitOutcome::Woken } else { WaitOutcome::TimedOut };
        assert_eq!(threads.finish_wait(&list), expected);
        threads.exit_current();
    }
    assert_eq!((seen.as_str(), list.is_empty(), threads.next_deadline()), ("bca", true, None));
}

/// Producers and consumers around a small buffer, with deadlines that often fire, 200 histories: everything produced is
/// consumed, and the machine never idles without a deadline while somebody could go on.
#[test]
fn no_wake_up_is_lost_in_random_histories() {
    for seed in 1..=200 {
        Simulation::new(seed).run();
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Producer { left: u32 },
    Consumer,
}

#[derive(Debug)]
struct Script {
    role: Role,
    in_wait: bool,
}

struct Simulation {
    threads: Threads<Script>,
    buffer: VecDeque<()>,
    not_empty: Waiters,
    not_full: Waiters,
    produced: u32,
    consumed: u32,
    now: u64,
    random: u64,
}

impl Simulation {
    const CAPACITY: usize = 2;
    const PRODUCERS: u32 = 5;
    const EACH: u32 = 40;

    fn new(seed: u64) -> Self {
        let mut threads = Threads::new();
        for _ in 0..Self::PRODUCERS {
            let role = Role::Producer { left: Self::EACH };
            threads.spawn(Script { role, in_wait: false }).unwrap();
            threads.spawn(Script { role: Role::Consumer, in_wait: false }).unwrap();
        }
        Simulation {
            threads,
            buffer: VecDeque::new(),
            not_empty: Waiters::new(),
            not_full: Waiters::new(),
            produced: 0,
            consumed: 0,
            now: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    fn run(&mut self) {
        let total = Self::PRODUCERS * Self::EACH;
        while self.consumed < total {
            self.now += self.below(3);
            if self.below(4) == 0 {
                self.threads.expire(self.now);
            }
            if !self.threads.run_next().found() {
                let deadline = self.threads.next_deadline();
                self.now = deadline.expect("everybody waits for good with work left: a wake-up was lost").max(self.now);
                self.threads.expire(self.now);
                continue;
            }
            self.step();
        }
        assert_eq!((self.produced, self.buffer.len()), (total, 0));
    }

    /// The running thread tries its act until it must wait, wants to yield, or ends.
    fn step(&mut self) {
        let script = self.threads.current_payload().unwrap();
        let role = script.role;
        if core::mem::take(&mut script.in_wait) {
            let list = if role == Role::Consumer { &self.not_empty } else { &self.not_full };
            self.threads.finish_wait(list);
        }
        // Without a deadline three times in four: there only a wake-up helps.
        let deadline = (self.below(4) == 0).then(|| self.now + self.random % 8);
        match role {
            Role::Producer { left: 0 } => {
                self.threads.exit_current();
                return;
            }
            Role::Producer { .. } if self.buffer.len() == Self::CAPACITY => {
                self.threads.current_payload().unwrap().in_wait = true;
                self.threads.wait(&self.not_full, deadline);
                return;
            }
            Role::Producer { left } => {
                self.threads.current_payload().unwrap().role = Role::Producer { left: left - 1 };
                self.buffer.push_back(());
                self.produced += 1;
                self.threads.wake_one(&self.not_empty);
            }
            Role::Consumer if self.buffer.is_empty() => {
                self.threads.current_payload().unwrap().in_wait = true;
                self.threads.wait(&self.not_empty, deadline);
                return;
            }
            Role::Consumer => {
                self.buffer.pop_front();
                self.consumed += 1;
                self.threads.wake_one(&self.not_full);
            }
        }
        self.threads.yield_current();
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }
}
