//! The two halves of a network device.

use crate::fake::{Device, Memory, Slabs, queue};
use toro_virtqueue::net::{
    BUFFER_BYTES, FRAME_BYTES_MAX, Full, HEADER_BYTES, Offloads, Receive, Transmit,
};
use toro_virtqueue::{Broken, Buffers, Direction, Interrupts};

const CHECKSUMS: Offloads = Offloads {
    transmit_checksum: true,
    receive_checksum: true,
    merge_buffers: true,
};

fn receiver(size: u16, offloads: Offloads) -> Receive<Memory, Slabs> {
    let slabs = Slabs::new(size, BUFFER_BYTES);
    let mut receive = Receive::new(
        queue(size, Direction::FromDevice, true, &slabs),
        slabs,
        offloads,
    );
    let _ = receive.publish();
    receive
}

fn transmitter(size: u16, offloads: Offloads) -> Transmit<Memory, Slabs> {
    let slabs = Slabs::new(size, BUFFER_BYTES);
    Transmit::new(
        queue(size, Direction::ToDevice, true, &slabs),
        slabs,
        offloads,
    )
}

/// The device writes header and frame into its next buffer.
fn deliver(
    receive: &mut Receive<Memory, Slabs>,
    device: &mut Device,
    flags: u8,
    buffers: u16,
    frame: &[u8],
) {
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
    let count = receive
        .receive(|frame| frames.push(frame.to_vec()))
        .unwrap();
    assert_eq!(count, frames.len());
    frames
}

/// A UDP packet of four bytes, 10.0.2.2:4096 to 10.0.2.15:8192, whose right checksum is 0x9bad.
fn udp(checksum: u16) -> Vec<u8> {
    let mut frame = vec![
        0x52, 0x54, 0, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
    ];
    frame.extend([
        0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15,
    ]);
    frame.extend([0x10, 0x00, 0x20, 0x00, 0, 12]);
    frame.extend(checksum.to_be_bytes());
    frame.extend(*b"toro");
    frame.extend([0; 14]); // padding to the shortest Ethernet frame, not part of the packet
    frame
}

/// The checksum by the letter of RFC 1071, to check ours against.
fn udp_checksum_by_hand() -> u16 {
    let frame = udp(0);
    let mut bytes = frame[26..46].to_vec();
    bytes.extend([0, 17, 0, 12]);
    let total: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    !((total & 0xffff) + (total >> 16)) as u16
}

