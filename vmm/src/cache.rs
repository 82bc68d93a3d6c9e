//! Small answers that stay true until the host boots again.
//!
//! A file per question in the user's cache folder, first line the boot's id. A cache that cannot be read or written costs
//! time, never correctness, so its failures are not reported.

use std::path::PathBuf;

fn folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(base.join("toro"))
}

fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

/// The answer that an earlier run stored since the host booted.
pub(crate) fn load(key: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder()?.join(key)).ok()?;
    text.strip_prefix(boot_id()?.as_str()).map(str::to_owned)
}

/// Stores an answer; `false` when it will have to be found again.
pub(crate) fn store(key: &str, answer: &str) -> bool {
    let write = || {
        let folder = folder()?;
        std::fs::create_dir_all(&folder).ok()?;
        // Written aside and renamed, so that a run beside this one never reads half of it.
        let aside = folder.join(format!("{key}.{}", std::process::id()));
        std::fs::write(&aside, boot_id()? + answer).ok()?;
        std::fs::rename(aside, folder.join(key)).ok()
    };
    write().is_some()
}

/// Whether a fact about this boot is told for the first time.
pub(crate) fn is_news(fact: &str) -> bool {
    let told = load(fact).is_some();
    if !told {
        store(fact, "told");
    }
    !told
}
