//! One file for each command.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod detach;
pub(crate) mod doctor;
pub(crate) mod dry_run;
pub(crate) mod inspect;
pub(crate) mod logs;
pub(crate) mod net;
pub(crate) mod new;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod stop;
