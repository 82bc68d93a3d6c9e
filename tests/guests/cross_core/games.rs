//! The games: each starts threads on cores that the dice choose, and returns what must be the same in every run.

use crate::Dice;
use toro::prelude::*;
use toro::sync::atomic::{AtomicU32, Ordering};
use toro::sync::mpsc::{self, RecvTimeoutError};
use toro::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock};
use toro::thread;
use toro::time::Duration;

/// All of them.
pub(crate) const GAMES: &[fn(&mut Dice) -> u64] =
    &[messages, rendezvous, counting, buffer, batons, families, library, rounds];

fn moments(dice: &mut Dice) -> Duration {
    Duration::from_micros(dice.below(300))
}

/// Many senders, one receiver who now and then loses patience: 8 x 100 messages, each sender's in order.
fn messages(dice: &mut Dice) -> u64 {
    let (sender, receiver) = mpsc::channel();
    for number in 0..8_usize {
        let sender = sender.clone();
        dice.spawn(move |dice| {
            for message in 0..100_u64 {
                sender.send((number, message)).expect("the receiver stays");
                if dice.below(4) == 0 {
                    thread::yield_now();
                }
            }
        });
    }
    drop(sender);
    let mut next = [0; 8];
    loop {
        match receiver.recv_timeout(moments(dice)) {
            Ok((number, message)) => {
                assert_eq!(message, next[number]);
                next[number] += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return next.iter().sum(),
        }
    }
}

/// A chain of three channels without room, or with little, whose last receiver leaves before the end.
fn rendezvous(dice: &mut Dice) -> u64 {
    let (first, mut source) = mpsc::sync_channel(dice.below(3) as usize);
    for bound in [0, 2] {
        let (sender, receiver) = mpsc::sync_channel(bound);
        let from = core::mem::replace(&mut source, receiver);
        dice.spawn(move |_| from.iter().try_for_each(|message| sender.send(message)));
    }
    let taker = dice.spawn(move |_| source.iter().take(200).sum::<u64>());
    let sent = (0..).take_while(|number| first.send(*number).is_ok()).count();
    assert!(sent >= 200, "{sent} of 200 were sent");
    taker.join().expect("the taker returns")
}

/// A counter that is read and written apart, under a lock, with scheduling points in between.
fn counting(dice: &mut Dice) -> u64 {
    let counter = Arc::new(Mutex::new(0_u64));
    let counters: Vec<_> = (0..8)
        .map(|_| {
            let counter = Arc::clone(&counter);
            dice.spawn(move |dice| {
                for _ in 0..100 {
                    let mut held = counter.lock();
                    let seen = *held;
                    match dice.below(8) {
                        0 => thread::yield_now(),
                        1 => thread::sleep(moments(dice)),
                        _ => {}
                    }
                    *held = seen + 1;
                }
            })
        })
        .collect();
    counters.into_iter().for_each(|counter| counter.join().expect("it returns"));
    *counter.lock()
}

/// A buffer of two places between producers and consumers, whose waits end early as often as not.
fn buffer(dice: &mut Dice) -> u64 {
    #[derive(Default)]
    struct Buffer {
        held: Mutex<Vec<u64>>,
        changed: Condvar,
    }
    let buffer = Arc::new(Buffer::default());
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let buffer = Arc::clone(&buffer);
            dice.spawn(move |dice| {
                for number in 1..=50 {
                    let mut held = buffer.held.lock();
                    while held.len() == 2 {
                        held = buffer.changed.wait_timeout(held, moments(dice)).0;
                    }
                    held.push(number);
                    buffer.changed.notify_all();
                }
            })
        })
        .collect();
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let buffer = Arc::clone(&buffer);
            dice.spawn(move |dice| {
                let mut sum = 0;
                for _ in 0..50 {
                    let mut held = buffer.held.lock();
                    if dice.below(2) == 0 {
                        held = buffer.changed.wait_while(held, |held| held.is_empty());
                    }
                    while held.is_empty() {
                        held = buffer.changed.wait_timeout(held, moments(dice)).0;
                    }
                    sum += held.pop().expect("there is one");
                    buffer.changed.notify_all();
                }
                sum
            })
        })
        .collect();
    producers.into_iter().for_each(|producer| producer.join().expect("it returns"));
    consumers.into_iter().map(|consumer| consumer.join().expect("it returns")).sum()
}

