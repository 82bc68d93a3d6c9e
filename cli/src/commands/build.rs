//! `toro build`: one ELF that boots by itself.

use crate::args::BuildArgs;
use crate::config::{Application, set_variable};
use crate::ui;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use toro_abi::cmdline::{self, Builder};
use toro_vmm::{Error, elf};

/// Builds, embeds arguments and environment, writes.
pub(crate) fn build(args: &BuildArgs) -> Result<u8, Error> {
    let application = Application::open(&args.app)?;
    let settings = application.embedded_settings()?;
    let mut environment = settings.environment;
    for setting in &args.env {
        set_variable(setting, &mut environment)?;
    }
    let arguments = if args.arguments.is_empty() { settings.arguments } else { args.arguments.clone() };
    let image = application.build()?;
    let mut bytes = elf::read(&image.symbols)?;

    let mut line = Builder::new();
    line.push(cmdline::ARG, &image.name);
    for argument in &arguments {
        line.push(cmdline::ARG, argument);
    }
    for (name, value) in &environment {
        line.push_env(name, value);
    }
    let unusable = |why: String| Error::new(format!("cannot build {}: {why}", args.app));
    elf::embed_cmdline(&mut bytes, line.as_str()).map_err(unusable)?;
    if args.strip {
        bytes = elf::strip(&bytes).map_err(unusable)?;
    }

    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.elf", image.name)));
    let failed = |error: std::io::Error| Error::new(format!("cannot write {}: {error}", output.display()));
    std::fs::write(&output, &bytes).map_err(failed)?;
    std::fs::set_permissions(&output, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let shown = output.display();
    let kib = bytes.len().div_ceil(1024);
    ui::say(format_args!("built {shown} ({kib} KiB); `toro run {shown}` runs it, and so does"));
    ui::say(format_args!(
        "  qemu-system-x86_64 -machine microvm -cpu max -m 64M -nodefaults -no-reboot -display none -serial stdio -kernel {shown}"
    ));
    Ok(0)
}
