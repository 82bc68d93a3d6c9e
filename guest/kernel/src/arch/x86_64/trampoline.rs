//! The first instructions of a further core: from real mode to the kernel's page tables.
//!
//! The code is copied to a page below 1 MiB, where a core begins that gets a start-up interrupt, and is followed there by
//! what it has to know ([`Orders`]). The kernel's page tables map that page at its own address as long as cores start.
//! A core looks for its slot by the number of its APIC: none of its own, or one that was given up meanwhile, and it halts.
//! Integer instructions only, and nothing but registers until the slot says where a stack is.

#![expect(unsafe_code, reason = "the first instructions of a core")]

use core::arch::global_asm;

/// What the boot core writes behind the code.
#[repr(C)]
pub(super) struct Orders {
    /// Control registers as on the boot core, so that all cores run alike.
    pub(super) cr0: u32,
    pub(super) cr3: u32,
    pub(super) cr4: u32,
    pub(super) efer: u32,
    /// Address of `ap_code64` in the copy, and its segment.
    pub(super) far_offset: u32,
    pub(super) far_segment: u32,
    /// For `lgdt`: limit in the upper half, then the address of `gdt` in the copy.
    pub(super) gdt_limit: u32,
    pub(super) gdt_address: u32,
    /// Null, 64-bit code, data.
    pub(super) gdt: [u64; 3],
    /// The slots, and how many there are.
    pub(super) slots: u64,
    pub(super) slot_count: u64,
    /// A function of the slot's block and the slot's number.
    pub(super) arrive: u64,
}

global_asm!(
    r#"
    .section .rodata.trampoline, "a", @progbits
    .balign 16
    .global ap_code, ap_code64, ap_orders
    .code16
ap_code:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl (ap_orders - ap_code + {gdt})
    movl (ap_orders - ap_code + {cr4}), %eax
    movl %eax, %cr4
    movl (ap_orders - ap_code + {cr3}), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    movl (ap_orders - ap_code + {efer}), %eax
    xorl %edx, %edx
    wrmsr
    movl (ap_orders - ap_code + {cr0}), %eax
    movl %eax, %cr0                      # protected and long mode at once
    ljmpl *(ap_orders - ap_code + {far})

    .code64
ap_code64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    xorl %ebp, %ebp                      # the chain of frames ends here
    # The APIC's number: all 32 bits where leaf 0xb has them.
    cpuid
    cmpl $0xb, %eax
    jb 1f
    movl $0xb, %eax
    xorl %ecx, %ecx
    cpuid
    testl %ebx, %ebx
    jz 1f
    movl %edx, %r8d
    jmp 2f
1:  movl $1, %eax
    cpuid
    shrl $24, %ebx
    movl %ebx, %r8d
2:  movq ap_orders+{slots}(%rip), %r9
    movq ap_orders+{slot_count}(%rip), %r10
    xorl %esi, %esi
3:  cmpl %r8d, (%r9)
    je 4f
    addq ${slot_bytes}, %r9
    incl %esi
    cmpq %r10, %rsi
    jb 3b
    jmp 5f
4:  movl ${asked}, %eax
    movl ${arrived}, %edx
    lock cmpxchgl %edx, 4(%r9)
    jne 5f
    movq 8(%r9), %rdi
    leaq {block_bytes}(%rdi), %rsp
    call *ap_orders+{arrive}(%rip)
5:  cli
    hlt
    jmp 5b
    .balign 8
ap_orders:
    "#,
    cr0 = const core::mem::offset_of!(Orders, cr0),
    cr3 = const core::mem::offset_of!(Orders, cr3),
    cr4 = const core::mem::offset_of!(Orders, cr4),
    efer = const core::mem::offset_of!(Orders, efer),
    far = const core::mem::offset_of!(Orders, far_offset),
    gdt = const core::mem::offset_of!(Orders, gdt_limit) + 2,
    slots = const core::mem::offset_of!(Orders, slots),
    slot_count = const core::mem::offset_of!(Orders, slot_count),
    arrive = const core::mem::offset_of!(Orders, arrive),
    slot_bytes = const size_of::<super::smp::Slot>(),
    block_bytes = const super::smp::BLOCK_BYTES,
    asked = const super::smp::ASKED,
    arrived = const super::smp::ARRIVED,
    options(att_syntax)
);

unsafe extern "C" {
    static ap_code: u8;
    static ap_code64: u8;
    static ap_orders: u8;
}

/// Copies code and `orders` to the page that is mapped at `page`, whose physical address is `physical`. The rest of the
/// orders, which depends on that address, is filled in here.
///
/// # Safety
/// The page is the caller's.
pub(super) unsafe fn write(page: *mut u8, physical: u32, orders: Orders) {
    let code = &raw const ap_code;
    let offset = |symbol: *const u8| symbol.addr() - code.addr();
    let orders_at = offset(&raw const ap_orders);
    let gdt_at = orders_at + core::mem::offset_of!(Orders, gdt);
    let orders = Orders {
        far_offset: physical + offset(&raw const ap_code64) as u32,
        far_segment: 8,
        gdt_limit: (size_of_val(&orders.gdt) as u32 - 1) << 16,
        gdt_address: physical + gdt_at as u32,
        ..orders
    };
    // SAFETY: code and orders are shorter than a page, which is the caller's; the orders are aligned, being of 8 bytes.
    unsafe {
        core::ptr::copy_nonoverlapping(code, page, orders_at);
        page.add(orders_at).cast::<Orders>().write(orders);
    }
}
