//! Machines as VMMs build them, and functions that lie.

use crate::fake::{FakeConfig, FakeFunction};
use crate::*;

const fn at(bus: u8, device: u8, function: u8) -> Address {
    Address { bus, device, function }
}

fn found(config: &FakeConfig) -> Vec<Address> {
    let mut addresses = Vec::new();
    enumerate(config, &mut |function| addresses.push(function.address));
    addresses
}

/// A virtio function as QEMU builds it: structures in BAR 4, MSI-X in BAR 1.
fn virtio(device: u16, bar4: u64) -> FakeFunction {
    FakeFunction::new(0x1af4, device)
        .with_bar(1, false, 0x1000, 0)
        .with_bar(4, true, 0x4000, bar4)
        .with_capability(0x98, 0x0002_0011, &[0x0000_0001, 0x0000_0801])
        .with_capability(0x84, 0x0514_0009, &[0, 0, 0, 0])
        .with_capability(0x70, 0x0214_0009, &[4, 0x3000, 0x1000, 4])
        .with_capability(0x60, 0x0410_0009, &[4, 0x2000, 0x1000])
        .with_capability(0x50, 0x0310_0009, &[4, 0x1000, 0x1000])
        .with_capability(0x40, 0x0110_0009, &[4, 0, 0x1000])
}

/// A bridge, whose register of bus numbers holds `buses`.
fn bridge(buses: u32) -> FakeFunction {
    FakeFunction::new(0x8086, 1).with(0x0c, 0x0001_0000).with(0x18, buses)
}

#[test]
fn functions_on_bus_0_are_found_and_nothing_else_is_asked() {
    let config = FakeConfig::new([
        (at(0, 0, 0), FakeFunction::new(0x8086, 0x29c0)),
        (at(0, 2, 0), FakeFunction::new(0x1af4, 0x1041)),
        (at(0, 31, 0), FakeFunction::new(0x8086, 0x2918).with(0x0c, 0x0080_0000)),
        (at(0, 31, 3), FakeFunction::new(0x8086, 0x2930)),
        (at(0, 5, 4), FakeFunction::new(0x8086, 0x1234)), // hidden: function 0 is not there
        (at(1, 0, 0), FakeFunction::new(0x8086, 0x1234)), // hidden: no bridge leads there
    ]);
    assert_eq!(found(&config), [at(0, 0, 0), at(0, 2, 0), at(0, 31, 0), at(0, 31, 3)]);
    assert_eq!(*config.reads.borrow(), 32 + 7 + 4);
}

#[test]
fn zero_is_no_vendor() {
    let mut config = FakeConfig::new([(at(0, 1, 0), FakeFunction::new(0x1af4, 0x1041))]);
    config.absent = 0;
    assert_eq!(found(&config), [at(0, 1, 0)]);
}

#[test]
fn bridges_are_followed_once_wherever_they_lead() {
    let config = FakeConfig::new([
        (at(0, 1, 0), bridge(5 << 8)),
        (at(5, 0, 0), bridge(5 << 8)), // to itself
        (at(5, 1, 0), bridge(255 << 8)),
        (at(255, 0, 0), FakeFunction::new(0x1af4, 0x1041)),
    ]);
    assert_eq!(found(&config), [at(0, 1, 0), at(5, 0, 0), at(5, 1, 0), at(255, 0, 0)]);
}

#[test]
fn bridges_without_a_bus_get_one() {
    let config = FakeConfig::new([
        (at(0, 1, 0), bridge(0)),
        (at(0, 2, 0), bridge(0x4003_0300)), // 3, with a timer
        (at(0, 3, 0), bridge(0)),
        (at(3, 0, 0), FakeFunction::new(0x1af4, 0x1041)),
        (at(4, 0, 0), bridge(0)), // behind the third
        (at(5, 0, 0), FakeFunction::new(0x1af4, 0x1042)),
        (at(6, 0, 0), FakeFunction::new(0x1af4, 0x1043)),
    ]);
    let wanted = [(0, 1), (0, 2), (0, 3), (3, 0), (4, 0), (5, 0), (6, 0)].map(|(bus, device)| at(bus, device, 0));
    assert_eq!(found(&config), wanted);
    assert_eq!(config.register(at(0, 2, 0), 0x18), 0x4003_0300);
    let buses = [at(0, 1, 0), at(0, 3, 0), at(4, 0, 0)].map(|bridge| config.register(bridge, 0x18));
    assert_eq!(buses, [0x0006_0600, 0x0005_0400, 0x0005_0504], "no number is behind two bridges of a bus");
}

#[test]
fn a_bridge_without_a_bus_behind_one_that_has_one_is_left_alone() {
    let config = FakeConfig::new([
        (at(0, 1, 0), bridge(0x0001_0100)),
        (at(0, 2, 0), bridge(0x0002_0200)),
        (at(1, 0, 0), bridge(0)),
    ]);
    assert_eq!(found(&config), [at(0, 1, 0), at(0, 2, 0), at(1, 0, 0)]);
    assert_eq!(config.register(at(1, 0, 0), 0x18), 0);
}

