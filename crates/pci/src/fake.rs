//! A configuration space made of arrays.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::{Address, ConfigSpace};

/// One function: what its registers hold, and which bits of its BARs can be written.
#[derive(Clone, Default)]
pub(crate) struct FakeFunction {
    pub(crate) registers: BTreeMap<u8, u32>,
    pub(crate) bar_masks: [u32; 6],
}

impl FakeFunction {
    pub(crate) fn new(vendor: u16, device: u16) -> FakeFunction {
        FakeFunction::default().with(0, u32::from(device) << 16 | u32::from(vendor))
    }

    pub(crate) fn with(mut self, register: u8, value: u32) -> FakeFunction {
        self.registers.insert(register, value);
        self
    }

    /// A memory BAR of `bytes`, at `address`.
    pub(crate) fn with_bar(mut self, index: u8, wide: bool, bytes: u64, address: u64) -> FakeFunction {
        let mask = !(bytes - 1);
        let kind = if wide { 4 } else { 0 };
        self.bar_masks[usize::from(index)] = mask as u32;
        self.registers.insert(0x10 + 4 * index, address as u32 | kind);
        if wide {
            self.bar_masks[usize::from(index) + 1] = (mask >> 32) as u32;
            self.registers.insert(0x14 + 4 * index, (address >> 32) as u32);
        }
        self
    }

    /// A capability at `offset`, in front of those added before.
    pub(crate) fn with_capability(mut self, offset: u8, head: u32, rest: &[u32]) -> FakeFunction {
        *self.registers.entry(4).or_default() |= 1 << 20;
        let next = self.registers.insert(0x34, offset.into()).unwrap_or(0);
        self.registers.insert(offset, head & 0xffff_00ff | next << 8);
        for (index, value) in (1..).zip(rest) {
            self.registers.insert(offset + 4 * index, *value);
        }
        self
    }
}

/// All functions of a machine; reads where there is none give `absent`.
pub(crate) struct FakeConfig {
    pub(crate) functions: RefCell<BTreeMap<Address, FakeFunction>>,
    pub(crate) absent: u32,
    pub(crate) reads: RefCell<u32>,
}

impl FakeConfig {
    pub(crate) fn new(functions: impl IntoIterator<Item = (Address, FakeFunction)>) -> FakeConfig {
        let functions = RefCell::new(functions.into_iter().collect());
        FakeConfig { functions, absent: u32::MAX, reads: RefCell::new(0) }
    }

    pub(crate) fn register(&self, function: Address, register: u8) -> u32 {
        self.functions.borrow()[&function].registers[&register]
    }
}

impl ConfigSpace for FakeConfig {
    fn read(&self, function: Address, register: u8) -> u32 {
        assert_eq!(register % 4, 0);
        *self.reads.borrow_mut() += 1;
        match self.functions.borrow().get(&function) {
            Some(function) => function.registers.get(&register).copied().unwrap_or(0),
            None => self.absent,
        }
    }

    fn write(&self, function: Address, register: u8, value: u32) {
        assert_eq!(register % 4, 0);
        let mut functions = self.functions.borrow_mut();
        let Some(function) = functions.get_mut(&function) else {
            return;
        };
        let old = function.registers.get(&register).copied().unwrap_or(0);
        let is_bridge = function.registers.get(&0x0c).is_some_and(|header| header >> 16 & 0x7f == 1);
        let new = match register {
            0x10..=0x24 if !is_bridge => {
                let mask = function.bar_masks[usize::from(register - 0x10) / 4];
                value & mask | old & !mask
            }
            4 => old & 0xffff_0000 | value & 0xffff, // status bits are cleared by writing ones
            _ => value,
        };
        function.registers.insert(register, new);
    }
}
