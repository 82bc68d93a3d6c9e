//! Switching between threads: what a function call keeps is what a switch keeps.

#![expect(unsafe_code, reason = "stacks are exchanged")]

use core::arch::naked_asm;

/// A thread that is not running: its stack pointer, the rest lies on its stack.
#[derive(Debug)]
#[repr(transparent)]
pub struct Context {
    stack_pointer: usize,
}

/// What [`switch`] pushes, lowest address first.
#[repr(C)]
struct Saved {
    mxcsr: u32,
    x87_control: u32,
    r15: usize,
    r14: usize,
    r13: usize,
    r12: usize,
    rbx: usize,
    rbp: usize,
    resume: usize,
    /// Keeps the ABI's alignment at the entry function, and ends the chain of frame pointers.
    end: [usize; 2],
}

impl Context {
    /// The context of the thread that is running; filled when it is switched away from.
    pub const fn running() -> Self {
        Self { stack_pointer: 0 }
    }

    /// A thread that will call `entry(argument)` on the stack that ends at `stack_top`.
    ///
    /// # Safety
    /// The 128 bytes below `stack_top` are writable and unused, and `stack_top` is aligned to 16.
    pub unsafe fn new(stack_top: *mut u8, entry: extern "C" fn(usize) -> !, argument: usize) -> Self {
        let saved = Saved {
            mxcsr: 0x1f80,
            x87_control: 0x37f,
            r15: 0,
            r14: 0,
            r13: argument,
            r12: entry as *const () as usize,
            rbx: 0,
            rbp: 0,
            resume: start as *const () as usize,
            end: [0; 2],
        };
        let frame = stack_top.wrapping_sub(size_of::<Saved>()).cast::<Saved>();
        // SAFETY: by this function's contract there is room and alignment for it.
        unsafe { frame.write(saved) };
        Self { stack_pointer: frame.addr() }
    }
}

/// First instructions of a thread: calls `r12(r13)` with an aligned stack and no caller's frame.
#[unsafe(naked)]
extern "C" fn start() -> ! {
    naked_asm!("mov rdi, r13", "xor ebp, ebp", "call r12", "ud2")
}

/// Gives up all that the running thread has on its stack, and goes on with `entry` at the stack's top.
///
/// # Safety
/// The stack ends at `stack_top`, aligned to 16, and is the running thread's; nobody uses what lies on it any more.
#[unsafe(naked)]
pub unsafe extern "C" fn abandon(stack_top: *mut u8, entry: extern "C" fn() -> !) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "xor ebp, ebp",
        "push rbp", // ends the chain of frame pointers
        "push 2",
        "popfq", // no flag of what was interrupted
        "fninit",
        ".if {sse}",
        "push 0x1f80",
        "ldmxcsr [rsp]",
        "pop rax",
        ".endif",
        "push rbp",
        "call rsi",
        "ud2",
        sse = const super::SSE,
    )
}

/// Calls `f` on another stack, and comes back.
///
/// # Safety
/// The stack ends at `stack_top`, aligned to 16, is long enough for `f`, and nobody else uses it meanwhile.
#[unsafe(naked)]
pub unsafe extern "C" fn call_on(stack_top: *mut u8, f: extern "C" fn()) {
    naked_asm!("push rbp", "mov rbp, rsp", "mov rsp, rdi", "call rsi", "mov rsp, rbp", "pop rbp", "ret")
}

/// Leaves the running thread, storing it in `from`, and goes on with `to`.
///
/// # Safety
/// `to` is a context made by [`Context::new`] or stored by this function, not resumed since, whose stack
/// is intact; `from` stays valid until it is resumed.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(from: *mut Context, to: *const Context) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        ".if {sse}",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        ".endif",
        "mov [rdi], rsp",
        "mov rsp, [rsi]",
        ".if {sse}",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        ".endif",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        sse = const super::SSE,
    )
}
