//! `toro run --dry-run`: the settings, and the command they come to.

use crate::args::RunArgs;
use crate::config::{Application, Config};
use crate::ui::Page;
use toro_vmm::{Accelerator, Error, probe, qemu};

/// Prints it.
pub(crate) fn show(args: &RunArgs, config: &Config, application: &Application) -> Result<(), Error> {
    let mut page = Page::default();
    let machine = config.machine(args, application);
    let program = qemu::program(None);
    page.line(format_args!("application: {}", machine.image.name));
    page.line(format_args!("image: {}", machine.image.boot.display()));
    if let Some(name) = &config.name {
        page.line(format_args!("name: {name}"));
    }
    page.line(format_args!("memory: {} KiB", config.memory_bytes >> 10));
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
    page.line(format_args!("net: {}", config.network));
    for port in &config.ports {
        page.line(format_args!("publish: {port}"));
    }
    if let Some(address) = config.address {
        page.line(format_args!("ip: {address}"));
    }
    if let Some(gateway) = config.gateway {
        page.line(format_args!("gateway: {gateway}"));
    }
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
