//! The command line: `key=value` words, separated by spaces, values percent-encoded.
//!
//! The guest reads it twice without copying: once in [`CommandLine::check`], which finds what is malformed, then key by
//! key. The host writes it with [`Builder`]. Keys that hold one value: the last one wins. Lists (`arg`, `env`) keep order.

use crate::network::{Address, Address6, CARDS_MAX, Ipv4};
use crate::percent::{self, Value};
use crate::policy::Policy;
use crate::power::{Idle, Mode};
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// Random token that marks the guest's stream switches; without it the console is plain text.
pub const TOKEN: &str = "toro.token";
/// Rate of the time-stamp counter, in kHz.
pub const TSC_KHZ: &str = "tsc_khz";
/// Wall clock at the start of the VM, nanoseconds since 1970 in UTC.
pub const EPOCH_NS: &str = "epoch_ns";
/// `A.B.C.D/P`, `dhcp` or `none`.
pub const IP: &str = "ip";
/// Default gateway.
pub const GATEWAY: &str = "gw";
/// `X:X::X/P`, `auto` or `none`.
pub const IP6: &str = "ip6";
/// Default gateway of IPv6.
pub const GATEWAY6: &str = "gw6";
/// As [`IP`], [`GATEWAY`], [`IP6`] and [`GATEWAY6`], of each network card.
pub const OF_CARD: [[&str; 4]; CARDS_MAX] = [
    [IP, GATEWAY, IP6, GATEWAY6],
    ["eth1.ip", "eth1.gw", "eth1.ip6", "eth1.gw6"],
    ["eth2.ip", "eth2.gw", "eth2.ip6", "eth2.gw6"],
    ["eth3.ip", "eth3.gw", "eth3.ip6", "eth3.gw6"],
];
/// Name server; repeated, in the order in which they are asked.
pub const DNS: &str = "dns";
/// A domain in which short names are looked for; repeated.
pub const SEARCH: &str = "search";
/// A name and its address, `NAME:ADDRESS`; repeated.
pub const HOST: &str = "host";
/// What the guest calls itself.
pub const HOSTNAME: &str = "hostname";
/// Log filter: a level, or a list `module=level,...`.
pub const LOG: &str = "log";
/// One argument; repeated, in order, the program's name first.
pub const ARG: &str = "arg";
/// One environment variable `K=V`; repeated.
pub const ENV: &str = "env";
/// `off` keeps the image at a fixed virtual base, for debuggers.
pub const KASLR: &str = "kaslr";
/// `1` when the host forwards standard input.
pub const STDIN: &str = "stdin";
/// The program that the Linux personality runs: its path in the boot module, from the root.
pub const EXEC: &str = "exec";
/// The directory that it begins in.
pub const WORKDIR: &str = "workdir";
/// `1`: each of its system calls is printed.
pub const STRACE: &str = "strace";
/// How the machine trades processor time for latency: a [`Mode`]'s name.
pub const POWER: &str = "power";
/// Which instruction cores sleep by: an [`Idle`]'s name.
pub const IDLE: &str = "idle";
/// `1` has the machine tell at its end what it has counted.
pub const STATS: &str = "stats";
/// A port of the guest that the host lets others reach; repeated.
pub const PUBLISH: &str = "publish";
/// What a fault comes to that nobody catches: a [`Policy`]'s name.
pub const FAULT: &str = "fault";
/// A virtio-mmio device, as QEMU and Firecracker announce it.
pub const VIRTIO_MMIO: &str = "virtio_mmio.device";
/// `off`: do not look for devices on PCI. Firecracker says so.
pub const PCI: &str = "pci";

const KNOWN: [&str; 22] = [
    ARG,
    ENV,
    VIRTIO_MMIO,
    TOKEN,
    TSC_KHZ,
    EPOCH_NS,
    LOG,
    DNS,
    SEARCH,
    HOST,
    HOSTNAME,
    KASLR,
    STDIN,
    PCI,
    FAULT,
    EXEC,
    WORKDIR,
    STRACE,
    POWER,
    IDLE,
    STATS,
    PUBLISH,
];

