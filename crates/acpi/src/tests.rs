//! Tables as virtual machines give them, and as none should.

use crate::*;

type Read<'m> = Box<dyn Fn(u64, usize) -> Option<&'m [u8]> + 'm>;

/// A machine's memory: tables at the addresses where they were put.
#[derive(Default)]
struct Memory(Vec<(u64, Vec<u8>)>);

impl Memory {
    fn put(&mut self, address: u64, bytes: Vec<u8>) -> u64 {
        self.0.push((address, bytes));
        address
    }

    fn read(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(base, bytes)| {
            let offset = usize::try_from(address.checked_sub(*base)?).ok()?;
            bytes.get(offset..offset.checked_add(length)?)
        })
    }

    fn open(&self, rsdp: u64) -> Result<Tables<'_, Read<'_>>, Error> {
        Tables::open(rsdp, Box::new(|address, length| self.read(address, length)))
    }
}

fn sum_to_zero(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.extend([1, 0]);
    bytes.extend(b"BOCHS BXPC    ");
    bytes.resize(36, 0);
    bytes.extend(body);
    sum_to_zero(&mut bytes, 9);
    bytes
}

fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0BOCHS ".to_vec();
    bytes.push(revision);
    bytes.extend(rsdt.to_le_bytes());
    sum_to_zero(&mut bytes, 8);
    bytes.extend(36_u32.to_le_bytes());
    bytes.extend(xsdt.to_le_bytes());
    bytes.extend([0; 4]);
    sum_to_zero(&mut bytes, 32);
    bytes
}

/// A FADT of `length` bytes with these fields set.
fn fadt(length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = table(b"FACP", &vec![0; length - 36]);
    for (offset, value) in fields {
        bytes[*offset..offset + value.len()].copy_from_slice(value);
    }
    sum_to_zero(&mut bytes, 9);
    bytes
}

fn parse_fadt(bytes: &[u8]) -> Fadt<'_> {
    Fadt::new(Table::parse(bytes, *b"FACP").unwrap()).unwrap()
}

const fn memory(address: u64) -> Register {
    Register { space: Space::Memory, address }
}

const fn port(address: u64) -> Register {
    Register { space: Space::Port, address }
}

#[test]
fn tables_are_found_through_an_rsdt() {
    let mut machine = Memory::default();
    let mcfg = machine.put(0x3000, table(b"MCFG", &[0; 8]));
    let rsdt =
        machine.put(0x2000, table(b"RSDT", &[&0x9999_u32.to_le_bytes()[..], &(mcfg as u32).to_le_bytes()].concat()));
    let root = machine.put(0xf59e0, rsdp(0, rsdt as u32, 0));
    let tables = machine.open(root).unwrap();
    assert_eq!(tables.rsdp().root, Root::Rsdt(rsdt));
    let found = tables.find(*b"MCFG").unwrap();
    assert_eq!(found.oem_id(), *b"BOCHS ");
    assert_eq!(tables.find(*b"FACP"), Err(Error::Absent));
}

#[test]
fn tables_are_found_through_an_xsdt() {
    let mut machine = Memory::default();
    let madt = machine.put(0x2_0000_3000, table(b"APIC", &[0; 8]));
    let xsdt = machine.put(0x2000, table(b"XSDT", &madt.to_le_bytes()));
    let root = machine.put(0xf34d0, rsdp(2, 0, xsdt));
    assert!(machine.open(root).unwrap().find(*b"APIC").is_ok());
}

#[test]
fn a_root_of_revision_2_without_xsdt_uses_the_rsdt() {
    assert_eq!(Rsdp::parse(&rsdp(2, 0x1000, 0)).unwrap().root, Root::Rsdt(0x1000));
}

