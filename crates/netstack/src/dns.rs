//! Questions to a name server (RFC 1035, 3596, 6891), and its answers: which addresses a name has. Whoever asks does the sending
//! and the waiting, over UDP first and, for an answer that is longer, over TCP (RFC 7766).

mod names;
mod order;

pub use names::names;
pub(crate) use names::names_of_text;
pub use order::sort;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use smoltcp::wire::{DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRecord, DnsRecordData, DnsRepr};

/// The port that name servers have.
pub const PORT: u16 = 53;
/// The longest message that we take over UDP: what every way carries in one piece.
pub const MESSAGE_BYTES_MAX: usize = 1232;
/// The longest that we take over TCP: a thousand addresses.
pub const STREAM_BYTES_MAX: usize = 16 << 10;

const LABEL_BYTES_MAX: usize = 63;
/// As it stands in a message: a length before each label, and one of 0 at the end.
const NAME_BYTES_MAX: usize = 255;
/// A name that is in more places than this is nobody's honest work: to follow thousands for each record takes long.
const REFERENCES_MAX: usize = 32;
/// Names that stand for others, one after the other.
const ALIASES_MAX: usize = 8;
/// Says how long an answer may be: the root's name, type OPT, so many bytes, no flags, no data (RFC 6891, 6.1.2).
const OPTIONS: [u8; 11] = [0, 0, 41, (MESSAGE_BYTES_MAX >> 8) as u8, MESSAGE_BYTES_MAX as u8, 0, 0, 0, 0, 0, 0];
/// Where the header counts additional records.
const ADDITIONAL_COUNT: usize = 11;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Of IPv4.
    V4,
    /// Of IPv6.
    V6,
}

impl Family {
    fn record(self) -> DnsQueryType {
        match self {
            Family::V4 => DnsQueryType::A,
            Family::V6 => DnsQueryType::Aaaa,
        }
    }
}

/// What a server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name's addresses; none of this family, if it is empty.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// There are more than fit into this message; of them, these.
    Truncated(Vec<IpAddr>),
    /// The server does not know what a [plain](Question::plain) question leaves out.
    NotUnderstood,
    /// The server cannot tell: another may.
    Failure,
}

/// A question, as it is sent.
#[derive(Clone, Debug)]
pub struct Question {
    family: Family,
    /// The name as it stands in the message.
    name: Vec<u8>,
    identification: u16,
    message: Vec<u8>,
}

impl Question {
    /// Asks for the addresses of a name; `None` when no name looks like that. `identification` is a number that nobody can guess.
    #[must_use]
    pub fn new(name: &str, family: Family, identification: u16) -> Option<Self> {
        let labels = name.strip_suffix('.').unwrap_or(name);
        let mut wire = Vec::new();
        for label in labels.split('.') {
            if label.is_empty() || label.len() > LABEL_BYTES_MAX || !label.bytes().all(|byte| byte.is_ascii_graphic()) {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes());
        }
        wire.push(0);
        if wire.len() > NAME_BYTES_MAX {
            return None;
        }
        let question = DnsQuestion { name: &wire, type_: family.record() };
        let repr = DnsRepr {
            transaction_id: identification,
            opcode: DnsOpcode::Query,
            flags: DnsFlags::RECURSION_DESIRED,
            question,
        };
        let mut message = alloc::vec![0; repr.buffer_len()];
        repr.emit(&mut DnsPacket::new_unchecked(&mut message[..]));
        message[ADDITIONAL_COUNT] = 1;
        message.extend(OPTIONS);
        Some(Question { family, name: wire, identification, message })
    }

    /// The same in the words of 1987, for a server that did not understand it.
    #[must_use]
    pub fn plain(mut self) -> Self {
        if core::mem::take(&mut self.message[ADDITIONAL_COUNT]) == 1 {
            self.message.truncate(self.message.len() - OPTIONS.len());
        }
        self
    }

