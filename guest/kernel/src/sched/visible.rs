//! What a debugger is shown of threads. An image has no types in its debug information, so `vmm/gdb/toro.py` finds the threads of
//! each core by a symbol.

#![expect(unsafe_code, reason = "a symbol by which a debugger finds what is there")]

use super::ThreadHandle;
use super::thread::Thread;
use crate::arch::cores::{CORES_MAX, current};
use core::mem::offset_of;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use toro_threads::Threads;

/// What a thread is called.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Tag {
    /// Address and bytes of its name; 0: it has none.
    name: usize,
    name_bytes: u32,
    /// Its number, as far as there is room for it.
    number: u32,
}

impl Tag {
    pub(super) fn of(thread: &ThreadHandle) -> Self {
        let (name, name_bytes) = thread.name().map_or((0, 0), |name| (name.as_ptr().addr(), name.len()));
        Tag { name, name_bytes: name_bytes as u32, number: thread.id().as_u64().get() as u32 }
    }
}

/// A core's table of threads.
#[repr(C)]
struct Table {
    address: AtomicUsize,
    places: AtomicUsize,
}

#[repr(C)]
struct Visible {
    /// Version of this list; bytes of a place; in a place, the state, the stack pointer of who does not run, the tag, and the stack: its
    /// first address and its bytes.
    layout: [AtomicUsize; 6],
    tables: [Table; CORES_MAX],
}

#[unsafe(no_mangle)]
static TORO_THREADS: Visible = Visible {
    layout: [const { AtomicUsize::new(0) }; 6],
    tables: [const { Table { address: AtomicUsize::new(0), places: AtomicUsize::new(0) } }; CORES_MAX],
};

const LAYOUT: [usize; 6] = {
    let layout = Threads::<Thread>::LAYOUT;
    assert!(size_of::<Option<Thread>>() == size_of::<Thread>(), "a thread lies where its `Option` does");
    let (context, tag, stack) = (offset_of!(Thread, context), offset_of!(Thread, tag), offset_of!(Thread, stack));
    [1, layout.place_bytes, layout.state, layout.payload + context, layout.payload + tag, layout.payload + stack]
};

/// Shows where this core's table is now.
pub(super) fn show(threads: &Threads<Thread>) {
    // Written here, so that what the image's file has of it is nothing.
    for (place, value) in TORO_THREADS.layout.iter().zip(LAYOUT) {
        place.store(value, Relaxed);
    }
    let table = &TORO_THREADS.tables[current().index()];
    table.address.store(threads.address(), Relaxed);
    table.places.store(threads.places(), Relaxed);
}
