//! What is meant: options over `[package.metadata.toro]` over defaults.

use crate::args::RunArgs;
use crate::background::names;
use crate::metadata::Metadata;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use toro_abi::cmdline::{self, CommandLine};
use toro_abi::network::{Address, Ipv4};
use toro_vmm::elf;
use toro_vmm::machine::MEMORY_BYTES_DEFAULT;
use toro_vmm::{Accelerator, Error, Image, Machine, MachineType, Network, Package, Port, Profile};

/// The port that `--gdb` opens.
pub(crate) const GDB_PORT: u16 = 1234;

/// What is run.
#[derive(Debug)]
pub(crate) enum Application {
    /// A package, built first.
    Package(Package),
    /// An image that is there.
    Image(Image),
}

impl Application {
    /// Finds it: a directory is a package, a file an image.
    pub(crate) fn open(app: &str) -> Result<Self, Error> {
        let path = Path::new(app);
        if path.is_file() { Image::open(path).map(Self::Image) } else { Package::open(path).map(Self::Package) }
    }

    /// `[package.metadata.toro]`.
    fn metadata(&self) -> Option<&Value> {
        match self {
            Self::Package(package) => Some(&package.metadata).filter(|metadata| !metadata.is_null()),
            Self::Image(_) => None,
        }
    }

    /// What an image carries by itself: of a package's metadata, or what is embedded already.
    pub(crate) fn embedded_settings(&self) -> Result<Embedded, Error> {
        if let Self::Image(image) = self {
            return Ok(Embedded::read(&elf::read(&image.boot)?));
        }
        let metadata = Metadata::new(self.metadata())?;
        Ok(Embedded { arguments: metadata.list("args")?, environment: metadata.environment()? })
    }

    /// A machine with this memory and these ports, as a user without options gets it.
    pub(crate) fn default_machine(&self, image: Image) -> Result<Machine, Error> {
        let metadata = Metadata::new(self.metadata())?;
        let mut machine = Machine::new(image);
        if let Some(text) = metadata.text("memory")? {
            machine.memory_bytes = parse_memory(&text)?;
        }
        machine.ports = metadata.list("publish")?.iter().map(|port| Port::parse(port)).collect::<Result<_, _>>()?;
        Ok(machine)
    }

    /// Its image, built if it has to be.
    pub(crate) fn build(&self) -> Result<Image, Error> {
        match self {
            Self::Package(package) => package.build(Profile::Release),
            Self::Image(image) => Ok(image.clone()),
        }
    }

    /// Whether its image has arguments, which others would replace. One that is built for this run has none.
    fn has_embedded_arguments(&self) -> bool {
        match self {
            Self::Package(_) => false,
            Self::Image(image) => image.has_embedded_arguments(),
        }
    }

    /// Its image, which may not be built yet.
    pub(crate) fn image(&self) -> Image {
        match self {
            Self::Package(package) => package.image(Profile::Release),
            Self::Image(image) => image.clone(),
        }
    }
}

/// What an image carries by itself.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl Embedded {
    fn read(image: &[u8]) -> Self {
        let line = CommandLine::new(elf::embedded_cmdline(image).unwrap_or_default());
        let texts = |key: &'static str| line.all(key).map(|value| value.to_text());
        Self {
            arguments: texts(cmdline::ARG).skip(1).collect(),
            environment: texts(cmdline::ENV)
                .filter_map(|variable| variable.split_once('=').map(|(name, value)| (name.into(), value.into())))
                .collect(),
        }
    }
}

/// All settings of a run, decided.
#[derive(Debug)]
pub(crate) struct Config {
    pub memory_bytes: u64,
    pub cpus: u32,
    pub ports: Vec<Port>,
    pub environment: Vec<(String, String)>,
    pub arguments: Vec<String>,
    pub name: Option<String>,
    pub machine_type: MachineType,
    pub accelerator: Accelerator,
    pub network: Network,
    pub address: Option<Address>,
    pub gateway: Option<Ipv4>,
    pub log: String,
    pub timeout: Option<Duration>,
}

