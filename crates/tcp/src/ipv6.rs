//! The IPv6 header (RFC 8200): what is accepted, and how ours is written. Headers between it and the payload are passed over as far as a
//! host may.
//!
//! Fragments are named as such and not taken: whoever wants them puts them together first.

use crate::ip::Ip;
use crate::packet::{HOPS, Packet, Problem, Refused};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 40;
/// Bytes of the header of a fragment.
pub const FRAGMENT_BYTES: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
/// The header of a fragment.
pub const FRAGMENT: u8 = 44;
const OPTIONS: u8 = 60;
/// Headers that are passed over. More are nobody's honest work.
const EXTENSIONS_MAX: usize = 8;
const PAD: u8 = 0;

/// Where the headers end that a router may need: what follows, and where it starts.
struct Extensions {
    next: u8,
    /// Where the number of what follows stands.
    named_at: usize,
    end: usize,
}

/// Reads a header, and those behind it that say nothing about the payload.
///
/// # Errors
/// Why the packet was not taken.
pub fn parse(data: &[u8]) -> Result<Packet<'_>, Refused> {
    let (source, destination, bytes) = parse_header(data)?;
    let Extensions { next, named_at, end } = pass_extensions(bytes, destination)?;
    match next {
        FRAGMENT => Err(Refused::Fragment),
        // Of a header that must be the first, and is not.
        HOP_BY_HOP => Err(Problem::unknown_header(named_at)),
        protocol => Ok(Packet { source, destination, protocol, bytes, payload: &bytes[end..] }),
    }
}

fn parse_header(data: &[u8]) -> Result<(Ip, Ip, &[u8]), Refused> {
    let (header, _) = data.split_first_chunk::<HEADER_BYTES>().ok_or(Refused::Malformed)?;
    let payload_bytes = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 {
        return Err(Refused::Malformed);
    }
    let bytes = data.get(..HEADER_BYTES + payload_bytes).ok_or(Refused::Malformed)?;
    let [source, destination] = ends(header);
    // Addresses of IPv4 go by IPv4.
    if source.is_multicast() || source.is_v4() || destination.is_v4() {
        return Err(Refused::Malformed);
    }
    Ok((source, destination, bytes))
}

/// Reads a header of whose extensions something is wrong: what follows it is taken for the payload.
#[must_use]
pub fn parse_ends(data: &[u8]) -> Option<Packet<'_>> {
    let (source, destination, bytes) = parse_header(data).ok()?;
    Some(Packet { source, destination, protocol: bytes[6], bytes, payload: &bytes[HEADER_BYTES..] })
}

/// Reads the beginning of a packet of ours, or of its first piece, which somebody quotes.
#[must_use]
pub fn parse_quote(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = bytes.first_chunk::<HEADER_BYTES>().filter(|header| header[0] >> 4 == 6)?;
    let [source, destination] = ends(header);
    let Extensions { next, end, .. } = pass_extensions(bytes, destination).ok()?;
    let (protocol, payload) = match next {
        FRAGMENT => {
            let (piece, rest) = bytes[end..].split_first_chunk::<FRAGMENT_BYTES>()?;
            let is_first = u16::from_be_bytes([piece[2], piece[3]]) & !7 == 0;
            (piece[0], is_first.then_some(rest)?)
        }
        protocol => (protocol, &bytes[end..]),
    };
    Some(Packet { source, destination, protocol, bytes, payload })
}

/// Source and destination.
fn ends(header: &[u8; HEADER_BYTES]) -> [Ip; 2] {
    let (words, _) = header[8..].as_chunks::<16>();
    [Ip::from_octets(words[0]), Ip::from_octets(words[1])]
}

/// Passes over what is not the payload, up to the header of a fragment.
fn pass_extensions(bytes: &[u8], destination: Ip) -> Result<Extensions, Refused> {
    let (mut next, mut named_at, mut at) = (bytes[6], 6, HEADER_BYTES);
    for number in 0..EXTENSIONS_MAX {
        let is_extension = match next {
            HOP_BY_HOP => number == 0,
            ROUTING | OPTIONS => true,
            _ => false,
        };
        if !is_extension {
            return Ok(Extensions { next, named_at, end: at });
        }
        let start = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Refused::Malformed)?;
        let end = at + 8 + usize::from(start[1]) * 8;
        let header = bytes.get(at..end).ok_or(Refused::Malformed)?;
        if next == ROUTING {
            // To be sent on by us, who are no router (4.4).
            if start[3] != 0 {
                return Err(Problem::erroneous(at + 2));
            }
        } else {
            pass_options(header, at, destination)?;
        }
        (next, named_at, at) = (start[0], at, end);
    }
    Err(Refused::Malformed)
}

