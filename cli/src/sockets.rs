//! How a guest's network stands, as JSON and as tables for people.

use serde_json::{Map, Value, json};
use std::fmt::Write;
use toro_vmm::abi::cards::Card;
use toro_vmm::abi::control::Protocol;
use toro_vmm::abi::network::Mac;
use toro_vmm::{NetworkState, Socket};

/// What is counted of packets and requests that came to nothing, and in which words that is told.
const DROPS: [(&str, &str); 10] = [
    ("malformed", "malformed"),
    ("not_for_us", "for others"),
    ("fragments", "in pieces that did not come together"),
    ("backlog_full", "to a full listener"),
    ("datagrams_dropped", "to a full socket"),
    ("packets_dropped", "for want of a way or room"),
    ("link_dropped", "while the link was down"),
    ("posts_dropped", "between cores"),
    ("out_of_memory", "for want of memory"),
    ("resets_sent", "answered by a reset"),
];

/// All of it: for each core what it has counted, the network cards, and the sockets.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// What each core that uses the network has counted, without the prefix `net.`.
    cores: Vec<(u8, Map<String, Value>)>,
    cards: Vec<Card>,
    sockets: Vec<Socket>,
}

impl Sockets {
    /// What a guest told.
    pub(crate) fn new(state: NetworkState) -> Self {
        let mut cores: Vec<(u8, Map<String, Value>)> = Vec::new();
        for stat in state.stats {
            let (Some(core), Some(name)) = (stat.core, stat.name.strip_prefix("net.")) else { continue };
            if cores.last().is_none_or(|(last, _)| *last != core) {
                cores.push((core, Map::new()));
            }
            if let Some((_, figures)) = cores.last_mut() {
                figures.insert(name.to_owned(), json!(stat.value.parse::<u64>().unwrap_or(0)));
            }
        }
        Self { cores, cards: state.cards, sockets: state.sockets }
    }

    /// `cores`: what each has counted; `cards` and `sockets`: lists.
    pub(crate) fn to_json(&self) -> Value {
        let cores: Vec<Value> = self
            .cores
            .iter()
            .map(|(core, figures)| {
                let mut figures = figures.clone();
                figures.insert("core".into(), json!(core));
                Value::Object(figures)
            })
            .collect();
        let sockets: Vec<Value> = self.sockets.iter().map(socket_to_json).collect();
        let cards: Vec<Value> = self.cards.iter().map(card_to_json).collect();
        json!({ "cores": cores, "cards": cards, "sockets": sockets })
    }

    /// Reads what [`Self::to_json`] wrote.
    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let core = |figures: &Value| {
            let mut figures = figures.as_object()?.clone();
            Some((u8::try_from(figures.remove("core")?.as_u64()?).ok()?, figures))
        };
        Some(Self {
            cores: json["cores"].as_array()?.iter().map(core).collect::<Option<_>>()?,
            cards: json["cards"].as_array()?.iter().map(card_from_json).collect::<Option<_>>()?,
            sockets: json["sockets"].as_array()?.iter().map(socket_from_json).collect::<Option<_>>()?,
        })
    }

    fn sum(&self, name: &str) -> u64 {
        self.cores.iter().filter_map(|(_, figures)| figures.get(name)?.as_u64()).sum()
    }

    /// For people: the cards, the sockets, then what was counted.
    pub(crate) fn lines(&self) -> Vec<String> {
        // As wide as any address of IPv4, and wider where there is one of IPv6.
        let ends = self.sockets.iter().flat_map(|socket| [Some(socket.local), socket.remote]).flatten();
        let width = ends.map(|end| end.to_string().len()).max().unwrap_or_default().max(21);
        let mut lines: Vec<String> = self.cards.iter().map(card_line).collect();
        lines.push(format!(
            "{:<5} {:<13} {:<width$} {:<width$} {:>8} {:>8} {:>6} {:>9} {:>9}  {}",
            "proto", "state", "local", "remote", "unread", "unsent", "again", "rtt", "window", "core"
        ));
        lines.extend(self.sockets.iter().map(|socket| line(socket, width)));
        let untold = self.sum("sockets").saturating_sub(self.sockets.len() as u64);
        if untold > 0 {
            lines.push(format!("and {untold} more"));
        }
        lines.push(format!(
            "connections: {} now, {} opened, {} beginning, {} remembered; segments sent again: {}; memory: {} KiB",
            self.sum("connections"),
            self.sum("connections_opened"),
            self.sum("handshakes"),
            self.sum("remembered"),
            self.sum("segments_retransmitted"),
            self.sum("memory_bytes").div_ceil(1024),
        ));
        let mut dropped = String::new();
        for (name, words) in DROPS {
            let count = self.sum(name);
            if count > 0 {
                let comma = if dropped.is_empty() { "" } else { ", " };
                let _infallible = write!(dropped, "{comma}{count} {words}");
            }
        }
        let dropped = if dropped.is_empty() { "none" } else { &dropped };
        lines.push(format!("frames received: {}; dropped: {dropped}", self.sum("frames_received")));
        lines
    }
}

