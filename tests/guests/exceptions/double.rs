//! A double fault, after which there is no machine to go on with.

use core::arch::asm;

/// A fault whose gate is gone: what the processor says of that is a fault in the middle of a fault.
pub(crate) fn raise() {
    // SAFETY: none; the test is what comes of it.
    unsafe {
        asm!(
            "sub rsp, 16",
            "sidt [rsp]",
            "mov rax, [rsp + 2]",
            "mov qword ptr [rax + 13 * 16], 0",
            "mov qword ptr [rax + 13 * 16 + 8], 0",
            "mov eax, 0x50",
            "mov ds, eax",
            options(noreturn)
        )
    }
}
