//! The devices of `/dev`.

use super::{Object, OpenFile};
use crate::files::{Held, device_number};
use crate::memory::Transfer;
use crate::process;
use crate::watch::Events;
use toro::prelude::*;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::tree::NodeId;

/// A device without a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// Takes everything, gives nothing.
    Null,
    /// Gives zeroes.
    Zero,
    /// Gives zeroes, has no room.
    Full,
    /// Gives random bytes.
    Random,
}

impl Device {
    /// As Linux numbers it.
    pub(crate) const fn number(self, is_urandom: bool) -> u64 {
        device_number(
            1,
            match self {
                Self::Null => 3,
                Self::Zero => 5,
                Self::Full => 7,
                Self::Random => {
                    if is_urandom {
                        9
                    } else {
                        8
                    }
                }
            },
        )
    }

    /// A descriptor of it.
    pub(crate) fn open(self, held: Held) -> Box<dyn Object> {
        Box::new(Open { device: self, held })
    }
}

struct Open {
    device: Device,
    held: Held,
}

impl Open {
    fn give(&self, to: &mut Transfer<'_>) -> usize {
        match self.device {
            Device::Null => 0,
            Device::Zero | Device::Full => to.give_zeroes(to.left()),
            Device::Random => {
                let mut done = 0;
                let mut piece = [0; 256];
                while to.left() > 0 {
                    toro::random::fill(&mut piece);
                    let given = to.give(&piece);
                    if given == 0 {
                        break;
                    }
                    done += given;
                }
                done
            }
        }
    }

    fn take(&self, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        // What is thrown away need not be looked at.
        if self.device == Device::Full && from.left() > 0 { Err(Errno::NOSPC) } else { Ok(from.skip(from.left())) }
    }
}

impl Object for Open {
    fn is_zero_device(&self) -> bool {
        self.device == Device::Zero
    }

    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        Ok(self.give(to))
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        self.take(from)
    }

    fn read_at(&self, to: &mut Transfer<'_>, _offset: u64) -> Result<usize, Errno> {
        Ok(self.give(to))
    }

    fn write_at(&self, from: &mut Transfer<'_>, _offset: Option<u64>) -> Result<usize, Errno> {
        self.take(from)
    }

    fn seek(&self, _open: &OpenFile, _offset: i64, _whence: super::Whence) -> Result<u64, Errno> {
        Ok(0)
    }

    fn readiness(&self) -> Events {
        Events::IN.and(Events::OUT)
    }

    fn status(&self) -> Stat {
        process::get().files.status(self.held.node())
    }

    fn name(&self) -> Vec<u8> {
        let name: &[u8] = match self.device {
            Device::Null => b"/dev/null",
            Device::Zero => b"/dev/zero",
            Device::Full => b"/dev/full",
            Device::Random => b"/dev/urandom",
        };
        name.to_vec()
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.held.node())
    }
}
