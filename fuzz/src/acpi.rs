//! ACPI tables made of arbitrary bytes: as they are, and with lengths and checksums made right so that the readers
//! behind them are reached.

use crate::Input;
use toro_acpi::{Fadt, Madt, Mcfg, MpTable, Rsdp, Table, Tables, sleep_type_s5};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => memory(input.rest()),
        1 => {
            let table = sound(*b"FACP", input.rest());
            fadt(Table::parse(&table, *b"FACP").expect("made sound"));
            let table = sound(Madt::SIGNATURE, input.rest());
            madt(Table::parse(&table, Madt::SIGNATURE).expect("made sound"));
            let table = sound(Mcfg::SIGNATURE, input.rest());
            mcfg(Table::parse(&table, Mcfg::SIGNATURE).expect("made sound"));
        }
        2 => {
            let _ = sleep_type_s5(input.rest());
        }
        _ => mp(input.rest()),
    }
}

/// The MP table: the pointer wherever it is found, and a table with a right length and checksum.
fn mp(bytes: &[u8]) {
    let read = |address: u64, length: usize| {
        let start = usize::try_from(address).ok()?;
        bytes.get(start..start.checked_add(length)?)
    };
    if let Some(address) = MpTable::find(bytes)
        && let Ok(table) = MpTable::open(address, read)
    {
        assert!(table.processors().count() <= bytes.len() / 20);
    }
    let mut table = b"PCMP".to_vec();
    let body = &bytes[..bytes.len().min(0xffff - 44)];
    table.extend((44 + body.len() as u16).to_le_bytes());
    table.resize(44, 0);
    table.extend(body);
    table[7] = table.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    let read = |address: u64, length: usize| table.get(address as usize..address as usize + length);
    let table = MpTable::open(0, read).expect("made sound");
    assert!(table.processors().count() <= body.len() / 20);
}

/// All of it as physical memory from address 0, the root pointer wherever it is found.
fn memory(bytes: &[u8]) {
    let read = |address: u64, length: usize| {
        let start = usize::try_from(address).ok()?;
        bytes.get(start..start.checked_add(length)?)
    };
    let _ = Rsdp::parse(bytes);
    let Some(rsdp) = Rsdp::scan(bytes) else { return };
    let Ok(tables) = Tables::open(rsdp as u64, read) else { return };
    if let Ok(table) = tables.find(Fadt::SIGNATURE) {
        fadt(table);
        let address = Fadt::new(table).ok().and_then(|fadt| fadt.dsdt_address());
        if let Some(Ok(dsdt)) = address.map(|address| tables.at(address, *b"DSDT")) {
            let _ = sleep_type_s5(dsdt.bytes());
        }
    }
    if let Ok(table) = tables.find(Madt::SIGNATURE) {
        madt(table);
    }
    if let Ok(table) = tables.find(Mcfg::SIGNATURE) {
        mcfg(table);
    }
}

fn fadt(table: Table<'_>) {
    let Ok(fadt) = Fadt::new(table) else { return };
    let _ = (fadt.hardware_reduced(), fadt.without_cmos_clock(), fadt.dsdt_address(), fadt.sleep_control());
    let _ = (fadt.reset(), fadt.pm_timer());
    assert!(fadt.pm1_control().count() <= 2);
}

fn madt(table: Table<'_>) {
    let Ok(madt) = Madt::new(table) else { return };
    assert!(madt.entries().count() <= table.body().len() / 2);
    let _ = (madt.local_apic(), madt.has_8259());
}

fn mcfg(table: Table<'_>) {
    for segment in Mcfg::new(table).segments() {
        assert!(segment.bus_first <= segment.bus_last);
    }
}

/// A table with this signature and body whose length and checksum are right.
fn sound(signature: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend((36 + body.len() as u32).to_le_bytes());
    table.resize(36, 0);
    table.extend(body);
    table[9] = table.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    table
}
