//! From the first instruction to Rust: two entries, long mode, a random virtual base, relocation.
//!
//! Entered by Xen's PVH protocol at `pvh_start` (the note names it; 32-bit protected mode, paging off, `ebx` holds the
//! address of `hvm_start_info`), or by Linux's 64-bit protocol at `linux_start` (the ELF's entry; `rsi` holds the address
//! of the zero page), which steps down to where the first begins. The image lies at its link address, 1 MiB. In
//! order: a processor without 64-bit mode is refused in words, `.bss` is cleared, the image is mapped twice (at its own
//! physical address, and at a base drawn from the timer and `rdrand` in 2 MiB steps of the upper half, or at its first
//! slot with `kaslr=off`), its relative relocations are applied, and control moves to the upper copy for good.
//! Integer instructions only: SSE is enabled here, before the first instruction a compiler wrote.

#![expect(unsafe_code, reason = "the first instructions of the machine")]

use core::arch::global_asm;

/// The last two entries of the image's page directory: windows onto physical memory for early boot.
pub(super) const WINDOW_SLOTS: usize = 2;

// `img32` is the first byte of the image, so `(symbol - img32)(%ebp)` is a physical address that needs
// no relocation. Inside this section `symbol - img32 + 0x100000` is a constant of the assembler.
global_asm!(
    r#"
    .section .bootbss, "aw", @nobits
    .balign 4096
    .global boot_pml4, boot_image_pdpt, boot_image_pd, boot_identity_pdpt
boot_pml4:          .skip 4096
boot_image_pdpt:    .skip 4096
boot_image_pd:      .skip 4096
boot_identity_pdpt: .skip 4096
boot_identity_pd:   .skip 4096

    # Behind the tables, since nobody has to clear it.
    .section .bootstack, "aw", @nobits
    .balign 4096
    .global boot_stack_guard, boot_stack_top
boot_stack_guard:   .skip 4096           # `traps::guard_stacks` unmaps it
                    .skip {stack}
boot_stack_top:

    # What the loader passed: kept outside .bss, which is cleared, and outside registers, which lose their upper
    # halves on the way down from 64-bit mode.
    .section .data.boot, "aw", @progbits
    .balign 8
boot_handed_over:   .quad 0              # start_info, or the zero page
boot_protocol:      .quad 0              # 0: PVH, 1: Linux

    .section .boot, "ax", @progbits
    .code32
    .global pvh_start, linux_start
img32:
pvh_start:
    cli
    cld
    movl $0x100000, %ebp
    movl %ebx, (boot_handed_over - img32)(%ebp)
    jmp enter

    # The loader's page tables map only what lies low, its caches may be off: leave its 64-bit mode, and make our own.
    .code64
linux_start:
    cli
    cld
    movq %rsi, boot_handed_over(%rip)
    movl $1, boot_protocol(%rip)
    lgdt boot_gdt_pointer(%rip)
    ljmpl *boot_far_pointer(%rip)
boot_far_pointer:
    .long leave64 - img32 + 0x100000
    .word 0x18

    .code32
leave64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $0x33, %eax                     # NE, ET, MP, PE; PG, CD, NW off
    movl %eax, %cr0
    movl $0x100000, %ebp

enter:
    # A processor that cannot run the image is told so on the serial port, not left to triple fault.
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb unsupported
    movl $0x80000001, %eax
    cpuid
    andl $0x20100000, %edx               # long mode, no-execute
    cmpl $0x20100000, %edx
    je supported
unsupported:
    leal (unsupported_text - img32)(%ebp), %esi
    movl $0x3f8, %edx
1:  lodsb
    testb %al, %al
    jz 2f
    outb %al, %dx
    jmp 1b
2:  lidt (null_descriptor - img32)(%ebp) # no interrupt table: the next exception resets the machine
    ud2
unsupported_text:
    .asciz "toro: boot failed: this processor has no 64-bit mode with no-execute pages; give the VM an x86-64 CPU model\r\n"
    .balign 4
null_descriptor:
    .skip 8

supported:
    # Nothing of .bss may depend on what the loader left there: here the tables, the rest in 64-bit mode.
    leal (boot_pml4 - img32)(%ebp), %edi
    movl $({tables} / 4), %ecx
    xorl %eax, %eax
    rep stosl

    # Identity map of the image and what lies below it, in 2 MiB pages.
    leal (boot_identity_pdpt - img32)(%ebp), %eax
    leal 3(%eax), %edx
    leal (boot_pml4 - img32)(%ebp), %edi
    movl %edx, (%edi)
    movl %edi, %cr3
    leal (boot_identity_pd - img32 + 3)(%ebp), %edx
    movl %edx, (%eax)
    leal (boot_identity_pd - img32)(%ebp), %edi
    leal (__image_end - img32)(%ebp), %ecx
    addl $0x1fffff, %ecx
    shrl $21, %ecx                       # n, 2 MiB pages up to the image's end
    movl $0x83, %eax
3:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 3b

    movl $0x660, %eax                    # PAE, MCE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x901, %eax                     # SCE, LME, NXE
    wrmsr
    movl $0x80010033, %eax               # PG, WP, NE, ET, MP, PE; EM, TS, CD, NW off
    movl %eax, %cr0
    lgdt (boot_gdt_pointer - img32)(%ebp)
    ljmp $8, $(start64 - img32 + 0x100000)

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff             # 64-bit code
    .quad 0x00cf92000000ffff             # data
    .quad 0x00cf9a000000ffff             # 32-bit code
boot_gdt_pointer:
    .word 31
    .quad boot_gdt - img32 + 0x100000

    .code64
start64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movq boot_handed_over(%rip), %r12
    leaq boot_stack_top(%rip), %rsp
    leaq __bss_start(%rip), %rdi
    leaq boot_pml4(%rip), %rcx           # the tables are last in .bss
    subq %rdi, %rcx
    shrq $3, %rcx
    xorl %eax, %eax
    rep stosq

    # r13: what little randomness there is before any driver.
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, %r15                      # time of entry
    movabsq $0x9e3779b97f4a7c15, %rdx
    mulq %rdx
    xorq %rdx, %rax
    movq %rax, %r13
    movl $1, %eax
    cpuid
    btl $30, %ecx
    jnc 1f
    movl $10, %ecx
2:  rdrand %rax
    jc 3f
    decl %ecx
    jnz 2b
    jmp 1f
3:  xorq %rax, %r13
1:
    leaq __image_end(%rip), %r8
    addq $0x1fffff, %r8
    shrq $21, %r8                        # n

    # `kaslr=off` on the command line, for debuggers, makes every base the first. Only what the identity
    # map reaches is read; Rust checks these pointers properly, and says what is wrong with them.
    movq %r8, %rcx
    shlq $21, %rcx
    subq $8192, %rcx
    cmpq %rcx, %r12
    jae 3f
    movq 24(%r12), %rsi                  # start_info.cmdline_paddr
    cmpl $0, boot_protocol(%rip)
    je 1f
    movl 0x228(%r12), %esi               # the zero page's cmd_line_ptr
1:  cmpq %rcx, %rsi
    jae 3f
    movl $8184, %ecx
    movabsq $0x666f3d726c73616b, %rdx    # "kaslr=of"
1:  cmpb $0, (%rsi)
    je 3f
    cmpq %rdx, (%rsi)
    je 2f
    incq %rsi
    decl %ecx
    jnz 1b
    jmp 3f
2:  xorl %r13d, %r13d
3:
    # Base V = PML4 slot 256..319, any PDPT slot, and a PD slot that leaves room for the image and the windows.
    movl %r13d, %eax
    andl $63, %eax
    leal 256(%rax), %r9d                 # PML4 slot
    movl %r13d, %r10d
    shrl $8, %r10d
    andl $511, %r10d                     # PDPT slot
    movq %r13, %rax
    shrq $32, %rax
    movl $({slots} - 1), %ecx
    subl %r8d, %ecx
    imulq %rcx, %rax
    shrq $32, %rax
    movl %eax, %r11d                     # PD slot

    leaq boot_pml4(%rip), %rdi
    leaq boot_image_pdpt+3(%rip), %rax
    movq %rax, (%rdi, %r9, 8)
    leaq boot_image_pdpt(%rip), %rdi
    leaq boot_image_pd+3(%rip), %rax
    movq %rax, (%rdi, %r10, 8)
    leaq boot_image_pd(%rip), %rdi
    leaq (%rdi, %r11, 8), %rdi
    movl $0x83, %eax
4:  movq %rax, (%rdi)
    addq $0x200000, %rax
    addq $8, %rdi
    decl %r8d
    jnz 4b

    movq $-0x1000000000000, %r14         # V: sign bits, then the three slots
    shlq $39, %r9
    orq %r9, %r14
    shlq $30, %r10
    orq %r10, %r14
    shlq $21, %r11
    orq %r11, %r14

    # RELA: 24-byte entries, all R_X86_64_RELATIVE (the linker is run with -z text).
    leaq __rela_start(%rip), %rsi
    leaq __rela_end(%rip), %rdi
5:  cmpq %rdi, %rsi
    jae 6f
    movq (%rsi), %rax
    movq 16(%rsi), %rdx
    addq %r14, %rdx
    movq %rdx, (%rax)
    addq $24, %rsi
    jmp 5b
    # RELR: an even word is an address; an odd word is a bitmap of the 63 words that follow.
6:  leaq __relr_start(%rip), %rsi
    leaq __relr_end(%rip), %rdi
7:  cmpq %rdi, %rsi
    jae 11f
    movq (%rsi), %rax
    addq $8, %rsi
    testb $1, %al
    jnz 8f
    addq %r14, (%rax)
    leaq 8(%rax), %rdx
    jmp 7b
8:  movq %rdx, %rcx
9:  shrq $1, %rax
    jz 10f
    testb $1, %al
    jz 12f
    addq %r14, (%rcx)
12: addq $8, %rcx
    jmp 9b
10: addq $504, %rdx
    jmp 7b

11: addq %r14, %rsp
    leaq 13f(%rip), %rax
    addq %r14, %rax
    jmpq *%rax
13: xorl %ebp, %ebp
    movq %r12, %rdi
    movq %r14, %rsi
    movq %r13, %rdx
    movq %r15, %rcx
    movl boot_protocol(%rip), %r8d
    call {entry}
    ud2
    "#,
    stack = const super::stack_bytes(32 << 10),
    tables = const 5 * 4096,
    slots = const 512 - WINDOW_SLOTS,
    entry = sym super::entry::entry,
    options(att_syntax)
);
