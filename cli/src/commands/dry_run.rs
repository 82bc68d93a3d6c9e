//! `toro run --dry-run`: the settings, and the command they come to.

use crate::application::Application;
use crate::args::RunArgs;
use crate::config::Config;
use crate::ui::Page;
use toro_vmm::{Accelerator, Error, probe, qemu};

/// Prints it.
pub(crate) fn show(args: &RunArgs, config: &Config, application: &mut Application) -> Result<(), Error> {
    let mut page = Page::default();
    if let Application::Program(program) = &mut *application
        && program.is_built()
    {
        program.use_built()?;
    }
    let machine = config.machine(args, application)?;
    let program = qemu::program(None);
    page.line(format_args!("application: {}", machine.image.name));
    page.line(format_args!("image: {}", application.shown()));
    if let Application::Program(program) = &*application {
        page.line(format_args!("program: {}", program.path()));
        page.line(format_args!("workdir: {}", program.workdir()));
        page.line(format_args!("files: {} KiB, packed when it starts", program.files().module_bytes() >> 10));
    }
    if let Some(name) = &config.name {
        page.line(format_args!("name: {name}"));
    }
    page.line(format_args!("memory: {} KiB", machine.memory_bytes >> 10));
    page.line(format_args!("cpus: {}", config.cpus));
    page.line(format_args!("machine: {}", config.machine_type.name()));
    let accelerator = match config.accelerator {
        Accelerator::Auto => match probe::choose(&program) {
            Ok(choice) => {
                page.line(format_args!("accel: {} (chosen)", choice.accelerator.name()));
                choice.accelerator
            }
            Err(error) => {
                page.line(format_args!("accel: auto (cannot be decided: {})", error.message()));
                Accelerator::Tcg
            }
        },
        decided => {
            page.line(format_args!("accel: {}", decided.name()));
            decided
        }
    };
    config.cards.iter().for_each(|card| page.line(format_args!("net: {card}")));
    for port in &config.ports {
        page.line(format_args!("publish: {port}"));
    }
    config.name_servers.iter().for_each(|server| page.line(format_args!("dns: {server}")));
    config.search.iter().for_each(|domain| page.line(format_args!("dns-search: {domain}")));
    config.hosts.iter().for_each(|(name, ip)| page.line(format_args!("add-host: {name}:{ip}")));
    page.line(format_args!("log: {}", config.log));
    for argument in &config.arguments {
        page.line(format_args!("arg: {argument}"));
    }
    if let Application::Image(_) = application {
        let embedded = application.embedded_settings()?;
        for argument in embedded.arguments.iter().filter(|_| config.arguments.is_empty()) {
            page.line(format_args!("arg: {argument} (of the image)"));
        }
        for (name, value) in embedded.environment.iter().filter(|(name, _)| !config.sets(name)) {
            page.line(format_args!("env: {name}={value} (of the image)"));
        }
    }
    for (name, value) in &config.environment {
        page.line(format_args!("env: {name}={value}"));
    }
    if let Some(timeout) = config.timeout {
        page.line(format_args!("timeout: {timeout:?}"));
    }
    page.line(format_args!("command: {}", machine.shell_line(&program, accelerator)));
    page.print()
}
