//! One file for each command.

pub(crate) mod build;
pub(crate) mod doctor;
pub(crate) mod dry_run;
pub(crate) mod new;
pub(crate) mod run;
