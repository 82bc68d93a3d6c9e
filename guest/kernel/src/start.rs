//! From boot information to the application's `main`: the machine's table of contents.

#![expect(unsafe_code, reason = "the embedded command line, and the application's entry, are found by name")]

use crate::arch::{SpinLock, interrupt, time};
use crate::boot::{BootError, BootInfo};
use crate::mm::PhysAddr;
use crate::{console, drivers, fault, log, mm, net, power, processors, random, sched};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64};
use toro_abi::cmdline;
use toro_abi::embedded::{self, ModulePlace};

static BOOT: SpinLock<MaybeUninit<BootInfo>> = SpinLock::new(MaybeUninit::uninit()); // no part of the file
/// Points into `BOOT` once that is filled: reports ask, and must not wait.
static KEPT: AtomicPtr<BootInfo> = AtomicPtr::new(core::ptr::null_mut());

/// Filled by `toro build`.
#[used]
#[unsafe(link_section = ".toro.cmdline")]
static EMBEDDED: [u8; embedded::SECTION_BYTES] = embedded::empty();

/// Filled by `toro build`, too.
#[used]
#[unsafe(link_section = ".toro.module")]
static MODULE: [u8; embedded::MODULE_SECTION_BYTES] = ModulePlace::none();

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
    for (key, value) in command_line.words() {
        power::hear(key, value);
        if !cmdline::is_known(key) {
            ::log::warn!("command line: unknown key `{key}` is ignored");
        }
    }
    let devices = drivers::discover(boot); // the console too, where there is no UART
    random::init(devices.rng);
    net::init(devices.net, boot); // the network asks for an address in the background
    console::input::init(command_line.get(cmdline::STDIN).is_some());
    let program = || {
        power::main_begins();
        fault::exit(toro_main())
    };
    match sched::run(main_thread(), sched::Plain::new(program)) {
        Err(error) => fault::refuse(&error),
    }
}

fn main_thread() -> sched::Builder {
    sched::Builder { name: Some("main".into()), role: sched::Role::Main, ..sched::Builder::new() }
}

/// A second `main` and those after it wait before they begin: not long at first, twice as long each time, unless the one before
/// had run for so long that it was no failure at the start.
const PAUSE_NS: Range<u64> = 100_000_000..60_000_000_000;
const LONG_RUN_NS: u64 = 10_000_000_000;

/// `main` has faulted: another thread calls it again. Statics are as they were left, and other threads go on.
#[cold]
pub(crate) fn restart_main() {
    static PAUSE: AtomicU64 = AtomicU64::new(PAUSE_NS.start);
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    let now_ns = time::now_ns();
    let had_long_run = now_ns.saturating_sub(BEGUN.load(Relaxed)) > LONG_RUN_NS;
    let pause_ns = if had_long_run { PAUSE_NS.start } else { PAUSE.load(Relaxed) };
    PAUSE.store((2 * pause_ns).min(PAUSE_NS.end), Relaxed);
    BEGUN.store(now_ns + pause_ns, Relaxed);
    let again = move || {
        sched::sleep_until(now_ns + pause_ns);
        fault::exit(toro_main())
    };
    let begun = sched::spawn(main_thread(), sched::Plain::new(again));
    assert!(begun.is_ok(), "memory allocation of a thread for main failed");
}

/// Says why the machine cannot start.
pub(crate) fn refuse(error: &BootError) -> ! {
    fault::refuse(error)
}

fn keep(info: BootInfo) -> &'static BootInfo {
    let boot = BOOT.with(|boot| core::ptr::from_mut(boot.write(info)));
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

/// Where the module is that `toro build` put behind the image.
pub(crate) fn embedded_module() -> Option<ModulePlace> {
    // SAFETY: as in `embedded_command_line`.
    let section = unsafe { core::ptr::read_volatile(&raw const MODULE_SECTION) };
    ModulePlace::read(section)
}

static MODULE_SECTION: &[u8; embedded::MODULE_SECTION_BYTES] = &MODULE;
static SECTION: &[u8; embedded::SECTION_BYTES] = &EMBEDDED;
