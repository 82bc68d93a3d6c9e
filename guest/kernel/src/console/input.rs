//! The program's input: bytes from the host, their end, and the request to stop.
//!
//! The host is told how much there is room for and sends no more, so that the request to stop is always read at once. One
//! that cannot be told, on a plain console, is held up by the device instead.

use super::{CONSOLE, Device, uart};
use crate::arch::interrupt::{self, Vector};
use crate::arch::{SpinLock, core_local};
use crate::power;
use crate::sched::{self, Guarded, Poller, WaitList};
use toro_abi::control::Control;
use toro_abi::stdin::{Decoder, Input};

const BUFFER_BYTES: usize = 1024;
/// The host is told of room when there is this much: a record costs more than a few bytes of input.
const ROOM_TOLD_BYTES: usize = BUFFER_BYTES / 2;

/// An awake core looks at the device once in so many polls: each look is an exit, and input is not the data path.
const POLLS_PER_LOOK: u32 = 8192;

struct Buffer {
    bytes: [u8; BUFFER_BYTES],
    first: usize,
    count: usize,
    ended: bool,
    /// What the host may still send; `None` for one that cannot be told.
    promised: Option<usize>,
    decoder: Decoder,
    readers: WaitList,
}

/// What the core that polls the device knows of it.
struct Looks {
    /// The device's interrupt, and how often it had been taken when the device was last found empty.
    vector: Option<Vector>,
    empty_at: Option<u64>,
    polls: u32,
}

static BUFFER: Guarded<Buffer> = Guarded::new(Buffer {
    bytes: [0; BUFFER_BYTES],
    first: 0,
    count: 0,
    ended: false,
    promised: None,
    decoder: Decoder::new(),
    readers: WaitList::new(),
});
core_local! {
    static LOOKS: Looks = Looks { vector: None, empty_at: None, polls: 0 };
}
static POLLER: InputPoller = InputPoller;

/// Starts to take input. Without a host that forwards it, the input has ended: nobody waits for ever.
pub fn init(host_forwards: bool) {
    BUFFER.with(|buffer, _| {
        buffer.ended = !host_forwards;
        buffer.promised = super::has_streams().then_some(0);
    });
    let vector = match CONSOLE.with(|console| console.device) {
        Device::None => return,
        Device::Uart => uart::enable_input(),
        Device::Driver(port) => port.enable_input(),
    };
    LOOKS.with(|looks| looks.vector = vector);
    sched::register(&POLLER);
    tell_room();
}

/// Tells the host of room, once there is enough to speak of.
fn tell_room() {
    let room = BUFFER.with(|buffer, _| {
        let promised = buffer.promised.as_mut().filter(|_| !buffer.ended)?;
        let room = BUFFER_BYTES - buffer.count - *promised;
        (room >= ROOM_TOLD_BYTES).then(|| {
            *promised += room;
            room
        })
    });
    if let Some(room) = room {
        super::control(&Control::Stdin { room: room as u64 });
    }
}

impl Buffer {
    /// Moves what there is to `to`; `None` when there may be something later.
    fn take(&mut self, to: &mut [u8]) -> Option<usize> {
        let mut taken = 0;
        while taken < to.len() && self.count > 0 {
            to[taken] = self.bytes[self.first];
            self.first = (self.first + 1) % BUFFER_BYTES;
            self.count -= 1;
            taken += 1;
        }
        (taken > 0 || self.ended).then_some(taken)
    }
}

/// Waits for input and moves what there is to `to`; 0 at its end.
pub fn read(to: &mut [u8]) -> usize {
    if to.is_empty() {
        return 0;
    }
    loop {
        if let Ok(taken) = BUFFER.wait(|buffer| &mut buffer.readers, None, |buffer, _| buffer.take(to)) {
            tell_room();
            return taken;
        }
    }
}

/// Moves what there is to `to`, 0 at its end; `None` when there is nothing now.
pub fn try_read(to: &mut [u8]) -> Option<usize> {
    let taken = BUFFER.with(|buffer, _| buffer.take(to));
    tell_room();
    taken
}

/// Bytes that wait, and whether the input has ended behind them.
#[must_use]
pub fn waiting() -> (usize, bool) {
    BUFFER.with(|buffer, _| (buffer.count, buffer.ended))
}

/// Who is told of input, beside those who wait for it.
struct Watchers {
    input: Option<fn()>,
    stop: Option<fn() -> bool>,
}

static WATCHERS: SpinLock<Watchers> = SpinLock::new(Watchers { input: None, stop: None });

/// Has `watcher` called when input arrives or ends: by whoever looks at the device, so it must be short and must not wait.
pub fn watch(watcher: fn()) {
    WATCHERS.with(|watchers| watchers.input = Some(watcher));
}

/// Has `watcher` called when the host asks to stop, in the same way; `true`: it sees to that, and the machine goes on.
pub fn watch_stop(watcher: fn() -> bool) {
    WATCHERS.with(|watchers| watchers.stop = Some(watcher));
}

struct InputPoller;

impl InputPoller {
    /// Takes what has arrived. While there is no room the device keeps what a host sends that was not told.
    fn take(&self) -> bool {
        let (mut stop, mut asks, mut asks_network) = (false, false, false);
        let interrupts = LOOKS.with(|looks| looks.vector.map_or(0, interrupt::count));
        let taken = BUFFER.with(|buffer, wakes| {
            let mut taken = false;
            while buffer.count < BUFFER_BYTES || buffer.promised.is_some() {
                let byte = match CONSOLE.with(|console| console.device) {
                    Device::None => None,
                    Device::Uart => uart::read(),
                    Device::Driver(port) => port.read(),
                };
                let Some(byte) = byte else {
                    LOOKS.with(|looks| looks.empty_at = Some(interrupts));
                    break;
                };
                taken = true;
                match buffer.decoder.push(byte) {
                    // Beyond its room a host that was told breaks its word, and loses what it sends.
                    Some(Input::Byte(byte)) if !buffer.ended && buffer.count < BUFFER_BYTES => {
                        buffer.bytes[(buffer.first + buffer.count) % BUFFER_BYTES] = byte;
                        buffer.count += 1;
                        buffer.promised = buffer.promised.map(|promised| promised.saturating_sub(1));
                    }
                    Some(Input::End) => buffer.ended = true,
                    Some(Input::Stop) => stop = true,
                    Some(Input::Statistics) => asks = true,
                    Some(Input::Network) => asks_network = true,
                    Some(Input::WallClock(ns)) => crate::arch::wall::set(ns),
                    Some(Input::Byte(_)) | None => {}
                }
            }
            if taken {
                buffer.readers.wake_all(wakes);
            }
            taken
        });
        if asks {
            power::tell();
        }
        if asks_network {
            crate::net::tell();
        }
        if stop && !WATCHERS.with(|watchers| watchers.stop).is_some_and(|watcher| watcher()) {
            crate::fault::stop();
        }
        if taken && let Some(watcher) = WATCHERS.with(|watchers| watchers.input) {
            watcher();
        }
        taken
    }
}

impl Poller for InputPoller {
    fn poll(&self, _now_ns: u64) {
        let due = LOOKS.with(|looks| {
            looks.polls = (looks.polls + 1) % POLLS_PER_LOOK;
            looks.polls == 0
        });
        if due {
            self.take();
        }
    }

    /// Without an interrupt since the device was found empty it still is.
    fn prepare_idle(&self) -> Option<u64> {
        let empty =
            LOOKS.with(|looks| looks.vector.is_some_and(|vector| Some(interrupt::count(vector)) == looks.empty_at));
        (!empty && self.take()).then_some(0)
    }
}
