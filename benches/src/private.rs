//! A network of a study's own: TAP interfaces in a network namespace that ends with the process, a guest on each.
//!
//! The program starts itself again under `unshare --net`, which takes root; what it does then is the same as without.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use toro_tests::frames::Wire;
use toro_vmm::abi::network::{Address, Ipv4};
use toro_vmm::{Machine, Network};

use crate::http::Client;
use crate::study::{Options, Subject};
use crate::vm::{Counting, Guest, Kind, Vm};

/// Tried out, to see whether there can be one.
const TAP: &str = "tap0";
/// Longest wait for a guest that listens to be reached.
const REACH_LIMIT: Duration = Duration::from_secs(30);
/// Set in a process that is inside.
const INSIDE: &str = "TORO_BENCH_PRIVATE_NETWORK";

/// Whether this process has such a network.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program once more, with the same arguments, in a network of its own; `None` where there can be none, which is
/// said, but not what follows from it.
pub fn run_inside() -> Result<Option<ExitStatus>> {
    let can = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !can("unshare", &["--net", "--", "ip", "tuntap", "add", TAP, "mode", "tap"]) {
        eprintln!("note: no network of its own (root, `unshare`, `ip` and /dev/net/tun are needed)");
        return Ok(None);
    }
    let program = std::env::current_exe().context("where is this program?")?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    Ok(Some(command.status().context("cannot run unshare")?))
}

/// What differs from what Linux has by itself: all ports are used, and again before their minute is over; and this end is silent
/// while nobody asks for something, where IPv6 would look for routers.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ip_local_port_range", "1024 65535"),
    ("ipv4/tcp_tw_reuse", "1"),
    ("ipv4/tcp_max_tw_buckets", "1048576"),
    ("ipv6/conf/default/disable_ipv6", "1"),
];

/// Sets the network up, inside.
pub fn set_up() -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    for (name, value) in SETTINGS {
        let file = Path::new("/proc/sys/net").join(name);
        // Not every host has IPv6.
        if file.exists() {
            std::fs::write(&file, value).with_context(|| file.display().to_string())?;
        }
    }
    Place::FIRST.set_up(&[])
}

/// Runs `ip`.
///
/// # Errors
/// It fails.
pub fn ip(words: &[&str]) -> Result<()> {
    toro_tests::run("ip", words).map(drop).map_err(|why| anyhow!("{why}"))
}

/// Whether a guest's server answers.
///
/// # Errors
/// It does not.
pub fn answers(server: SocketAddr) -> Result<()> {
    Client::connect_to(server)?.get()?;
    Ok(())
}

/// A TAP interface of the private network, and the guest at its other end.
#[derive(Clone, Copy, Debug)]
pub struct Place(u8);

impl Place {
    /// That of a study with one guest at a time.
    pub const FIRST: Place = Place(0);

    /// That of the guest with a number, of several at a time. The first is there already.
    ///
    /// # Errors
    /// `ip` does not make one.
    pub fn of(number: usize) -> Result<Place> {
        let place = Place(u8::try_from(number)?);
        if number > 0 {
            place.set_up(&[])?;
        }
        Ok(place)
    }

    /// Makes it, with flags of the interface; each has its own subnet.
    ///
    /// # Errors
    /// `ip` does not make one.
    pub fn set_up(self, flags: &[&str]) -> Result<()> {
        let tap = self.tap();
        ip(&[&["tuntap", "add", &tap, "mode", "tap"], flags].concat())?;
        ip(&["address", "add", &format!("{}/24", self.host()), "dev", &tap])?;
        ip(&["link", "set", &tap, "up"])
    }

    /// Name of the interface.
    pub fn tap(self) -> String {
        format!("tap{}", self.0)
    }

    /// Where the guest's server is.
    pub fn server(self) -> SocketAddr {
        SocketAddr::from((self.guest(), 80))
    }

    fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, 1)
    }

    fn guest(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, 2)
    }

    /// Starts a guest whose server listens on port 80, here.
    ///
    /// # Errors
    /// It does not start, or does not answer `probe`.
    pub fn start(
        self,
        subject: &Subject,
        options: &Options,
        counting: Option<(&Path, &Counting)>,
        probe: impl Fn(SocketAddr) -> Result<()>,
    ) -> Result<Vm> {
        let change = Subject::change(options);
        let guest = self.told(&subject.guest);
        let vm = Vm::start_as(&guest, options.machine, counting, |machine| self.plug(change(machine)))?;
        vm.ready()?;
        reach(self.server(), probe)?;
        Ok(vm)
    }

    /// Starts one on a wire, whose other end the caller has to bring here.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_on_wire(self, subject: &Subject, options: &Options) -> Result<(Vm, Wire)> {
        let (change, mut wire) = (Subject::change(options), None);
        let mut plug = |mut machine: Machine| {
            machine.ports.clear();
            let (machine, plugged) = Wire::plug(machine.network(Network::None));
            wire = Some(plugged);
            let (address, gateway) = (self.guest(), self.host());
            if machine.plain { machine } else { machine.raw_cmdline(&format!("ip={address}/24 gw={gateway}")) }
        };
        let vm = Vm::start_as(&self.told(&subject.guest), options.machine, None, |machine| plug(change(machine)))?;
        vm.ready()?;
        Ok((vm, wire.context("no wire")?))
    }

    /// Plugs a machine in, and gives one of ours its address.
    pub fn plug(self, mut machine: Machine) -> Machine {
        machine.ports.clear();
        if !machine.plain {
            machine.eth0.address = Some(Address::Static { ip: Ipv4(self.guest().octets()), prefix: 24 });
            machine.eth0.gateway = Some(Ipv4(self.host().octets()));
        }
        machine.network(Network::Tap(self.tap()))
    }

    /// A guest that is told its address in its own way.
    pub fn told(self, guest: &Guest) -> Guest {
        let mut guest = guest.clone();
        if let Kind::Foreign { command_line, .. } = &mut guest.kind {
            let (address, gateway) = (self.guest(), self.host());
            command_line.insert_str(0, &format!("TORO_IP={address} TORO_GATEWAY={gateway} "));
        }
        guest
    }
}

/// Starts a guest whose server listens on port 80, in a network of the study's own where there is one; where the server is. It
/// is asked by `probe` until it answers: the host may still believe that there is nobody.
pub fn start(
    subject: &Subject,
    options: &Options,
    probe: impl Fn(SocketAddr) -> Result<()>,
) -> Result<(Vm, SocketAddr)> {
    if is_inside() {
        return Ok((Place::FIRST.start(subject, options, None, probe)?, Place::FIRST.server()));
    }
    let vm = Vm::start_as(&subject.guest, options.machine, None, Subject::change(options))?;
    let address = SocketAddr::from(([127, 0, 0, 1], vm.port));
    vm.ready()?;
    reach(address, probe)?;
    Ok((vm, address))
}

/// Asks until there is an answer.
pub fn reach(address: SocketAddr, probe: impl Fn(SocketAddr) -> Result<()>) -> Result<()> {
    let end = Instant::now() + REACH_LIMIT;
    while let Err(error) = probe(address) {
        if Instant::now() > end {
            return Err(error).context("the guest does not answer");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