impl Config {
    /// The settings of `toro run`.
    pub(crate) fn new(args: &RunArgs, application: &Application) -> Result<Self, Error> {
        let metadata = Metadata::new(application.metadata())?;
        // Text of an option, else of the metadata.
        let text = |option: &Option<String>, key: &str| match option {
            Some(text) => Ok(Some(text.clone())),
            None => metadata.text(key),
        };
        let network = text(&args.net, "net")?.map_or(Ok(Network::User), |text| parse_network(&text))?;
        let publish = match args.publish.as_slice() {
            // What the author published is for the network that he meant; a user who chose another would be refused.
            [] if network == Network::User => metadata.list("publish")?,
            typed => typed.to_vec(),
        };
        // The author's gateway belongs to the author's address.
        let gateway = if args.ip.is_some() { args.gateway.clone() } else { text(&args.gateway, "gateway")? };
        let arguments = if args.arguments().is_empty() { metadata.list("args")? } else { args.arguments().to_vec() };
        let mut environment = metadata.environment()?;
        for file in &args.env_file {
            read_env_file(file, &mut environment)?;
        }
        for setting in &args.env {
            set_variable(setting, &mut environment)?;
        }
        let memory = text(&args.memory, "memory")?.map(|text| parse_memory(&text)).transpose()?;
        let address = text(&args.ip, "ip")?.map(|text| parse_address(&text)).transpose()?;
        Ok(Self {
            memory_bytes: memory.unwrap_or(MEMORY_BYTES_DEFAULT),
            cpus: text(&args.cpus, "cpus")?.map_or(Ok(1), |text| parse_cpus(&text))?,
            ports: publish.iter().map(|port| Port::parse(port)).collect::<Result<_, _>>()?,
            environment,
            arguments,
            name: text(&args.name, "name")?.map(checked_name).transpose()?,
            machine_type: text(&args.machine, "machine")?
                .map_or(Ok(MachineType::default()), |text| parse_machine(&text))?,
            accelerator: text(&args.accel, "accel")?.map_or(Ok(Accelerator::Auto), |text| parse_accelerator(&text))?,
            network,
            address,
            gateway: gateway.map(|text| parse_gateway(&text)).transpose()?,
            log: text(&args.log, "log")?.map_or(Ok("warn".into()), parse_log)?,
            timeout: text(&args.timeout, "timeout")?.map(|text| parse_timeout(&text)).transpose()?,
        })
    }

    /// Whether a variable gets its value here.
    pub(crate) fn sets(&self, variable: &str) -> bool {
        self.environment.iter().any(|(name, _)| name == variable)
    }

    /// The machine that these settings describe.
    pub(crate) fn machine(&self, args: &RunArgs, application: &Application) -> Machine {
        let keeps_embedded = self.arguments.is_empty() && application.has_embedded_arguments();
        let mut machine = Machine::new(application.image());
        if !keeps_embedded {
            machine = machine.arguments(self.arguments.clone());
        }
        machine.memory_bytes = self.memory_bytes;
        machine.cpus = self.cpus;
        machine.ports = self.ports.clone();
        machine.environment = self.environment.clone();
        machine.name = self.name.clone();
        machine.machine_type = self.machine_type;
        machine.accelerator = self.accelerator;
        machine.network = self.network.clone();
        machine.address = self.address;
        machine.gateway = self.gateway;
        machine.log = Some(self.log.clone());
        machine.pcap = args.pcap.clone();
        machine.gdb_port = args.gdb.then_some(GDB_PORT);
        machine
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
    let wrong = |why: &str| Error::new(format!("cannot set variable {why}")).help("-e NAME=VALUE");
    if name.is_empty() {
        return Err(wrong(&format!("`{setting}`: it has no name")));
    }
    // Nobody means `export A=1` or `A = 1` as it would be taken.
    if name.contains(char::is_whitespace) {
        return Err(wrong(&format!("`{name}`: there is a space in its name")));
    }
    environment.retain(|(known, _)| known != name);
    environment.extend(value.map(|value| (name.to_owned(), value)));
    Ok(())
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
fn checked_name(name: String) -> Result<String, Error> {
    names::check(&name).map(|()| name)
}

fn parse_memory(text: &str) -> Result<u64, Error> {
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

fn parse_address(text: &str) -> Result<Address, Error> {
    Address::parse(text).ok_or_else(|| {
        Error::new(format!("cannot use address `{text}`"))
            .help("--ip takes A.B.C.D/P, for example 10.0.0.15/24, or dhcp")
    })
}

fn parse_gateway(text: &str) -> Result<Ipv4, Error> {
    Ipv4::parse(text).ok_or_else(|| Error::new(format!("cannot use gateway `{text}`")).help("--gateway takes A.B.C.D"))
}

/// Checked here, since the kernel can only ignore what it does not understand.
fn parse_log(text: String) -> Result<String, Error> {
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
    Ok(text)
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
    fn log_filters_are_levels_and_modules() {
        for text in ["warn", "off", "net=debug", "info,drivers=warn,my_app=trace"] {
            assert_eq!(parse_log(text.into()).as_deref(), Ok(text));
        }
        for (text, named) in
            [("loud", "`loud`"), ("net=", "``"), ("=info", "`=info`"), ("", "``"), ("net:info", "`net:info`")]
        {
            let error = parse_log(text.into()).unwrap_err();
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
            parse_address("10.0.0.1").unwrap_err(),
            parse_gateway("x").unwrap_err(),
            parse_timeout("0").unwrap_err(),
            parse_timeout("-1").unwrap_err(),
            parse_cpus("0").unwrap_err(),
        ] {
            assert!(error.message().contains('`') && error.cure().is_some(), "{error}");
        }
    }
}
