//! What is meant: options over `[package.metadata.toro]` over defaults.

use crate::application::Application;
use crate::args::RunArgs;
use crate::background::names;
use crate::metadata::{Metadata, of};
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toro_abi::network::{Address, Address6, Ipv4, Mac};
use toro_abi::policy::Policy;
use toro_vmm::{Accelerator, Error, Machine, MachineType, Mode, Network, NetworkCard, Port};

/// The port that `--gdb` opens.
pub(crate) const GDB_PORT: u16 = 1234;

/// All settings of a run, decided.
#[derive(Debug)]
pub(crate) struct Config {
    /// `None` leaves it to what is run.
    pub memory_bytes: Option<u64>,
    pub cpus: u32,
    pub ports: Vec<Port>,
    pub environment: Vec<(String, String)>,
    pub arguments: Vec<String>,
    pub name: Option<String>,
    pub machine_type: MachineType,
    pub accelerator: Accelerator,
    /// One at least, though it may be none.
    pub cards: Vec<NetworkCard>,
    pub name_servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub hosts: Vec<(String, IpAddr)>,
    pub log: String,
    pub power: Option<Mode>,
    pub fault: Option<Policy>,
    pub stats: bool,
    pub boot_timeline: bool,
    pub timeout: Option<Duration>,
    pub core: Option<PathBuf>,
    pub pcap: Option<PathBuf>,
}

impl Config {
    /// The settings of `toro run`.
    pub(crate) fn new(args: &RunArgs, application: &Application) -> Result<Self, Error> {
        let metadata = Metadata::new(application.metadata())?;
        let nothing = Metadata::new(None)?;
        let mut cards = metadata.settings(&args.net, "net", parse_card)?;
        if cards.is_empty() {
            cards.push(NetworkCard::default());
        }
        // What the author published is for the network that he meant; a user who chose another would be refused.
        let forwards = cards.iter().any(|card| card.network == Network::User);
        let ports: Result<Vec<_>, _> = match args.publish.is_empty() && forwards {
            true => metadata.list("publish")?.iter().map(|port| Port::parse(port).map_err(of("publish"))).collect(),
            false => args.publish.iter().map(|port| Port::parse(port)).collect(),
        };
        // The author's address is for a network, too, and the author's gateway belongs to the author's address.
        let has_network = cards.first().is_some_and(|card| card.network != Network::None);
        let by_author = if has_network { &metadata } else { &nothing };
        let by_author4 = if args.ip.is_some() { &nothing } else { by_author };
        let by_author6 = if args.ip6.is_some() { &nothing } else { by_author };
        let address = by_author4.setting(args.ip.as_ref(), "ip", parse_address)?;
        let gateway = by_author4.setting(args.gateway.as_ref(), "gateway", parse_gateway)?;
        let address6 = by_author6.setting(args.ip6.as_ref(), "ip6", parse_address6)?;
        let gateway6 = by_author6.setting(args.gateway6.as_ref(), "gateway6", parse_gateway6)?;
        let arguments = if args.arguments().is_empty() { metadata.list("args")? } else { args.arguments().to_vec() };
        let mut environment = application.environment();
        for (name, value) in metadata.environment()? {
            set_to(&name, Some(value), &mut environment).map_err(of("env"))?;
        }
        for file in &args.env_file {
            read_env_file(file, &mut environment)?;
        }
        for setting in &args.env {
            set_variable(setting, &mut environment)?;
        }
        if let [first, ..] = &mut cards[..] {
            let is_own = [
                first.address.is_some() || first.gateway.is_some(),
                first.address6.is_some() || first.gateway6.is_some(),
            ];
            let is_typed = [args.ip.is_some() || args.gateway.is_some(), args.ip6.is_some() || args.gateway6.is_some()];
            if is_own.into_iter().zip(is_typed).any(|(own, typed)| own && typed) {
                return Err(
                    Error::new("the address of eth0 is given twice").help("by --net, or by --ip, --ip6 and the like")
                );
            }
            // The author's belongs to the author's network.
            if !is_own[0] {
                (first.address, first.gateway) = (address, gateway);
            }
            if !is_own[1] {
                (first.address6, first.gateway6) = (address6, gateway6);
            }
        }
        Ok(Self {
            memory_bytes: metadata.setting(args.memory.as_ref(), "memory", parse_memory)?,
            cpus: metadata.setting(args.cpus.as_ref(), "cpus", parse_cpus)?.unwrap_or(1),
            ports: ports?,
            environment,
            arguments,
            name: metadata.setting(args.name.as_ref(), "name", parse_name)?,
            machine_type: metadata.setting(args.machine.as_ref(), "machine", parse_machine)?.unwrap_or_default(),
            accelerator: metadata
                .setting(args.accel.as_ref(), "accel", parse_accelerator)?
                .unwrap_or(Accelerator::Auto),
            cards,
            name_servers: args.dns.iter().map(|text| parse_name_server(text)).collect::<Result<_, _>>()?,
            search: args.dns_search.clone(),
            hosts: args.add_host.iter().map(|text| parse_host(text)).collect::<Result<_, _>>()?,
            log: metadata.setting(args.log.as_ref(), "log", parse_log)?.unwrap_or_else(|| "warn".into()),
            power: metadata.setting(args.power.as_ref(), "power", parse_power)?,
            fault: metadata.setting(args.fault.as_ref(), "fault", parse_policy)?,
            stats: args.stats,
            boot_timeline: args.boot_timeline,
            timeout: metadata.setting(args.timeout.as_ref(), "timeout", parse_timeout)?,
            core: args.core.clone(),
            pcap: args.pcap.clone(),
        })
    }

