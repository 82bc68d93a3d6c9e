//! Stands for the Linux personality, as far as the tool is concerned: says what program it is given, and what files.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro_abi::cmdline::{ARG, EXEC, STRACE, WORKDIR};
use toro_abi::module::{Contents, Module};

toro::main!(main);

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let line = toro_kernel::start::boot_info().ok_or("no boot information")?.command_line();
    for key in [EXEC, WORKDIR, STRACE, ARG] {
        line.all(key).for_each(|value| println!("{key}: {}", value.to_text()));
    }
    let bytes = toro::boot::module()?.ok_or("no module")?;
    let module = Module::parse(bytes)?;
    for entry in module.entries() {
        let (path, mode) = (entry.path.escape_ascii(), entry.metadata.mode);
        let access = if entry.metadata.is_read_only { " read-only" } else { "" };
        match entry.contents {
            Contents::Directory => println!("/{path} {mode:o}{access} directory"),
            Contents::File(file) => println!("/{path} {mode:o}{access} {} bytes", file.data().len()),
            Contents::Symlink(target) => println!("/{path} -> {}", target.escape_ascii()),
        }
    }
    Ok(())
}
