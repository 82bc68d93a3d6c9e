//! Packets in pieces (RFC 791, 3.2; RFC 8200, 4.5): ours that are longer than their way carries, and those of others, put together.
//!
//! What waits for its other pieces is bounded in number and bytes, and forgotten after a while. Pieces that overlap are
//! nobody's honest work: the packet is given up (RFC 5722), since what it said would depend on who came first.

use crate::config::Limits;
use crate::shared::Shared;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use toro_tcp::{Ip, ipv4, ipv6, packet};

const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// What the longest packet has, of IPv6 behind its header.
const BYTES_MAX: usize = u16::MAX as usize;
/// How long the other pieces of a packet are waited for.
const PATIENCE_NS: u64 = 30_000_000_000;
/// Packets that wait for pieces.
const PACKETS_MAX: usize = 16;
/// Parts of one that are there and apart. More are nobody's honest work, and each further piece would take longer.
const RANGES_MAX: usize = 64;
/// What one counts for beyond its bytes.
const COST_BYTES: usize = 128;
/// Ways that carry less than the link, as far as routers have said so.
const WAYS_MAX: usize = 16;

/// A piece, whose packet's header was found sound.
#[derive(Clone, Copy)]
struct Piece<'a> {
    source: Ip,
    destination: Ip,
    protocol: u8,
    identification: u32,
    start: usize,
    is_last: bool,
    data: &'a [u8],
}

/// The longest packet to an address.
pub(crate) fn packet_bytes_max(destination: Ip) -> usize {
    if destination.is_v4() { BYTES_MAX } else { ipv6::HEADER_BYTES + BYTES_MAX }
}