#[test]
fn no_bus_number_is_given_twice() {
    let config = FakeConfig::new([
        (at(0, 1, 0), bridge(0x00ff_fe00)),
        (at(0, 2, 0), bridge(0)),
        (at(0, 3, 0), FakeFunction::new(0x1af4, 0x1041)),
    ]);
    assert_eq!(found(&config), [at(0, 1, 0), at(0, 2, 0), at(0, 3, 0)]);
    assert_eq!(config.register(at(0, 2, 0), 0x18), 0);
}

#[test]
fn a_closed_bridge_is_opened_for_the_bars_behind_it() {
    let closed = |memory: u32| bridge(0).with(0x20, memory).with(4, 0);
    let config = FakeConfig::new([
        (at(0, 1, 0), closed(0xc080_c070)),
        (at(0, 2, 0), closed(0x0000_fff0)),
        (at(1, 0, 0), virtio(0x1041, 0)),
    ]);
    let mut bridges = enumerate(&config, &mut |_| {});
    let mut beside = Window::new(0xc000_1000..0xe000_0000);
    let window = bridges.window(&config, 1, &mut beside);
    let mut bars = Bars::probe(&config, at(1, 0, 0), 0b1_0010);
    bars.assign(&config, window).unwrap();
    assert_eq!(bars.get(1).unwrap().address, 0xc040_0000);
    assert_eq!(config.register(at(0, 2, 0), 0x20), 0xc070_c040, "base and limit");
    assert_eq!(config.register(at(0, 2, 0), 4), 0b110);
    // It goes on where it was, and beside it there is room after it.
    assert_eq!(*bridges.window(&config, 1, &mut beside), Window::new(0xc040_8000..0xc080_0000));
    assert_eq!(*bridges.window(&config, 0, &mut beside), Window::new(0xc080_0000..0xe000_0000));
    // What the firmware has set up is left alone.
    assert_eq!(*bridges.window(&config, 2, &mut beside), Window::new(0..0));
    assert_eq!(config.register(at(0, 1, 0), 0x20), 0xc080_c070);
}

#[test]
fn bars_are_sized_and_keep_their_address() {
    let address = at(0, 1, 0);
    let function = virtio(0x1041, 0x3fff_ff80_0000).with(4, 0x0010_0103);
    let config = FakeConfig::new([(address, function)]);
    let bars = Bars::probe(&config, address, 0xff);
    let expected = Bar { kind: BarKind::Memory64, address: 0x3fff_ff80_0000, bytes: 0x4000 };
    assert_eq!(bars.get(4), Some(expected));
    assert_eq!(bars.get(1), Some(Bar { kind: BarKind::Memory32, address: 0, bytes: 0x1000 }));
    assert_eq!([bars.get(0), bars.get(2), bars.get(5), bars.get(6)], [None; 4]);
    assert_eq!(config.register(address, 4) & 3, 0, "it answers to no address while it is sized");
    bars.enable(&config);
    assert_eq!(config.register(address, 4) & 0x406, 0x406);
    assert_eq!(config.register(address, 0x20), 0xff80_0004);
    assert_eq!(config.register(address, 0x24), 0x3fff);
}

#[test]
fn bars_without_an_address_get_one() {
    let address = at(0, 1, 0);
    let config = FakeConfig::new([(address, virtio(0x1041, 0))]);
    let mut bars = Bars::probe(&config, address, 0b1_0010);
    bars.assign(&config, &mut Window::new(0xc000_0100..0xe000_0000)).unwrap();
    assert_eq!(bars.get(1).unwrap().address, 0xc000_1000);
    assert_eq!(bars.get(4).unwrap().address, 0xc000_4000);
    assert_eq!(config.register(address, 0x14), 0xc000_1000);
    assert_eq!(config.register(address, 0x20), 0xc000_4004);
}

#[test]
fn a_bar_that_does_not_fit_is_an_error() {
    let address = at(0, 1, 0);
    let config = FakeConfig::new([(address, virtio(0x1041, 0))]);
    let mut bars = Bars::probe(&config, address, 0xff);
    let error = bars.assign(&config, &mut Window::new(0xc000_0000..0xc000_4000));
    assert_eq!(error, Err(NoSpace { index: 4, bytes: 0x4000 }));
    let mut bars = Bars::probe(&config, at(0, 1, 0), 0b10);
    assert_eq!(bars.assign(&config, &mut Window::new(1 << 32..1 << 40)), Ok(()), "it has one already");
    let fresh = FakeConfig::new([(address, virtio(0x1041, 0))]);
    let mut bars = Bars::probe(&fresh, address, 0b10);
    assert!(bars.assign(&fresh, &mut Window::new(1 << 32..1 << 40)).is_err(), "32 bits do not reach there");
}