    /// The network by which the host reaches the guest: one that forwards ports, if there is one.
    pub(crate) fn network(&self) -> &Network {
        let forwards = self.cards.iter().find(|card| card.network == Network::User);
        forwards.or(self.cards.first()).map_or(&Network::None, |card| &card.network)
    }

    /// Whether a variable gets its value here.
    pub(crate) fn sets(&self, variable: &str) -> bool {
        self.environment.iter().any(|(name, _)| name == variable)
    }

    /// The machine that these settings describe; the files of a Linux program are yet to be packed.
    pub(crate) fn machine(&self, args: &RunArgs, application: &Application) -> Result<Machine, Error> {
        let mut machine = application.machine(&self.arguments)?;
        machine.memory_bytes = self.memory_bytes.unwrap_or(machine.memory_bytes);
        machine.cpus = self.cpus;
        machine.ports = self.ports.clone();
        machine.environment = self.environment.clone();
        machine.name = self.name.clone();
        machine.machine_type = self.machine_type;
        machine.accelerator = self.accelerator;
        if let [first, further @ ..] = &self.cards[..] {
            (machine.eth0, machine.further_cards) = (first.clone(), further.to_vec());
        }
        machine.name_servers = self.name_servers.clone();
        machine.search = self.search.clone();
        machine.hosts = self.hosts.clone();
        machine.log = Some(self.log.clone());
        machine.power = self.power;
        machine.fault = self.fault;
        machine.stats = self.stats || self.boot_timeline;
        machine.core = self.core.clone();
        machine.pcap = self.pcap.clone();
        machine.gdb_port = args.gdb.then_some(GDB_PORT);
        if let Some(program) = &mut machine.program {
            program.strace = args.strace;
        }
        Ok(machine)
    }
}

/// Applies `K=V`, or `K` of this environment, which is left out when it is not set.
pub(crate) fn set_variable(setting: &str, environment: &mut Vec<(String, String)>) -> Result<(), Error> {
    let (name, value) = match setting.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => match std::env::var(setting) {
            Ok(value) => (setting, Some(value)),
            Err(std::env::VarError::NotPresent) => (setting, None),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Error::new(format!("cannot pass variable {setting}: its value is not UTF-8")));
            }
        },
    };
    if name.is_empty() {
        return Err(no_variable(&format!("`{setting}`: it has no name")));
    }
    set_to(name, value, environment)
}

