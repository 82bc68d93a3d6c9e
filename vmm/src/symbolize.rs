//! Offsets in the guest's reports become function, file and line: the host has the ELFs, the guest needs no DWARF.

use crate::machine::Module;
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Whose code an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The image's: kernel and native application.
    Image,
    /// A Linux program's.
    Program,
}

impl Of {
    /// How the guest writes an address: an offset from a base, which is the address in the ELF.
    const fn mark(self) -> &'static [u8] {
        match self {
            Self::Image => b"image+0x",
            Self::Program => b"program+0x",
        }
    }
}

/// Reads symbols when the first address has to be named.
#[derive(Debug)]
pub struct Symbolizer {
    image: Elf,
    program: Elf,
}

/// A file with symbols.
struct Elf {
    file: Option<Module>,
    loader: Mutex<State>,
}

/// A function, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// As it is called in its language.
    pub function: String,
    /// File and line.
    pub location: Option<(String, u32)>,
}

impl Name {
    fn is_in_library(&self) -> bool {
        self.location.as_ref().is_some_and(|(file, _)| file.starts_with("library/"))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.function)?;
        match &self.location {
            Some((file, line)) => write!(f, " ({file}:{line})"),
            None => Ok(()),
        }
    }
}

enum State {
    Unread,
    Read(Box<addr2line::Loader>),
    Unreadable,
}

impl std::fmt::Debug for Elf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elf").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Symbolizer {
    /// Names addresses of this image.
    pub fn new(image: &Path) -> Self {
        Self { image: Elf::new(Some(Module::File(image.into()))), program: Elf::new(None) }
    }

    /// And those of a Linux program.
    #[must_use]
    pub fn with_program(self, program: Option<Module>) -> Self {
        Self { program: Elf::new(program), ..self }
    }

    /// Names nothing.
    pub fn none() -> Self {
        Self { image: Elf::new(None), program: Elf::new(None) }
    }

    fn elf(&self, of: Of) -> &Elf {
        match of {
            Of::Image => &self.image,
            Of::Program => &self.program,
        }
    }

    /// The file whose symbols these are.
    pub(crate) fn file(&self, of: Of) -> Option<&Module> {
        self.elf(of).file.as_ref()
    }

    /// Where it lies in memory: the image before it runs, a program at fixed addresses. Empty when that cannot be read.
    pub(crate) fn loaded(&self, of: Of) -> std::ops::Range<u64> {
        let bytes = self.file(of).and_then(|file| std::fs::read(file.path()).ok());
        bytes.and_then(|bytes| crate::elf::loaded(&bytes)).unwrap_or_default()
    }

    /// The functions at an offset of the image, innermost first, for inlined ones too; `None` when nothing is known.
    pub fn names(&self, offset: u64) -> Option<Vec<String>> {
        self.functions(Of::Image, offset).map(|names| names.iter().map(Name::to_string).collect())
    }

    /// The functions at an offset, innermost first, for inlined ones too; `None` when nothing is known.
    pub fn functions(&self, of: Of, offset: u64) -> Option<Vec<Name>> {
        self.elf(of).functions(offset)
    }

    /// Adds names behind each `image+0x..` and `program+0x..` of a line; callers inlined there follow on lines of their own.
    pub fn replace<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let named = [Of::Image, Of::Program]
            .into_iter()
            .find(|of| self.elf(*of).file.is_some() && line.windows(of.mark().len()).any(|window| window == of.mark()));
        match named {
            Some(of) => Cow::Owned(self.elf(of).replace(line, of.mark())),
            None => Cow::Borrowed(line),
        }
    }
}

impl Elf {
    fn new(file: Option<Module>) -> Self {
        Self { file, loader: Mutex::new(State::Unread) }
    }

    fn functions(&self, offset: u64) -> Option<Vec<Name>> {
        let mut state = self.loader.lock().unwrap_or_else(PoisonError::into_inner);
        if let (State::Unread, Some(file)) = (&*state, &self.file) {
            *state = match addr2line::Loader::new(file.path()) {
                Ok(loader) => State::Read(Box::new(loader)),
                Err(_) => State::Unreadable, // the report is still useful with offsets
            };
        }
        let State::Read(loader) = &*state else {
            return None;
        };
        let mut names = Vec::new();
        if let Ok(mut frames) = loader.find_frames(offset) {
            while let Ok(Some(frame)) = frames.next() {
                let Some(function) = &frame.function else { continue };
                let Ok(mangled) = function.raw_name() else { continue };
                let location = frame.location.as_ref().and_then(|at| Some((shorten(at.file?), at.line.unwrap_or(0))));
                names.push(Name {
                    function: demangle(&mangled),
                    location: location.map(|(file, line)| (file.into_owned(), line)),
                });
            }
        }
        // The symbol table has the whole path of the function that all of this was inlined in; line tables do not.
        if let Some(symbol) = loader.find_symbol(offset) {
            let function = demangle(symbol);
            match names.last_mut() {
                Some(last) => last.function = function,
                None => names.push(Name { function, location: None }),
            }
        }
        // What the standard library inlines into itself only hides the program.
        let last = names.len().checked_sub(1)?;
        let mut at = 0;
        names.retain(|name| {
            at += 1;
            at == 1 || at == last + 1 || !name.is_in_library()
        });
        Some(names)
    }

