//! `toro build`: one ELF that boots by itself.

use crate::application::Application;
use crate::args::BuildArgs;
use crate::config::set_variable;
use crate::replace::replace;
use crate::ui;
use std::path::{Path, PathBuf};
use toro_abi::cmdline::{self, Builder, CommandLine};
use toro_vmm::{Error, Image, elf, qemu};

/// A new program can be executed by whom the umask allows.
const PROGRAM_MODE: u32 = 0o777;

/// Builds, embeds arguments and environment, writes.
pub(crate) fn build(args: &BuildArgs) -> Result<u8, Error> {
    let mut application = Application::open(&args.app, &args.files)?;
    let settings = application.embedded_settings()?;
    let mut environment = settings.environment;
    for setting in &args.env {
        set_variable(setting, &mut environment)?;
    }
    let arguments = if args.arguments.is_empty() { settings.arguments } else { args.arguments.clone() };
    application.build()?;
    let image = application.image()?;
    let mut bytes = elf::read(&image.symbols)?;

    let unusable = |why: String| Error::new(format!("cannot build {}: {why}", args.app));
    let line = command_line(&application, &image, &bytes, &arguments, &environment);
    elf::embed_cmdline(&mut bytes, &line).map_err(unusable)?;
    if args.strip {
        bytes = elf::strip(&bytes).map_err(unusable)?;
    }
    if let Application::Program(program) = &application {
        program.tell_skipped();
        bytes = elf::with_room_for_module(&bytes, program.files().module_bytes()).map_err(unusable)?;
        program.files().write(&mut bytes)?;
    }

    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.elf", image.name)));
    // First, so that a wrong setting leaves no file behind.
    let machine = application.default_machine(Image { boot: output.clone(), ..image })?;
    write(&output, &bytes)?;
    let (shown, kib) = (output.display(), bytes.len().div_ceil(1024));
    let word = qemu::shell_word(&output.to_string_lossy());
    ui::say(format_args!("built {shown} ({kib} KiB); `toro run {word}` runs it, and so does"));
    ui::say(format_args!("  {}", qemu::plain_line(&machine)));
    Ok(0)
}

/// What is embedded in the image `bytes`.
fn command_line(
    application: &Application,
    image: &Image,
    bytes: &[u8],
    arguments: &[String],
    environment: &[(String, String)],
) -> String {
    let mut line = Builder::new();
    let mut words = vec![image.name.clone()];
    match application {
        Application::Program(program) => {
            line.push(cmdline::EXEC, program.path()).push(cmdline::WORKDIR, program.workdir());
            words = program.arguments(&[]);
        }
        // One that has a program of its own keeps it.
        _ => {
            let old = CommandLine::new(elf::embedded_cmdline(bytes).unwrap_or_default());
            if let Some(path) = old.get(cmdline::EXEC) {
                line.push(cmdline::EXEC, path.to_vec());
                if let Some(workdir) = old.get(cmdline::WORKDIR) {
                    line.push(cmdline::WORKDIR, workdir.to_vec());
                }
                words.splice(.., old.all(cmdline::ARG).next().map(|word| word.to_text()));
            }
        }
    }
    for word in words.iter().chain(arguments) {
        line.push(cmdline::ARG, word);
    }
    for (name, value) in environment {
        line.push_env(name, value);
    }
    line.into_string()
}

/// Writes a program in one step: whoever runs the old one meanwhile has all of it, or all of the new one.
fn write(output: &Path, bytes: &[u8]) -> Result<(), Error> {
    let there = std::fs::metadata(output);
    // What stands for an open file, as /dev/stdout does, cannot be replaced by another.
    let is_open_file = |path: &Path| path.starts_with("/proc");
    let stands_for_one =
        is_open_file(output) || std::fs::read_link(output).is_ok_and(|leads_to| is_open_file(&leads_to));
    if stands_for_one || there.is_ok_and(|there| !there.is_file()) {
        let why = format!("cannot write {}: it is there, and no regular file", output.display());
        return Err(Error::new(why).help("-o takes the name of a file"));
    }
    // A link stays one: what it leads to is replaced.
    let path = output.canonicalize().unwrap_or_else(|_| output.to_owned());
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.tmp", std::process::id()));
    replace(&path, Path::new(&aside), PROGRAM_MODE, bytes).map_err(|error| {
        Error::new(format!("cannot write {}: {error}", output.display())).help("-o takes the name of a file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

    #[test]
    fn an_image_is_written_in_one_step_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.elf"), folder.path().join("link"));
        write(&file, b"one").unwrap();
        assert_ne!(std::fs::metadata(&file).unwrap().mode() & 0o100, 0);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("a.elf", &link).unwrap();
        let reader = std::fs::File::open(&file).unwrap();
        write(&link, b"two").unwrap();
        assert_eq!(std::io::read_to_string(reader).unwrap(), "one", "a reader keeps what it opened");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let there = std::fs::metadata(&file).unwrap();
        assert_eq!((std::fs::read(&file).unwrap(), there.mode() & 0o777), (b"two".to_vec(), 0o640));
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2, "nothing is left behind");
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let error = write(Path::new("/dev/null"), b"x").unwrap_err();
        assert!(error.message().contains("no regular file"), "{error}");
        let null = std::fs::metadata("/dev/null").unwrap();
        assert!(write(Path::new("/dev/stdout"), b"x").is_err() && write(Path::new("/proc/self/fd/1"), b"x").is_err());
        assert!(null.file_type().is_char_device() && null.mode() & 0o111 == 0);
    }
}
