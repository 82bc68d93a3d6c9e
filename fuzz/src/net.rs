//! A network device that writes whatever it likes: into the rings, the headers and the frames.

use crate::Input;
use crate::virtqueue::{Memory, complete};
use toro_virtqueue::net::{Answer, BUFFER_BYTES, Checksum, Control, FRAME_BYTES_MAX, Offloads, Receive, Transmit};
use toro_virtqueue::{Buffers, Direction, Layout, Options, Queue};

const SLOTS: u16 = 8;

struct Slabs(Vec<[u8; BUFFER_BYTES]>);

impl Buffers for Slabs {
    fn bytes_per_slot(&self) -> usize {
        BUFFER_BYTES
    }
    fn device_address(&self, slot: u16) -> u64 {
        u64::from(slot) << 12
    }
    fn bytes(&mut self, slot: u16) -> &mut [u8] {
        &mut self.0[usize::from(slot)]
    }
}

fn parts(direction: Direction, event_index: bool) -> (Queue<Memory>, Slabs) {
    let layout = Layout::new(SLOTS).expect("a power of two");
    let slabs = Slabs(vec![[0xa5; BUFFER_BYTES]; SLOTS.into()]);
    let options = Options { direction, event_index };
    (Queue::new(Memory(vec![0; layout.bytes()]), layout, options, &slabs), slabs)
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let head = input.byte();
    if head & 0xf0 == 0x90 {
        return control(&mut input, head & 8 != 0);
    }
    let offloads = Offloads {
        transmit_checksum: head & 1 != 0,
        receive_checksum: head & 2 != 0,
        merge_buffers: head & 4 != 0,
        receive_bytes_max: if head & 0x20 != 0 { 5000 } else { 0 },
        segmentation: false,
        segmentation6: false,
    };
    // Of several buffers a frame may be as long as was agreed.
    let merged_bytes_max = if offloads.merge_buffers { offloads.receive_bytes_max } else { 0 };
    let frame_bytes_max = FRAME_BYTES_MAX.max(merged_bytes_max);
    let (queue, slabs) = parts(Direction::FromDevice, head & 8 != 0);
    let mut receive = Receive::new(queue, slabs, offloads);
    let (queue, slabs) = parts(Direction::ToDevice, head & 8 != 0);
    let mut transmit = Transmit::new(queue, slabs, offloads);
    let (mut used_in, mut used_out) = (0, 0);
    let _ = receive.publish();
    while !input.is_empty() {
        match input.byte() % 8 {
            0 => {
                let checked = |frame: &mut [u8]| assert!((1..=frame_bytes_max).contains(&frame.len()));
                let before = receive.broken();
                match receive.receive(|frame, _| checked(frame)) {
                    Ok(frames) => assert!(frames <= SLOTS.into() && before.is_none()),
                    Err(broken) => assert_eq!(receive.broken(), Some(broken)),
                }
                let _ = receive.publish();
            }
            1 => {
                let bytes = usize::from(input.u16()) % (FRAME_BYTES_MAX + 1);
                let start = input.u16();
                let checksum = if offloads.transmit_checksum && start & 1 != 0 {
                    Checksum::Partial { start_bytes: start, offset_bytes: input.u16() }
                } else {
                    Checksum::Complete
                };
                let ready = transmit.ready();
                let sent = transmit.transmit(bytes, checksum, |room| {
                    assert_eq!(room.len(), bytes);
                    bytes
                });
                assert_eq!(ready, sent.is_ok(), "`ready` tells what `transmit` does");
            }
            2 => {
                let _ = (transmit.publish(), receive.enable_interrupts(), transmit.enable_interrupts());
            }
            3 => {
                receive.disable_interrupts();
                transmit.disable_interrupts();
            }
            4 => receive.parts_mut().0.memory_mut().scribble(&mut input),
            5 => transmit.parts_mut().0.memory_mut().scribble(&mut input),
            6 => {
                let (slot, bytes) = (u32::from(input.byte()), u32::from(input.u16()));
                let (queue, slabs) = receive.parts_mut();
                if let Some(slab) = slabs.0.get_mut(slot as usize) {
                    let header = [input.byte() % 4, 0, input.byte() % 4, 0];
                    slab[0] = header[0];
                    slab[10..12].copy_from_slice(&header[2..]);
                }
                complete(queue, &mut used_in, slot, bytes);
            }
            _ => complete(transmit.parts_mut().0, &mut used_out, input.byte().into(), 0),
        }
    }
}

/// A control queue, whose device answers what it likes, when it likes.
fn control(input: &mut Input<'_>, event_index: bool) {
    let (queue, slabs) = parts(Direction::ToDevice, event_index);
    let mut control = Control::new(queue, slabs);
    let mut used = 0;
    while !input.is_empty() {
        match input.byte() % 5 {
            0 => {
                let (free, sound) = (!control.is_asked(), control.parts_mut().0.broken().is_none());
                assert_eq!(control.set_pairs(input.u16()).is_some(), free && sound);
            }
            1 => {
                let asked = control.is_asked();
                match control.answer() {
                    Ok(Answer::Nothing) => assert_eq!(control.is_asked(), asked),
                    Ok(Answer::Done | Answer::Refused) => assert!(asked && !control.is_asked()),
                    Err(broken) => assert_eq!(control.parts_mut().0.broken(), Some(broken)),
                }
            }
            2 => control.parts_mut().0.memory_mut().scribble(input),
            3 => {
                let (slot, bytes) = (u32::from(input.byte()), u32::from(input.u16()));
                complete(control.parts_mut().0, &mut used, slot, bytes);
            }
            _ => {
                control.parts_mut().1.bytes(1)[0] = input.byte();
                let _ = control.enable_interrupts();
            }
        }
    }
}