    /// What is sent.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Reads what came; `None` when it does not answer this question.
    #[must_use]
    pub fn answer(&self, message: &[u8]) -> Option<Answer> {
        let packet = DnsPacket::new_checked(message).ok()?;
        let answers_us = packet.transaction_id() == self.identification
            && packet.flags().contains(DnsFlags::RESPONSE)
            && packet.opcode() == DnsOpcode::Query
            && packet.question_count() == 1;
        let (mut rest, question) = DnsQuestion::parse(packet.payload()).ok().filter(|_| answers_us)?;
        if question.type_ != self.family.record() || !is_same(message, question.name, &self.name) {
            return None;
        }
        // The codes of RFC 1035, 4.1.1.
        match message[3] & 0x0f {
            0 => {}
            3 => return Some(Answer::NoSuchName),
            1 | 4 if self.message[ADDITIONAL_COUNT] == 1 => return Some(Answer::NotUnderstood),
            _ => return Some(Answer::Failure),
        }
        let mut records = Vec::new();
        for _ in 0..packet.answer_record_count() {
            // What a server had no room for is missing.
            let Ok((after, record)) = DnsRecord::parse(rest) else { break };
            records.push(record);
            rest = after;
        }
        let is_truncated = packet.flags().contains(DnsFlags::TRUNCATED);
        let mut name = question.name;
        for _ in 0..ALIASES_MAX {
            let addresses: Vec<IpAddr> = records
                .iter()
                .filter(|record| is_same(message, record.name, name))
                .filter_map(|record| address(&record.data, self.family))
                .collect();
            let alias = records.iter().find_map(|record| match record.data {
                DnsRecordData::Cname(other) if is_same(message, record.name, name) => Some(other),
                _ => None,
            });
            match alias {
                Some(other) if addresses.is_empty() => name = other,
                _ if is_truncated => return Some(Answer::Truncated(addresses)),
                _ => return Some(Answer::Addresses(addresses)),
            }
        }
        Some(Answer::Failure)
    }
}

/// An address of that family in a record.
fn address(data: &DnsRecordData<'_>, family: Family) -> Option<IpAddr> {
    match (family, data) {
        (Family::V4, DnsRecordData::A(ip)) => Some(IpAddr::V4(*ip)),
        (Family::V6, DnsRecordData::Other(DnsQueryType::Aaaa, bytes)) => {
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?)))
        }
        _ => None,
    }
}

/// Whether two names of a message are the same, which small and capital letters do not change.
fn is_same(message: &[u8], one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (labels(message, one), labels(message, other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Some(label)), Some(Some(same))) if label.eq_ignore_ascii_case(same) => {}
            _ => return false,
        }
    }
}

