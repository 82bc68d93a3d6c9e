//! The two halves of a network device.

use crate::fake::{Device, Memory, Slabs, queue};
use toro_virtqueue::net::{
    Answer, BUFFER_BYTES, Checksum, Control, FRAME_BYTES_MAX, Full, HEADER_BYTES, Offloads, Receive, Transmit,
    Verification,
};
use toro_virtqueue::{Broken, Buffers, Direction, Interrupts};

const CHECKSUMS: Offloads = Offloads {
    transmit_checksum: true,
    receive_checksum: true,
    merge_buffers: true,
    receive_bytes_max: 0,
    segmentation: false,
    segmentation6: false,
};

fn receiver(size: u16, offloads: Offloads) -> Receive<Memory, Slabs> {
    let slabs = Slabs::new(size, BUFFER_BYTES);
    let mut receive = Receive::new(queue(size, Direction::FromDevice, true, &slabs), slabs, offloads);
    let _ = receive.publish();
    receive
}

fn transmitter(size: u16, offloads: Offloads) -> Transmit<Memory, Slabs> {
    let slabs = Slabs::new(size, BUFFER_BYTES);
    Transmit::new(queue(size, Direction::ToDevice, true, &slabs), slabs, offloads)
}

/// The device writes header and frame into its next buffer.
fn deliver(receive: &mut Receive<Memory, Slabs>, device: &mut Device, flags: u8, buffers: u16, frame: &[u8]) {
    let (queue, slabs) = receive.parts_mut();
    let slot = device.take(queue).expect("a posted buffer").slot;
    let bytes = slabs.bytes(slot);
    bytes[..HEADER_BYTES].fill(0);
    bytes[0] = flags;
    bytes[10..12].copy_from_slice(&buffers.to_le_bytes());
    bytes[HEADER_BYTES..HEADER_BYTES + frame.len()].copy_from_slice(frame);
    device.complete(queue, slot.into(), (HEADER_BYTES + frame.len()) as u32);
}

fn frames(receive: &mut Receive<Memory, Slabs>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let count = receive.receive(|frame, _| frames.push(frame.to_vec())).unwrap();
    assert_eq!(count, frames.len());
    frames
}

/// Writes a frame.
fn fill(room: &mut [u8]) -> usize {
    room.fill(7);
    room.len()
}

#[test]
fn frames_arrive_in_order_and_the_buffers_go_back() {
    let mut receive = receiver(4, Offloads::default());
    let mut device = Device::default();
    for round in 0..100_u8 {
        deliver(&mut receive, &mut device, 0, 0, &[round; 60]);
        deliver(&mut receive, &mut device, 0, 0, &[round; FRAME_BYTES_MAX]);
        assert_eq!(frames(&mut receive), [vec![round; 60], vec![round; FRAME_BYTES_MAX]]);
        let _ = receive.publish();
    }
    assert_eq!(receive.counters(), Default::default());
}

#[test]
fn an_empty_or_headless_buffer_is_counted_and_reused() {
    let mut receive = receiver(2, Offloads::default());
    let mut device = Device::default();
    for bytes in [0, 11, 12] {
        let (queue, _) = receive.parts_mut();
        let slot = device.take(queue).unwrap().slot;
        device.complete(queue, slot.into(), bytes);
        assert!(frames(&mut receive).is_empty());
        let _ = receive.publish();
    }
    assert_eq!(receive.counters().short, 3);
}

#[test]
fn a_frame_over_several_buffers_is_dropped_whole() {
    let mut receive = receiver(8, CHECKSUMS);
    let mut device = Device::default();
    deliver(&mut receive, &mut device, 0, 3, &[1; FRAME_BYTES_MAX]);
    deliver(&mut receive, &mut device, 0, 1, &[2; FRAME_BYTES_MAX]);
    assert!(frames(&mut receive).is_empty());
    deliver(&mut receive, &mut device, 0, 1, &[3; 9]);
    deliver(&mut receive, &mut device, 0, 1, &[4; 60]);
    assert_eq!(frames(&mut receive), [[4; 60]]);
    assert_eq!(receive.counters().oversize, 1);
}

