//! Control records: what the guest tells its host while it runs.

use crate::network::Ipv4;
use crate::record::{field, number};
use core::fmt;

/// Transport protocol of a listening port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One control record. `Display` writes the line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The kernel runs, at this virtual base, and speaks this version.
    Boot {
        /// Virtual base of the image: an address less this is the address in the ELF.
        base: u64,
        /// See [`crate::VERSION`].
        version: u32,
    },
    /// The application listens.
    Listen {
        /// On TCP or UDP.
        protocol: Protocol,
        /// On this port.
        port: u16,
    },
    /// The network is configured.
    Address {
        /// The guest's address.
        ip: Ipv4,
        /// Its default gateway, if it has one.
        gateway: Option<Ipv4>,
    },
    /// The host may send this many bytes of standard input more.
    Stdin {
        /// Bytes.
        room: u64,
    },
}

impl Control {
    /// Reads a line; `None` for an event of a later version.
    pub fn parse(line: &str) -> Option<Self> {
        match field(line, "event")?.encoded() {
            "boot" => Some(Self::Boot {
                base: number(field(line, "base")?)?,
                version: number(field(line, "version")?)?.try_into().ok()?,
            }),
            "listen" => Some(Self::Listen {
                protocol: match field(line, "proto")?.encoded() {
                    "tcp" => Protocol::Tcp,
                    "udp" => Protocol::Udp,
                    _ => return None,
                },
                port: number(field(line, "port")?)?.try_into().ok()?,
            }),
            "address" => Some(Self::Address {
                ip: Ipv4::parse(field(line, "ip")?.encoded())?,
                gateway: field(line, "gw").and_then(|gateway| Ipv4::parse(gateway.encoded())),
            }),
            "stdin" => Some(Self::Stdin { room: number(field(line, "room")?)? }),
            _ => None,
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot { base, version } => {
                write!(f, "event=boot base={base:#x} version={version}")
            }
            Self::Listen { protocol, port } => {
                write!(f, "event=listen proto={protocol} port={port}")
            }
            Self::Address { ip, gateway: Some(gateway) } => write!(f, "event=address ip={ip} gw={gateway}"),
            Self::Address { ip, gateway: None } => write!(f, "event=address ip={ip}"),
            Self::Stdin { room } => write!(f, "event=stdin room={room}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_record_is_read_as_it_was_written() {
        let ip = Ipv4([10, 0, 2, 15]);
        for control in [
            Control::Boot { base: 0xffff_8000_1234_0000, version: 1 },
            Control::Listen { protocol: Protocol::Tcp, port: 80 },
            Control::Listen { protocol: Protocol::Udp, port: 65535 },
            Control::Address { ip, gateway: Some(Ipv4([10, 0, 2, 2])) },
            Control::Address { ip, gateway: None },
            Control::Stdin { room: 1024 },
        ] {
            assert_eq!(Control::parse(&control.to_string()), Some(control));
        }
    }

    #[test]
    fn what_is_not_understood_is_no_record() {
        for line in [
            "",
            "event=later x=1",
            "event=listen proto=tcp",
            "event=listen proto=sctp port=1",
            "event=listen proto=tcp port=65536",
        ] {
            assert_eq!(Control::parse(line), None, "{line}");
        }
    }
}
