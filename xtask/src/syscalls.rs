//! `cargo xtask syscalls`: the page of supported system calls, from the table that the personality dispatches by.

use anyhow::{Context, Result};
use toro_linux_abi::calls::{CALLS, Support};

use crate::run;

/// Where the page is.
pub(crate) const PAGE: &str = "docs/linux-syscalls.md";

/// Writes the page.
pub(crate) fn write() -> Result<()> {
    let path = run::root().join(PAGE);
    std::fs::write(&path, page()).with_context(|| path.display().to_string())
}

/// The page.
pub(crate) fn page() -> String {
    let count = |wanted: fn(&Support) -> bool| CALLS.iter().filter(|call| wanted(&call.support)).count();
    let (full, partial) =
        (count(|support| *support == Support::Full), count(|support| matches!(support, Support::Partial(_))));
    let mut page = format!(
        "# Linux system calls\n\n\
         <!-- Written by `cargo xtask syscalls` from crates/linux/src/table.rs: change that. -->\n\n\
         What a Linux program may ask of its kernel under Toro, by the table that the personality itself dispatches by: {full} calls as Linux has them\n\
         for a machine with one program and one user, {partial} of which a part is missing. All others are answered by `ENOSYS`, which is logged once for\n\
         each, by its name. `toro check FILE` tells which of them are in a program.\n\n\
         ## Supported\n\n\
         | number | call | what is missing |\n\
         | --- | --- | --- |\n"
    );
    for call in CALLS {
        match call.support {
            Support::Full => page.push_str(&format!("| {} | {} | |\n", call.number, call.name)),
            Support::Partial(note) => page.push_str(&format!("| {} | {} | {note} |\n", call.number, call.name)),
            Support::None(_) => {}
        }
    }
    page.push_str("\n## Not supported\n\n| number | call | what to do |\n| --- | --- | --- |\n");
    for call in CALLS {
        if let Support::None(cure) = call.support
            && !cure.is_empty()
        {
            page.push_str(&format!("| {} | {} | {cure} |\n", call.number, call.name));
        }
    }
    let rest = CALLS.iter().filter(|call| call.support == Support::None("")).map(|call| call.name);
    page.push_str("\nNor are these, for which there is nothing to do instead:\n");
    let mut columns = usize::MAX;
    for name in rest {
        let is_first_of_line = columns > 120;
        columns = if is_first_of_line { name.len() } else { columns + 1 + name.len() };
        page.push(if is_first_of_line { '\n' } else { ' ' });
        page.push_str(name);
    }
    page.push('\n');
    page
}
