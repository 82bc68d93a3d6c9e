//! Whom studies compare.

use anyhow::Result;
use serde::Serialize;

use super::Options;
use crate::image::Image;
use crate::private::{self, Place};
use crate::vm::Guest;
use crate::{artifact, linux, quick};
use toro_vmm::{Machine, MachineType, Mode};

/// A guest, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// The example `http_server`.
    Toro,
    /// The same, with cores that never sleep: what the original did before its improvement.
    ToroSpin,
    /// The server of the Linux guests, the same file, on Toro.
    ToroLinux,
    /// Debian's cloud kernel.
    LinuxCloud,
    /// A Linux kernel with as little as serves.
    LinuxTrimmed,
    /// A guest that says a word and halts for good: what QEMU and its firmware cost.
    Empty,
}

impl Who {
    /// All of them.
    pub const ALL: [Who; 6] =
        [Who::Toro, Who::ToroSpin, Who::ToroLinux, Who::LinuxCloud, Who::LinuxTrimmed, Who::Empty];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Who::Toro => "toro",
            Who::ToroSpin => "toro-spin",
            Who::ToroLinux => "toro-linux",
            Who::LinuxCloud => "linux-cloud",
            Who::LinuxTrimmed => "linux-trimmed",
            Who::Empty => "empty",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Who> {
        Who::ALL.into_iter().find(|who| who.name() == name)
    }

    /// Whether it is one of ours.
    pub const fn is_toro(self) -> bool {
        matches!(self, Who::Toro | Who::ToroSpin | Who::ToroLinux)
    }

    /// Whether it is a Linux.
    pub const fn is_linux(self) -> bool {
        matches!(self, Who::LinuxCloud | Who::LinuxTrimmed)
    }

    /// Red, green and blue in pictures: the same in each.
    pub const fn colour(self) -> (u8, u8, u8) {
        match self {
            Who::Toro => (0x1f, 0x5f, 0xbf),
            Who::ToroSpin => (0xc0, 0x39, 0x2b),
            Who::ToroLinux => (0x6b, 0x9b, 0xd8),
            Who::LinuxCloud => (0xe6, 0x8a, 0x00),
            Who::LinuxTrimmed => (0x3a, 0x8f, 0x4d),
            Who::Empty => (0x80, 0x80, 0x80),
        }
    }
}

/// A guest that takes part.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is.
    pub who: Who,
    /// How it is started.
    pub guest: Guest,
}

impl Subject {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        self.who.name()
    }

    /// Builds those of `wanted` that the options do not leave out, for a machine, with so much memory and so many processors.
    pub fn build(wanted: &[Who], options: &Options, machine: MachineType, cpus: u32, mib: u64) -> Result<Vec<Subject>> {
        let wanted = wanted.iter().copied().filter(|who| !options.without.contains(who));
        let subject = |who| {
            let guest = match who {
                Who::Toro | Who::ToroSpin => Guest::ours(Image::build("http_server")?.bootable, true),
                Who::ToroLinux => Guest::linux_program(linux::server()?, &[])?,
                Who::LinuxCloud => linux::guest(&linux::Kernel::Cloud, machine)?,
                Who::LinuxTrimmed => linux::guest(&linux::Kernel::Trimmed, machine)?,
                Who::Empty => {
                    let like = Guest::ours(Image::build("http_server")?.bootable, true);
                    quick::empty_guest(&artifact::root().join("target/bench"), &like)?
                }
            };
            let mode = if who == Who::ToroSpin { Mode::Spin } else { Mode::default() };
            let guest = Guest { cpus, memory_mib: mib, mode, name: who.name().to_owned(), ..guest };
            Ok(Subject { who, guest })
        };
        wanted.map(subject).collect()
    }

    /// The command line of its VMM on that machine, or why there is none. Files are told from the repository's root, or from
    /// the user's home.
    pub fn command(&self, options: &Options, machine: MachineType) -> String {
        let program = toro_vmm::qemu::program(None);
        let line = |machine: Machine| machine.shell_line(&program, options.accelerator);
        // In a network of its own, it is where the only guest is there.
        let inside = private::is_inside().then_some(Place::FIRST);
        let guest = inside.map_or_else(|| self.guest.clone(), |place| place.told(&self.guest));
        let plug = |machine| match inside {
            Some(place) => place.plug(machine),
            None => machine,
        };
        let line = guest.machine(machine).map_or_else(|error| format!("{error:#}"), |machine| line(plug(machine)));
        let line = line.replace(&format!("{}/", artifact::root().display()), "");
        match std::env::var("HOME") {
            Ok(home) if home.len() > 1 => line.replace(&format!("{home}/"), "~/"),
            _ => line,
        }
    }

    /// The machine that options choose, for [`Vm::start_as`](crate::vm::Vm::start_as).
    pub fn change(options: &Options) -> impl FnOnce(Machine) -> Machine + use<> {
        let accelerator = options.accelerator;
        move |machine| machine.accelerator(accelerator)
    }
}

/// The order of a round: each begins with another guest, so that none always follows the same one.
pub fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |place| (place + round) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_is_first_once() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }

    #[test]
    fn names_are_read_back() {
        for who in Who::ALL {
            assert_eq!(Who::parse(who.name()), Some(who));
        }
    }
}