#[test]
fn the_scan_finds_a_root_on_a_16_byte_boundary() {
    let mut area = vec![0; 0x1000];
    let root = rsdp(2, 0, 0x1234);
    area[0x108..0x108 + 36].copy_from_slice(&root);
    assert_eq!(Rsdp::scan(&area), None);
    area[0xff0..].copy_from_slice(&root[..16]);
    assert_eq!(Rsdp::scan(&area), None, "cut off at the end");
    area[0x230..0x230 + 36].copy_from_slice(&root);
    assert_eq!(Rsdp::scan(&area), Some(0x230));
}

#[test]
fn a_root_that_is_not_sound_is_an_error() {
    let good = rsdp(2, 0, 0x1234);
    assert_eq!(Rsdp::parse(&good[..19]), Err(Error::Short));
    assert_eq!(Rsdp::parse(&good[..35]), Err(Error::Short));
    for (offset, error) in [(0, Error::Signature), (16, Error::Checksum), (25, Error::Checksum)] {
        let mut bad = good.clone();
        bad[offset] ^= 1;
        assert_eq!(Rsdp::parse(&bad), Err(error));
    }
}

#[test]
fn tables_that_are_not_sound_are_errors() {
    let good = table(b"MCFG", &[0; 24]);
    let with = |offset: usize, value: u32| {
        let mut machine = Memory::default();
        let mut bytes = good.clone();
        bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        let mcfg = machine.put(0x3000, bytes);
        let xsdt = machine.put(0x2000, table(b"XSDT", &mcfg.to_le_bytes()));
        let root = machine.put(0x1000, rsdp(2, 0, xsdt));
        machine.open(root).unwrap().find(*b"MCFG").map(|_| ())
    };
    assert_eq!(with(40, 0), Ok(()));
    assert_eq!(with(40, 1), Err(Error::Checksum));
    assert_eq!(with(4, 35), Err(Error::Short));
    assert_eq!(with(4, u32::MAX), Err(Error::Short));
    assert_eq!(with(4, 1000), Err(Error::Unreadable(0x3000)));
    let mut machine = Memory::default();
    let root = machine.put(0x1000, rsdp(2, 0, 0x2000));
    assert_eq!(machine.open(root).err(), Some(Error::Unreadable(0x2000)));
    assert_eq!(machine.open(0x5000).err(), Some(Error::Unreadable(0x5000)));
}

#[test]
fn the_short_fadt_of_pc() {
    let bytes = fadt(0x74, &[(40, &[0, 0, 4, 7]), (64, &[4, 6]), (76, &[8, 6]), (91, &[4]), (112, &[0xa5, 0x80])]);
    let fadt = parse_fadt(&bytes);
    assert!(!fadt.hardware_reduced());
    assert_eq!(fadt.pm1_control().collect::<Vec<_>>(), [port(0x604)]);
    assert_eq!(fadt.pm_timer(), Some(PmTimer { register: port(0x608), bits: 24 }));
    assert_eq!(fadt.dsdt_address(), Some(0x0704_0000));
    assert_eq!((fadt.reset(), fadt.sleep_control()), (None, None));
}

#[test]
fn the_fadt_of_q35() {
    let flags = (1_u32 << 10 | 1 << 8).to_le_bytes();
    let gas_reset = [1, 8, 0, 1, 0xf9, 0x0c];
    let bytes = fadt(
        0xf4,
        &[(112, &flags), (116, &gas_reset), (128, &[0x0f]), (172, &[1, 16, 0, 2, 4, 6]), (208, &[1, 32, 0, 3, 8, 6])],
    );
    let fadt = parse_fadt(&bytes);
    assert_eq!(fadt.reset(), Some((port(0xcf9), 0x0f)));
    assert_eq!(fadt.pm1_control().collect::<Vec<_>>(), [port(0x604)]);
    assert_eq!(fadt.pm_timer(), Some(PmTimer { register: port(0x608), bits: 32 }));
    assert_eq!(fadt.sleep_control(), None);
}