/// The device writes the rest of a frame into its next buffer.
fn continue_frame(receive: &mut Receive<Memory, Slabs>, device: &mut Device, part: &[u8]) {
    let (queue, slabs) = receive.parts_mut();
    let slot = device.take(queue).expect("a posted buffer").slot;
    slabs.bytes(slot)[..part.len()].copy_from_slice(part);
    device.complete(queue, slot.into(), part.len() as u32);
}

#[test]
fn a_frame_over_several_buffers_is_put_together() {
    let mut receive = receiver(8, Offloads { receive_bytes_max: 5000, ..CHECKSUMS });
    let mut device = Device::default();
    for round in 0..20_u8 {
        deliver(&mut receive, &mut device, 1, 3, &[round; FRAME_BYTES_MAX]);
        assert!(frames(&mut receive).is_empty(), "in its own time");
        continue_frame(&mut receive, &mut device, &[round; BUFFER_BYTES]);
        // The last part may be shorter than a header.
        continue_frame(&mut receive, &mut device, &[round; 5]);
        deliver(&mut receive, &mut device, 0, 1, &[7; 60]);
        let mut seen = Vec::new();
        let count = receive.receive(|frame, verification| seen.push((frame.to_vec(), verification))).unwrap();
        assert_eq!(count, 2);
        let long = vec![round; FRAME_BYTES_MAX + BUFFER_BYTES + 5];
        assert!(seen == [(long, Verification::Verified), (vec![7; 60], Verification::Unverified)]);
        let _ = receive.publish();
    }
    // One that is longer than was agreed.
    deliver(&mut receive, &mut device, 0, 3, &[1; FRAME_BYTES_MAX]);
    continue_frame(&mut receive, &mut device, &[1; BUFFER_BYTES]);
    continue_frame(&mut receive, &mut device, &[1; BUFFER_BYTES]);
    deliver(&mut receive, &mut device, 0, 1, &[2; 60]);
    assert_eq!(frames(&mut receive), [[2; 60]]);
    assert_eq!((receive.counters().oversize, receive.counters().short), (1, 0));
}

#[test]
fn a_frame_to_be_cut_says_into_what() {
    let mut transmit = transmitter(2, Offloads { segmentation: true, segmentation6: true, ..CHECKSUMS });
    let mut device = Device::default();
    let cut = Checksum::Segments { start_bytes: 34, offset_bytes: 16, headers_bytes: 66, segment_bytes: 1448 };
    let whole = Checksum::Partial { start_bytes: 34, offset_bytes: 16 };
    let cut6 = Checksum::Segments { start_bytes: 54, offset_bytes: 16, headers_bytes: 86, segment_bytes: 1428 };
    for (checksum, kind, expected) in [
        (cut, 0x0800, [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0]),
        (cut6, 0x86dd, [1, 4, 86, 0, 0x94, 5, 54, 0, 16, 0]),
        (whole, 0x0800, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0]),
        (Checksum::Complete, 0x0800, [0; 10]),
    ] {
        let fill = |room: &mut [u8]| {
            room[12..14].copy_from_slice(&u16::to_be_bytes(kind));
            2000
        };
        transmit.transmit(2000, checksum, fill).unwrap();
        let _ = transmit.publish();
        let (queue, slabs) = transmit.parts_mut();
        let slot = device.take(queue).unwrap().slot;
        assert_eq!(slabs.bytes(slot)[..10], expected);
        device.complete(queue, slot.into(), 0);
    }
}

