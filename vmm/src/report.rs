//! A guest's report, read: what went wrong, the registers, the code, the memory that was meant, and the calls, with names.
//!
//! Its lines are the log's (`docs/guest-interface.md`): the first begins at the margin, the others are set in, and one of them
//! says where the image or the program is. So the same text serves whoever reads it and whoever has it as JSON.

use crate::symbolize::{INTERRUPTED, Name, Of, Symbolizer};
use crate::thread_state::{ThreadState, ThreadStates};
use crate::unwind::{self, Stack};
use serde_json::{Map, Value, json};

/// Lines of each kind that are kept: a guest that tells without end must not fill the host's memory.
const LINES_MAX: usize = 256;

/// The names of the registers, in the order of a report.
pub const REGISTERS: [&str; 18] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "rip", "rflags",
];

/// What is said of a machine that says nothing.
pub(crate) const HUNG: &str = "the machine does not end";

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What went wrong, in which thread.
    pub cause: String,
    /// What else was said about it: the message of a panic.
    pub message: String,
    /// In whose code.
    pub of: Of,
    /// What is added to an address of the ELF.
    pub base: u64,
    /// Registers, in the order of [`REGISTERS`]; `None` where there are none to tell of.
    pub registers: Option<[u64; 18]>,
    /// The bytes around the instruction, whose first is in brackets.
    pub code: String,
    /// The address that was meant, and what it is part of.
    pub address: Option<(u64, String)>,
    /// The instruction and the calls around it, from the innermost outward.
    pub calls: Vec<Call>,
    /// The other threads of a program.
    pub threads: Vec<Thread>,
    /// What the threads of a program have in registers, that of the report first.
    pub(crate) states: Vec<ThreadState>,
    /// The last lines of the log.
    pub log: Vec<String>,
}

/// A thread of a program beside the one that the report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Where it was stopped.
    pub at: Call,
}

/// A call of a backtrace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its address, or the return address.
    pub address: u64,
    /// It was found by looking through the stack, and may be an old one.
    pub is_guess: bool,
    /// The functions there, innermost first, for inlined ones too.
    pub functions: Vec<Name>,
}

impl Report {
    fn new(cause: &str) -> Self {
        Report {
            cause: cause.into(),
            message: String::new(),
            of: Of::Image,
            base: 0,
            registers: None,
            code: String::new(),
            address: None,
            calls: Vec::new(),
            threads: Vec::new(),
            states: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Of a machine that has said nothing, and has to be ended.
    pub(crate) fn of_hung(base: u64) -> Self {
        Report { base, ..Report::new(HUNG) }
    }

    /// A register's value.
    pub fn register(&self, name: &str) -> Option<u64> {
        let at = REGISTERS.iter().position(|known| *known == name)?;
        self.registers.map(|values| values[at])
    }

    /// All of it, as `toro run --report` writes it. Numbers that are addresses are text, since JSON's are no 64-bit ones.
    pub fn to_json(&self) -> Value {
        let hex = |value: u64| format!("{value:#x}");
        let registers = self.registers.map(|values| {
            let named = REGISTERS.iter().zip(values).map(|(name, value)| ((*name).to_owned(), json!(hex(value))));
            named.collect::<Map<_, _>>()
        });
        let call = |call: &Call| {
            let function = |name: &Name| {
                let (file, line) = name.location.clone().unzip();
                json!({ "function": name.function, "file": file, "line": line })
            };
            json!({
                "address": hex(call.address), "offset": hex(call.address.wrapping_sub(self.base)), "guess": call.is_guess,
                "functions": call.functions.iter().map(function).collect::<Vec<_>>(),
            })
        };
        json!({
            "cause": self.cause,
            "message": self.message,
            "of": match self.of { Of::Image => "image", Of::Program => "program" },
            "base": hex(self.base),
            "registers": registers,
            "code": self.code,
            "address": self.address.as_ref().map(|(address, place)| json!({ "address": hex(*address), "place": place })),
            "backtrace": self.calls.iter().map(call).collect::<Vec<_>>(),
            "threads": self.threads.iter().map(|thread| json!({
                "number": thread.number, "name": thread.name, "at": call(&thread.at),
            })).collect::<Vec<_>>(),
            "log": self.log,
        })
    }
}

/// Finds reports among the lines of the log.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// What may become one: its first line has been read.
    begun: Option<Report>,
    /// It is one: it says where the image or the program is.
    is_report: bool,
    registers: Vec<u64>,
    message_lines: usize,
    /// What was sent of the stack, and of the threads' registers.
    stack: Stack,
    states: ThreadStates,
    /// The calls as the host has found them, which knows better than the guest, in the words of the log.
    unwound: String,
}

/// What a line has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The report that is complete before it.
    pub(crate) report: Option<Report>,
    /// What is to be shown in its place, if anything else is.
    pub(crate) shown: Option<String>,
}