#[test]
fn the_fadt_of_microvm() {
    let flags = (1_u32 << 20 | 1 << 10).to_le_bytes();
    let bytes = fadt(
        0x10c,
        &[
            (112, &flags),
            (116, &[0, 8, 0, 1, 2, 2, 0xa0, 0xfe]),
            (128, &[0x42]),
            (244, &[0, 8, 0, 1, 0, 2, 0xa0, 0xfe]),
        ],
    );
    let fadt = parse_fadt(&bytes);
    assert!(fadt.hardware_reduced());
    assert_eq!(fadt.sleep_control(), Some(memory(0xfea0_0200)));
    assert_eq!(fadt.reset(), Some((memory(0xfea0_0202), 0x42)));
    assert_eq!(fadt.pm_timer(), None);
    assert_eq!(fadt.pm1_control().count(), 0);
}

#[test]
fn a_fadt_shorter_than_its_flags_is_an_error() {
    let bytes = fadt(0x70, &[]);
    assert_eq!(Fadt::new(Table::parse(&bytes, *b"FACP").unwrap()).err(), Some(Error::Short));
}

#[test]
fn registers_in_spaces_that_we_do_not_reach_are_absent() {
    let bytes = fadt(0x10c, &[(244, &[2, 8, 0, 1, 0, 2, 0xa0, 0xfe])]);
    assert_eq!(parse_fadt(&bytes).sleep_control(), None);
}

#[test]
fn the_sleep_type_is_in_the_s5_package() {
    let qemu_pc = b"\x08_S5_\x12\x06\x04\x00\x00\x00\x00";
    let microvm = b"....\x08_S5_\x12\x07\x04\x0a\x05\x00\x00\x00";
    assert_eq!(sleep_type_s5(qemu_pc), Some(0));
    assert_eq!(sleep_type_s5(microvm), Some(5));
    assert_eq!(sleep_type_s5(b"\x08_S5_\x12\x47\x00\x04\x01"), Some(1), "two bytes of length");
    assert_eq!(sleep_type_s5(b"\x08_S5_\x12\x07\x04\x0a"), None);
    assert_eq!(sleep_type_s5(b"\x08_S5_\x12"), None);
    assert_eq!(sleep_type_s5(b"\x08_S5_\x12\x07\x04\x0a\x09"), None, "there are eight types");
    assert_eq!(sleep_type_s5(b""), None);
}

#[test]
fn the_madt_lists_processors_and_io_apics() {
    let mut body = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    body.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    body.extend([1, 12, 1, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0]);
    body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    body.extend([0, 8, 1, 3, 0, 0, 0, 0]); // disabled
    body.extend([0, 8, 2, 4, 2, 0, 0, 0]); // online-capable: may be plugged in later
    body.extend([0, 8, 3, 0xff, 1, 0, 0, 0]); // everybody
    body.extend([9, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 8, 0, 0, 0]);
    body.extend([9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0]);
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 5, 0]);
    body.extend([4, 6, 0xff, 0, 0, 1]); // NMI line
    body.extend([5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0]);
    let bytes = table(b"APIC", &body);
    let madt = Madt::new(Table::parse(&bytes, *b"APIC").unwrap()).unwrap();
    assert_eq!(madt.local_apic(), 0xfee0_0000);
    assert!(madt.has_8259());
    let expected = [
        Entry::IoApic { address: 0xfec0_0000, gsi_base: 0 },
        Entry::IoApic { address: 0xfec1_0000, gsi_base: 24 },
        Entry::Processor { apic_id: 0 },
        Entry::Processor { apic_id: 0x100 },
        Entry::Override { isa_irq: 0, gsi: 2, flags: 5 },
        Entry::LocalApic { address: 0x1_fee0_0000 },
    ];
    assert_eq!(madt.entries().collect::<Vec<_>>(), expected);
}

#[test]
fn a_madt_entry_that_cannot_be_ends_the_list() {
    for entry in [&[0_u8, 0][..], &[0, 1], &[0, 40, 0, 0], &[0]] {
        let bytes = table(b"APIC", &[&[0; 8], entry].concat());
        let madt = Madt::new(Table::parse(&bytes, *b"APIC").unwrap()).unwrap();
        assert_eq!(madt.entries().count(), 0);
    }
}