/// The text embedded in the image, then the text that the VMM passed.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    embedded: &'a str,
    given: &'a str,
}

/// A word that cannot be what its author meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// The word as it stands on the command line.
    pub word: &'a str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for Malformed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: `{}`: {}", self.word, self.reason)
    }
}

impl<'a> CommandLine<'a> {
    /// A command line without an embedded part.
    pub const fn new(given: &'a str) -> Self {
        Self { embedded: "", given }
    }

    /// The embedded text is read first: what the VMM gives overrides single values and appends to lists, but
    /// arguments replace the embedded ones as a whole.
    pub const fn with_embedded(embedded: &'a str, given: &'a str) -> Self {
        Self { embedded, given }
    }

    /// All words in order, as key and encoded value. A bare word has an empty value.
    pub fn words(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        split(self.embedded).chain(split(self.given))
    }

    /// The value of a key that holds one: the last that was given.
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        last(self.given, key).or_else(|| last(self.embedded, key))
    }

    /// The values of a list, in order.
    pub fn all(self, key: &str) -> impl Iterator<Item = Value<'a>> + Clone {
        let replaced = key == ARG && last(self.given, key).is_some();
        let embedded = if replaced { "" } else { self.embedded };
        split(embedded)
            .chain(split(self.given))
            .filter(move |(word, _)| *word == key)
            .filter_map(|(_, value)| Value::new(value).ok())
    }

    /// The first malformed word, if any: a bad escape, an empty key, or a value that its key cannot have.
    pub fn check(self) -> Result<(), Malformed<'a>> {
        for text in [self.embedded, self.given] {
            for word in text.split_ascii_whitespace() {
                let (key, value) = word.split_once('=').unwrap_or((word, ""));
                check_word(key, value).map_err(|reason| Malformed { word, reason })?;
            }
        }
        Ok(())
    }

    /// Keys that this version does not know, worth a warning: they may be for another kernel, or misspelt.
    pub fn unknown(self) -> impl Iterator<Item = &'a str> {
        self.words().map(|(key, _)| key).filter(|key| !is_known(key))
    }

    /// `ip=` of a network card: a static address, DHCP or nothing.
    pub fn address(self, card: usize) -> Option<Address> {
        let [ip, ..] = OF_CARD.get(card)?;
        Address::parse(self.get(ip)?.encoded())
    }

    /// `gw=` of a network card.
    pub fn gateway(self, card: usize) -> Option<Ipv4> {
        let [_, gateway, ..] = OF_CARD.get(card)?;
        Ipv4::parse(self.get(gateway)?.encoded())
    }

    /// `ip6=` of a network card: a static address, what routers say, or nothing.
    pub fn address6(self, card: usize) -> Option<Address6> {
        let [_, _, ip, _] = OF_CARD.get(card)?;
        Address6::parse(self.get(ip)?.encoded())
    }

    /// `gw6=` of a network card.
    pub fn gateway6(self, card: usize) -> Option<Ipv6Addr> {
        let [.., gateway] = OF_CARD.get(card)?;
        self.get(gateway)?.encoded().parse().ok()
    }

    /// `fault=`.
    pub fn policy(self) -> Policy {
        self.get(FAULT).and_then(|value| Policy::parse(value.encoded())).unwrap_or_default()
    }

    /// `tsc_khz=`.
    pub fn tsc_khz(self) -> Option<u64> {
        self.get(TSC_KHZ)?.encoded().parse().ok()
    }

    /// `epoch_ns=`.
    pub fn epoch_ns(self) -> Option<u64> {
        self.get(EPOCH_NS)?.encoded().parse().ok()
    }

    /// The virtio-mmio devices that the VMM announces.
    pub fn virtio_mmio(self) -> impl Iterator<Item = MmioDevice> + Clone {
        self.all(VIRTIO_MMIO).filter_map(|value| MmioDevice::parse(value.encoded()))
    }
}

