//! From boot information to the application's `main`: the machine's table of contents.

#![expect(unsafe_code, reason = "the embedded command line, and the application's entry, are found by name")]

use crate::arch::{SpinLock, interrupt, time};
use crate::boot::{BootError, BootInfo};
use crate::mm::PhysAddr;
use crate::{console, drivers, fault, log, mm, net, processors, random, sched};
use alloc::boxed::Box;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};
use toro_abi::embedded;

static BOOT: SpinLock<Option<BootInfo>> = SpinLock::new(None);
/// Points into `BOOT` once that is filled: reports ask, and must not wait.
static KEPT: AtomicPtr<BootInfo> = AtomicPtr::new(core::ptr::null_mut());

/// Filled by `toro build`.
#[used]
#[unsafe(link_section = ".toro.cmdline")]
static EMBEDDED: [u8; embedded::SECTION_BYTES] = embedded::empty();

unsafe extern "Rust" {
    /// Runs the application's `main`; its exit status. Defined by `toro::main!`.
    safe fn toro_main() -> i32;
}

/// Starts the machine. Each step says what works from there on.
#[cold]
pub(crate) fn start(mut info: BootInfo, entropy: u64) -> ! {
    let low_page = info.memory.take_page_below(0xa_0000).map(PhysAddr); // where other cores begin
    let boot = keep(info);
    let command_line = boot.command_line();
    if let Err(error) = mm::init(boot, entropy) {
        fault::refuse(&error); // the heap works, and memory is protected; the machine can be switched off
    }
    if let Err(malformed) = command_line.check() {
        fault::refuse(&malformed);
    }
    log::init(command_line);
    if let Err(error) = interrupt::init() {
        fault::refuse(&error);
    }
    time::init(command_line); // the clock runs
    mm::ask_others_by(sched::reclaim_elsewhere);
    processors::start(boot, low_page); // other cores are on their way, and end in `sched::run_core`
    for key in command_line.unknown() {
        ::log::warn!("command line: unknown key `{key}` is ignored");
    }
    let devices = drivers::discover(boot); // the console too, where there is no UART
    random::init(devices.rng);
    net::init(devices.net, boot); // the network asks for an address in the background
    console::input::init(command_line.get(toro_abi::cmdline::STDIN).is_some());
    let builder = sched::Builder { name: Some("main".into()), ..sched::Builder::new() };
    match sched::run(builder, Box::new(|| fault::exit(toro_main()))) {
        Err(error) => fault::refuse(&error),
    }
}

/// Says why the machine cannot start.
pub(crate) fn refuse(error: &BootError) -> ! {
    fault::refuse(error)
}

fn keep(info: BootInfo) -> &'static BootInfo {
    let boot = BOOT.with(|boot| core::ptr::from_mut(boot.insert(info)));
    KEPT.store(boot, Release);
    // SAFETY: stored once, here, and never changed again, so a reference may live for good.
    unsafe { &*boot }
}

/// The machine as the VMM described it; `None` before that is known.
pub fn boot_info() -> Option<&'static BootInfo> {
    // SAFETY: as in `keep`.
    unsafe { KEPT.load(Acquire).as_ref() }
}

/// The command line that `toro build` put into the image.
pub(crate) fn embedded_command_line() -> &'static str {
    // SAFETY: the section is patched in the file, so the compiler must not assume the initial value.
    let section = unsafe { core::ptr::read_volatile(&raw const SECTION) };
    embedded::read(section).unwrap_or_default()
}

static SECTION: &[u8; embedded::SECTION_BYTES] = &EMBEDDED;