/// Looks through a list of options, none of which is known but padding: each says what is to be done about it (4.2).
fn pass_options(header: &[u8], start: usize, destination: Ip) -> Result<(), Refused> {
    let mut at = 2;
    while let Some(&kind) = header.get(at) {
        if kind == PAD {
            at += 1;
            continue;
        }
        let &len = header.get(at + 1).ok_or(Refused::Malformed)?;
        match kind >> 6 {
            0 => {}
            2 => return Err(Problem::unknown_option(start + at)),
            3 if !destination.is_multicast() => return Err(Problem::unknown_option(start + at)),
            _ => return Err(Refused::Malformed),
        }
        at += 2 + usize::from(len);
    }
    if at == header.len() { Ok(()) } else { Err(Refused::Malformed) }
}

/// A piece of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Whose the packet is.
    pub source: Ip,
    /// Whom it is for.
    pub destination: Ip,
    /// What is in it.
    pub protocol: u8,
    /// Which packet it is of.
    pub identification: u32,
    /// Where in the packet's payload it stands.
    pub start: usize,
    /// Whether nothing follows.
    pub is_last: bool,
    /// What it brings.
    pub data: &'a [u8],
}

/// Reads a piece; `None` when it is none.
pub fn parse_fragment(data: &[u8]) -> Option<Fragment<'_>> {
    let (source, destination, bytes) = parse_header(data).ok()?;
    let Extensions { next: FRAGMENT, end, .. } = pass_extensions(bytes, destination).ok()? else { return None };
    let (header, data) = bytes[end..].split_first_chunk::<FRAGMENT_BYTES>()?;
    let place = u16::from_be_bytes([header[2], header[3]]);
    Some(Fragment {
        source,
        destination,
        protocol: header[0],
        identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        start: usize::from(place & !7),
        is_last: place & 1 == 0,
        data,
    })
}

/// Writes the header of a piece.
pub fn write_fragment(header: &mut [u8; FRAGMENT_BYTES], protocol: u8, identification: u32, start: usize, more: bool) {
    *header = [0; FRAGMENT_BYTES];
    header[0] = protocol;
    header[2..4].copy_from_slice(&(start as u16 | u16::from(more)).to_be_bytes());
    header[4..].copy_from_slice(&identification.to_be_bytes());
}

/// Writes a header in front of a payload that fills the rest of `packet`.
pub fn write_header(packet: &mut [u8], source: Ip, destination: Ip, protocol: u8) {
    let payload_bytes = ((packet.len() - HEADER_BYTES) as u16).to_be_bytes();
    let (header, _) = packet.split_first_chunk_mut::<HEADER_BYTES>().expect("a packet is longer than its header");
    header[..8].copy_from_slice(&[0x60, 0, 0, 0, payload_bytes[0], payload_bytes[1], protocol, HOPS]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..].copy_from_slice(&destination.octets());
}

/// Marks a packet that was written, with what its program asked for.
#[cold]
pub fn mark(packet: &mut [u8], hops: u8, service: u8) {
    if let Some(header) = packet.first_chunk_mut::<HEADER_BYTES>() {
        header[0] = 0x60 | service >> 4;
        header[1] = service << 4 | header[1] & 0x0f;
        header[7] = hops;
    }
}