/// Where the VMM put a virtio-mmio device: `512@0xfeb00e00:12` or `4K@0xc0001000:5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioDevice {
    /// Physical address of its registers.
    pub base: u64,
    /// Length of its registers.
    pub len_bytes: u64,
    /// Its global system interrupt.
    pub gsi: u32,
}

impl MmioDevice {
    fn parse(text: &str) -> Option<Self> {
        let (len, rest) = text.split_once('@')?;
        let mut parts = rest.split(':');
        let base = u64::from_str_radix(parts.next()?.strip_prefix("0x")?, 16).ok()?;
        let gsi = parts.next()?.parse().ok()?;
        let (digits, unit) = match len.as_bytes().last()? {
            b'K' | b'k' => (&len[..len.len() - 1], 1024),
            _ => (len, 1),
        };
        Some(Self { base, len_bytes: digits.parse::<u64>().ok()?.checked_mul(unit)?, gsi })
    }
}

/// Whether this version knows `key`.
pub fn is_known(key: &str) -> bool {
    KNOWN.contains(&key) || OF_CARD.as_flattened().contains(&key)
}

/// Whether a key is the one at that place of some network card's.
fn is_of_card(key: &str, place: usize) -> bool {
    OF_CARD.iter().any(|keys| keys[place] == key)
}

fn split(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    text.split_ascii_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")))
}

fn last<'a>(text: &'a str, key: &str) -> Option<Value<'a>> {
    split(text).filter(|(word, _)| *word == key).last().and_then(|(_, value)| Value::new(value).ok())
}

fn check_word(key: &str, value: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("no key before `=`");
    }
    let value = Value::new(value).map_err(|_| "`%` needs two hexadecimal digits after it")?;
    let text = value.encoded();
    let (fine, reason) = match key {
        TOKEN => (crate::console::Token::parse(text).is_some(), "expected 16 hexadecimal digits"),
        TSC_KHZ => (text.parse::<u64>().is_ok_and(|khz| khz > 0), "expected a number of kHz"),
        EPOCH_NS => (text.parse::<u64>().is_ok(), "expected nanoseconds since 1970"),
        DNS => (text.parse::<IpAddr>().is_ok(), "expected an IP address"),
        key if is_of_card(key, 0) => (Address::parse(text).is_some(), "expected A.B.C.D/PREFIX, dhcp or none"),
        key if is_of_card(key, 1) => (Ipv4::parse(text).is_some(), "expected an IPv4 address"),
        key if is_of_card(key, 2) => {
            (Address6::parse(text).is_some(), "expected an IPv6 address with /PREFIX, auto or none")
        }
        key if is_of_card(key, 3) => (text.parse::<Ipv6Addr>().is_ok(), "expected an IPv6 address"),
        HOST => (
            text.split_once(':').is_some_and(|(name, ip)| !name.is_empty() && ip.parse::<IpAddr>().is_ok()),
            "expected NAME:ADDRESS",
        ),
        KASLR => (matches!(text, "on" | "off"), "expected on or off"),
        STDIN | STRACE | STATS => (matches!(text, "0" | "1"), "expected 0 or 1"),
        EXEC | WORKDIR => (text.starts_with('/'), "expected a path that begins with `/`"),
        POWER => (Mode::parse(text).is_some(), "expected latency, balanced, saving or spin"),
        IDLE => (Idle::parse(text).is_some(), "expected auto, halt or mwait"),
        ENV => (value.bytes().position(|byte| byte == b'=').is_some_and(|at| at > 0), "expected NAME%3dVALUE"),
        VIRTIO_MMIO => (MmioDevice::parse(text).is_some(), "expected SIZE@0xADDRESS:INTERRUPT"),
        _ => (true, ""),
    };
    if fine { Ok(()) } else { Err(reason) }
}

/// Writes a command line, word by word.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    text: String,
}

