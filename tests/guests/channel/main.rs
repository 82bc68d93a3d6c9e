//! Channels: order, many senders, bounds, rendezvous, both ends' disappearance, time-outs.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::mpsc::{self, RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
use toro::thread;
use toro::time::Duration;

toro::main!(main);

fn main() {
    unbounded();
    bounded();
    rendezvous();
    ends();
}

fn unbounded() {
    let (sender, receiver) = mpsc::channel();
    for thread in 0..10_u64 {
        let sender = sender.clone();
        thread::spawn(move || {
            for number in 0..100 {
                sender.send(thread * 100 + number).expect("the receiver is there");
                if number % 7 == 0 {
                    thread::yield_now();
                }
            }
        });
    }
    drop(sender);
    let mut last = [None; 10];
    let mut sum = 0;
    for number in receiver {
        let (thread, number) = ((number / 100) as usize, number % 100);
        assert!(last[thread] < Some(number), "a sender's messages keep their order");
        last[thread] = Some(number);
        sum += number;
    }
    println!("unbounded: {sum}");
}

fn bounded() {
    let (sender, receiver) = mpsc::sync_channel(2);
    let producer = thread::spawn(move || {
        for number in 0..100 {
            sender.send(number).expect("the receiver is there");
        }
        thread::yield_now(); // the receiver takes what is left
        (0..3).map(|number| sender.try_send(number)).collect::<Vec<_>>()
    });
    let sum: u32 = (0..100).map(|_| receiver.recv().expect("the sender is there")).sum();
    let tried = producer.join().expect("the thread returns");
    assert_eq!(tried, [Ok(()), Ok(()), Err(TrySendError::Full(2))]);
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1]);
    println!("bounded: {sum}");
}

fn rendezvous() {
    let (sender, receiver) = mpsc::sync_channel(0);
    assert_eq!(sender.try_send('x'), Err(TrySendError::Full('x')));
    let other = sender.clone();
    let first = thread::spawn(move || other.send('a'));
    let second = thread::spawn(move || sender.send('b'));
    thread::sleep(Duration::from_millis(1));
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!(receiver.recv(), Ok('a'));
    thread::sleep(Duration::from_millis(1));
    assert!(first.is_finished() && !second.is_finished());
    drop(receiver);
    assert_eq!(second.join(), Ok(Err(SendError('b'))));
    println!("rendezvous");
}

fn ends() {
    let (sender, receiver) = mpsc::channel::<u8>();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    let late = thread::spawn(move || {
        thread::yield_now();
        sender.send(1)
    });
    assert_eq!(receiver.recv_timeout(Duration::from_secs(600)), Ok(1));
    assert_eq!(late.join(), Ok(Ok(())));
    assert_eq!(receiver.recv(), Err(RecvError));

    let (sender, receiver) = mpsc::sync_channel(1);
    sender.send(1).expect("there is room");
    let stuck = thread::spawn(move || sender.send(2));
    thread::yield_now();
    drop(receiver);
    assert_eq!(stuck.join(), Ok(Err(SendError(2))));
    println!("ends");
}