#[test]
fn frames_arrive_in_order_and_the_buffers_go_back() {
    let mut receive = receiver(4, Offloads::default());
    let mut device = Device::default();
    for round in 0..100_u8 {
        deliver(&mut receive, &mut device, 0, 0, &[round; 60]);
        deliver(&mut receive, &mut device, 0, 0, &[round; FRAME_BYTES_MAX]);
        assert_eq!(
            frames(&mut receive),
            [vec![round; 60], vec![round; FRAME_BYTES_MAX]]
        );
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

#[test]
fn a_lying_length_ends_the_device() {
    let mut receive = receiver(2, Offloads::default());
    let mut device = Device::default();
    let (queue, _) = receive.parts_mut();
    device.complete(queue, 0, 2049);
    let expected = Broken::Length {
        claimed: 2049,
        capacity: 2048,
    };
    assert_eq!(receive.receive(|_| panic!("no frame")), Err(expected));
    assert_eq!(receive.broken(), Some(expected));
    assert_eq!(receive.enable_interrupts(), Interrupts::Armed);
}

#[test]
fn checksums_are_verified_unless_the_device_vouches() {
    let mut receive = receiver(8, CHECKSUMS);
    let mut device = Device::default();
    let right = udp(udp_checksum_by_hand());
    deliver(&mut receive, &mut device, 0, 1, &right);
    deliver(&mut receive, &mut device, 0, 1, &udp(0x1234));
    deliver(&mut receive, &mut device, 1, 1, &udp(0x1234));
    deliver(&mut receive, &mut device, 2, 1, &udp(0x1234));
    deliver(&mut receive, &mut device, 0, 1, &udp(0));
    assert_eq!(
        frames(&mut receive),
        [right, udp(0x1234), udp(0x1234), udp(0)]
    );
    assert_eq!(receive.counters().checksum, 1);
}

#[test]
fn hostile_ip_lengths_are_passed_on_unharmed() {
    let mut receive = receiver(8, CHECKSUMS);
    let mut device = Device::default();
    for (offset, value) in [
        (14, 0x4f),
        (14, 0x40),
        (16, 0xff),
        (17, 0),
        (23, 6),
        (20, 0x20),
    ] {
        let mut frame = udp(0x1234);
        frame[offset] = value;
        deliver(&mut receive, &mut device, 0, 1, &frame);
        assert_eq!(frames(&mut receive), [frame], "byte {offset}");
        let _ = receive.publish();
    }
}

#[test]
fn frames_leave_with_the_checksum_left_to_the_device() {
    let mut transmit = transmitter(2, CHECKSUMS);
    let frame = udp(0);
    transmit
        .transmit(1514, |buffer| {
            buffer[..frame.len()].copy_from_slice(&frame);
            frame.len()
        })
        .unwrap();
    let _ = transmit.publish();
    let (queue, slabs) = transmit.parts_mut();
    let offered = Device::default().take(queue).unwrap();
    assert_eq!(offered.bytes as usize, HEADER_BYTES + frame.len());
    let sent = slabs.bytes(offered.slot);
    assert_eq!(sent[..HEADER_BYTES], [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0]);
    // What the device does: the sum of everything from `csum_start` on, what is in the field included.
    let packet = &sent[HEADER_BYTES + 34..HEADER_BYTES + 46];
    let total: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    assert_eq!(
        !((total & 0xffff) + (total >> 16)) as u16,
        udp_checksum_by_hand()
    );
}

#[test]
fn frames_that_are_not_ip_leave_with_an_empty_header() {
    let mut transmit = transmitter(1, CHECKSUMS);
    let mut device = Device::default();
    for length in [1, 14, 42, 60] {
        transmit
            .transmit(60, |buffer| length.min(buffer.len()))
            .unwrap();
        let _ = transmit.publish();
        let (queue, slabs) = transmit.parts_mut();
        let slot = device.take(queue).unwrap().slot;
        assert_eq!(slabs.bytes(slot)[..HEADER_BYTES], [0; HEADER_BYTES]);
        device.complete(queue, slot.into(), 0);
    }
}

#[test]
fn a_full_queue_refuses_until_the_device_has_sent_something() {
    let mut transmit = transmitter(2, Offloads::default());
    let mut device = Device::default();
    assert_eq!(
        transmit.transmit(100, |_| 0),
        Ok(()),
        "an empty frame takes no buffer"
    );
    assert_eq!(transmit.transmit(100, |_| 60), Ok(()));
    assert_eq!(transmit.transmit(100, |_| 60), Ok(()));
    assert_eq!(transmit.transmit(100, |_| unreachable!()), Err(Full));
    let _ = transmit.publish();
    let (queue, _) = transmit.parts_mut();
    assert!(!device.interrupts(queue));
    assert_eq!(transmit.enable_interrupts(), Interrupts::Armed);
    let (queue, _) = transmit.parts_mut();
    let slot = device.take(queue).unwrap().slot;
    device.complete(queue, slot.into(), 0);
    assert!(device.interrupts(queue), "whoever was refused is woken");
    assert_eq!(transmit.transmit(100, |_| 60), Ok(()));
    assert_eq!(transmit.transmit(100, |_| 60), Err(Full));
}

#[test]
fn completions_of_frames_sent_wake_nobody() {
    let mut transmit = transmitter(4, Offloads::default());
    let mut device = Device::default();
    for _ in 0..100 {
        transmit.transmit(100, |_| 60).unwrap();
        let _ = transmit.publish();
        assert_eq!(transmit.enable_interrupts(), Interrupts::Armed);
        let (queue, _) = transmit.parts_mut();
        let slot = device.take(queue).unwrap().slot;
        device.complete(queue, slot.into(), 0);
        assert!(!device.interrupts(queue));
    }
}
