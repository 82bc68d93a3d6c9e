//! Configuration space made of arbitrary bytes, whose BARs can be written where the input says so.

use crate::Input;
use std::cell::RefCell;
use std::collections::BTreeMap;
use toro_pci::{Address, Bars, Capabilities, ConfigSpace, VirtioStructures, Window, enumerate, virtio_device_type};

/// Functions are cut from the input in pieces of this size; every other function does not exist.
const PIECE_BYTES: usize = 256;

struct Config {
    functions: RefCell<BTreeMap<Address, Vec<u8>>>,
    reads: RefCell<u64>,
}

impl ConfigSpace for Config {
    fn read(&self, function: Address, register: u8) -> u32 {
        assert_eq!(register % 4, 0);
        *self.reads.borrow_mut() += 1;
        self.functions.borrow().get(&function).map_or(u32::MAX, |bytes| {
            let at = usize::from(register);
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        })
    }

    fn write(&self, function: Address, register: u8, value: u32) {
        assert_eq!(register % 4, 0);
        if let Some(bytes) = self.functions.borrow_mut().get_mut(&function) {
            // The last byte says which bits keep what they are.
            let kept = u32::from(bytes[PIECE_BYTES - 1]) << 8 | 0xf;
            let at = usize::from(register);
            let old = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            bytes[at..at + 4].copy_from_slice(&(old & kept | value & !kept).to_le_bytes());
        }
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let window_base = u64::from(input.u32()) << (input.byte() % 33);
    let mut functions = BTreeMap::new();
    for piece in input.rest().chunks(PIECE_BYTES) {
        let mut bytes = piece.to_vec();
        bytes.resize(PIECE_BYTES, 0);
        // Where it is, in the last bytes but one; the first function is always 0:0.0.
        let [.., bus, place, _] = bytes[..] else { return };
        let place = if functions.is_empty() { (0, 0) } else { (bus, place) };
        let address = Address { bus: place.0, device: place.1 >> 3, function: place.1 & 7 };
        functions.insert(address, bytes);
    }
    let count = functions.len();
    let config = Config { functions: RefCell::new(functions), reads: RefCell::new(0) };
    let mut found = Vec::new();
    let mut bridges = enumerate(&config, &mut |function| found.push(function));
    assert!(found.len() <= count, "each function is found once");
    assert!(*config.reads.borrow() <= 256 * 32 * 8 * 3);

    let mut window = Window::new(window_base..window_base.saturating_add(1 << 29));
    for function in found {
        let _ = virtio_device_type(&config, &function);
        assert!(Capabilities::new(&config, function.address).count() <= 48);
        let Some(structures) = VirtioStructures::find(&config, function.address) else { continue };
        let mut bars = Bars::probe(&config, function.address, structures.bars());
        let _ = bars.assign(&config, bridges.window(&config, function.address.bus, &mut window));
        bars.enable(&config);
        let table = structures.msix.map(|msix| msix.table);
        for structure in [Some(structures.common), Some(structures.notify), structures.device, table] {
            let Some(structure) = structure else { continue };
            if let Some(region) = bars.region(structure, 4) {
                let bar = bars.get(structure.bar).expect("it has a region");
                assert!(bar.address != 0 && region.bytes >= 4);
                let inside = region.address >= bar.address
                    && u128::from(region.address) + u128::from(region.bytes)
                        <= u128::from(bar.address) + u128::from(bar.bytes);
                assert!(inside, "{region:?} is not inside {bar:?}");
            }
        }
        if let Some(msix) = structures.msix {
            msix.enable(&config);
        }
    }
}