/// The labels of a name: what it shares with another one stands elsewhere in the message. `None` inside: it is no name.
fn labels<'a>(message: &'a [u8], mut rest: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8]>> {
    let (mut references, mut bytes) = (0, 0);
    core::iter::from_fn(move || {
        loop {
            let next = match rest.split_first() {
                Some((0, _)) => return None,
                Some((&length @ 1..=0x3f, more)) if bytes < NAME_BYTES_MAX => {
                    bytes += 1 + usize::from(length);
                    more.split_at_checked(length.into()).map(|(label, after)| (Some(label), after))
                }
                Some((&high @ 0xc0.., more)) if references < REFERENCES_MAX => {
                    references += 1;
                    let target = more.first().map(|&low| usize::from(high & 0x3f) << 8 | usize::from(low));
                    target.and_then(|target| message.get(target..)).map(|there| (None, there))
                }
                _ => None,
            };
            let Some((label, after)) = next else { return Some(None) };
            rest = after;
            if label.is_some() {
                return Some(label);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    /// A question's message as an answer of `code` with these records, each a whole one behind its name.
    fn reply(question: &Question, code: u8, records: &[&[u8]]) -> Vec<u8> {
        let mut message = question.clone().plain().message().to_vec();
        (message[2], message[3]) = (0x81, 0x80 | code);
        message[7] = records.len() as u8;
        records.iter().for_each(|record| message.extend_from_slice(record));
        message
    }

    /// A record: name, type and data.
    fn record(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
        [name, &[0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], data].concat()
    }

    const ASKED: [u8; 2] = [0xc0, 12];

    #[test]
    fn addresses_are_found_behind_aliases() {
        let question = Question::new("www.Example.org", Family::V4, 0x1234).unwrap();
        assert_eq!(question.message()[..12], [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        let alias = b"\x03web\xc0\x10";
        let records = [record(&ASKED, 5, alias), record(b"\x03WEB\x07eXample\x03ORG\0", 1, &[10, 1, 2, 3])];
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let found = question.answer(&reply(&question, 0, &records));
        assert_eq!(found, Some(Answer::Addresses(vec![Ipv4Addr::new(10, 1, 2, 3).into()])));
        // Addresses of names that nobody asked for are not believed.
        let foreign = record(b"\x04evil\0", 1, &[6, 6, 6, 6]);
        assert_eq!(question.answer(&reply(&question, 0, &[&foreign])), Some(Answer::Addresses(vec![])));
        let loops = record(&ASKED, 5, &ASKED);
        assert_eq!(question.answer(&reply(&question, 0, &[&loops])), Some(Answer::Failure));
    }

    #[test]
    fn a_name_is_not_looked_for_in_ever_more_places() {
        let question = Question::new("far.example", Family::V4, 1).unwrap();
        let data_at = question.clone().plain().message().len() + 12;
        let found = |references: usize| {
            // Each refers to the one before, the first to the name that was asked for.
            let target = |number: usize| if number == 0 { 12 } else { data_at + 2 * (number - 1) };
            let places: Vec<u8> =
                (0..references - 1).flat_map(|number| (0xc000 | target(number) as u16).to_be_bytes()).collect();
            let name = (0xc000 | target(references - 1) as u16).to_be_bytes();
            let records = [record(&ASKED, 16, &places), record(&name, 1, &[10, 1, 2, 3])];
            question.answer(&reply(&question, 0, &[&records[0], &records[1]]))
        };
        let address = Answer::Addresses(vec![Ipv4Addr::new(10, 1, 2, 3).into()]);
        assert_eq!((found(1), found(REFERENCES_MAX)), (Some(address.clone()), Some(address)));
        assert_eq!(found(REFERENCES_MAX + 1), Some(Answer::Addresses(vec![])));
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let question = Question::new("six", Family::V6, 1).unwrap();
        let data = Ipv6Addr::LOCALHOST.octets();
        let records = [record(&ASKED, 28, &data), record(&ASKED, 1, &[1; 4]), record(&ASKED, 28, &data[1..])];
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let found = question.answer(&reply(&question, 0, &records));
        assert_eq!(found, Some(Answer::Addresses(vec![Ipv6Addr::LOCALHOST.into()])));
    }

    #[test]
    fn what_is_cut_off_is_asked_for_otherwise() {
        let question = Question::new("many.example", Family::V4, 1).unwrap();
        let mut cut = reply(&question, 0, &[&record(&ASKED, 1, &[10, 0, 0, 1])]);
        cut[2] |= 2;
        assert_eq!(question.answer(&cut), Some(Answer::Truncated(vec![Ipv4Addr::new(10, 0, 0, 1).into()])));
        let mut empty = reply(&question, 0, &[]);
        empty[2] |= 2;
        assert_eq!(question.answer(&empty), Some(Answer::Truncated(vec![])));
    }

    #[test]
    fn servers_of_old_are_asked_in_their_words() {
        let question = Question::new("a.example", Family::V4, 1).unwrap();
        let plain = question.clone().plain();
        assert_eq!(question.message()[question.message().len() - OPTIONS.len()..], OPTIONS);
        assert_eq!(plain.message().len() + OPTIONS.len(), question.message().len());
        assert_eq!(plain.message()[..12], [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(plain.clone().plain().message(), plain.message());
        for code in [1, 4] {
            assert_eq!(question.answer(&reply(&question, code, &[])), Some(Answer::NotUnderstood));
            assert_eq!(plain.answer(&reply(&plain, code, &[])), Some(Answer::Failure));
        }
    }

    #[test]
    fn what_answers_another_question_is_nothing() {
        let question = Question::new("here", Family::V4, 7).unwrap();
        let sound = reply(&question, 3, &[]);
        assert_eq!(question.answer(&sound), Some(Answer::NoSuchName));
        assert_eq!(question.answer(&reply(&question, 2, &[])), Some(Answer::Failure));
        for at in [1, 2, 5, 14, 19] {
            let mut other = sound.clone();
            other[at] ^= if at == 2 { 0x80 } else { 1 };
            assert_eq!(question.answer(&other), None, "byte {at}");
        }
        for len in 0..sound.len() {
            assert_eq!(question.answer(&sound[..len]), None);
        }
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        let long = "a".repeat(64);
        let longer = "abcdefg.".repeat(32);
        for name in ["", ".", "a..b", "with space", &long, &longer, "\u{e4}"] {
            assert!(Question::new(name, Family::V4, 1).is_none(), "{name}");
        }
        assert_eq!(Question::new("a.b.", Family::V4, 1).unwrap().name, b"\x01a\x01b\0");
    }

    #[test]
    fn nothing_that_comes_is_trusted() {
        let question = Question::new("a.example", Family::V4, 1).unwrap();
        let alias = record(&ASKED, 5, b"\xc0\x0c");
        let sound = reply(&question, 0, &[&alias, &record(&ASKED, 1, &[1, 2, 3, 4])]);
        for at in 0..sound.len() {
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut damaged = sound.clone();
                damaged[at] = value;
                let _whatever = question.answer(&damaged);
                let _whatever = question.answer(&damaged[..at]);
            }
        }
    }
}
