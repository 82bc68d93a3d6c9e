//! A queue against a device that keeps the rules, and against one that does not.

use crate::fake::{Device, Memory, Offered, Slabs, queue};
use toro_virtqueue::{Broken, Direction::FromDevice, Direction::ToDevice, Interrupts, Notify, Queue, RingMemory, Used};

#[test]
fn a_slot_travels_to_the_device_and_back() {
    let mut queue = queue(4, FromDevice, true, &Slabs::new(4, 64));
    let mut device = Device::default();
    queue.post(2);
    assert_eq!(device.take(&mut queue), None, "not yet published");
    let _ = queue.publish();
    let offered = Offered { slot: 2, address: 2 << 16, bytes: 64, writable: true };
    assert_eq!(device.take(&mut queue), Some(offered));
    assert_eq!(queue.pop(), Ok(None));
    device.complete(&mut queue, 2, 60);
    assert_eq!(queue.pop(), Ok(Some(Used { slot: 2, bytes: 60 })));
    assert_eq!(queue.pop(), Ok(None));
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn the_indices_wrap() {
    let mut queue = queue(2, ToDevice, true, &Slabs::new(2, 64));
    let mut device = Device::default();
    for round in 0..70_000_u32 {
        let slot = queue.free_slot().unwrap();
        queue.post_bytes(slot, round % 64 + 1);
        let _ = queue.publish();
        let offered = device.take(&mut queue).unwrap();
        assert_eq!((offered.bytes, offered.writable), (round % 64 + 1, false));
        device.complete(&mut queue, slot.into(), 0);
        assert_eq!(queue.pop().unwrap().unwrap().slot, slot);
    }
}

#[test]
fn a_full_queue_has_no_free_slot() {
    let mut queue = queue(4, ToDevice, true, &Slabs::new(4, 64));
    for slot in 0..4 {
        assert_eq!(queue.free_slot(), Some(slot));
        queue.post(slot);
    }
    assert_eq!(queue.free_slot(), None);
}

#[test]
fn one_notification_serves_a_batch() {
    let mut queue = queue(8, ToDevice, true, &Slabs::new(8, 64));
    let mut device = Device::default();
    for slot in 0..3 {
        queue.post(slot);
    }
    assert_eq!(queue.publish(), Notify::Needed, "a fresh device waits for the first buffer");
    assert_eq!(queue.publish(), Notify::NotNeeded, "there is nothing new");
    queue.post(3);
    assert_eq!(queue.publish(), Notify::NotNeeded, "it is still busy");
    while device.take(&mut queue).is_some() {}
    device.want_notification(&mut queue);
    queue.post(4);
    assert_eq!(queue.publish(), Notify::Needed);
}

#[test]
fn a_second_look_finds_what_was_seen_too_late() {
    let mut queue = queue(8, FromDevice, true, &Slabs::new(8, 64));
    let mut device = Device::default();
    queue.post(0);
    assert_eq!(queue.publish(), Notify::Needed);
    assert_eq!(queue.owes_notification(), Notify::NotNeeded, "it was told, and has not looked yet");
    assert_eq!(device.take(&mut queue).map(|offered| offered.slot), Some(0));
    queue.post(1);
    assert_eq!(queue.publish(), Notify::NotNeeded);
    // It found no more, said so, and looked again: before it could see the index.
    device.want_notification(&mut queue);
    let event = queue.layout().used() + 4 + 8 * 8;
    queue.memory_mut().store_u16(event, 1);
    assert_eq!(queue.owes_notification(), Notify::Needed);
    assert_eq!(queue.owes_notification(), Notify::NotNeeded, "once");
    assert_eq!(queue.enable_interrupts(), Interrupts::Armed);
    assert!(!queue.has_completions());
    device.complete(&mut queue, 0, 60);
    assert!(queue.has_completions());
    assert_eq!(queue.pop(), Ok(Some(Used { slot: 0, bytes: 60 })));
    assert!(!queue.has_completions());
}

#[test]
fn without_event_idx_the_flags_decide() {
    let mut queue = queue(4, ToDevice, false, &Slabs::new(4, 64));
    let (flags, avail) = (queue.layout().used(), queue.layout().avail());
    queue.post(0);
    assert_eq!(queue.publish(), Notify::Needed);
    queue.memory_mut().store_u16(flags, 1);
    queue.post(1);
    assert_eq!(queue.publish(), Notify::NotNeeded);
    assert_eq!(queue.memory_mut().load_u16(avail), 1, "no interrupts to begin with");
    assert_eq!(queue.enable_interrupts(), Interrupts::Armed);
    assert_eq!(queue.memory_mut().load_u16(avail), 0);
    queue.disable_interrupts();
    assert_eq!(queue.memory_mut().load_u16(avail), 1);
}

#[test]
fn interrupts_come_when_asked_for_and_no_completion_is_missed() {
    let mut queue = queue(8, FromDevice, true, &Slabs::new(8, 64));
    let mut device = Device::default();
    (0..8).for_each(|slot| queue.post(slot));
    let _ = queue.publish();
    device.complete(&mut queue, 0, 1);
    assert!(!device.interrupts(&mut queue), "nobody asked");
    assert_eq!(queue.enable_interrupts(), Interrupts::Pending, "one is there already");
    queue.disable_interrupts();
    while queue.pop().unwrap().is_some() {}
    assert_eq!(queue.enable_interrupts(), Interrupts::Armed);
    device.complete(&mut queue, 1, 1);
    assert!(device.interrupts(&mut queue));
    device.complete(&mut queue, 2, 1);
    assert!(!device.interrupts(&mut queue), "one interrupt for each time it was asked for");
    queue.disable_interrupts();
    while queue.pop().unwrap().is_some() {}
    device.complete(&mut queue, 3, 1);
    assert!(!device.interrupts(&mut queue));
}

/// Has the device do `lie` after four slots were posted; the queue must say so, and go on saying so.
fn expect_broken(expected: Broken, lie: impl FnOnce(&mut Device, &mut Queue<Memory>)) {
    let mut queue = queue(8, FromDevice, true, &Slabs::new(8, 64));
    let mut device = Device::default();
    (0..4).for_each(|slot| queue.post(slot));
    let _ = queue.publish();
    lie(&mut device, &mut queue);
    let broken = loop {
        match queue.pop() {
            Ok(Some(used)) => assert!(used.slot < 4 && used.bytes <= 64),
            Ok(None) => panic!("the lie was not noticed"),
            Err(broken) => break broken,
        }
    };
    assert_eq!(broken, expected, "{broken}");
    assert_eq!(queue.pop(), Err(expected));
    assert_eq!(queue.broken(), Some(expected));
    assert_eq!(queue.enable_interrupts(), Interrupts::Armed, "nobody may poll a dead queue for ever");
    assert_eq!(queue.free_slot(), None);
    queue.post(7);
    assert_eq!(queue.publish(), Notify::NotNeeded);
}

#[test]
fn a_slot_completed_twice_is_noticed() {
    expect_broken(Broken::Slot(1), |device, queue| {
        device.complete(queue, 1, 10);
        device.complete(queue, 1, 10);
    });
}

#[test]
fn a_slot_never_posted_is_noticed() {
    expect_broken(Broken::Slot(5), |device, queue| device.complete(queue, 5, 10));
}

#[test]
fn a_wild_slot_is_noticed() {
    expect_broken(Broken::Slot(u32::MAX), |device, queue| device.complete(queue, u32::MAX, 10));
    expect_broken(Broken::Slot(0x1_0001), |device, queue| device.complete(queue, 0x1_0001, 10));
}

#[test]
fn a_lying_length_is_noticed() {
    let expected = Broken::Length { claimed: 65, capacity: 64 };
    expect_broken(expected, |device, queue| device.complete(queue, 0, 65));
}

#[test]
fn a_wild_index_is_noticed() {
    expect_broken(Broken::Index { claimed: 5, in_flight: 4 }, |device, queue| device.jump(queue, 5));
    expect_broken(Broken::Index { claimed: 0xffff, in_flight: 4 }, |device, queue| device.jump(queue, 0xffff));
}

#[test]
fn an_index_that_runs_backwards_is_noticed() {
    expect_broken(Broken::Index { claimed: 0xfffe, in_flight: 3 }, |device, queue| {
        device.complete(queue, 0, 1);
        assert!(queue.pop().unwrap().is_some());
        device.jump(queue, 0xfffe);
    });
}
