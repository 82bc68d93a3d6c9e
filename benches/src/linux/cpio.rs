//! An initial RAM disk in the "newc" format, as Linux unpacks it.

/// One entry of the archive.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    /// File type and permissions.
    pub(crate) mode: u32,
    pub(crate) data: &'a [u8],
    /// Major and minor number of a device node.
    pub(crate) device: (u32, u32),
}

impl<'a> Entry<'a> {
    pub(crate) fn file(name: &'a str, data: &'a [u8]) -> Entry<'a> {
        Entry { name, mode: 0o100_755, data, device: (0, 0) }
    }
}

/// The archive of `entries`, ended as the format asks.
pub(crate) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let end = Entry { name: "TRAILER!!!", mode: 0, data: &[], device: (0, 0) };
    let mut out = Vec::new();
    for (inode, entry) in entries.iter().chain([&end]).enumerate() {
        out.extend_from_slice(b"070701");
        let (data_bytes, name_bytes) = (entry.data.len() as u32, entry.name.len() as u32 + 1);
        let (major, minor) = entry.device;
        for field in [inode as u32 + 1, entry.mode, 0, 0, 1, 0, data_bytes, 0, 0, major, minor, name_bytes, 0] {
            out.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        out.extend_from_slice(entry.name.as_bytes());
        out.push(0);
        pad(&mut out);
        out.extend_from_slice(entry.data);
        pad(&mut out);
    }
    out
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_data_start_at_multiples_of_four() {
        let out = archive(&[Entry::file("init", b"12345")]);
        assert_eq!(&out[..6], b"070701");
        assert_eq!(&out[110..115], b"init\0");
        assert_eq!(&out[116..121], b"12345");
        assert_eq!(out.len() % 4, 0);
    }
}