fn set_to(name: &str, value: Option<String>, environment: &mut Vec<(String, String)>) -> Result<(), Error> {
    if name.is_empty() || name.contains('=') {
        return Err(no_variable(&format!("`{name}`: it is no name")));
    }
    // Nobody means `export A=1` or `A = 1` as it would be taken.
    if name.contains(char::is_whitespace) {
        return Err(no_variable(&format!("`{name}`: there is a space in its name")));
    }
    environment.retain(|(known, _)| known != name);
    environment.extend(value.map(|value| (name.to_owned(), value)));
    Ok(())
}

fn no_variable(why: &str) -> Error {
    Error::new(format!("cannot set variable {why}")).help("-e NAME=VALUE")
}

fn read_env_file(file: &Path, environment: &mut Vec<(String, String)>) -> Result<(), Error> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::new(format!("cannot read {}: {error}", file.display()))
            .help("--env-file takes a file of UTF-8 text, one NAME=VALUE or NAME a line")
    })?;
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.into_iter().try_for_each(|line| set_variable(line, environment))
}

/// In the foreground, too: it is the guest's host name there as well.
fn parse_name(name: &str) -> Result<String, Error> {
    names::check(name).map(|()| name.to_owned())
}

pub(crate) fn parse_memory(text: &str) -> Result<u64, Error> {
    let wrong =
        || Error::new(format!("cannot use memory size `{text}`")).help("a number with K, M or G, for example -m 64M");
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, shift) = match lower.chars().last() {
        Some('k') => (&lower[..lower.len() - 1], 10),
        Some('m') => (&lower[..lower.len() - 1], 20),
        Some('g') => (&lower[..lower.len() - 1], 30),
        _ => (lower, 0),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)).ok_or_else(wrong)?;
    if bytes < toro_vmm::machine::MEMORY_BYTES_MIN {
        return Err(Error::new(format!("cannot use memory size `{text}`: 2 MiB at least")).help("-m 2M"));
    }
    Ok(bytes)
}

fn parse_cpus(text: &str) -> Result<u32, Error> {
    let wrong = || Error::new(format!("cannot use `{text}` processors")).help("--cpus takes a number from 1 to 64");
    text.parse().ok().filter(|cpus| (1..=64).contains(cpus)).ok_or_else(wrong)
}

fn parse_machine(text: &str) -> Result<MachineType, Error> {
    let names = MachineType::ALL.map(MachineType::name).join(", ");
    MachineType::parse(text)
        .ok_or_else(|| Error::new(format!("there is no machine `{text}`")).help(format!("--machine takes {names}")))
}

pub(crate) fn parse_accelerator(text: &str) -> Result<Accelerator, Error> {
    let all = [Accelerator::Auto, Accelerator::Tcg, Accelerator::Kvm];
    all.into_iter()
        .find(|accelerator| accelerator.name() == text)
        .ok_or_else(|| Error::new(format!("there is no accelerator `{text}`")).help("--accel takes auto, tcg or kvm"))
}

fn parse_network(text: &str) -> Result<Network, Error> {
    match text.split_once(':') {
        None if text == "user" => Ok(Network::User),
        None if text == "none" => Ok(Network::None),
        Some(("tap", name)) if !name.is_empty() => Ok(Network::Tap(name.into())),
        _ => Err(Error::new(format!("there is no network `{text}`")).help("--net takes user, tap:NAME or none")),
    }
}

