//! What must be installed, and how this system installs it.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{redis, run};

/// A program we need and the packages that bring it: apt, dnf, pacman, zypper, apk.
struct Tool {
    program: &'static str,
    /// Several are divided by spaces.
    packages: [&'static str; 5],
    why: &'static str,
}

const QEMU: Tool = Tool {
    program: "qemu-system-x86_64",
    packages: ["qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86", "qemu-x86", "qemu-system-x86_64"],
    why: "runs the virtual machines",
};

const TEST_TOOLS: &[Tool] = &[
    Tool { program: "curl", packages: ["curl"; 5], why: "network tests" },
    Tool { program: "wrk", packages: ["wrk"; 5], why: "load tests" },
    Tool {
        program: "ip",
        packages: ["iproute2", "iproute", "iproute2", "iproute2", "iproute2"],
        why: "tests over a TAP interface",
    },
    Tool {
        program: "nc",
        packages: ["netcat-openbsd", "netcat", "openbsd-netcat", "netcat-openbsd", "netcat-openbsd"],
        why: "network tests",
    },
    Tool {
        program: "ping",
        packages: ["iputils-ping", "iputils", "iputils", "iputils", "iputils"],
        why: "tests over a TAP interface",
    },
];

/// Compilers of the Linux programs that tests run. Without one, the tests of its programs are left out.
const COMPILERS: &[Tool] = &[
    Tool {
        program: "musl-gcc",
        packages: ["musl-tools", "musl-gcc musl-libc-static", "musl", "musl-devel", "musl-dev"],
        why: "Linux programs linked with musl",
    },
    Tool { program: "go", packages: ["golang-go", "golang", "go", "go", "go"], why: "Linux programs in Go" },
    Tool {
        program: "fpc",
        packages: ["fp-compiler fp-units-rtl fp-units-fcl fp-units-net", "fpc", "fpc", "fpc", "fpc"],
        why: "Linux programs in FreePascal",
    },
    Tool { program: "make", packages: ["make"; 5], why: "builds redis, which tests run" },
];

/// A package manager: its program, and the commands that install without asking.
struct Manager {
    program: &'static str,
    refresh: Option<&'static [&'static str]>,
    install: &'static [&'static str],
}

/// In the order of `Tool::packages`.
const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        refresh: Some(&["apt-get", "update", "-q"]),
        install: &["apt-get", "install", "-q", "-y", "--no-install-recommends"],
    },
    Manager { program: "dnf", refresh: None, install: &["dnf", "install", "-y"] },
    Manager { program: "pacman", refresh: None, install: &["pacman", "-S", "--noconfirm", "--needed"] },
    Manager { program: "zypper", refresh: None, install: &["zypper", "--non-interactive", "install"] },
    Manager { program: "apk", refresh: None, install: &["apk", "add"] },
];

/// `cargo xtask setup`: everything that demo and test use.
pub(crate) fn setup() -> Result<()> {
    let tools: Vec<&Tool> = std::iter::once(&QEMU).chain(TEST_TOOLS).collect();
    ensure(&tools)?;
    ensure_components()?;
    // What comes in the way of these is told, and leaves some tests out.
    for tool in COMPILERS {
        if let Err(error) = ensure(&[tool]) {
            println!("note: {error:#}");
        }
    }
    if let Err(error) = redis::ensure() {
        println!("note: no redis: {error:#}");
    }
    Ok(())
}

/// Parts of Rust that a minimal toolchain lacks, and that the tests use.
fn ensure_components() -> Result<()> {
    let is_missing = |component: &&str| {
        let subcommand = if *component == "rustfmt" { "fmt" } else { component };
        !run::cargo("", &[subcommand, "--version"]).output().is_ok_and(|output| output.status.success())
    };
    let missing: Vec<&str> = ["rustfmt", "clippy"].into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("adding {} to the toolchain", missing.join(" and "));
    let mut add = Command::new("rustup");
    add.args(["component", "add"]).args(&missing).current_dir(run::root());
    match run::check(&mut add) {
        Ok(()) => Ok(()),
        Err(error) => bail!(
            "{error:#}\ncould not add it; run this, or your system's, then try again:\n\n    rustup component add {}\n",
            missing.join(" ")
        ),
    }
}

/// What the demo needs.
pub(crate) fn ensure_qemu() -> Result<()> {
    ensure(&[&QEMU])
}

fn ensure(tools: &[&Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().copied().filter(|tool| !run::has_program(tool.program)).collect();
    for tool in tools {
        let state = if missing.iter().any(|other| other.program == tool.program) { "missing" } else { "found" };
        println!("  {:<20} {state:<8} ({})", tool.program, tool.why);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let Some(index) = MANAGERS.iter().position(|manager| run::has_program(manager.program)) else {
        let programs: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
        bail!("no package manager that I know; install these yourself: {}", programs.join(" "));
    };
    let manager = &MANAGERS[index];
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages[index].split(' ')).collect();
    let mut install: Vec<&str> = manager.install.to_vec();
    install.extend(&packages);
    let Some(prefix) = privilege() else {
        bail!("installing needs root; run this, then try again:\n\n    sudo {}\n", install.join(" "));
    };
    println!("installing {} with {}", packages.join(" "), manager.program);
    let by_hand = || format!("could not install; run this, then try again:\n\n    sudo {}\n", install.join(" "));
    if let Some(refresh) = manager.refresh
        && let Err(error) = run::check(&mut command(prefix, refresh))
    {
        // A list that cannot be refreshed may still be good enough to install from.
        println!("note: {error:#}");
    }
    match run::check(&mut command(prefix, &install)) {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error:#}\n{}", by_hand()),
    }
}

fn command(prefix: &[&str], words: &[&str]) -> Command {
    let all: Vec<&str> = prefix.iter().chain(words).copied().collect();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// How to become root without being asked: nothing, `sudo -n`, or no way.
fn privilege() -> Option<&'static [&'static str]> {
    let output = |program: &str, arguments: &[&str]| Command::new(program).args(arguments).output().ok();
    let is_root = output("id", &["-u"]).is_some_and(|output| output.stdout.trim_ascii() == b"0");
    if is_root {
        return Some(&[]);
    }
    let sudo = output("sudo", &["-n", "true"]).is_some_and(|output| output.status.success());
    sudo.then_some(&["sudo", "-n"])
}