impl<'a> Piece<'a> {
    /// `None` when it cannot be one: one that is not the last is whole words of 8 bytes, and none reaches beyond the longest packet.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let piece = if packet::is_v6(bytes) { Piece::parse_v6(bytes)? } else { Piece::parse_v4(bytes)? };
        let sound = !piece.data.is_empty()
            && (piece.is_last || piece.data.len().is_multiple_of(8))
            && piece.header_bytes() + piece.end() <= packet_bytes_max(piece.destination);
        sound.then_some(piece)
    }

    fn parse_v4(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<{ ipv4::HEADER_BYTES }>()?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let ip = |at: usize| Ip::from(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
        Some(Piece {
            source: ip(12),
            destination: ip(16),
            protocol: header[9],
            identification: word(4).into(),
            start: usize::from(word(6) & OFFSET) * 8,
            is_last: word(6) & MORE == 0,
            data: bytes.get(usize::from(header[0] & 0x0f) * 4..usize::from(word(2)))?,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Option<Self> {
        let ipv6::Fragment { source, destination, protocol, identification, start, is_last, data } =
            ipv6::parse_fragment(bytes)?;
        Some(Piece { source, destination, protocol, identification, start, is_last, data })
    }

    /// Bytes of the header of the whole packet.
    fn header_bytes(&self) -> usize {
        packet::header_bytes(self.destination)
    }

    fn end(&self) -> usize {
        self.start + self.data.len()
    }
}

/// A packet that waits for pieces.
#[derive(Debug)]
struct Partial {
    source: Ip,
    destination: Ip,
    protocol: u8,
    identification: u32,
    until_ns: u64,
    /// Room for a header, and the payload as far as it was seen.
    bytes: Vec<u8>,
    /// What is there of the payload, in order, apart from each other.
    ranges: Vec<(usize, usize)>,
    /// The payload's length, once its last piece is there.
    whole: Option<usize>,
}

/// What a piece did to its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Waits,
    Complete,
    /// It contradicts what was there, or there is no memory.
    Lost,
}

impl Partial {
    fn is_of(&self, piece: &Piece<'_>) -> bool {
        (self.source, self.destination, self.protocol, self.identification)
            == (piece.source, piece.destination, piece.protocol, piece.identification)
    }

    fn cost_bytes(&self) -> usize {
        self.bytes.len() + COST_BYTES
    }

    fn take(&mut self, piece: &Piece<'_>) -> Taken {
        let (header_bytes, start, end) = (piece.header_bytes(), piece.start, piece.end());
        if self.ranges.iter().any(|&(from, to)| from <= start && end <= to) {
            // Once more; what it says now is not looked at.
            return Taken::Waits;
        }
        let known_end = self.ranges.last().map_or(0, |&(_, to)| to);
        let fits = match self.whole {
            Some(whole) => end <= whole && !piece.is_last,
            None => !piece.is_last || end >= known_end,
        };
        let place = self.ranges.partition_point(|&(from, _)| from < start);
        let after = self.ranges.get(place).is_none_or(|&(from, _)| end <= from);
        let before = place == 0 || self.ranges[place - 1].1 <= start;
        let room = self.ranges.len() < RANGES_MAX;
        let needed = (header_bytes + end).saturating_sub(self.bytes.len());
        if !(fits && after && before && room)
            || self.bytes.try_reserve(needed).is_err()
            || self.ranges.try_reserve(1).is_err()
        {
            return Taken::Lost;
        }
        self.bytes.resize(self.bytes.len() + needed, 0);
        self.bytes[header_bytes + start..header_bytes + end].copy_from_slice(piece.data);
        if piece.is_last {
            self.whole = Some(end);
        }
        self.add(place, start, end);
        if self.whole.is_some_and(|whole| self.ranges[..] == [(0, whole)]) { Taken::Complete } else { Taken::Waits }
    }

    /// Notes a range that overlaps none.
    fn add(&mut self, place: usize, start: usize, end: usize) {
        let joins_before = place > 0 && self.ranges[place - 1].1 == start;
        let joins_after = self.ranges.get(place).is_some_and(|&(from, _)| from == end);
        match (joins_before, joins_after) {
            (true, true) => {
                self.ranges[place - 1].1 = self.ranges[place].1;
                self.ranges.remove(place);
            }
            (true, false) => self.ranges[place - 1].1 = end,
            (false, true) => self.ranges[place].0 = start,
            (false, false) => self.ranges.insert(place, (start, end)),
        }
    }
}

/// Packets that wait for pieces, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    partials: VecDeque<Partial>,
    bytes: usize,
}

impl Reassembly {
    /// Takes a piece of a packet for this machine; the whole packet, when that was the last one missing. Its header is one without options.
    #[cold]
    pub(crate) fn receive(&mut self, bytes: &[u8], now_ns: u64, shared: &mut Shared) -> Option<Vec<u8>> {
        let Some(piece) = Piece::parse(bytes) else {
            shared.statistics.malformed += 1;
            return None;
        };
        if piece.start == 0 && piece.is_last {
            return whole(&piece); // of one piece: the others with that number are of another packet (RFC 6946)
        }
        let mut place = self.partials.iter().position(|partial| partial.is_of(&piece));
        if place.is_none() && self.partials.try_reserve(1).is_ok() {
            if self.partials.len() == PACKETS_MAX {
                self.forget(0, shared);
            }
            let Piece { source, destination, protocol, identification, .. } = piece;
            let (bytes, ranges) = (Vec::new(), Vec::new());
            let until_ns = now_ns.saturating_add(PATIENCE_NS);
            let fresh = Partial { source, destination, protocol, identification, until_ns, bytes, ranges, whole: None };
            if shared.memory.charge(COST_BYTES) {
                self.bytes += COST_BYTES;
                self.partials.push_back(fresh);
                place = Some(self.partials.len() - 1);
            }
        }
        let Some(mut place) = place else {
            shared.statistics.fragments += 1;
            return None;
        };
        let before = self.partials[place].bytes.len();
        let more = (piece.header_bytes() + piece.end()).saturating_sub(before);
        // The oldest make room, but not for themselves.
        while place > 0 && self.bytes + more > shared.config.limits.fragments_bytes {
            self.forget(0, shared);
            place -= 1;
        }
        if self.bytes + more > shared.config.limits.fragments_bytes || !shared.memory.charge(more) {
            self.forget(place, shared);
            return None;
        }
        self.bytes += more;
        let partial = &mut self.partials[place];
        let taken = partial.take(&piece);
        let unused = before + more - partial.bytes.len();
        self.bytes -= unused;
        shared.memory.refund(unused);
        match taken {
            Taken::Waits => None,
            Taken::Lost => {
                self.forget(place, shared);
                None
            }
            Taken::Complete => {
                let mut whole = self.remove(place, shared)?;
                packet::write_header(&mut whole.bytes, whole.source, whole.destination, whole.protocol);
                shared.statistics.reassembled += 1;
                Some(whole.bytes)
            }
        }
    }

    /// See [`Stack::assert_sound`](crate::Stack::assert_sound); how much waits.
    pub(crate) fn assert_sound(&self, limits: &Limits) -> usize {
        assert!(self.partials.len() <= PACKETS_MAX && self.bytes <= limits.fragments_bytes + COST_BYTES);
        assert_eq!(self.bytes, self.partials.iter().map(Partial::cost_bytes).sum::<usize>());
        assert!(self.partials.iter().all(|partial| partial.ranges.is_sorted_by(|one, next| one.1 < next.0)));
        self.bytes
    }

    fn remove(&mut self, place: usize, shared: &mut Shared) -> Option<Partial> {
        let partial = self.partials.remove(place)?;
        self.bytes -= partial.cost_bytes();
        shared.memory.refund(partial.cost_bytes());
        Some(partial)
    }

    fn forget(&mut self, place: usize, shared: &mut Shared) {
        self.remove(place, shared);
        shared.statistics.fragments += 1;
    }

    /// Forgets those whose other pieces do not come.
    pub(crate) fn run(&mut self, now_ns: u64, shared: &mut Shared) {
        while self.next_deadline() <= now_ns {
            self.forget(0, shared);
        }
    }

    /// When the oldest is forgotten.
    #[inline]
    pub(crate) fn next_deadline(&self) -> u64 {
        self.partials.front().map_or(u64::MAX, |partial| partial.until_ns)
    }
}

/// Whom a piece is for.
pub(crate) fn destination(bytes: &[u8]) -> Option<(Ip, Ip)> {
    let piece = Piece::parse(bytes)?;
    Some((piece.source, piece.destination))
}

/// A packet that came in one piece.
fn whole(piece: &Piece<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(piece.header_bytes() + piece.data.len()).ok()?;
    bytes.resize(piece.header_bytes(), 0);
    bytes.extend_from_slice(piece.data);
    packet::write_header(&mut bytes, piece.source, piece.destination, piece.protocol);
    Some(bytes)
}

/// Cuts a packet without options into pieces of at most `bytes_max`, and calls `send` with each length and a function that writes it.
pub(crate) fn cut(
    packet: &[u8],
    identification: u32,
    bytes_max: usize,
    mut send: impl FnMut(usize, &mut dyn FnMut(&mut [u8])),
) {
    let is_v6 = packet::is_v6(packet);
    let header_bytes = packet::header_bytes(packet::destination(packet));
    let Some((header, payload)) = packet.split_at_checked(header_bytes) else { return };
    let headers_bytes = header_bytes + if is_v6 { ipv6::FRAGMENT_BYTES } else { 0 };
    let part_bytes = (bytes_max - headers_bytes) & !7;
    for (number, part) in payload.chunks(part_bytes).enumerate() {
        let start = number * part_bytes;
        let more = start + part.len() < payload.len();
        send(headers_bytes + part.len(), &mut |piece| {
            let (own, rest) = piece.split_at_mut(header_bytes);
            own.copy_from_slice(header);
            if is_v6 {
                write_place_v6(own, rest, identification, start, more);
                rest[ipv6::FRAGMENT_BYTES..].copy_from_slice(part);
            } else {
                write_place_v4(own, rest.len(), identification as u16, start, more);
                rest.copy_from_slice(part);
            }
        });
    }
}

fn write_place_v4(header: &mut [u8], part_bytes: usize, identification: u16, start: usize, more: bool) {
    let Some(header) = header.first_chunk_mut::<{ ipv4::HEADER_BYTES }>() else { return };
    let more = if more { MORE } else { 0 };
    header[2..4].copy_from_slice(&((ipv4::HEADER_BYTES + part_bytes) as u16).to_be_bytes());
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[6..8].copy_from_slice(&(more | (start / 8) as u16).to_be_bytes());
    header[10..12].fill(0);
    ipv4::fill_header_checksum(header);
}

fn write_place_v6(header: &mut [u8], rest: &mut [u8], identification: u32, start: usize, more: bool) {
    let protocol = core::mem::replace(&mut header[6], ipv6::FRAGMENT);
    header[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
    if let Some(place) = rest.first_chunk_mut() {
        ipv6::write_fragment(place, protocol, identification, start, more);
    }
}

/// A way that carries less than the link.
#[derive(Clone, Copy, Debug)]
struct Way {
    destination: Ip,
    packet_bytes: u32,
}

/// What routers have said of ways, the latest in place of the earliest. It is not forgotten otherwise: whoever goes that way in pieces
/// though the way has become wider loses little.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    known: Vec<Way>,
    next: usize,
}

impl Ways {
    /// A router says how much is carried to `destination`.
    #[cold]
    pub(crate) fn learn(&mut self, destination: Ip, packet_bytes: u32) {
        let way = Way { destination, packet_bytes };
        if let Some(known) = self.known.iter_mut().find(|known| known.destination == destination) {
            *known = way;
        } else if self.known.len() < WAYS_MAX && self.known.try_reserve(1).is_ok() {
            self.known.push(way);
        } else if let Some(known) = self.known.get_mut(self.next % WAYS_MAX) {
            *known = way;
            self.next += 1;
        }
    }

    /// How much the way to `destination` carries, of a link that carries `link_bytes`.
    #[inline]
    pub(crate) fn carry(&self, destination: Ip, link_bytes: usize) -> usize {
        let way = self.known.iter().find(|way| way.destination == destination);
        way.map_or(link_bytes, |way| link_bytes.min(way.packet_bytes as usize))
    }
}
