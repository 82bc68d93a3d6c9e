//! What `O_PATH` gives: a file's place, and nothing to do with it.

use super::Object;
use crate::files::Held;
use crate::process;
use toro::prelude::*;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::tree::NodeId;

/// A file's place.
#[derive(Debug)]
pub(crate) struct Named {
    held: Held,
    path: Vec<u8>,
}

impl Named {
    /// The place of the file that is held.
    pub(crate) fn new(held: Held, path: Vec<u8>) -> Self {
        Named { held, path }
    }
}

impl Object for Named {
    fn status(&self) -> Stat {
        process::get().files.status(self.held.node())
    }

    fn name(&self) -> Vec<u8> {
        self.path.clone()
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.held.node())
    }
}
