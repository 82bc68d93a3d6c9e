//! One file for each command.

pub(crate) mod build;
pub(crate) mod detach;
pub(crate) mod doctor;
pub(crate) mod dry_run;
pub(crate) mod inspect;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod stop;
