//! The uncompressed kernel inside a bzImage, which QEMU enters by PVH as it enters our images.

use anyhow::{Context, Result, bail};

const LZ4_LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// Uncompressed size of a full block of the legacy LZ4 format.
const BLOCK_BYTES: usize = 8 << 20;

/// Unpacks the kernel. Debian's is compressed with LZ4.
pub(crate) fn extract(bzimage: &[u8]) -> Result<Vec<u8>> {
    let starts = bzimage.windows(4).enumerate().filter(|(_, window)| **window == LZ4_LEGACY_MAGIC);
    for (start, _) in starts {
        if let Ok(kernel) = unpack_lz4(&bzimage[start + 4..])
            && kernel.starts_with(b"\x7fELF")
        {
            return Ok(kernel);
        }
    }
    bail!("no LZ4-compressed ELF in this kernel; give an uncompressed vmlinux");
}

fn unpack_lz4(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut kernel = Vec::new();
    while let Some((size, tail)) = rest.split_first_chunk::<4>() {
        let size = u32::from_le_bytes(*size) as usize;
        // What follows the last block (the kernel's size) is no block.
        let Some(block) = tail.get(..size).filter(|_| size != 0 && size < BLOCK_BYTES + 65536) else {
            break;
        };
        match lz4_flex::block::decompress(block, BLOCK_BYTES) {
            Ok(bytes) => kernel.extend_from_slice(&bytes),
            Err(_) if !kernel.is_empty() => break,
            Err(error) => return Err(error).context("LZ4 block"),
        }
        rest = &tail[size..];
    }
    Ok(kernel)
}