/// Two threads that park until it is their turn, one of them with deadlines.
fn batons(dice: &mut Dice) -> u64 {
    let turn = Arc::new(AtomicU32::new(0));
    let (there, main) = (Arc::clone(&turn), thread::current());
    let other = dice.spawn(move |_| {
        for round in 0..200 {
            while there.load(Ordering::Acquire) != 2 * round + 1 {
                thread::park();
            }
            there.store(2 * round + 2, Ordering::Release);
            main.unpark();
        }
    });
    for round in 0..200 {
        while turn.load(Ordering::Acquire) != 2 * round {
            thread::park_timeout(moments(dice));
        }
        turn.store(2 * round + 1, Ordering::Release);
        other.thread().unpark();
    }
    other.join().expect("it returns");
    u64::from(turn.load(Ordering::Acquire))
}

/// Threads that start threads on any core, wait for some and let the others go.
fn families(dice: &mut Dice) -> u64 {
    fn family(dice: &mut Dice, depth: u64) -> u64 {
        if depth == 0 {
            return 1;
        }
        let children: Vec<_> = (0..3).map(|_| dice.spawn(move |dice| family(dice, depth - 1))).collect();
        drop(dice.spawn(|dice| thread::sleep(moments(dice))));
        1 + children.into_iter().map(|child| child.join().expect("it returns")).sum::<u64>()
    }
    family(dice, 4)
}

/// Readers who must see both halves of a value alike, and writers.
fn library(dice: &mut Dice) -> u64 {
    let book = Arc::new(RwLock::new((0_u64, 0_u64)));
    let visitors: Vec<_> = (0..8)
        .map(|number| {
            let book = Arc::clone(&book);
            dice.spawn(move |dice| {
                for _ in 0..50 {
                    if number < 2 {
                        let mut page = book.write();
                        page.0 += 1;
                        if dice.below(4) == 0 {
                            thread::yield_now();
                        }
                        page.1 += 1;
                    } else {
                        let page = book.read();
                        assert_eq!(page.0, page.1);
                        if dice.below(4) == 0 {
                            thread::yield_now();
                        }
                        assert_eq!(page.0, page.1);
                    }
                }
            })
        })
        .collect();
    visitors.into_iter().for_each(|visitor| visitor.join().expect("it returns"));
    book.read().1
}

/// Rounds that all threads begin together; in each one leads, and one makes the value that all see.
fn rounds(dice: &mut Dice) -> u64 {
    const ROUNDS: usize = 30;
    let barrier = Arc::new(Barrier::new(6));
    let made: Arc<Vec<OnceLock<u64>>> = Arc::new((0..ROUNDS).map(|_| OnceLock::new()).collect());
    let makers = Arc::new(AtomicU32::new(0));
    let players: Vec<_> = (0..6)
        .map(|_| {
            let (barrier, made, makers) = (Arc::clone(&barrier), Arc::clone(&made), Arc::clone(&makers));
            dice.spawn(move |_| {
                let mut led = 0;
                for (round, value) in (0_u64..).zip(made.iter()) {
                    led += u64::from(barrier.wait().is_leader());
                    let seen = value.get_or_init(|| {
                        makers.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        round
                    });
                    assert_eq!(*seen, round);
                }
                led
            })
        })
        .collect();
    let led: u64 = players.into_iter().map(|player| player.join().expect("it returns")).sum();
    assert_eq!(makers.load(Ordering::Relaxed) as usize, ROUNDS);
    led
}
