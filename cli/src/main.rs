//! Program `toro`: build and run unikernel images.
//!
//! `args` is what was typed, `application` and `config` what is meant, `commands` what is done, `background` where guests are that nobody watches,
//! `news` what guests tell of themselves, `figures` what they have counted, `sockets` how their network stands, `ui` how it is said.

mod application;
mod args;
mod background;
mod commands;
mod config;
mod figures;
mod gdb;
mod metadata;
mod news;
mod program;
mod replace;
mod scan;
mod signals;
mod sockets;
mod status_file;
mod timeline;
mod ui;

use args::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(exit) => return exit,
    };
    let result = match command {
        Command::Run(args) => commands::run::run(&args),
        Command::Build(args) => commands::build::build(&args),
        Command::New(args) => commands::new::new(&args),
        Command::Ps(args) => commands::ps::ps(&args),
        Command::Logs(args) => commands::logs::logs(&args),
        Command::Stop(args) => commands::stop::stop(&args),
        Command::Kill(args) => commands::stop::kill(&args),
        Command::Inspect(args) => commands::inspect::inspect(&args),
        Command::Stats(args) => commands::stats::stats(&args),
        Command::Net(args) => commands::net::net(&args),
        Command::Rm(args) => commands::stop::rm(&args),
        Command::Check(args) => commands::check::check(&args),
        Command::Doctor => commands::doctor::doctor(),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            ui::error(&error);
            ExitCode::from(error.status())
        }
    }
}