impl Reader {
    /// Takes in a line of the log as the guest wrote it.
    pub(crate) fn take(&mut self, line: &str, symbolizer: &Symbolizer) -> Taken {
        let whole = line;
        let line = line.trim_end_matches(['\n', '\r']);
        if line.starts_with('[') {
            return Taken::default(); // of the log proper, perhaps by another core
        }
        match line.strip_prefix("  ") {
            Some(line) => {
                let was_unwound = self.is_unwound();
                self.take_inner(line, symbolizer);
                let shown = match (was_unwound, self.is_unwound()) {
                    (false, true) => Some(format!("{whole}{}", self.unwound)),
                    (true, true) if line.starts_with('#') => Some(String::new()),
                    _ => None,
                };
                Taken { report: None, shown }
            }
            None => {
                let report = self.end();
                self.begun = Some(Report::new(line));
                Taken { report, shown: None }
            }
        }
    }

    /// Takes in a piece of the stack that the report is about.
    pub(crate) fn take_stack(&mut self, at: u64, bytes: &[u8]) {
        self.stack.add(at, bytes);
    }

    /// Takes in a piece of what a thread has in registers.
    pub(crate) fn take_thread_state(&mut self, thread: u32, offset: usize, bytes: &[u8]) {
        self.states.add(thread, offset, bytes);
    }

    /// Finds the calls of a program by the tables of its ELF.
    fn unwind(&mut self, symbolizer: &Symbolizer) {
        let registers = self.registers.as_slice().try_into();
        let (Some(report), Ok(registers), Some(elf)) = (&mut self.begun, registers, symbolizer.file(Of::Program))
        else {
            return;
        };
        let base = report.base;
        let calls = unwind::calls(&elf.path(), base, registers, &self.stack);
        if calls.len() < 2 {
            return; // the guest's own are no worse
        }
        for (number, left) in calls.iter().enumerate() {
            let how = if left.is_return || number == 0 { "" } else { INTERRUPTED };
            self.unwound += &format!("  #{number} {how}program+{:#x}\n", left.address.wrapping_sub(base));
        }
        report.calls = calls
            .iter()
            .map(|left| {
                let functions = symbolizer.functions(Of::Program, left.inside(base)).unwrap_or_default();
                Call { address: left.address, is_guess: false, functions }
            })
            .collect();
    }

    fn is_unwound(&self) -> bool {
        !self.unwound.is_empty()
    }

    /// The report that is complete, if there is one: nothing more comes, or something else.
    pub(crate) fn end(&mut self) -> Option<Report> {
        let report = self.begun.take().filter(|_| self.is_report);
        let registers = std::mem::take(&mut self.registers).try_into().ok();
        let states = std::mem::take(&mut self.states).whole();
        self.unwound.clear();
        (self.is_report, self.message_lines, self.stack) = (false, 0, Stack::default());
        report.map(|report| Report { registers, states, ..report })
    }

