//! Bridges, and what they need where the firmware left them as it found them: a bus number, and a window of memory for
//! what is behind (QEMU's microvm gives neither, qboot no window).

use crate::{Address, ConfigSpace, Window};

const COMMAND: u8 = 4;
const COMMAND_MEMORY_MASTER: u32 = 0b110;
const BUSES: u8 = 0x18;
const MEMORY: u8 = 0x20;
/// A window's base and limit are in steps of this.
const WINDOW_STEP_BYTES: u64 = 1 << 20;
/// Far more than the virtio functions behind a bridge need.
const WINDOW_BYTES: u64 = 4 << 20;
/// More are followed, but not set up.
const BRIDGES_MAX: usize = 32;

#[derive(Clone, Debug)]
struct Bridge {
    address: Address,
    /// The bus behind; 0 until it has a number.
    bus: u8,
    /// The number is ours to give: no bridge above has one from the firmware, which left no room for more.
    is_ours: bool,
    /// What is left for BARs behind it, once that was asked for.
    window: Option<Window>,
}

/// The bridges of a machine.
#[derive(Debug, Default)]
pub struct Bridges {
    known: [Option<Bridge>; BRIDGES_MAX],
    /// The highest bus number that anything leads to.
    bus_last: u8,
}

impl Bridges {
    /// Takes note of the bridge at `address`; the bus behind it, if it has a number.
    pub(crate) fn add(&mut self, config: &dyn ConfigSpace, address: Address) -> Option<u8> {
        let [_, bus, last, _] = config.read(address, BUSES).to_le_bytes();
        self.bus_last = self.bus_last.max(bus).max(last);
        let is_ours = bus == 0 && (address.bus == 0 || self.leading_to(address.bus).is_some_and(|above| above.is_ours));
        if let Some(slot) = self.known.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(Bridge { address, bus, is_ours, window: None });
        }
        (bus != 0).then_some(bus)
    }

    fn leading_to(&self, bus: u8) -> Option<&Bridge> {
        self.known.iter().flatten().find(|bridge| bridge.bus == bus && bus != 0)
    }

    /// Gives a number to the bus behind a bridge that has none, and lets all bridges above lead there. The last that was
    /// seen comes first: so the numbers of all that is behind a bridge follow its own.
    pub(crate) fn number_next(&mut self, config: &dyn ConfigSpace) -> Option<u8> {
        let bridge = self.known.iter_mut().flatten().rfind(|bridge| bridge.is_ours && bridge.bus == 0)?;
        let bus = self.bus_last.checked_add(1)?;
        (bridge.bus, self.bus_last) = (bus, bus);
        let mut above = bridge.address;
        let timer = config.read(above, BUSES) & 0xff00_0000;
        config.write(above, BUSES, timer | u32::from_le_bytes([above.bus, bus, bus, 0]));
        while let Some(bridge) = self.leading_to(above.bus) {
            above = bridge.address; // ours, so numbered before what is behind it: this ends
            let buses = config.read(above, BUSES);
            config.write(above, BUSES, buses & 0xff00_ffff | u32::from(bus) << 16);
        }
        Some(bus)
    }

    /// Addresses for BARs on `bus`: `beside` on the first bus, else a part of it for which the bridge is opened. Behind a
    /// bridge whose window the firmware has set up there are none: it has given the BARs theirs, too.
    pub fn window<'w>(&'w mut self, config: &dyn ConfigSpace, bus: u8, beside: &'w mut Window) -> &'w mut Window {
        let Some(bridge) = self.known.iter_mut().flatten().find(|bridge| bridge.bus == bus && bus != 0) else {
            return beside;
        };
        let Bridge { address, window, .. } = bridge;
        window.get_or_insert_with(|| open(config, *address, beside).unwrap_or(Window::new(0..0)))
    }
}

/// Opens a bridge of the first bus that is closed: nothing is where its window ends before it begins, or begins at 0.
fn open(config: &dyn ConfigSpace, bridge: Address, beside: &mut Window) -> Option<Window> {
    let memory = config.read(bridge, MEMORY);
    let (base, limit) = (memory & 0xfff0, memory >> 16 & 0xfff0);
    if bridge.bus != 0 || (base != 0 && base <= limit) {
        return None;
    }
    let base = beside.take(WINDOW_BYTES)?;
    let limit = base + WINDOW_BYTES - WINDOW_STEP_BYTES;
    if limit > u64::from(u32::MAX) {
        return None;
    }
    config.write(bridge, MEMORY, (limit as u32) & 0xfff0_0000 | (base as u32) >> 16);
    let command = config.read(bridge, COMMAND) & 0xffff;
    config.write(bridge, COMMAND, command | COMMAND_MEMORY_MASTER);
    Some(Window::new(base..base + WINDOW_BYTES))
}
