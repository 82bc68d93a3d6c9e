//! The commands by which gdb opens a guest that waits for it, or a core.

use crate::config::GDB_PORT;
use std::path::{Path, PathBuf};
use toro_abi::FIXED_BASE;
use toro_vmm::qemu::shell_word;
use toro_vmm::{Machine, Of};

/// For a machine that waits at its first instruction. Breakpoints are the processor's: where the kernel will be there is no memory yet.
pub(crate) fn command(machine: &Machine) -> String {
    let mut command = format!("gdb{}", script());
    let mut add = |line: String| command.push_str(&format!(" -ex {}", shell_word(&line)));
    add(format!("symbol-file {} -o {FIXED_BASE:#x}", reachable(&machine.image.symbols).display()));
    if let Some(symbols) = machine.program.as_ref().and_then(|program| program.symbols.as_ref()) {
        // Where the file says, which is where it is unless it can be anywhere.
        add("set confirm off".into());
        add(format!("add-symbol-file {}", reachable(&symbols.path()).display()));
    }
    add(format!("target remote :{GDB_PORT}"));
    add("hbreak toro_main".into());
    command
}

/// For a core.
pub(crate) fn command_for_core(of: Of, elf: &Path, core: &Path) -> String {
    let script = if of == Of::Image { script() } else { String::new() };
    let word = |path: &Path| shell_word(&path.to_string_lossy());
    format!("gdb{script} {} {}", word(elf), word(core))
}

/// The script that lists threads, of the sources that this program was built from; nothing where they are gone.
fn script() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vmm/gdb/toro.py");
    script.canonicalize().map_or(String::new(), |path| format!(" -x {}", shell_word(&path.to_string_lossy())))
}

/// A file that this process holds, as others reach it while it runs.
fn reachable(path: &Path) -> PathBuf {
    match path.strip_prefix("/proc/self") {
        Ok(rest) => Path::new("/proc").join(std::process::id().to_string()).join(rest),
        Err(_) => path.to_owned(),
    }
}
