//! What a Linux program's single operations cost: nanoseconds of its clock, which are instructions under QEMU's `-icount shift=0`
//! with `tsc_khz=1000000` on Toro's command line.

#![expect(unsafe_code, reason = "system calls that the standard library has no functions for")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

const ROUNDS: u32 = 1000;
const PAGE_BYTES: usize = 4096;

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_signal: i32) {
    SIGNALS.fetch_add(1, Relaxed);
}

extern "C" fn end_at_once(nothing: *mut libc::c_void) -> *mut libc::c_void {
    nothing
}

fn main() {
    // SAFETY: the call touches no memory.
    measure("null call", ROUNDS, || _ = black_box(unsafe { libc::getppid() }));

    measure("clock, without a call", ROUNDS, || _ = black_box(Instant::now()));

    let bytes = ROUNDS as usize * PAGE_BYTES;
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, at a place that the system chooses.
    let pages = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    assert!(pages != libc::MAP_FAILED, "no memory");
    let mut page = pages.cast::<u8>();
    measure("page commit", ROUNDS, || {
        // SAFETY: as many rounds as the mapping has pages.
        unsafe {
            page.write_volatile(1);
            page = page.add(PAGE_BYTES);
        }
    });

    measure("thread create and join", ROUNDS, || {
        let mut thread = 0;
        let (attributes, nothing) = (std::ptr::null(), std::ptr::null_mut());
        // SAFETY: there is room for the thread's name, and it uses nothing.
        let made = unsafe { libc::pthread_create(&raw mut thread, attributes, end_at_once, nothing) };
        // SAFETY: it was made, and nobody else waits for it.
        assert!(made == 0 && unsafe { libc::pthread_join(thread, std::ptr::null_mut()) } == 0);
    });
    measure("thread of the standard library", ROUNDS, || std::thread::spawn(|| ()).join().expect("it returns"));

    // SAFETY: the handler only counts.
    let previous = unsafe { libc::signal(libc::SIGUSR1, count_signal as *const () as libc::sighandler_t) };
    assert!(previous != libc::SIG_ERR, "no handler");
    // SAFETY: there is a handler.
    measure("signal delivered and returned from", ROUNDS, || _ = unsafe { libc::raise(libc::SIGUSR1) });
    assert_eq!(SIGNALS.load(Relaxed), ROUNDS);

    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let mut byte = 0_u8;
    measure("write and read of a byte, pipe", ROUNDS, || {
        let place = (&raw mut byte).cast();
        // SAFETY: a byte is written, and one read.
        assert_eq!(unsafe { (libc::write(ends[1], place, 1), libc::read(ends[0], place, 1)) }, (1, 1));
    });
}

/// Prints what one of `rounds` costs.
fn measure(what: &str, rounds: u32, mut operation: impl FnMut()) {
    let start = Instant::now();
    (0..rounds).for_each(|_| operation());
    let ns = start.elapsed().as_nanos();
    println!("{what}: {:.1}", ns as f64 / f64::from(rounds));
}
