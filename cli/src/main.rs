//! Program `toro`: build and run unikernel images.
//!
//! `args` is what was typed, `config` what is meant, `commands` what is done, `ui` how it is said.

mod args;
mod commands;
mod config;
mod metadata;
mod signals;
mod status_file;
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
