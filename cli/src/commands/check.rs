//! `toro check`: whether a Linux program can run, and what of it is missing, before any boot.

use crate::args::CheckArgs;
use crate::scan::{self, Calls};
use crate::ui::Page;
use serde_json::{Value, json};
use std::path::Path;
use toro_abi::outcome::status;
use toro_elf::{Executable, Kind};
use toro_linux_abi::calls::{self, Call, Support};
use toro_vmm::{Error, elf, linux};

/// Columns of a line of names.
const COLUMNS: usize = 100;

/// Checks a file; the status is 0 when it can run, 126 when it cannot.
pub(crate) fn check(args: &CheckArgs) -> Result<u8, Error> {
    let bytes = read(&args.file)?;
    let report = Report::of(&args.file, &bytes);
    let mut page = Page::default();
    if args.json {
        page.line(format_args!("{:#}", report.to_json()));
    } else {
        report.print(&mut page);
    }
    page.print()?;
    Ok(if report.refusal.is_none() { 0 } else { status::NOT_RUNNABLE })
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    // Others need not have an end.
    let read = || match std::fs::metadata(file)?.is_file() {
        true => std::fs::read(file),
        false => Err(std::io::Error::other("it is no regular file")),
    };
    read().map_err(|error| {
        let status =
            if error.kind() == std::io::ErrorKind::NotFound { status::NOT_FOUND } else { status::NOT_RUNNABLE };
        Error::new(format!("cannot check {}: {error}", file.display()))
            .help("give a Linux executable")
            .with_status(status)
    })
}

/// All that is told.
struct Report {
    file: String,
    /// Why it cannot run.
    refusal: Option<Error>,
    kind: &'static str,
    needs: Vec<String>,
    loaded_bytes: u64,
    has_executable_stack: bool,
    calls: Calls,
}

impl Report {
    fn of(file: &Path, bytes: &[u8]) -> Self {
        let shown = file.display().to_string();
        let refusal = linux::check(&shown, bytes).err();
        let mut report = Self {
            file: shown,
            refusal,
            kind: "no Linux executable",
            needs: Vec::new(),
            loaded_bytes: 0,
            has_executable_stack: false,
            calls: Calls::default(),
        };
        if elf::check(bytes).is_ok() {
            // It is linked where no Linux program can be, and needs none of this.
            report.kind = "Toro image";
            report.refusal = None;
            return report;
        }
        let Ok(program) = Executable::parse(bytes) else { return report };
        report.kind = match program.kind {
            Kind::Static => "static executable",
            Kind::StaticPie => "static executable, position independent",
            Kind::Dynamic { .. } => "dynamic executable",
        };
        if let Kind::Dynamic { interpreter, .. } = program.kind {
            report.needs = elf::needed_libraries(bytes);
            report.needs.insert(0, interpreter.escape_ascii().to_string());
        }
        report.loaded_bytes = program.segments().map(|segment| segment.memory_bytes).sum();
        report.has_executable_stack = program.has_executable_stack;
        report.calls = scan::scan(&program);
        report
    }

    /// Its calls that the table has.
    fn known(&self) -> impl Iterator<Item = &'static Call> {
        self.calls.numbers.iter().filter_map(|number| calls::find(*number))
    }

    /// Numbers that the table does not have.
    fn unknown(&self) -> impl Iterator<Item = u64> {
        self.calls.numbers.iter().copied().filter(|number| calls::find(*number).is_none())
    }

    fn print(&self, page: &mut Page) {
        let verdict = if self.refusal.is_none() { "can run" } else { "cannot run" };
        page.line(format_args!("{}: {}, {verdict}", self.file, self.kind));
        if let Some(refusal) = &self.refusal {
            page.line(format_args!("  why: {}", refusal.message()));
            page.line(format_args!("  cure: {}", refusal.cure().unwrap_or("none is known")));
        }
        if !self.needs.is_empty() {
            page.line(format_args!("  needs: {}", self.needs.join(", ")));
        }
        if self.loaded_bytes > 0 {
            page.line(format_args!("  loads: {} KiB", self.loaded_bytes.div_ceil(1024)));
        }
        if self.has_executable_stack {
            page.line("  stack: executable, as it asks for");
        }
        if self.calls.places > 0 {
            self.print_calls(page);
        }
        if self.calls.old_places > 0 {
            let places = self.calls.old_places;
            page.line(format_args!("  int 0x80: {places} places; calls of 32-bit programs are not supported"));
        }
    }

    fn print_calls(&self, page: &mut Page) {
        let Calls { numbers, places, undecided, .. } = &self.calls;
        page.line(format_args!("  system calls: {} found, at {places} places", numbers.len()));
        if *undecided > 0 {
            page.line(format_args!(
                "  not decided: {undecided} places, where the number is computed, or comes from memory or a caller that is not known"
            ));
        }
        for call in self.known() {
            match call.support {
                Support::None("") => page.line(format_args!("  missing: {}", call.name)),
                Support::None(cure) => page.line(format_args!("  missing: {} ({cure})", call.name)),
                Support::Partial(_) | Support::Full => {}
            }
        }
        for number in self.unknown() {
            page.line(format_args!("  missing: number {number}, which is none that is known"));
        }
        for call in self.known() {
            if let Support::Partial(note) = call.support {
                page.line(format_args!("  partial: {} ({note})", call.name));
            }
        }
        let full = self.known().filter(|call| call.support == Support::Full).map(|call| call.name);
        print_names(page, "  supported:", full);
    }

    fn to_json(&self) -> Value {
        let of = |wanted: fn(&Support) -> bool| self.known().filter(move |call| wanted(&call.support));
        let missing = of(|support| matches!(support, Support::None(_))).map(|call| {
            let Support::None(cure) = call.support else { return Value::Null };
            json!({ "number": call.number, "name": call.name, "cure": cure })
        });
        let partial = of(|support| matches!(support, Support::Partial(_))).map(|call| {
            let Support::Partial(note) = call.support else { return Value::Null };
            json!({ "number": call.number, "name": call.name, "note": note })
        });
        json!({
            "file": self.file,
            "kind": self.kind,
            "runs": self.refusal.is_none(),
            "why": self.refusal.as_ref().map(Error::message),
            "cure": self.refusal.as_ref().and_then(Error::cure),
            "needs": self.needs,
            "loaded_bytes": self.loaded_bytes,
            "executable_stack": self.has_executable_stack,
            "system_calls": {
                "places": self.calls.places,
                "undecided_places": self.calls.undecided,
                "int80_places": self.calls.old_places,
                "supported": of(|support| *support == Support::Full).map(|call| call.name).collect::<Vec<_>>(),
                "partial": partial.collect::<Vec<_>>(),
                "missing": missing.collect::<Vec<_>>(),
                "unknown_numbers": self.unknown().collect::<Vec<_>>(),
            },
        })
    }
}

/// Names in lines that are not too long.
fn print_names<'a>(page: &mut Page, title: &str, names: impl Iterator<Item = &'a str>) {
    let mut line = title.to_owned();
    for name in names {
        if line.len() + name.len() >= COLUMNS {
            page.line(&line);
            line = " ".repeat(title.len());
        }
        line.push(' ');
        line.push_str(name);
    }
    if line.trim() != title.trim() || line.starts_with("   ") {
        page.line(line);
    }
}
