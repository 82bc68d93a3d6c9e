//! `toro run --dry-run`: the settings, and the command they come to.

use crate::args::RunArgs;
use crate::config::{Application, Config};
use toro_vmm::{Accelerator, Network, probe, qemu};

/// Prints it.
pub(crate) fn show(args: &RunArgs, config: &Config, application: &Application) {
    let machine = config.machine(args, application.image());
    let program = qemu::program(None);
    println!("application: {}", machine.image.name);
    println!("image: {}", machine.image.boot.display());
    println!("memory: {} KiB", config.memory_bytes >> 10);
    println!("cpus: {}", config.cpus);
    println!("machine: {}", config.machine_type.name());
    let accelerator = match config.accelerator {
        Accelerator::Auto => match probe::choose(&program) {
            Ok(choice) => {
                println!("accel: {} (chosen)", choice.accelerator.name());
                choice.accelerator
            }
            Err(error) => {
                println!("accel: auto (cannot be decided: {})", error.message());
                Accelerator::Tcg
            }
        },
        decided => {
            println!("accel: {}", decided.name());
            decided
        }
    };
    match &config.network {
        Network::None => println!("net: none"),
        Network::User => println!("net: user"),
        Network::Tap(name) => println!("net: tap:{name}"),
    }
    for port in &config.ports {
        println!("publish: {port}");
    }
    if let Some(address) = config.address {
        println!("ip: {address}");
    }
    if let Some(gateway) = config.gateway {
        println!("gateway: {gateway}");
    }
    println!("log: {}", config.log);
    for argument in &config.arguments {
        println!("arg: {argument}");
    }
    for (name, value) in &config.environment {
        println!("env: {name}={value}");
    }
    if let Some(timeout) = config.timeout {
        println!("timeout: {timeout:?}");
    }
    println!("command: {}", machine.shell_line(&program, accelerator));
}