#[test]
fn a_huge_bar_overflows_nothing() {
    let address = at(0, 1, 0);
    let config = FakeConfig::new([(address, FakeFunction::new(1, 1).with_bar(0, true, 1 << 63, 0))]);
    let mut bars = Bars::probe(&config, address, 0xff);
    assert_eq!(bars.get(0).unwrap().bytes, 1 << 63);
    assert!(bars.assign(&config, &mut Window::new(u64::MAX - 10..u64::MAX)).is_err());
}

#[test]
fn the_structures_of_a_virtio_function_are_found() {
    let address = at(0, 1, 0);
    let config = FakeConfig::new([(address, virtio(0x1041, 0xc000_0000))]);
    let structures = VirtioStructures::find(&config, address).unwrap();
    assert_eq!(structures.common, Structure { bar: 4, offset: 0, bytes: 0x1000 });
    assert_eq!(structures.notify, Structure { bar: 4, offset: 0x3000, bytes: 0x1000 });
    assert_eq!(structures.notify_multiplier, 4);
    assert_eq!(structures.device, Some(Structure { bar: 4, offset: 0x2000, bytes: 0x1000 }));
    let msix = structures.msix.unwrap();
    assert_eq!((msix.vectors, msix.table), (3, Structure { bar: 1, offset: 0, bytes: 48 }));
    assert_eq!(structures.bars(), 0b1_0010);
    msix.enable(&config);
    assert_eq!(config.register(address, 0x98) >> 16, 0x8002);
    let bars = Bars::probe(&config, address, structures.bars());
    let expected = Region { address: 0xc000_3000, bytes: 0x1000 };
    assert_eq!(bars.region(structures.notify, 4), Some(expected));
}

#[test]
fn structures_outside_their_bar_are_nowhere() {
    let address = at(0, 1, 0);
    let config = FakeConfig::new([(address, virtio(0x1041, 0xc000_0000))]);
    let bars = Bars::probe(&config, address, 0xff);
    let region = |bar, offset, bytes| bars.region(Structure { bar, offset, bytes }, 4);
    assert!(region(4, 0x3000, 0x1000).is_some());
    assert_eq!(region(4, 0x3004, 0x1000), None);
    assert_eq!(region(4, u32::MAX, u32::MAX), None);
    assert_eq!(region(4, 0, 3), None, "too short to be of use");
    assert_eq!(region(1, 0, 4), None, "it has no address");
    assert_eq!(region(5, 0, 4), None, "the upper half of BAR 4");
    assert_eq!(region(7, 0, 4), None);
}

#[test]
fn a_list_that_loops_ends() {
    let address = at(0, 1, 0);
    let function = FakeFunction::new(0x1af4, 0x1041).with(4, 1 << 20).with(0x34, 0x40);
    let looping = function.clone().with(0x40, 0x0110_5009).with(0x50, 0x0210_4009);
    let config = FakeConfig::new([(address, looping)]);
    assert_eq!(Capabilities::new(&config, address).count(), 48);
    assert_eq!(VirtioStructures::find(&config, address), None);
    let to_itself = FakeConfig::new([(address, function.clone().with(0x40, 0x4011))]);
    assert_eq!(Capabilities::new(&to_itself, address).count(), 48);
    let into_the_header = FakeConfig::new([(address, function.with(0x40, 0x3c11))]);
    assert_eq!(Capabilities::new(&into_the_header, address).count(), 1);
}

#[test]
fn capabilities_that_run_over_the_end_are_ignored() {
    let address = at(0, 1, 0);
    for head in [0x0214_0009, 0x0110_0009, 0x0011] {
        let function = virtio(0x1041, 0).with_capability(0xfc, head, &[]);
        let config = FakeConfig::new([(address, function)]);
        let structures = VirtioStructures::find(&config, address).unwrap();
        assert_eq!((structures.notify.offset, structures.common.offset), (0x3000, 0));
        assert_eq!(structures.msix.unwrap().vectors, 3);
    }
}

#[test]
fn structures_in_reserved_bars_are_ignored() {
    let address = at(0, 1, 0);
    let function = virtio(0x1041, 0).with_capability(0xa4, 0x0110_0009, &[6, 0, 0x1000]);
    let config = FakeConfig::new([(address, function)]);
    assert_eq!(VirtioStructures::find(&config, address).unwrap().common.bar, 4);
}

#[test]
fn virtio_functions_are_told_from_others() {
    let address = at(0, 1, 0);
    let config = FakeConfig::new([(address, FakeFunction::new(0x1af4, 0x1000).with(0x2c, 0x0001_1af4))]);
    let function = |vendor, device| Function { address, vendor, device, header: 0 };
    assert_eq!(virtio_device_type(&config, &function(0x1af4, 0x1044)), Some(4));
    assert_eq!(virtio_device_type(&config, &function(0x1af4, 0x1000)), Some(1));
    assert_eq!(virtio_device_type(&config, &function(0x1af4, 0x1110)), None);
    assert_eq!(virtio_device_type(&config, &function(0x8086, 0x1041)), None);
}
