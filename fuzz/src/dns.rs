//! A name server that answers whatever it likes, to a question that it has seen; and lists of names, as DHCP and routers have them.

use crate::Input;
use toro_netstack::dns::{Answer, Family, Question, names};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let head = input.byte();
    let family = if head & 1 == 0 { Family::V4 } else { Family::V6 };
    let Some(question) = Question::new("name.example.org", family, 0x1234) else { panic!("it is a name") };
    // With the question's own beginning, so that the rest is looked at.
    let mut message = question.clone().plain().message().to_vec();
    (message[2], message[3]) = (0x81, 0x80 | head >> 4);
    message[6..8].copy_from_slice(&u16::from(head >> 1 & 7).to_be_bytes());
    if let Some(rest) = data.get(1..) {
        message.extend_from_slice(rest);
    }
    if let Some(Answer::Addresses(addresses) | Answer::Truncated(addresses)) = question.answer(&message) {
        assert!(addresses.iter().all(|address| address.is_ipv4() == (family == Family::V4)));
        assert!(addresses.len() <= 7, "no more than there are records");
    }
    let _whatever = question.answer(data);
    for name in names(data) {
        assert!(
            (1..=253).contains(&name.len()) && !name.contains("..") && !name.contains([' ', '\n', ';']),
            "{name:?}"
        );
    }
}