fn card_line(card: &Card) -> String {
    let list = |texts: Vec<String>| if texts.is_empty() { "-".to_owned() } else { texts.join(" ") };
    let addresses = list(card.addresses.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")).collect());
    let gateways = list(card.gateways.iter().map(ToString::to_string).collect());
    let state = if card.up { "up" } else { "down" };
    format!("eth{} {state}, {}, mtu {}, address {addresses}, gateway {gateways}", card.number, card.mac, card.mtu_bytes)
}

fn line(socket: &Socket, width: usize) -> String {
    let tcp = socket.protocol == Protocol::Tcp && socket.remote.is_some();
    let of_connection = |text: String| if tcp { text } else { "-".to_owned() };
    let round_trip =
        if socket.round_trip_ns == 0 { "-".to_owned() } else { format!("{:.1} ms", socket.round_trip_ns as f64 / 1e6) };
    format!(
        "{:<5} {:<13} {:<width$} {:<width$} {:>8} {:>8} {:>6} {:>9} {:>9}  {}",
        socket.protocol.to_string(),
        socket.state,
        socket.local.to_string(),
        socket.remote.map_or("-".to_owned(), |remote| remote.to_string()),
        socket.unread,
        socket.unsent,
        of_connection(socket.retransmitted.to_string()),
        of_connection(round_trip),
        of_connection(socket.window_bytes.to_string()),
        socket.core,
    )
}

fn card_to_json(card: &Card) -> Value {
    json!({
        "name": format!("eth{}", card.number),
        "mac": card.mac.to_string(),
        "mtu": card.mtu_bytes,
        "up": card.up,
        "addresses": card.addresses.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")).collect::<Vec<_>>(),
        "gateways": card.gateways.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn card_from_json(json: &Value) -> Option<Card> {
    let texts = |name: &str| json[name].as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
    let address = |text: &str| {
        let (ip, prefix) = text.split_once('/')?;
        Some((ip.parse().ok()?, prefix.parse().ok()?))
    };
    Some(Card {
        number: json["name"].as_str()?.strip_prefix("eth")?.parse().ok()?,
        mac: Mac::parse(json["mac"].as_str()?)?,
        mtu_bytes: u32::try_from(json["mtu"].as_u64()?).ok()?,
        up: json["up"].as_bool()?,
        addresses: texts("addresses")?.into_iter().map(address).collect::<Option<_>>()?,
        gateways: texts("gateways")?.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?,
    })
}

fn socket_to_json(socket: &Socket) -> Value {
    json!({
        "core": socket.core,
        "protocol": socket.protocol.to_string(),
        "state": socket.state,
        "local": socket.local.to_string(),
        "remote": socket.remote.map(|remote| remote.to_string()),
        "unread": socket.unread,
        "unsent": socket.unsent,
        "retransmitted": socket.retransmitted,
        "round_trip_ns": socket.round_trip_ns,
        "window_bytes": socket.window_bytes,
    })
}

fn socket_from_json(json: &Value) -> Option<Socket> {
    let number = |name: &str| json[name].as_u64();
    Some(Socket {
        core: u8::try_from(number("core")?).ok()?,
        protocol: Protocol::parse(json["protocol"].as_str()?)?,
        state: json["state"].as_str()?.to_owned().into(),
        local: json["local"].as_str()?.parse().ok()?,
        remote: json["remote"].as_str().and_then(|remote| remote.parse().ok()),
        unread: number("unread")?,
        unsent: number("unsent")?,
        retransmitted: u32::try_from(number("retransmitted")?).ok()?,
        round_trip_ns: number("round_trip_ns")?,
        window_bytes: u32::try_from(number("window_bytes")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use toro_vmm::Stat;

    fn sockets() -> Sockets {
        let stat = |core, name: &str, value: &str| Stat { core: Some(core), name: name.into(), value: value.into() };
        let connection = Socket {
            core: 1,
            protocol: Protocol::Tcp,
            state: "established".into(),
            local: ([10, 0, 2, 15], 80).into(),
            remote: Some(([10, 0, 2, 2], 40404).into()),
            unread: 0,
            unsent: 1460,
            retransmitted: 2,
            round_trip_ns: 1_500_000,
            window_bytes: 14600,
        };
        let listener = Socket { state: "listen".into(), remote: None, round_trip_ns: 0, ..connection.clone() };
        Sockets::new(NetworkState {
            stats: vec![
                stat(0, "net.malformed", "3"),
                stat(0, "net.sockets", "1"),
                stat(1, "net.malformed", "4"),
                stat(1, "net.backlog_full", "1"),
                stat(1, "net.sockets", "5"),
            ],
            cards: vec![Card {
                number: 1,
                mac: Mac([0x52, 0x54, 0, 0, 0, 2]),
                mtu_bytes: 1500,
                up: false,
                addresses: vec![([10, 0, 3, 15].into(), 24)],
                gateways: vec![],
            }],
            sockets: vec![listener, connection],
        })
    }

    #[test]
    fn people_read_connections_and_why_packets_were_dropped() {
        let text = sockets().lines().join("\n");
        let parts = [
            "established   10.0.2.15:80",
            "1.5 ms",
            "and 4 more",
            "eth1 down, 52:54:00:00:00:02, mtu 1500, address 10.0.3.15/24, gateway -",
            "dropped: 7 malformed, 1 to a full listener",
        ];
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().any(|line| line.contains("listen") && line.contains(" - ")), "{text}");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut sockets = sockets();
        sockets.sockets[1].local = "[fd00:77::5054:ff:fe12:3456]:80".parse().unwrap();
        let lines = sockets.lines();
        let at = |line: &String, word| line.find(word);
        assert_eq!(at(&lines[0], "remote"), at(&lines[2], "10.0.2.2:40404"), "{lines:#?}");
        assert_eq!(at(&lines[0], "core"), lines[1].rfind('1'), "{lines:#?}");
    }

    #[test]
    fn json_is_read_back() {
        let json = sockets().to_json();
        assert_eq!((&json["cores"][1]["malformed"], &json["sockets"][1]["unsent"]), (&json!(4), &json!(1460)));
        assert_eq!(Sockets::from_json(&json).unwrap().to_json(), json);
        assert!(Sockets::from_json(&json!({})).is_none());
    }
}
