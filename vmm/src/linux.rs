//! Linux programs: the image that runs them, which comes with this library and is never a file, and whether it can.

use crate::error::Error;
use crate::image::Image;
use crate::machine::Module;
use crate::memory_file::MemoryFile;
use std::sync::OnceLock;
use toro_abi::outcome::status;
use toro_elf::{Executable, Kind, Refusal};

/// Names another image, for whoever works on it.
pub const IMAGE_VARIABLE: &str = "TORO_LINUX_IMAGE";

/// With its symbols: it is small, and reports need them.
#[cfg(feature = "linux")]
static EMBEDDED: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/linux.elf")));
#[cfg(not(feature = "linux"))]
static EMBEDDED: Option<&[u8]> = None;

/// What the personality is told of its program, which lies in the boot module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path, from the root.
    pub path: String,
    /// The directory that it begins in, from the root.
    pub workdir: String,
    /// Whether each of its system calls is printed.
    pub strace: bool,
    /// Its file, for names in reports and for debuggers.
    pub symbols: Option<Module>,
}

/// The personality, ready to boot, as the program `name`.
///
/// # Errors
/// When `TORO_LINUX_IMAGE` names no image, or this library was built without one.
pub fn image(name: &str) -> Result<Image, Error> {
    let mut image = match std::env::var_os(IMAGE_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => Image::open(path)?,
        None => embedded()?,
    };
    image.name = name.into();
    Ok(image)
}

fn embedded() -> Result<Image, Error> {
    /// Held for as long as the process lives: reports read the symbols late.
    static FILE: OnceLock<MemoryFile> = OnceLock::new();
    let Some(bytes) = EMBEDDED else {
        return Err(Error::new("cannot run Linux programs: the kernel for them was left out of this build")
            .help(format!("build with the feature `linux`, or set {IMAGE_VARIABLE}")));
    };
    let file = match FILE.get() {
        Some(file) => file,
        None => {
            let file = MemoryFile::holding("toro-linux", bytes)?;
            FILE.get_or_init(|| file)
        }
    };
    Ok(Image { name: String::new(), boot: file.path(), symbols: file.path() })
}

/// Whether the personality can run the program that holds these bytes; `shown` is what its user calls it.
///
/// # Errors
/// Status 126, with the cause and the cure.
pub fn check(shown: &str, bytes: &[u8]) -> Result<(), Error> {
    let refuse = |why: String, cure: &str| {
        Err(Error::new(format!("cannot run {shown}: {why}")).help(cure).with_status(status::NOT_RUNNABLE))
    };
    match Executable::parse(bytes) {
        Ok(Executable { kind: Kind::Dynamic { interpreter, .. }, .. }) => refuse(
            format!("it is linked dynamically: it needs {}", interpreter.escape_ascii()),
            "link it statically: Rust with -C target-feature=+crt-static, C with -static, Go with CGO_ENABLED=0",
        ),
        Ok(_) => Ok(()),
        Err(refusal) => {
            let cure = match refusal {
                Refusal::NotElf => {
                    "give a package's directory, an image that `toro build` made, or a static Linux executable"
                }
                Refusal::Script { .. } => {
                    "run its interpreter, with the script as its argument: toro run --root DIR INTERPRETER SCRIPT"
                }
                Refusal::Is32Bit | Refusal::BigEndian | Refusal::Machine(_) | Refusal::System(_) => {
                    "build it for x86-64 Linux"
                }
                Refusal::Relocatable | Refusal::Library => "give the executable that it is linked into",
                _ => "build it again, or copy it again from where it runs",
            };
            refuse(refusal.to_string(), cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "linux")]
    fn the_image_that_comes_with_the_library_boots_and_has_symbols() {
        use crate::elf;
        let image = image("server").unwrap();
        assert_eq!(image.name, "server");
        let bytes = elf::read(&image.boot).unwrap();
        assert!(elf::embedded_cmdline(&bytes) == Ok("") && elf::with_room_for_module(&bytes, 4096).is_ok());
        assert!(elf::strip(&bytes).unwrap().len() < bytes.len());
    }

    #[test]
    fn a_program_that_cannot_run_is_told_why() {
        let error = check("./true", &std::fs::read("/bin/true").unwrap()).unwrap_err();
        assert_eq!(
            error.message(),
            "cannot run ./true: it is linked dynamically: it needs /lib64/ld-linux-x86-64.so.2"
        );
        assert!(error.cure().unwrap().contains("+crt-static") && error.status() == 126);
        let error = check("run.sh", b"#!/bin/sh\n").unwrap_err();
        assert_eq!(error.message(), "cannot run run.sh: it is a script for /bin/sh");
    }
}
