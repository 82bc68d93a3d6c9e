//! What a running guest tells of itself, in the words in which its user is told: where it can be reached, above all.

use crate::background::Background;
use crate::ui;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use toro_abi::FIXED_BASE;
use toro_abi::control::{Control, Protocol};
use toro_vmm::{Guest, Network, Port};

/// What the guest has told of itself, and what of it the user has been told.
pub(crate) struct News<'a> {
    guest: &'a Guest,
    network: &'a Network,
    /// Symbols for a debugger that waits.
    gdb: Option<&'a Path>,
    background: Option<&'a Background>,
    ready_after: Option<Duration>,
    /// The first that came.
    address: Option<IpAddr>,
    /// Ports that wait for an address, on a network where the guest is reached by its own.
    unannounced: Vec<(Protocol, u16)>,
}

impl<'a> News<'a> {
    /// Nothing has been told yet.
    pub(crate) fn new(
        guest: &'a Guest,
        network: &'a Network,
        gdb: Option<&'a Path>,
        background: Option<&'a Background>,
    ) -> Self {
        Self { guest, network, gdb, background, ready_after: None, address: None, unannounced: Vec::new() }
    }

    /// When it could first be reached.
    pub(crate) fn ready_after(&self) -> Option<Duration> {
        self.ready_after
    }

    /// Tells what is new.
    pub(crate) fn tell(&mut self, controls: &[(Duration, Control)]) {
        for (after, control) in controls {
            match *control {
                Control::Listen { protocol, port } if matches!(self.network, Network::Tap(_)) => {
                    self.unannounced.push((protocol, port));
                }
                Control::Listen { protocol, port } => {
                    let is_wanted = |p: &&Port| p.guest == port && p.protocol == protocol;
                    let mut published = self.guest.ports().iter().filter(is_wanted).peekable();
                    if *self.network == Network::None {
                        let text = format!("listening on guest port {}, without a network", numbered(protocol, port));
                        ui::note(text, Some("nobody outside reaches it; leave --net none out"));
                    } else if published.peek().is_none() {
                        let text = format!("listening on guest port {}, not published", numbered(protocol, port));
                        ui::note(text, Some(&format!("to reach it, add -p {}", suggestion(protocol, port))));
                    }
                    for Port { host, .. } in published {
                        let url = url(protocol, port, host);
                        self.ready(*after, format_args!("{url} -> guest :{port}"));
                    }
                }
                Control::Address { ip, .. } if self.address.is_none_or(|known| known.is_ipv4() == ip.is_ipv4()) => {
                    self.address = Some(ip);
                }
                Control::Address { .. } => {}
                Control::Stdin { .. } => {}
                Control::Boot { base, .. } => {
                    if let Some(symbols) = self.gdb
                        && base != FIXED_BASE
                    {
                        ui::note(format_args!("in gdb: symbol-file {} -o {base:#x}", symbols.display()), None);
                    }
                }
            }
            if let Some(ip) = self.address {
                for (protocol, port) in std::mem::take(&mut self.unannounced) {
                    self.ready(*after, url(protocol, port, &SocketAddr::new(ip, port)));
                }
            }
        }
        if let Some(background) = self.background {
            background.heard(controls);
        }
    }

    fn ready(&mut self, after: Duration, what: impl std::fmt::Display) {
        let line = format!("{what} ({} ms)", after.as_millis());
        ui::ready(&line);
        if let Some(background) = self.background {
            background.ready(&line);
        }
        self.ready_after.get_or_insert(after);
    }
}

/// An address as it can be clicked on, where the port says what speaks there.
fn url(protocol: Protocol, guest_port: u16, host: &dyn std::fmt::Display) -> String {
    match (protocol, guest_port) {
        (Protocol::Tcp, 80 | 3000 | 8000 | 8080) => format!("http://{host}"),
        (Protocol::Tcp, 443 | 8443) => format!("https://{host}"),
        (Protocol::Tcp, _) => format!("{host}"),
        (Protocol::Udp, _) => format!("udp {host}"),
    }
}

/// `80`, or `53/udp`.
fn numbered(protocol: Protocol, port: u16) -> String {
    let suffix = if protocol == Protocol::Udp { "/udp" } else { "" };
    format!("{port}{suffix}")
}

/// What publishes a port of the guest: on the same port of the host, where a user who is not root may take it.
fn suggestion(protocol: Protocol, port: u16) -> String {
    let host = if port < 1024 { u32::from(port) + 8000 } else { u32::from(port) };
    format!("{host}:{}", numbered(protocol, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_what_the_port_is_known_for() {
        assert_eq!(url(Protocol::Tcp, 80, &"127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(url(Protocol::Tcp, 6379, &"127.0.0.1:1"), "127.0.0.1:1");
        assert_eq!(url(Protocol::Udp, 80, &"127.0.0.1:1"), "udp 127.0.0.1:1");
    }

    #[test]
    fn a_port_that_is_not_published_is_told_with_the_option() {
        assert_eq!(suggestion(Protocol::Tcp, 80), "8080:80");
        assert_eq!(suggestion(Protocol::Udp, 5353), "5353:5353/udp");
    }
}