/// `NETWORK[,ip=..][,gateway=..][,ip6=..][,gateway6=..][,mac=..]`.
fn parse_card(text: &str) -> Result<NetworkCard, Error> {
    let mut parts = text.split(',');
    let mut card = NetworkCard { network: parse_network(parts.next().unwrap_or_default())?, ..NetworkCard::default() };
    for part in parts {
        match part.split_once('=').unwrap_or((part, "")) {
            ("ip", value) => card.address = Some(parse_address(value)?),
            ("gateway", value) => card.gateway = Some(parse_gateway(value)?),
            ("ip6", value) => card.address6 = Some(parse_address6(value)?),
            ("gateway6", value) => card.gateway6 = Some(parse_gateway6(value)?),
            ("mac", value) => card.mac = Some(parse_mac(value)?),
            _ => {
                return Err(Error::new(format!("a network card has no setting `{part}`"))
                    .help("for example --net tap:tap1,ip=10.0.1.15/24,gateway=10.0.1.1,mac=52:54:00:00:00:02"));
            }
        }
    }
    Ok(card)
}

fn parse_mac(text: &str) -> Result<Mac, Error> {
    Mac::parse(text).ok_or_else(|| {
        Error::new(format!("cannot use hardware address `{text}`"))
            .help("mac= takes that of one card, for example 52:54:00:00:00:02")
    })
}

fn parse_address(text: &str) -> Result<Address, Error> {
    Address::parse(text).ok_or_else(|| {
        Error::new(format!("cannot use address `{text}`"))
            .help("--ip takes A.B.C.D/P, for example 10.0.0.15/24, or dhcp")
    })
}

fn parse_address6(text: &str) -> Result<Address6, Error> {
    Address6::parse(text).ok_or_else(|| {
        Error::new(format!("cannot use address `{text}`"))
            .help("--ip6 takes an address with its prefix, for example fd00::15/64, auto or none")
    })
}

fn parse_gateway6(text: &str) -> Result<Ipv6Addr, Error> {
    text.parse().map_err(|_| {
        Error::new(format!("cannot use gateway `{text}`")).help("--gateway6 takes an address, for example fd00::1")
    })
}

fn parse_name_server(text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| {
        Error::new(format!("cannot use name server `{text}`")).help("--dns takes an address, for example 10.0.0.53")
    })
}

fn parse_host(text: &str) -> Result<(String, IpAddr), Error> {
    let (name, ip) = text.split_once(':').unwrap_or_default();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    // Brackets are for those who are used to them.
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    ip.parse()
        .ok()
        .filter(|_| is_name)
        .map(|ip| (name.to_owned(), ip))
        .ok_or_else(|| Error::new(format!("cannot use host `{text}`")).help("--add-host takes NAME:ADDRESS"))
}

fn parse_gateway(text: &str) -> Result<Ipv4, Error> {
    Ipv4::parse(text).ok_or_else(|| Error::new(format!("cannot use gateway `{text}`")).help("--gateway takes A.B.C.D"))
}

/// Checked here, since the kernel can only ignore what it does not understand.
fn parse_log(text: &str) -> Result<String, Error> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let wrong = |why: &str| {
        Err(Error::new(format!("cannot use log filter `{text}`: {why}")).help(format!(
            "--log takes a level ({}), or MODULE=LEVEL,..., for example --log warn,net=debug",
            LEVELS.join(", ")
        )))
    };
    for word in text.split(',') {
        let (module, level) = word.split_once('=').map_or((None, word), |(module, level)| (Some(module), level));
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if module.is_some_and(|module| !is_name(module)) {
            return wrong(&format!("`{word}` does not begin with a module's name"));
        }
        if !LEVELS.contains(&level) {
            return wrong(&format!("`{level}` is no level"));
        }
    }
    Ok(text.to_owned())
}

fn parse_policy(text: &str) -> Result<Policy, Error> {
    Policy::parse(text).ok_or_else(|| {
        let names = Policy::ALL.map(Policy::name).join(", ");
        Error::new(format!("there is no policy `{text}` for faults")).help(format!("--fault takes {names}"))
    })
}

