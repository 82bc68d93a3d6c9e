//! Control records: what the guest tells its host while it runs.

use crate::record::{field, number};
use core::fmt;
use core::net::IpAddr;

/// Transport protocol of a listening port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Reads its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            _ => None,
        }
    }
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
        /// See [`crate::REVISION`]; a record without it says 0.
        revision: u32,
    },
    /// The application listens.
    Listen {
        /// On TCP or UDP.
        protocol: Protocol,
        /// On this port.
        port: u16,
    },
    /// The guest has an address.
    Address {
        /// The address.
        ip: IpAddr,
        /// The default gateway, if there is one.
        gateway: Option<IpAddr>,
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
                revision: field(line, "revision").map_or(Some(0), |revision| number(revision)?.try_into().ok())?,
            }),
            "listen" => Some(Self::Listen {
                protocol: Protocol::parse(field(line, "proto")?.encoded())?,
                port: number(field(line, "port")?)?.try_into().ok()?,
            }),
            "address" => Some(Self::Address {
                ip: field(line, "ip")?.encoded().parse().ok()?,
                gateway: field(line, "gw").and_then(|gateway| gateway.encoded().parse().ok()),
            }),
            "stdin" => Some(Self::Stdin { room: number(field(line, "room")?)? }),
            _ => None,
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot { base, version, revision } => {
                write!(f, "event=boot base={base:#x} version={version} revision={revision}")
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
        let ip = IpAddr::from([10, 0, 2, 15]);
        let ip6 = "fd00::2".parse().unwrap();
        for control in [
            Control::Boot { base: 0xffff_8000_1234_0000, version: 1, revision: 1 },
            Control::Listen { protocol: Protocol::Tcp, port: 80 },
            Control::Listen { protocol: Protocol::Udp, port: 65535 },
            Control::Address { ip, gateway: Some([10, 0, 2, 2].into()) },
            Control::Address { ip, gateway: None },
            Control::Address { ip: ip6, gateway: "fe80::1".parse().ok() },
            Control::Stdin { room: 1024 },
        ] {
            assert_eq!(Control::parse(&control.to_string()), Some(control));
        }
    }

    #[test]
    fn a_guest_of_the_first_revision_does_not_name_it() {
        let boot = Control::Boot { base: 0x1000, version: 1, revision: 0 };
        assert_eq!(Control::parse("event=boot base=0x1000 version=1"), Some(boot));
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