#[test]
fn a_lying_length_ends_the_device() {
    let mut receive = receiver(2, Offloads::default());
    let mut device = Device::default();
    let (queue, _) = receive.parts_mut();
    device.complete(queue, 0, 2049);
    let expected = Broken::Length { claimed: 2049, capacity: 2048 };
    assert_eq!(receive.receive(|_, _| panic!("no frame")), Err(expected));
    assert_eq!(receive.broken(), Some(expected));
    assert_eq!(receive.enable_interrupts(), Interrupts::Armed);
}

#[test]
fn the_device_vouches_for_checksums_where_that_was_agreed() {
    use Verification::{Unverified, Verified};
    let none = Offloads { receive_checksum: false, ..CHECKSUMS };
    for (offloads, expected) in
        [(CHECKSUMS, [Unverified, Verified, Verified]), (none, [Unverified, Unverified, Unverified])]
    {
        let mut receive = receiver(4, offloads);
        let mut device = Device::default();
        for flags in 0..3 {
            deliver(&mut receive, &mut device, flags, 1, &[1; 60]);
        }
        let mut seen = Vec::new();
        receive.receive(|_, verification| seen.push(verification)).unwrap();
        assert_eq!(seen, expected);
    }
}

#[test]
fn frames_leave_with_the_checksum_left_to_the_device() {
    let mut transmit = transmitter(1, CHECKSUMS);
    let mut device = Device::default();
    let partial = Checksum::Partial { start_bytes: 34, offset_bytes: 6 };
    for (checksum, header) in [
        (partial, [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0]),
        (Checksum::Complete, [0; HEADER_BYTES]), // in the same buffer
    ] {
        transmit.transmit(60, checksum, fill).unwrap();
        let _ = transmit.publish();
        let (queue, slabs) = transmit.parts_mut();
        let offered = device.take(queue).unwrap();
        assert_eq!(offered.bytes as usize, HEADER_BYTES + 60);
        assert_eq!(slabs.bytes(offered.slot)[..HEADER_BYTES], header);
        assert_eq!(slabs.bytes(offered.slot)[HEADER_BYTES..][..60], [7; 60]);
        device.complete(queue, offered.slot.into(), 0);
    }
}

#[test]
fn a_full_queue_refuses_until_the_device_has_sent_something() {
    let mut transmit = transmitter(2, Offloads::default());
    let mut device = Device::default();
    assert_eq!(transmit.transmit(60, Checksum::Complete, |_| 0), Ok(()), "an empty frame takes no buffer");
    assert_eq!(transmit.transmit(60, Checksum::Complete, fill), Ok(()));
    assert_eq!(transmit.transmit(60, Checksum::Complete, fill), Ok(()));
    assert_eq!(transmit.transmit(60, Checksum::Complete, |_| unreachable!()), Err(Full));
    assert!(!transmit.ready());
    let _ = transmit.publish();
    let (queue, _) = transmit.parts_mut();
    assert!(!device.interrupts(queue));
    assert_eq!(transmit.enable_interrupts(), Interrupts::Armed);
    let (queue, _) = transmit.parts_mut();
    let slot = device.take(queue).unwrap().slot;
    device.complete(queue, slot.into(), 0);
    assert!(device.interrupts(queue), "whoever was refused is woken");
    assert_eq!(transmit.transmit(60, Checksum::Complete, fill), Ok(()));
    assert_eq!(transmit.transmit(60, Checksum::Complete, fill), Err(Full));
}

#[test]
fn completions_of_frames_sent_wake_nobody() {
    let mut transmit = transmitter(4, Offloads::default());
    let mut device = Device::default();
    for _ in 0..100 {
        transmit.transmit(60, Checksum::Complete, fill).unwrap();
        let _ = transmit.publish();
        assert_eq!(transmit.enable_interrupts(), Interrupts::Armed);
        let (queue, _) = transmit.parts_mut();
        let slot = device.take(queue).unwrap().slot;
        device.complete(queue, slot.into(), 0);
        assert!(!device.interrupts(queue));
    }
}

fn control() -> Control<Memory, Slabs> {
    let slabs = Slabs::new(2, 16);
    Control::new(queue(2, Direction::ToDevice, true, &slabs), slabs)
}