    fn take_inner(&mut self, line: &str, symbolizer: &Symbolizer) {
        let Some(report) = &mut self.begun else { return };
        let base = |of| line.strip_prefix(of).and_then(|line| hex(line.strip_prefix(" base ")?));
        if let Some(frame) = line.strip_prefix('#') {
            if self.unwound.is_empty() && report.calls.len() < LINES_MAX {
                report.calls.extend(call(frame, report.base, symbolizer));
            }
        } else if let Some(thread) =
            line.strip_prefix("thread ").filter(|_| report.of == Of::Program && report.threads.len() < LINES_MAX)
        {
            report.threads.extend(other_thread(thread, report.base, symbolizer));
        } else if let Some(text) = line.strip_prefix("log: ") {
            if report.log.len() < LINES_MAX {
                report.log.push(text.into());
            }
        } else if let Some(base) = base("image") {
            (report.base, report.of, self.is_report) = (base, Of::Image, true);
        } else if let Some(base) = base("program") {
            (report.base, report.of, self.is_report) = (base, Of::Program, true);
            self.unwind(symbolizer);
        } else if let Some(text) = line.strip_prefix("code ") {
            report.code = text.into();
        } else if let Some(pair) = line.strip_prefix("address ").and_then(|line| {
            let (address, place) = line.split_once(": ")?;
            Some((hex(address)?, place.to_owned()))
        }) {
            report.address = Some(pair);
        } else if let Some(values) = registers(line, self.registers.len()) {
            self.registers.extend(values);
        } else if self.message_lines < LINES_MAX {
            self.message_lines += 1;
            if !report.message.is_empty() {
                report.message.push('\n');
            }
            report.message.push_str(line);
        }
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// `rax 0x1 rbx 0x2`, of which the first is register number `first`.
fn registers(line: &str, first: usize) -> Option<Vec<u64>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let names = REGISTERS.get(first..)?;
    let is_pair = |(pair, name): (&[&str], &&str)| if pair.first() == Some(name) { hex(pair.get(1)?) } else { None };
    let values: Option<Vec<u64>> = words.chunks(2).zip(names).map(is_pair).collect();
    values.filter(|values| !values.is_empty() && values.len() * 2 == words.len())
}

/// `3 image+0x1234`, `3 program+0x1234 ?` or `3 0x1234`.
fn call(text: &str, base: u64, symbolizer: &Symbolizer) -> Option<Call> {
    let mut words = text.split_whitespace();
    let (number, place) = (words.next()?, words.next()?);
    let is_guess = words.next() == Some("?");
    let (of, offset) = match place.split_once('+') {
        Some(("image", offset)) => (Of::Image, hex(offset)?),
        Some(("program", offset)) => (Of::Program, hex(offset)?),
        _ => return Some(Call { address: hex(place)?, is_guess, functions: Vec::new() }),
    };
    // A return address belongs to the call before it.
    let inside = if number == "0" { offset } else { offset.saturating_sub(1) };
    let functions = symbolizer.functions(of, inside).unwrap_or_default();
    Some(Call { address: base.wrapping_add(offset), is_guess, functions })
}

/// `2 'worker' at program+0x1234`.
fn other_thread(text: &str, base: u64, symbolizer: &Symbolizer) -> Option<Thread> {
    let (thread, place) = text.rsplit_once(" at ")?;
    let (number, name) = thread.split_once(" '")?;
    let at = call(&format!("0 {place}"), base, symbolizer)?;
    Some(Thread { number: number.parse().ok()?, name: name.strip_suffix('\'')?.to_owned(), at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Report> {
        let symbolizer = Symbolizer::none();
        let mut reader = Reader::default();
        let mut reports: Vec<Report> = text.lines().filter_map(|line| reader.take(line, &symbolizer).report).collect();
        reports.extend(reader.end());
        reports
    }

    /// As `guest/kernel/src/fault/report.rs` writes it.
    fn table() -> String {
        let mut text = String::new();
        for (at, name) in REGISTERS.iter().enumerate() {
            text.push_str(if at % 3 == 0 { if at == 0 { "  " } else { "\n  " } } else { " " });
            text.push_str(&format!("{name:>6} {at:#018x}"));
        }
        text
    }

    #[test]
    fn a_report_is_read_whole() {
        let text = format!(
            "toro: something else\nread of 0x8, near null, in thread 3 'worker' on core 1\n{}\n  code 48 8b <8b> 00\n  \
             address 0x8: near null\n  image base 0xffff800000000000\n[0.100] net: of another core\n  #0 image+0x101234\n  \
             #1 0x77\n  log: [0.001] net: up\n",
            table()
        );
        let reports = read(&text);
        assert_eq!(reports.len(), 1, "{reports:#?}");
        let report = &reports[0];
        assert_eq!(report.cause, "read of 0x8, near null, in thread 3 'worker' on core 1");
        assert_eq!((report.register("rax"), report.register("rflags")), (Some(0), Some(17)));
        assert_eq!((report.code.as_str(), report.message.as_str()), ("48 8b <8b> 00", ""));
        assert_eq!(report.address, Some((8, "near null".into())));
        let addresses: Vec<u64> = report.calls.iter().map(|call| call.address).collect();
        assert_eq!(addresses, [0xffff_8000_0010_1234, 0x77]);
        assert_eq!(report.log, ["[0.001] net: up"]);
        let json = report.to_json();
        assert_eq!((&json["registers"]["rbx"], &json["backtrace"][0]["offset"]), (&json!("0x1"), &json!("0x101234")));
    }

    #[test]
    fn a_panic_has_a_message_and_no_registers() {
        let text = "thread 1 'main' panicked at src/main.rs:1:2:\n  two\n  lines\n  image base 0x0\n  #0 image+0x1\n\
                    SIGSEGV: read of 0x8, near null, in thread 1 'x'\n  program base 0x10\n  #0 program+0x1\n  #1 program+0x2 ?\n";
        let reports = read(text);
        assert_eq!((reports[0].message.as_str(), reports[0].registers), ("two\nlines", None));
        assert_eq!((reports[1].of, reports[1].base, reports[1].calls[1].is_guess), (Of::Program, 0x10, true));
    }

    #[test]
    fn other_threads_of_a_program_are_told_of() {
        let text = "SIGSEGV: read of 0x8, near null, in thread 1 'x'\n  program base 0x10\n  #0 program+0x1\n  \
                    thread 2 'it's at work' at program+0x2\n  thread three\n  log: l\n";
        let report = &read(text)[0];
        let at = Call { address: 0x12, is_guess: false, functions: Vec::new() };
        assert_eq!(report.threads, [Thread { number: 2, name: "it's at work".into(), at }]);
        assert_eq!(report.log, ["l"]);
        assert_eq!(report.to_json()["threads"][0]["at"]["offset"], "0x2");
    }

    #[test]
    fn a_report_without_end_is_cut() {
        let text = format!(
            "x\n{}  image base 0x0\n{}{}",
            "  m\n".repeat(9999),
            "  #0 0x1\n".repeat(9999),
            "  log: l\n".repeat(9999)
        );
        let report = &read(&text)[0];
        assert_eq!((report.calls.len(), report.log.len()), (LINES_MAX, LINES_MAX));
        assert_eq!(report.message.lines().count(), LINES_MAX);
    }

    #[test]
    fn other_lines_are_no_report() {
        assert_eq!(read("toro: boot\n  set in\n  #0 image+0x1\n[1.000] x: y\n"), []);
        assert_eq!(read("  image base 0x0\n"), []);
        assert_eq!(read("x\n  rax 0x1 rbx\n  image base 0x0\n  # #\n  #0\n  #0 image+\n  address 0x\n")[0].calls, []);
    }
}
