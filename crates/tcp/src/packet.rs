//! An IP packet, of whichever family.

use crate::checksum::Sum;
use crate::ip::Ip;
use crate::{ipv4, ipv6};

/// Protocol numbers.
pub const ICMP: u8 = 1;
/// As above.
pub const TCP: u8 = 6;
/// As above.
pub const UDP: u8 = 17;
/// As above.
pub const ICMP6: u8 = 58;

/// How many routers a packet of ours may pass, unless a program says otherwise.
pub const HOPS: u8 = 64;

/// A packet whose header was found sound.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Whose it is.
    pub source: Ip,
    /// Whom it is for.
    pub destination: Ip,
    /// What is in it.
    pub protocol: u8,
    /// Header and payload, without what the link padded.
    pub bytes: &'a [u8],
    /// What follows the header, and those of IPv6 behind it.
    pub payload: &'a [u8],
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A length or the checksum is wrong, or it says itself that it is to be dropped.
    Malformed,
    /// It is part of one.
    Fragment,
    /// Something in it must be understood, and is not: its sender is to be told.
    Problem(Problem),
}

/// What is wrong with a packet of IPv6 (RFC 4443, 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which kind of thing.
    pub code: u8,
    /// Where it stands.
    pub pointer: u16,
}

impl Problem {
    /// Code of an option that is not known.
    pub const OPTION: u8 = 2;

    pub(crate) fn erroneous(pointer: usize) -> Refused {
        Refused::Problem(Problem { code: 0, pointer: pointer as u16 })
    }

    pub(crate) fn unknown_header(pointer: usize) -> Refused {
        Refused::Problem(Problem { code: 1, pointer: pointer as u16 })
    }

    pub(crate) fn unknown_option(pointer: usize) -> Refused {
        Refused::Problem(Problem { code: Problem::OPTION, pointer: pointer as u16 })
    }
}

impl<'a> Packet<'a> {
    /// Reads a header of either family.
    ///
    /// # Errors
    /// Why the packet was not taken.
    pub fn parse(data: &'a [u8]) -> Result<Self, Refused> {
        if is_v6(data) { ipv6::parse(data) } else { ipv4::parse(data) }
    }

    /// The pseudo header's share of the checksum of TCP or UDP.
    #[inline]
    pub fn pseudo_header(&self) -> Sum {
        Sum::pseudo_header(self.source, self.destination, self.protocol, self.payload.len())
    }
}

/// Whether the bytes begin as a packet of IPv6 does.
#[inline]
pub fn is_v6(data: &[u8]) -> bool {
    data.first().is_some_and(|first| first >> 4 == 6)
}

/// Bytes of the header, without options, of a packet to that address.
#[inline]
pub const fn header_bytes(destination: Ip) -> usize {
    if destination.is_v4() { ipv4::HEADER_BYTES } else { ipv6::HEADER_BYTES }
}

/// Writes a header in front of a payload that fills the rest of `packet`.
pub fn write_header(packet: &mut [u8], source: Ip, destination: Ip, protocol: u8) {
    if destination.is_v4() {
        ipv4::write_header(packet, source.low_v4(), destination.low_v4(), protocol);
    } else {
        ipv6::write_header(packet, source, destination, protocol);
    }
}

/// Marks a packet that was written, with what its program asked for.
#[cold]
pub fn mark(packet: &mut [u8], hops: u8, service: u8) {
    if is_v6(packet) { ipv6::mark(packet, hops, service) } else { ipv4::mark(packet, hops, service) }
}

/// Destination of a packet that we made ourselves.
#[inline]
pub fn destination(packet: &[u8]) -> Ip {
    if is_v6(packet) { ipv6::destination(packet) } else { ipv4::destination(packet).into() }
}