#[test]
fn the_mcfg_lists_segments() {
    let mut body = vec![0; 8];
    body.extend(0xb000_0000_u64.to_le_bytes());
    body.extend([0, 0, 0, 255, 0, 0, 0, 0]);
    body.extend([0; 10]);
    body.extend([9, 3, 0, 0, 0, 0]); // last bus before the first
    body.extend([1, 2, 3]); // a cut-off entry
    let bytes = table(b"MCFG", &body);
    let mcfg = Mcfg::new(Table::parse(&bytes, *b"MCFG").unwrap());
    let expected = Segment { address: 0xb000_0000, group: 0, bus_first: 0, bus_last: 255 };
    assert_eq!(mcfg.segments().collect::<Vec<_>>(), [expected]);
    let empty = table(b"MCFG", &[]);
    assert_eq!(Mcfg::new(Table::parse(&empty, *b"MCFG").unwrap()).segments().count(), 0);
}

/// An MP table with these entries, and the pointer to it at an odd place.
fn mp(entries: &[&[u8]]) -> Memory {
    let mut machine = Memory::default();
    let mut bytes = b"PCMP".to_vec();
    bytes.resize(44, 0);
    bytes.extend(entries.concat());
    let length = bytes.len() as u16;
    bytes[4..6].copy_from_slice(&length.to_le_bytes());
    sum_to_zero(&mut bytes, 7);
    machine.put(0x9_8000, bytes);
    let mut area = vec![0; 0x400];
    area[0x20..0x24].copy_from_slice(b"_MP_"); // no pointer: the length is wrong
    area[0x80..0x89].copy_from_slice(&[b'_', b'M', b'P', b'_', 0, 0x80, 9, 0, 1]);
    sum_to_zero(&mut area[0x80..0x90], 10);
    machine.put(MP_AREAS[0].0, area);
    machine
}

fn mp_processors(machine: &Memory) -> Result<Vec<u32>, Error> {
    let area = machine.read(MP_AREAS[0].0, MP_AREAS[0].1).unwrap();
    let address = MpTable::find(area).ok_or(Error::Absent)?;
    let table = MpTable::open(address, |address, length| machine.read(address, length))?;
    Ok(table.processors().collect())
}

const fn mp_processor(apic_id: u8, flags: u8) -> [u8; 20] {
    let mut entry = [0; 20];
    entry[1] = apic_id;
    entry[3] = flags;
    entry
}

#[test]
fn the_mp_table_lists_processors() {
    let (boot, second, disabled) = (mp_processor(0, 3), mp_processor(7, 1), mp_processor(9, 0));
    let machine = mp(&[&boot, &second, &disabled, &[1, 0, b'I', b'S', b'A', 0, 0, 0]]);
    assert_eq!(mp_processors(&machine), Ok(vec![0, 7]));
}

#[test]
fn an_mp_entry_that_cannot_be_ends_the_list() {
    let second = mp_processor(7, 1);
    assert_eq!(mp_processors(&mp(&[&second, &[200; 20], &second])), Ok(vec![7]));
    assert_eq!(mp_processors(&mp(&[&second, &second[..12]])), Ok(vec![7]));
    assert_eq!(mp_processors(&mp(&[])), Ok(vec![]));
}

#[test]
fn an_mp_table_that_is_not_sound_is_an_error() {
    let spoilt = |at: usize, value: u8| {
        let mut machine = mp(&[&mp_processor(0, 3)]);
        machine.0[0].1[at] = value;
        mp_processors(&machine)
    };
    assert_eq!(spoilt(0, 0), Err(Error::Signature));
    assert_eq!(spoilt(4, 43), Err(Error::Short));
    assert_eq!(spoilt(4, 65), Err(Error::Unreadable(0x9_8000)), "longer than the memory there");
    assert_eq!(spoilt(50, 1), Err(Error::Checksum));
    let mut machine = mp(&[]);
    machine.0[1].1[0x81] = 0;
    assert_eq!(mp_processors(&machine), Err(Error::Absent));
}
