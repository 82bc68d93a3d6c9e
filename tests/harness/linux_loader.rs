//! A loader that enters an image as Firecracker enters an ELF whose PVH note it does not know: Linux's 64-bit protocol.
//!
//! QEMU has put the segments where they belong and entered these instructions by PVH. They make what Firecracker makes,
//! where it does: descriptor table, page tables for the first GiB alone, zero page, command line, a stack; caches
//! are off (CD, NW). Then they jump to the ELF's entry. They run at a fixed address, so all of it is constants.

#![expect(unsafe_code, reason = "the instructions are read as bytes of this program")]

use std::arch::global_asm;

use crate::tamper::STUB_ADDRESS;

/// Where Firecracker puts the zero page.
pub const ZERO_PAGE: u32 = 0x7000;
/// Where Firecracker puts the command line.
pub const LINUX_COMMAND_LINE: u32 = 0x2_0000;

global_asm!(
    r#"
    .section .rodata.toro_linux_loader, "a", @progbits
    .balign 16
    .global toro_linux_loader, toro_linux_loader_end
    .code32
toro_linux_loader:
    cli
    cld
    movl ${base}, %ebp
    movl $0x8ff0, %esp
    # The list of modules may lie where the zero page comes.
    xorl %eax, %eax
    xorl %edx, %edx
    cmpl $0, 12(%ebx)                    # start_info.nr_modules
    je 1f
    movl 16(%ebx), %ecx
    movl (%ecx), %eax
    movl 8(%ecx), %edx
1:  pushl %edx
    pushl %eax
    movl $0x7000, %edi
    movl $0x400, %ecx
    xorl %eax, %eax
    rep stosl
    popl 0x7218                          # ramdisk_image
    popl 0x721c                          # ramdisk_size
    movw $0xaa55, 0x71fe                 # boot_flag
    movl $0x53726448, 0x7202             # "HdrS"
    movb $0xff, 0x7210                   # type_of_loader
    movl $0x20000, 0x7228                # cmd_line_ptr
    movl 32(%ebx), %eax
    movl %eax, 0x7070                    # acpi_rsdp_addr
    movl 36(%ebx), %eax
    movl %eax, 0x7074
    movl 48(%ebx), %ecx
    movb %cl, 0x71e8                     # e820_entries
    movl 40(%ebx), %esi
    movl $0x72d0, %edi                   # e820_table: 20 bytes of PVH's 24 an entry
2:  movsl
    movsl
    movsl
    movsl
    movsl
    addl $4, %esi
    decl %ecx
    jnz 2b
    movl 24(%ebx), %esi
    movl $0x20000, %edi
3:  lodsb
    stosb
    testb %al, %al
    jnz 3b

    movl $0x9000, %edi
    movl $0xc00, %ecx
    rep stosl                            # eax is 0
    movl $0xa003, 0x9000
    movl $0xb003, 0xa000
    movl $0xb000, %edi
    movl $512, %ecx
    movl $0x83, %eax
4:  movl %eax, (%edi)
    addl $8, %edi
    addl $0x200000, %eax
    decl %ecx
    jnz 4b
    leal (5f - toro_linux_loader)(%ebp), %esi
    movl $0x500, %edi
    movl $10, %ecx
    rep movsl
    lgdt (6f - toro_linux_loader)(%ebp)
    lidt (7f - toro_linux_loader)(%ebp)

    # What the test wants changed: count, then address and value of each.
    leal (toro_linux_loader_end - toro_linux_loader + 16)(%ebp), %esi
    lodsl
    movl %eax, %ecx
8:  decl %ecx
    js 9f
    lodsl
    movl %eax, %edi
    movsl
    jmp 8b

9:  movl $0x20, %eax
    movl %eax, %cr4
    movl $0x9000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    movl $0x100, %eax
    xorl %edx, %edx
    wrmsr
    movl $0xe0000011, %eax
    movl %eax, %cr0
    ljmp $8, $(10f - toro_linux_loader + {base})
    .code64
10: movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl $0x8ff0, %ebp
    movq %rbp, %rsp
    movq toro_linux_loader_end+8(%rip), %rsi
    jmpq *toro_linux_loader_end(%rip)

    .balign 8
5:  .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x008f8b000000ffff
    .quad 0
6:  .word 31
    .long 0x500
7:  .word 7
    .long 0x520
    .balign 8
toro_linux_loader_end:
    .quad 0
    "#,
    base = const STUB_ADDRESS,
    options(att_syntax)
);

unsafe extern "C" {
    static toro_linux_loader: u8;
    static toro_linux_loader_end: u8;
}

/// The loader, which enters at `entry`, points to a zero page at `zero_page`, and before that stores 32-bit words:
/// address, value.
pub(crate) fn code(entry: u64, zero_page: u64, stores: &[(u32, u32)]) -> Vec<u8> {
    let (start, end) = (&raw const toro_linux_loader, &raw const toro_linux_loader_end);
    // SAFETY: the instructions above, between their two labels.
    let mut code = unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }.to_vec();
    code.extend(entry.to_le_bytes());
    code.extend(zero_page.to_le_bytes());
    code.extend((stores.len() as u32).to_le_bytes());
    code.extend(stores.iter().flat_map(|(address, value)| [*address, *value]).flat_map(u32::to_le_bytes));
    code
}
