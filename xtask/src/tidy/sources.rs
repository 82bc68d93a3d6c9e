//! Rules about Rust sources: headers, length, where assembly may stand, no silenced lints.

use crate::tidy::tree::Tree;

/// The only folder with processor instructions.
const ARCHITECTURE_FOLDER: &str = "guest/kernel/src/arch/";
/// The other places: a boot loader that the tests bring, which stands for a VMM's, programs for ring 3, and what the processor
/// refuses.
const OTHER_PLACES: [&str; 4] = [
    "tests/harness/linux_loader.rs",
    "tests/guests/programs/mod.rs",
    "tests/guests/exceptions/mod.rs",
    "tests/guests/exceptions/double.rs",
];
/// The only files that may turn interrupts on.
const INTERRUPTS_ON: [&str; 2] = ["guest/kernel/src/arch/x86_64/power.rs", "guest/kernel/src/arch/x86_64/attempt.rs"];
/// Lines from which a file must say why it is that long.
const LINES_MAX: usize = 500;
/// How a long file's header says it.
const REASON: &str = "One file because";
/// Macros that hold instructions.
const ASSEMBLY: &[&str] = &["asm!(", "global_asm!(", "naked_asm!("];
/// Crates that no guest may pull in: they are an operating system's library.
const NOT_IN_GUEST: &[&str] = &["libc", "nix", "rustix"];

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let sources = tree.with_extension(".rs").flat_map(|(path, text)| check_source(path, text));
    sources.chain(guest_links_no_libc(tree)).collect()
}

fn check_source(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !text.starts_with("//!") {
        complaints.push(format!("{path}: does not start with a `//!` header"));
    }
    let lines = text.lines().count();
    let says_why = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains(REASON));
    if lines > LINES_MAX && !says_why {
        complaints.push(format!("{path}: {lines} lines; split it, or say \"{REASON} ..\" in the header"));
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        let at = |what: &str| format!("{path}:{}: {what}", number + 1);
        // Spelled apart, so that this file does not find itself.
        if code.starts_with('#') && code.contains(concat!("all", "ow(")) {
            complaints.push(at("a lint is silenced; use `expect(.., reason = \"..\")`"));
        }
        let turns_on = code == "sti" || code.contains("\"sti\"") || code.contains("sti;") || code.contains("\"sti\\n");
        if turns_on && path.starts_with(ARCHITECTURE_FOLDER) && !INTERRUPTS_ON.contains(&path) {
            complaints.push(at("interrupts are turned on outside `power.rs` and `attempt.rs`"));
        }
        let is_assembly = ASSEMBLY.iter().any(|name| code.contains(name)) && !code.contains('"');
        if is_assembly && !path.starts_with(ARCHITECTURE_FOLDER) && !OTHER_PLACES.contains(&path) {
            complaints.push(at("assembly outside `guest/kernel/src/arch/`"));
        }
    }
    complaints
}

/// `target_os` says linux in the guest, so a careless dependency would call a system that is not there.
fn guest_links_no_libc(tree: &Tree) -> Vec<String> {
    let Some(lock) = tree.texts.get("guest/Cargo.lock") else {
        return vec!["guest/Cargo.lock does not exist".to_owned()];
    };
    let is_in = |name: &&&str| lock.contains(&format!("name = \"{name}\"\n"));
    NOT_IN_GUEST.iter().filter(is_in).map(|name| format!("guest/Cargo.lock: has {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_breach() {
        let silenced = concat!("//! Role.\n#[all", "ow(unused)]\n");
        let assembly = "//! Role.\nfn halt() { unsafe { asm!(HALT) } }\n";
        let long = format!("//! Role.\n{}", "\n".repeat(LINES_MAX));
        for (path, text, breaches) in [
            ("a.rs", "//! Role.\n", 0),
            ("a.rs", "fn main() {}\n", 1),
            ("a.rs", silenced, 1),
            ("vmm/a.rs", assembly, 1),
            ("guest/kernel/src/arch/x86_64/a.rs", assembly, 0),
            ("guest/kernel/src/arch/x86_64/a.rs", "//! Role.\nasm!(\"sti\");\n", 1),
            ("a.rs", &long, 1),
            ("a.rs", &long.replace("Role.", "Role. One file because it is one table."), 0),
        ] {
            assert_eq!(check_source(path, text).len(), breaches, "{path}: {text}");
        }
    }

    #[test]
    fn the_guest_links_no_system_library() {
        let tree = Tree::of(&[("guest/Cargo.lock", "[[package]]\nname = \"libc\"\nversion = \"0.2\"\n")]);
        assert_eq!(guest_links_no_libc(&tree), ["guest/Cargo.lock: has libc"]);
    }
}