fn parse_power(text: &str) -> Result<Mode, Error> {
    let names = Mode::ALL.map(Mode::name).join(", ");
    Mode::parse(text)
        .ok_or_else(|| Error::new(format!("there is no mode `{text}`")).help(format!("--power takes {names}")))
}

fn parse_timeout(text: &str) -> Result<Duration, Error> {
    let wrong = || Error::new(format!("cannot use timeout `{text}`")).help("--timeout takes seconds, for example 2.5");
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|timeout| !timeout.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("64M", 64 << 20),
            ("2m", 2 << 20),
            ("1G", 1 << 30),
            ("4096K", 4 << 20),
            ("64MiB", 64 << 20),
            ("67108864", 64 << 20),
        ] {
            assert_eq!(parse_memory(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "64X", "-1M", "1M", "99999999999999G"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_setting_of_a_variable_wins() {
        let mut environment = vec![("A".to_owned(), "1".to_owned()), ("B".into(), "2".into())];
        set_variable("A=x=y", &mut environment).unwrap();
        set_variable("TORO_TEST_SURELY_UNSET", &mut environment).unwrap();
        assert_eq!(environment, [("B".into(), "2".into()), ("A".into(), "x=y".into())]);
        assert!(set_variable("=x", &mut environment).is_err());
    }

    #[test]
    fn cards_are_read_as_they_print() {
        for text in [
            "user",
            "tap:t0",
            "user,ip=dhcp,ip6=none",
            "tap:t1,ip=10.0.1.15/24,gateway=10.0.1.1,ip6=fd00::1/64,gateway6=fd00::2,mac=52:54:00:00:00:02",
        ] {
            assert_eq!(parse_card(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn log_filters_are_levels_and_modules() {
        for text in ["warn", "off", "net=debug", "info,drivers=warn,my_app=trace"] {
            assert_eq!(parse_log(text).as_deref(), Ok(text));
        }
        for (text, named) in
            [("loud", "`loud`"), ("net=", "``"), ("=info", "`=info`"), ("", "``"), ("net:info", "`net:info`")]
        {
            let error = parse_log(text).unwrap_err();
            assert!(error.message().ends_with(&format!("{named} is no level")) || text.starts_with('='), "{error}");
            assert!(error.message().contains(named) && error.cure().unwrap().contains("net=debug"), "{error}");
        }
    }

    #[test]
    fn wrong_values_name_themselves() {
        for error in [
            parse_machine("vax").unwrap_err(),
            parse_accelerator("xen").unwrap_err(),
            parse_network("tap:").unwrap_err(),
            parse_card("user,speed=9").unwrap_err(),
            parse_card("user,mac=01:00:00:00:00:00").unwrap_err(),
            parse_card("user,ip=").unwrap_err(),
            parse_address("10.0.0.1").unwrap_err(),
            parse_gateway("x").unwrap_err(),
            parse_address6("fd00::1").unwrap_err(),
            parse_gateway6("10.0.0.1").unwrap_err(),
            parse_name_server("x").unwrap_err(),
            parse_host("x:y").unwrap_err(),
            parse_host("1.2.3.4").unwrap_err(),
            parse_host("fd00::1").unwrap_err(),
            parse_timeout("0").unwrap_err(),
            parse_timeout("-1").unwrap_err(),
            parse_cpus("0").unwrap_err(),
        ] {
            assert!(error.message().contains('`') && error.cure().is_some(), "{error}");
        }
    }

    #[test]
    fn hosts_have_addresses_of_either_family() {
        let six = "fd00::1".parse().unwrap();
        assert_eq!(parse_host("db:10.0.0.1"), Ok(("db".into(), [10, 0, 0, 1].into())));
        assert_eq!(parse_host("db:fd00::1"), Ok(("db".into(), six)));
        assert_eq!(parse_host("db:[fd00::1]"), Ok(("db".into(), six)));
    }
}
