//! What a machine has counted, told on request: a control record for each figure (`event=stat name=N value=V`, and `core=C`
//! if it is a core's), and one that ends the answer.
//!
//! A figure has a name, and belongs to a core or to the machine. A host shows names that it does not know as they are, so a
//! later guest may count more.

use crate::record::{field, number};
use alloc::string::String;

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Whose it is; `None`: the machine's.
    pub core: Option<u8>,
    /// What was counted. A name that ends in `_ns` is nanoseconds; others are numbers or, of the machine, words.
    pub name: String,
    /// The number, or the word.
    pub value: String,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A figure.
    Stat(Stat),
    /// The answer is complete.
    End,
    /// The answer about the network is complete.
    NetworkEnd,
}

impl Line {
    /// Reads a control record; `None` for one that is none of these.
    pub fn parse(line: &str) -> Option<Line> {
        match field(line, "event")?.encoded() {
            "stat" => Some(Line::Stat(Stat {
                core: match field(line, "core") {
                    Some(core) => Some(u8::try_from(number(core)?).ok()?),
                    None => None,
                },
                name: field(line, "name")?.to_text(),
                value: field(line, "value")?.to_text(),
            })),
            "stats-end" => Some(Line::End),
            "net-end" => Some(Line::NetworkEnd),
            _ => None,
        }
    }
}

/// The record that ends an answer.
pub const END: &str = "event=stats-end";
/// The record that ends an answer about the network.
pub const NETWORK_END: &str = "event=net-end";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let stat = Stat { core: Some(3), name: "interrupt.virtio net".into(), value: "17".into() };
        let line = "event=stat name=interrupt.virtio%20net value=17 core=3\n";
        assert_eq!(Line::parse(line), Some(Line::Stat(stat)));
        let line = "event=stat name=mode value=balanced";
        assert!(matches!(Line::parse(line), Some(Line::Stat(Stat { core: None, .. }))));
        assert_eq!((Line::parse(END), Line::parse(NETWORK_END)), (Some(Line::End), Some(Line::NetworkEnd)));
    }

    #[test]
    fn what_is_no_figure_is_none() {
        for line in ["", "event=stat name=a", "event=stat core=300 name=a value=1", "event=listen proto=tcp port=1"] {
            assert_eq!(Line::parse(line), None, "{line}");
        }
    }
}
