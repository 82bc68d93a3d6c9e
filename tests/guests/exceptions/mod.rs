//! What the processor refuses in ring 0, by name: instructions that no compiler would write.

use core::arch::asm;

/// Each exception that code can raise in ring 0: its name, how, and what is said of it.
pub(crate) const ALL: [(&str, fn(), &str); 16] = [
    ("divide", divide, "divide error"),
    ("debug", debug, "debug trap"),
    ("breakpoint", breakpoint, "breakpoint"),
    ("overflow", overflow, "exception 4 (error code 0x0)"),
    ("bound", bound, "exception 5 (error code 0x0)"),
    ("invalid", invalid, "invalid instruction"),
    ("no_device", no_device, "exception 7 (error code 0x0)"),
    ("stack_segment", stack_segment, " fault (error code 0x0)"), // a general protection fault under QEMU's translator
    ("protection", protection, "general protection fault (error code 0x50)"),
    ("strange", strange, "general protection fault (error code 0x0)"),
    ("read_null", read_null, "read of 0x8, near null"),
    ("write_null", write_null, "write to 0x10, near null"),
    ("jump_null", jump_null, "execution of 0x0, near null"),
    ("read_absent", read_absent, "read of 0xffffe00000000000, which is not mapped"),
    ("x87", x87, "floating-point exception"),
    ("stack", stack, "stack overflow at"),
];

/// A function of these instructions, which do not return.
macro_rules! refused {
    ($($name:ident: $($line:literal)+;)+) => {
        $(fn $name() {
            // SAFETY: the last instruction faults, and nothing is used afterwards.
            unsafe { asm!($($line,)+ "2: jmp 2b", options(noreturn)) }
        })+
    };
}

refused! {
    divide: "xor ecx, ecx" "div ecx";
    debug: "pushf" "or qword ptr [rsp], 0x100" "popf" "nop";
    breakpoint: "int3";
    overflow: "int 4";
    bound: "int 5";
    invalid: "ud2";
    no_device: "int 7";
    stack_segment: "mov rbp, 0x1000000000000000" "mov rax, [rbp]";
    protection: "mov eax, 0x50" "mov ds, eax";
    strange: "mov rax, 0x1000000000000000" "mov rax, [rax]";
    read_null: "mov rax, [8]";
    write_null: "mov [16], rax";
    jump_null: "xor eax, eax" "call rax";
    read_absent: "mov rax, 0xffffe00000000000" "mov rax, [rax]";
    x87: "fninit" "push 0x37b" "fldcw [rsp]" "fld1" "fldz" "fdivp" "fwait";
    stack: "3: push rax" "jmp 3b";
}
