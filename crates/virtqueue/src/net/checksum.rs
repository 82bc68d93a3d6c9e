//! The Internet checksum of TCP and UDP over IPv4: finding it in a frame, verifying it, leaving it to the device.

const ETHERNET_BYTES: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The transport segment of a frame whose checksum can be spoken of.
pub(super) struct Segment {
    /// Offset of the TCP or UDP header in the frame.
    pub(super) start: usize,
    /// Offset just after the segment; the frame may be padded beyond.
    pub(super) end: usize,
    /// Offset of the checksum field within the segment.
    pub(super) field: usize,
    protocol: u8,
}

impl Segment {
    /// Finds the segment of an unfragmented TCP or UDP packet over IPv4.
    #[inline]
    pub(super) fn find(frame: &[u8]) -> Option<Segment> {
        let header = frame.get(..ETHERNET_BYTES + 20)?;
        if header[12..14] != ETHERTYPE_IPV4 || header[14] >> 4 != 4 {
            return None;
        }
        // More fragments, or not the first one: the checksum is over what this frame does not have.
        if u16::from_be_bytes([header[20], header[21]]) & 0x3fff != 0 {
            return None;
        }
        let header_bytes = usize::from(header[14] & 15) * 4;
        let start = ETHERNET_BYTES + header_bytes;
        let end = ETHERNET_BYTES + usize::from(u16::from_be_bytes([header[16], header[17]]));
        let (protocol, field, shortest) = match header[23] {
            TCP => (TCP, 16, 20),
            UDP => (UDP, 6, 8),
            _ => return None,
        };
        let whole = header_bytes >= 20 && end >= start + shortest && end <= frame.len();
        whole.then_some(Segment {
            start,
            end,
            field,
            protocol,
        })
    }

    /// The sum of the pseudo header, folded but not inverted: what the device expects in the field.
    #[inline]
    pub(super) fn pseudo_header(&self, frame: &[u8]) -> u16 {
        let length = (self.end - self.start) as u64;
        fold(
            sum(&frame[26..34])
                + u64::from(u16::from(self.protocol).to_be())
                + u64::from((length as u16).to_be()),
        )
    }

    /// Whether the checksum that the frame carries is right.
    pub(super) fn is_valid(&self, frame: &[u8]) -> bool {
        let field = self.start + self.field;
        if self.protocol == UDP && frame[field..field + 2] == [0, 0] {
            return true; // the sender did not compute one
        }
        fold(sum(&frame[self.start..self.end]) + u64::from(self.pseudo_header(frame))) == 0xffff
    }
}

/// Adds up the 16-bit words as they lie in memory: the sum of the Internet checksum does not mind the byte order.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum();
    let (pairs, odd) = rest.as_chunks::<2>();
    total += pairs
        .iter()
        .map(|pair| u64::from(u16::from_ne_bytes(*pair)))
        .sum::<u64>();
    total
        + odd
            .iter()
            .map(|byte| u64::from(u16::from_ne_bytes([*byte, 0])))
            .sum::<u64>()
}

/// Folds a sum to 16 bits with end-around carry.
fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}
