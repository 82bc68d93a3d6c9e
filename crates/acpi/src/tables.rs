//! The list of tables, and finding one by its signature.

use core::fmt;

use crate::bytes::{array_at, checksum, u32_at, u64_at};
use crate::{RSDP_BYTES_MAX, Root, Rsdp};

const HEADER_BYTES: usize = 36;
/// No table that we read comes near; a longer one is not worth mapping. (The DSDT of QEMU's q35 has 9 KiB.)
const TABLE_BYTES_MAX: usize = 1 << 20;
/// Far more tables than any machine has.
const TABLES_MAX: usize = 256;

/// Why a table cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The memory at this address cannot be read.
    Unreadable(u64),
    /// It does not begin as it must.
    Signature,
    /// It is shorter, or longer, than it can be.
    Short,
    /// Its bytes do not add up to 0.
    Checksum,
    /// There is no such table.
    Absent,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreadable(address) => write!(f, "ACPI table at {address:#x} cannot be read"),
            Error::Signature => f.write_str("ACPI table has a wrong signature"),
            Error::Short => f.write_str("ACPI table has a wrong length"),
            Error::Checksum => f.write_str("ACPI table has a wrong checksum"),
            Error::Absent => f.write_str("no such ACPI table"),
        }
    }
}

impl core::error::Error for Error {}

/// One table, header and all, with a right checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table<'m>(&'m [u8]);

impl<'m> Table<'m> {
    /// Takes the table at the beginning of `bytes`.
    ///
    /// # Errors
    /// [`Error`] when it has another signature, or a wrong length or checksum.
    pub fn parse(bytes: &'m [u8], signature: [u8; 4]) -> Result<Table<'m>, Error> {
        if array_at(bytes, 0).ok_or(Error::Short)? != signature {
            return Err(Error::Signature);
        }
        let length = u32_at(bytes, 4).ok_or(Error::Short)? as usize;
        let table = bytes.get(..length).filter(|table| table.len() >= HEADER_BYTES).ok_or(Error::Short)?;
        if checksum(table) != 0 {
            return Err(Error::Checksum);
        }
        Ok(Table(table))
    }

    /// All bytes, from the header on: offsets in the specification count from here.
    pub fn bytes(&self) -> &'m [u8] {
        self.0
    }

    /// What comes after the header.
    pub fn body(&self) -> &'m [u8] {
        &self.0[HEADER_BYTES..]
    }

    /// Who made the table: `BOCHS ` is QEMU, `FIRECK` Firecracker, `CLOUDH` Cloud Hypervisor.
    pub fn oem_id(&self) -> [u8; 6] {
        array_at(self.0, 10).unwrap_or_default()
    }
}

/// All tables of a machine. `read` maps `length` bytes of physical memory, or cannot.
#[derive(Debug)]
pub struct Tables<'m, F> {
    read: F,
    rsdp: Rsdp,
    /// The addresses, four or eight bytes each.
    list: &'m [u8],
}

impl<'m, F: Fn(u64, usize) -> Option<&'m [u8]>> Tables<'m, F> {
    /// Opens the tables whose root pointer is at `rsdp_address`.
    ///
    /// # Errors
    /// [`Error`] when the root pointer or the list of tables is not sound.
    pub fn open(rsdp_address: u64, read: F) -> Result<Tables<'m, F>, Error> {
        let bytes = read(rsdp_address, RSDP_BYTES_MAX).ok_or(Error::Unreadable(rsdp_address))?;
        let rsdp = Rsdp::parse(bytes)?;
        let list = match rsdp.root {
            Root::Rsdt(address) => table_at(&read, address, *b"RSDT")?.body(),
            Root::Xsdt(address) => table_at(&read, address, *b"XSDT")?.body(),
        };
        Ok(Tables { read, rsdp, list })
    }

    /// The root pointer.
    pub fn rsdp(&self) -> &Rsdp {
        &self.rsdp
    }

    /// The addresses of all tables.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        let (step, wide) = match self.rsdp.root {
            Root::Rsdt(_) => (4, false),
            Root::Xsdt(_) => (8, true),
        };
        let entries = self.list.chunks_exact(step).take(TABLES_MAX);
        entries.filter_map(move |entry| if wide { u64_at(entry, 0) } else { u32_at(entry, 0).map(u64::from) })
    }

    /// The first table with this signature. One that is there but not sound is an error, not absent.
    ///
    /// # Errors
    /// [`Error::Absent`], or what is wrong with the table.
    pub fn find(&self, signature: [u8; 4]) -> Result<Table<'m>, Error> {
        for address in self.addresses() {
            let head = (self.read)(address, HEADER_BYTES);
            if head.and_then(|head| array_at(head, 0)) == Some(signature) {
                return table_at(&self.read, address, signature);
            }
        }
        Err(Error::Absent)
    }

    /// The table at an address that another table tells, as the FADT tells the DSDT's.
    ///
    /// # Errors
    /// What is wrong with the table.
    pub fn at(&self, address: u64, signature: [u8; 4]) -> Result<Table<'m>, Error> {
        table_at(&self.read, address, signature)
    }
}

fn table_at<'m>(
    read: &impl Fn(u64, usize) -> Option<&'m [u8]>,
    address: u64,
    signature: [u8; 4],
) -> Result<Table<'m>, Error> {
    let head = read(address, HEADER_BYTES).ok_or(Error::Unreadable(address))?;
    let length = u32_at(head, 4).ok_or(Error::Short)? as usize;
    if !(HEADER_BYTES..=TABLE_BYTES_MAX).contains(&length) {
        return Err(Error::Short);
    }
    Table::parse(read(address, length).ok_or(Error::Unreadable(address))?, signature)
}
