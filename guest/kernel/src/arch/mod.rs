//! The processor: this list is the whole contract of an architecture.
//!
//! Nothing outside this folder names a register, an instruction or a port of the machine's own.

mod spin_lock;
mod x86_64;

pub use spin_lock::SpinLock; // state of the machine
pub(crate) use x86_64::local::core_local; // declares a `CoreLocal`
pub use x86_64::{
    Frame,     // the registers at an exception
    backtrace, // return addresses of a stack
    context,   // switching between threads
    cores,     // which core this is, and how many there are
    counters,  // what each core counts of itself
    cpu,       // what this processor offers
    depth,     // is the kernel or the application at work?
    guard_stacks,
    interrupt,        // vectors, and how devices reach them
    io_apic,          // lines, and how they become vectors
    local::CoreLocal, // state of one core
    paging,           // mapping memory
    port,             // port input and output
    power,            // idle, and off
    running,          // the thread that runs, as far as its core knows it
    shootdown,        // making other cores forget what was unmapped
    smp,              // starting and stopping the other cores
    speed,            // how fast a core runs
    time,             // the clock and its one timer
    user,             // ring 3: the way there and back
    wall,             // the time of day
};