/// The device reads the command and answers.
fn obey(control: &mut Control<Memory, Slabs>, device: &mut Device, answer: u8) -> Vec<u8> {
    let (queue, slabs) = control.parts_mut();
    let command = device.take(queue).expect("a command");
    let place = device.next(queue, command.slot).expect("a place for the answer");
    assert!(!command.writable && place.writable && device.next(queue, place.slot).is_none());
    assert_eq!(place.bytes, 1);
    let words = slabs.bytes(command.slot)[..command.bytes as usize].to_vec();
    slabs.bytes(place.slot)[0] = answer;
    device.complete(queue, command.slot.into(), 1);
    words
}

#[test]
fn pairs_are_asked_for_one_command_at_a_time() {
    let mut control = control();
    let mut device = Device::default();
    assert_eq!(control.answer(), Ok(Answer::Nothing));
    for (pairs, answer, told) in [(4, 0, Answer::Done), (300, 1, Answer::Refused), (2, 0, Answer::Done)] {
        assert!(control.set_pairs(pairs).is_some());
        assert!(control.is_asked() && control.set_pairs(9).is_none(), "one at a time");
        assert_eq!(control.answer(), Ok(Answer::Nothing));
        let [low, high] = pairs.to_le_bytes();
        assert_eq!(obey(&mut control, &mut device, answer), [4, 0, low, high]);
        assert_eq!(control.answer(), Ok(told));
    }
}

#[test]
fn an_announcement_is_acknowledged() {
    let mut control = control();
    let mut device = Device::default();
    assert!(control.set_pairs(2).is_some());
    assert!(control.acknowledge_announcement().is_none(), "one at a time");
    assert_eq!(obey(&mut control, &mut device, 0).len(), 4);
    assert_eq!(control.answer(), Ok(Answer::Done));
    assert!(control.acknowledge_announcement().is_some());
    assert_eq!(obey(&mut control, &mut device, 0), [3, 0]);
    assert_eq!(control.answer(), Ok(Answer::Done));
}

#[test]
fn a_control_queue_that_lies_is_used_no_more() {
    // The end of the chain, a slot twice, one that there is not, more completions than commands.
    let lies: [fn(&mut Device, &mut toro_virtqueue::Queue<Memory>); 4] = [
        |device, queue| device.complete(queue, 1, 1),
        |device, queue| (0..2).for_each(|_| device.complete(queue, 0, 1)),
        |device, queue| device.complete(queue, 77, 1),
        |device, queue| device.jump(queue, 3),
    ];
    for lie in lies {
        let mut control = control();
        let mut device = Device::default();
        assert!(control.set_pairs(2).is_some());
        let (queue, _) = control.parts_mut();
        device.take(queue).expect("a command");
        lie(&mut device, queue);
        let mut answers = (0..3).map(|_| control.answer());
        assert!(answers.any(|answer| answer.is_err()), "the lie is found");
        assert!(!control.is_asked(), "nobody waits for another answer");
        assert_eq!(control.set_pairs(2), None);
    }
}

#[test]
fn room_that_was_promised_is_not_given_twice() {
    let mut transmit = transmitter(4, CHECKSUMS);
    let mut device = Device::default();
    for promised in 0..4 {
        assert!(transmit.ready_beside(promised));
    }
    assert!(!transmit.ready_beside(4));
    transmit.transmit(60, Checksum::Complete, fill).unwrap();
    assert!(transmit.ready_beside(2) && !transmit.ready_beside(3));
    let _ = transmit.publish();
    assert_eq!(transmit.enable_interrupts(), Interrupts::Armed, "whoever was refused wants to hear");
    let (queue, _) = transmit.parts_mut();
    let sent = device.take(queue).unwrap();
    device.complete(queue, sent.slot.into(), 0);
    assert!(device.interrupts(queue));
    assert!(transmit.ready_beside(3), "what was sent makes room");
}
