//! Programs of a few instructions for ring 3, and where they run.

use toro::thread;
use toro::user::{Context, Event, Pages, Rights, run};

/// Where the code of a program is.
pub(crate) const CODE: usize = 0x40_0000;
/// A page that it may write: its stack ends there.
pub(crate) const DATA: usize = 0x50_0000;
pub(crate) const PAGE: usize = 4096;

/// Declares a program: a function that answers its bytes.
macro_rules! program {
    ($name:ident: $($line:literal)+) => {
        core::arch::global_asm!(
            concat!(".pushsection .rodata.program_", stringify!($name), ",\"a\",@progbits"),
            concat!(".global program_", stringify!($name), ", program_", stringify!($name), "_end"),
            concat!("program_", stringify!($name), ":"),
            $($line,)+
            concat!("program_", stringify!($name), "_end:"),
            ".popsection",
        );
        fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!("program_", stringify!($name))]
                static BEGIN: u8;
                #[link_name = concat!("program_", stringify!($name), "_end")]
                static END: u8;
            }
            let (begin, end) = (&raw const BEGIN, &raw const END);
            // SAFETY: both symbols are of one section of constants, in this order.
            unsafe { core::slice::from_raw_parts(begin, end.addr() - begin.addr()) }
        }
    };
}
pub(crate) use program;

/// The lower half with a page of data.
pub(crate) fn pages() -> Pages {
    let pages = Pages::take().expect("memory").expect("nobody has it");
    pages.map(DATA, Rights::ReadWrite).expect("a page");
    pages
}

/// A context that begins with this program, in the place of whatever was there.
pub(crate) fn load(pages: &Pages, code: &[u8]) -> Context {
    pages.unmap(CODE..CODE + PAGE).expect("a range");
    pages.map_filled(CODE, 0, code, Rights::ReadExecute).expect("a page");
    Context::new(pages, CODE as u64, (DATA + PAGE) as u64).expect("memory")
}

/// Runs the program until it does something itself.
pub(crate) fn go(context: &mut Context) -> Event {
    loop {
        match run(context) {
            Event::Interrupt => thread::yield_now(),
            event => return event,
        }
    }
}
