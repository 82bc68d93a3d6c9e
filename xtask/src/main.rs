//! The project's own commands: `cargo xtask COMMAND`. One file for each.

mod bench;
mod debian;
mod demo;
mod machines;
mod packages;
mod redis;
mod run;
mod soak;
mod soft_float;
mod syscalls;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

demo        builds an HTTP server, boots it in a microVM, fetches a page from it
test        everything that CI checks
setup       installs what demo and test need with the system's package manager
bench       studies, quick, profile, linux: measures; `cargo xtask bench` says how
machines    boots on every machine, by QEMU as installed and by QEMU 10, which it fetches
soak        every machine, an hour of hostile calls, a million connections and then 10 million requests; long
soft-float  boots an image without SSE by KVM, where KVM emulates ring 0
syscalls    writes docs/linux-syscalls.md from the table of system calls
tidy        checks documents and sources against the rules of CONTRIBUTING.md";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["demo"] => demo::demo(),
        ["test", options @ ..] => test::test(options),
        ["setup"] => packages::setup(),
        ["bench", options @ ..] => bench::bench(options),
        ["soak", options @ ..] => soak::soak(options),
        ["machines", options @ ..] => machines::machines(options),
        ["soft-float"] => soft_float::soft_float(),
        ["syscalls"] => syscalls::write(),
        ["tidy"] => tidy::tidy(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
