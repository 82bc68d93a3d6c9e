//! The project's own commands: `cargo xtask COMMAND`. One file for each.

mod bench;
mod demo;
mod packages;
mod run;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

demo    builds an HTTP server, boots it in a microVM, fetches a page from it
test    everything that CI checks
setup   installs what demo and test need with the system's package manager
bench   quick | linux: measures; `cargo xtask bench` says how
soak    10 million requests over a million connections; long
tidy    checks documents and sources against the rules of CONTRIBUTING.md";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["demo"] => demo::demo(),
        ["test", options @ ..] => test::test(options),
        ["setup"] => packages::setup(),
        ["bench", options @ ..] => bench::bench(options),
        ["soak", options @ ..] => soak::soak(options),
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