    fn replace(&self, line: &[u8], mark: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut inlined = Vec::new();
        let mut rest = line;
        while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
            let digits = &rest[at + mark.len()..];
            let len = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let end = at + mark.len() + len;
            out.extend_from_slice(&rest[..end]);
            let offset = std::str::from_utf8(&digits[..len]).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
            // A return address belongs to the call before it, which may be the last instruction of its function.
            let back = u64::from(is_return_address(&out));
            if let Some(names) = offset.and_then(|offset| self.functions(offset.saturating_sub(back))) {
                let mut names = names.iter().map(Name::to_string);
                out.extend_from_slice(format!(" {}", names.next().unwrap_or_default()).as_bytes());
                inlined.extend(names);
            }
            rest = &rest[end..];
        }
        out.extend_from_slice(rest);
        for name in inlined {
            if !out.ends_with(b"\n") {
                out.push(b'\n');
            }
            out.extend_from_slice(format!("      inlined in {name}\n").as_bytes());
        }
        out
    }
}

/// What stands before the address of a frame that a signal interrupted.
pub(crate) const INTERRUPTED: &str = "interrupted at ";

/// Whether the line so far is a backtrace's frame that was left by a call: `  #3 image+0x12345`.
fn is_return_address(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let is_interrupted = line.windows(INTERRUPTED.len()).any(|part| part == INTERRUPTED.as_bytes());
    line.starts_with(b"#") && !line.starts_with(b"#0 ") && !is_interrupted
}

/// A symbol as it is called in its language, Rust or C++.
fn demangle(name: &str) -> String {
    if let Ok(name) = rustc_demangle::try_demangle(name) {
        return format!("{name:#}");
    }
    cpp_demangle::Symbol::new(name).ok().and_then(|symbol| symbol.demangle().ok()).unwrap_or_else(|| name.to_owned())
}

/// A path as a reader wants it: below the folder he stands in, or below a crate of the registry or the toolchain.
fn shorten(file: &str) -> Cow<'_, str> {
    if let Ok(here) = std::env::current_dir()
        && let Ok(below) = Path::new(file).strip_prefix(here)
    {
        return Cow::Owned(below.display().to_string());
    }
    if file.starts_with("/rustc/")
        && let Some(at) = file.find("/library/")
    {
        return Cow::Borrowed(&file[at + 1..]);
    }
    if let Some(at) = file.find("/registry/src/")
        && let Some((_index, below)) = file[at + "/registry/src/".len()..].split_once('/')
    {
        return Cow::Borrowed(below);
    }
    Cow::Borrowed(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    extern "C" fn a_function_of_this_test() -> u32 {
        std::process::id()
    }

    /// This test program is an ELF with symbols, too: its own functions serve as the guest's.
    fn offset_of_the_function() -> u64 {
        use object::{Object, ObjectSymbol};
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = object::File::parse(&*bytes).unwrap();
        let symbol =
            elf.symbols().find(|symbol| symbol.name().is_ok_and(|name| name.contains("a_function_of_this_test")));
        symbol.unwrap().address()
    }

    #[test]
    fn an_address_is_named() {
        assert!(a_function_of_this_test() > 0);
        let symbolizer = Symbolizer::new(&std::env::current_exe().unwrap());
        let offset = offset_of_the_function();
        let line = symbolizer.replace(format!("  #0 image+{offset:#x}\n").as_bytes()).into_owned();
        let line = String::from_utf8(line).unwrap();
        assert!(line.starts_with(&format!("  #0 image+{offset:#x} ")), "{line}");
        assert!(line.contains("a_function_of_this_test") && line.contains("symbolize.rs:"), "{line}");
        // As a return address it belongs to whatever stands before this function.
        let line = symbolizer.replace(format!("  #1 image+{offset:#x}\n").as_bytes()).into_owned();
        assert!(!String::from_utf8(line).unwrap().contains("a_function_of_this_test"));
    }

    #[test]
    fn what_cannot_be_named_stays_as_it_is() {
        let line = b"  #3 image+0x12345\n";
        assert_eq!(&*Symbolizer::none().replace(line), line);
        assert_eq!(&*Symbolizer::new(Path::new("/nonexistent")).replace(line), line);
        let symbolizer = Symbolizer::new(&std::env::current_exe().unwrap());
        for line in [&b"image+0x\n"[..], b"image+0xffffffffffffffffff\n", b"image+0x1\xff"] {
            assert!(symbolizer.replace(line).starts_with(b"image+0x"));
        }
    }

    #[test]
    fn names_are_those_of_their_languages() {
        assert_eq!(demangle("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
        assert_eq!(demangle("_ZN5shape4areaEi"), "shape::area(int)");
        assert_eq!((demangle("main"), demangle("_Zwhat?")), ("main".into(), "_Zwhat?".into()));
    }

    #[test]
    fn paths_lose_what_says_nothing() {
        assert_eq!(shorten("/rustc/abc/library/core/src/fmt.rs"), "library/core/src/fmt.rs");
        assert_eq!(shorten("/root/.cargo/registry/src/index.crates.io-1/log-0.4/src/lib.rs"), "log-0.4/src/lib.rs");
        assert_eq!(shorten("kernel/src/lib.rs"), "kernel/src/lib.rs");
    }
}