impl Builder {
    /// An empty command line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `key=value`, with the value encoded.
    pub fn push(&mut self, key: &str, value: impl AsRef<[u8]>) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(key);
        self.text.push('=');
        self.text.push_str(&percent::encode(value.as_ref()));
        self
    }

    /// Appends one environment variable.
    pub fn push_env(&mut self, name: &str, value: &str) -> &mut Self {
        self.push(ENV, alloc::format!("{name}={value}"))
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The finished text.
    pub fn into_string(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn texts<'a>(values: impl Iterator<Item = Value<'a>>) -> Vec<String> {
        values.map(Value::to_text).collect()
    }

    #[test]
    fn what_the_builder_writes_is_read_back() {
        let mut builder = Builder::new();
        builder.push(ARG, "web server").push(ARG, "").push(ARG, "--port=80").push_env("HOME", "/ a=b");
        let text = builder.into_string();
        let line = CommandLine::new(&text);
        assert_eq!(line.check(), Ok(()));
        assert_eq!(texts(line.all(ARG)), ["web server", "", "--port=80"]);
        assert_eq!(texts(line.all(ENV)), ["HOME=/ a=b"]);
    }

    #[test]
    fn the_last_value_wins_and_the_vmm_overrides_the_image() {
        let line =
            CommandLine::with_embedded("log=info ip=dhcp env=A%3D1 arg=app arg=x", "log=warn log=debug env=B%3D2");
        assert_eq!(line.get(LOG).unwrap().encoded(), "debug");
        assert_eq!(line.address(0), Some(Address::Dhcp));
        assert_eq!(texts(line.all(ENV)), ["A=1", "B=2"]);
        assert_eq!(texts(line.all(ARG)), ["app", "x"]);
    }

    #[test]
    fn given_arguments_replace_the_embedded_ones() {
        let line = CommandLine::with_embedded("arg=app arg=x", "arg=app arg=y");
        assert_eq!(texts(line.all(ARG)), ["app", "y"]);
    }

    #[test]
    fn devices_of_qemu_and_firecracker_are_found() {
        let text = " virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=4K@0xc0001000:5";
        let devices: Vec<_> = CommandLine::new(text).virtio_mmio().collect();
        assert_eq!(devices[0], MmioDevice { base: 0xfeb0_0e00, len_bytes: 512, gsi: 12 });
        assert_eq!(devices[1], MmioDevice { base: 0xc000_1000, len_bytes: 4096, gsi: 5 });
    }

    #[test]
    fn malformed_words_are_named() {
        for text in [
            "arg=%2",
            "=x",
            "ip=1.2.3",
            "ip=1.2.3.4/33",
            "gw=1.2.3.400",
            "ip6=fd00::2",
            "ip6=dhcp",
            "gw6=10.0.0.1",
            "dns=1.2.3",
            "host=a:1.2.3",
            "host=:fd00::1",
            "tsc_khz=0",
            "tsc_khz=fast",
            "epoch_ns=-1",
            "toro.token=12",
            "kaslr=no",
            "stdin=yes",
            "strace=",
            "exec=",
            "exec=app",
            "workdir=tmp",
            "stats=all",
            "power=fast",
            "idle=deep",
            "env=HOME",
            "env=%3Dx",
            "virtio_mmio.device=512",
        ] {
            let error = CommandLine::new(text).check().unwrap_err();
            assert_eq!(error.word, text);
        }
    }

    #[test]
    fn addresses_of_ipv6_are_read() {
        let line = CommandLine::new("ip6=fd00::2/64 gw6=fe80::1 dns=fd00::53 dns=10.0.0.1 host=six:fd00::7");
        assert_eq!(line.check(), Ok(()));
        assert_eq!(line.address6(0), Address6::parse("fd00::2/64"));
        assert_eq!(line.gateway6(0), "fe80::1".parse().ok());
    }

    #[test]
    fn unknown_words_are_only_reported() {
        let line = CommandLine::new("quiet reboot=k log=info");
        assert_eq!(line.check(), Ok(()));
        assert_eq!(line.unknown().collect::<Vec<_>>(), ["quiet", "reboot"]);
    }
}
