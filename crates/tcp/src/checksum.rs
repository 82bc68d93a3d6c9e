//! The Internet checksum, sixteen bytes at a time.
//!
//! A ones' complement sum does not care about byte order as long as the result is stored the way the words were read, so
//! everything here reads and writes little-endian words, with the carry brought round.

use crate::ip::Ip;

/// A ones' complement sum under way. Kept well below 64 bits, so that adding to it never overflows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const fn zero() -> Self {
        Sum(0)
    }

    /// Adds bytes that start at an even offset of what is summed.
    pub fn bytes(self, data: &[u8]) -> Sum {
        // The carry out of 128 bits counts apart: it stands for one in the lowest place.
        let (mut sum, mut carries) = (0u128, 0u64);
        let mut add = |block: &[u8; 16]| {
            let (more, carry) = sum.overflowing_add(u128::from_le_bytes(*block));
            sum = more;
            carries += u64::from(carry);
        };
        let (blocks, rest) = data.as_chunks::<16>();
        // Four at a time: the loop itself costs as much as the sum.
        let (fours, blocks) = blocks.as_chunks::<4>();
        for [one, two, three, four] in fours {
            add(one);
            add(two);
            add(three);
            add(four);
        }
        blocks.iter().for_each(add);
        let mut rest = rest;
        let mut sum = (sum & u128::from(u64::MAX)) + (sum >> 64) + u128::from(carries);
        if let Some((eight, more)) = rest.split_first_chunk::<8>() {
            sum += u128::from(u64::from_le_bytes(*eight));
            rest = more;
        }
        if let Some((four, more)) = rest.split_first_chunk::<4>() {
            sum += u128::from(u32::from_le_bytes(*four));
            rest = more;
        }
        if let Some((two, more)) = rest.split_first_chunk::<2>() {
            sum += u128::from(u16::from_le_bytes(*two));
            rest = more;
        }
        if let [last] = rest {
            sum += u128::from(*last);
        }
        let (low, high) = (sum as u64, (sum >> 64) as u64);
        Sum(self.0 + (low & 0xffff_ffff) + (low >> 32) + high)
    }

    /// Adds an IPv4 header without options.
    #[inline]
    pub fn header(self, header: &[u8; 20]) -> Sum {
        let (words, _) = header.as_chunks::<4>();
        let sum = words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum::<u64>();
        Sum(self.0 + sum)
    }

    /// Adds a number of 16 bits that stands at an even offset.
    #[inline]
    pub fn word(self, word: u16) -> Sum {
        Sum(self.0 + u64::from(word.swap_bytes()))
    }

    /// Adds a number of 32 bits that stands at an even offset.
    #[inline]
    pub fn long(self, long: u32) -> Sum {
        Sum(self.0 + u64::from(long.swap_bytes()))
    }

    /// The pseudo header of TCP and UDP: addresses, protocol, length of header and payload.
    #[inline]
    pub fn pseudo_header(source: Ip, destination: Ip, protocol: u8, len_bytes: usize) -> Sum {
        // What stands before an address of IPv4 is 0 in this arithmetic.
        let address = |ip: Ip| ip.words().into_iter().map(u128::from).sum::<u128>();
        let sum = address(source) + address(destination);
        let (low, high) = (sum as u64, (sum >> 64) as u64);
        Sum((low & 0xffff_ffff) + (low >> 32) + high).word(u16::from(protocol)).word(len_bytes as u16)
    }

    /// The sum in 16 bits, as it stands in memory.
    #[inline]
    pub fn folded(self) -> [u8; 2] {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        (sum as u16).to_le_bytes()
    }

    /// The complement of the sum: what goes into the packet.
    #[inline]
    pub fn complement(self) -> [u8; 2] {
        self.folded().map(|byte| !byte)
    }

    /// Whether data that contains its own checksum is intact.
    #[inline]
    pub fn is_intact(self) -> bool {
        self.folded() == [0xff, 0xff]
    }
}

#[cfg(test)]
mod tests {
    use super::{Ip, Sum};
    use core::net::{Ipv4Addr, Ipv6Addr};

    fn reference(data: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for pair in data.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    #[test]
    fn agrees_with_the_plain_sum_at_every_length() {
        let data: Vec<u8> = (0..1600u32).map(|i| (i * 7 + i / 13) as u8).collect();
        for len in 0..data.len() {
            assert_eq!(Sum::default().bytes(&data[..len]).complement(), reference(&data[..len]), "length {len}");
        }
        assert_eq!(Sum::default().bytes(&[0xff; 64]).complement(), reference(&[0xff; 64]));
    }

    #[test]
    fn the_pseudo_header_is_a_sum_of_its_bytes() {
        let end = [0, 6, 0x05, 0xb4];
        let [a, b] = [Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2)];
        let bytes = [&a.octets()[..], &b.octets(), &end].concat();
        assert_eq!(Sum::pseudo_header(a.into(), b.into(), 6, 0x5b4).complement(), reference(&bytes));
        let [a, b] = [Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe12, 0x3456), Ipv6Addr::LOCALHOST];
        let bytes = [&a.octets()[..], &b.octets(), &end].concat();
        assert_eq!(Sum::pseudo_header(Ip::of_v6(a), Ip::of_v6(b), 6, 0x5b4).complement(), reference(&bytes));
    }
}