/// Destination of a packet that we made ourselves.
pub fn destination(packet: &[u8]) -> Ip {
    packet.first_chunk::<HEADER_BYTES>().map_or(Ip::UNSPECIFIED, |header| ends(header)[1])
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, parse, parse_fragment, write_fragment, write_header};
    use crate::ip::Ip;
    use crate::packet::{Problem, Refused, TCP};
    use core::net::Ipv6Addr;

    const A: Ip = Ip::of_v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4));
    const B: Ip = Ip::of_v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

    fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = [&[0; HEADER_BYTES][..], payload].concat();
        write_header(&mut packet, A, B, protocol);
        packet
    }

    #[test]
    fn what_is_written_is_accepted_and_padding_is_cut() {
        let mut data = packet(TCP, &[7; 40]);
        data.extend_from_slice(&[0; 6]);
        let packet = parse(&data).unwrap();
        assert_eq!((packet.source, packet.destination, packet.protocol), (A, B, TCP));
        assert_eq!(packet.payload, [7; 40]);
        assert_eq!(super::destination(&data), B);
        super::mark(&mut data, 3, 0xb8);
        assert_eq!((data[0], data[1], data[7]), (0x6b, 0x80, 3));
    }

    #[test]
    fn lies_are_refused() {
        for len in 0..80 {
            assert_eq!(parse(&packet(TCP, &[7; 40])[..len]).unwrap_err(), Refused::Malformed);
        }
        let mut of_four = packet(TCP, &[7; 40]);
        of_four[0] = 0x45;
        assert_eq!(parse(&of_four).unwrap_err(), Refused::Malformed);
        for place in [8, 24] {
            let mut mapped = packet(TCP, &[7; 40]);
            mapped[place..place + 16].copy_from_slice(&Ip::BROADCAST_V4.octets());
            assert_eq!(parse(&mapped).unwrap_err(), Refused::Malformed);
        }
        let mut of_a_group = packet(TCP, &[7; 40]);
        of_a_group[8] = 0xff;
        assert_eq!(parse(&of_a_group).unwrap_err(), Refused::Malformed);
    }

    #[test]
    fn headers_in_between_are_passed_over() {
        let hops = [60, 0, 5, 2, 0, 0, 1, 0]; // router alert, padding
        let options = [43, 1, 1, 4, 0, 0, 0, 0, 0x1e, 4, 1, 2, 3, 4, 0, 0];
        let routing = [TCP, 0, 0, 0, 0, 0, 0, 0];
        let data = packet(0, &[&hops[..], &options, &routing, &[9; 30]].concat());
        let found = parse(&data).unwrap();
        assert_eq!((found.protocol, found.payload), (TCP, &[9; 30][..]));
        for len in HEADER_BYTES..HEADER_BYTES + 32 {
            let mut cut = data[..len].to_vec();
            write_header(&mut cut, A, B, 0);
            assert!(parse(&cut).is_err(), "{len}");
        }
        assert_eq!(parse(&packet(59, &[])).unwrap().protocol, 59);
    }

    #[test]
    fn what_must_be_known_and_is_not_is_said() {
        let problem = |data: Vec<u8>| parse(&data).unwrap_err();
        assert_eq!(problem(packet(60, &[TCP, 0, 0x45, 1, 0, 1, 1, 0])), Refused::Malformed, "to be dropped");
        assert_eq!(problem(packet(60, &[TCP, 0, 0, 0x85, 1, 0, 1, 0])), Problem::unknown_option(43));
        assert_eq!(problem(packet(60, &[TCP, 0, 0, 0xc5, 1, 0, 1, 0])), Problem::unknown_option(43));
        assert_eq!(problem(packet(43, &[TCP, 0, 0, 1, 0, 0, 0, 0])), Problem::erroneous(42));
        assert_eq!(
            problem(packet(60, &[0, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 1, 4, 0, 0, 0, 0])),
            Problem::unknown_header(40)
        );
        let many = [[60, 0, 1, 4, 0, 0, 0, 0]; 9].concat();
        assert_eq!(problem(packet(60, &many)), Refused::Malformed);
    }

    #[test]
    fn pieces_are_named_as_such() {
        let mut header = [0; 8];
        write_fragment(&mut header, TCP, 0x1234_5678, 1232, true);
        let data = packet(60, &[&[44, 0, 1, 4, 0, 0, 0, 0][..], &header, &[5; 16]].concat());
        assert_eq!(parse(&data).unwrap_err(), Refused::Fragment);
        let piece = parse_fragment(&data).unwrap();
        assert_eq!((piece.source, piece.destination, piece.protocol), (A, B, TCP));
        assert_eq!((piece.identification, piece.start, piece.is_last), (0x1234_5678, 1232, false));
        assert_eq!(piece.data, [5; 16]);
        assert!(parse_fragment(&packet(TCP, &[5; 40])).is_none());
    }
}
