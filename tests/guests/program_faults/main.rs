//! Programs that do what they may not: each comes back with an event, and the kernel goes on.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "code for ring 3")]

#[path = "../programs/mod.rs"]
mod programs;

use programs::{CODE, DATA, PAGE, go, load, pages, program};
use toro::prelude::*;
use toro::thread;
use toro::time::Duration;
use toro::user::{END, Event, Fault, Pages, Rights, START, interrupt_after, run};

toro::main!(main);

program!(call: "syscall");
program!(halt: "hlt");
program!(interrupts_off: "cli");
program!(interrupts_on: "sti");
program!(port_in: "in al, dx");
program!(port_out: "mov edx, 0x3f8" "out dx, al");
program!(write_msr: "mov ecx, 0xc0000082" "wrmsr");
program!(read_msr: "mov ecx, 0xc0000101" "rdmsr");
program!(control: "mov rax, cr3");
program!(set_control: "xor eax, eax" "mov cr3, rax");
program!(debug_register: "mov rax, dr7");
program!(swap: "swapgs");
program!(return_system: "sysretq");
program!(return_interrupt: "push 0x10" "push rsp" "push 2" "push 8" "push 0" "iretq");
// An emulator may believe that a program can go to virtual 8086 mode, where selectors have no privilege.
program!(virtual_8086:
    "mov dword ptr [rsp - 36], 0" "mov dword ptr [rsp - 32], 0x1000" "mov dword ptr [rsp - 28], 0x20202"
    "mov dword ptr [rsp - 24], 0x100" "mov dword ptr [rsp - 20], 0" "mov qword ptr [rsp - 16], 0"
    "mov qword ptr [rsp - 8], 0" "sub rsp, 36" "iretd");
program!(load_table: "lidt [rsp - 64]");
program!(flush: "invlpg [0]");
program!(invalid: "ud2");
program!(divide: "xor ecx, ecx" "div ecx");
program!(breakpoint: "int3");
program!(single_step: ".byte 0xf1");
program!(linux_32: "int 0x80");
program!(fake_page_fault: "int 14");
program!(fake_timer: "int 32");
program!(fake_nmi: "int 2");
program!(sysenter: "sysenter");
program!(far_call: "lcall [rsp - 64]");
program!(null: "mov rax, [0]");
program!(jump_null: "xor eax, eax" "jmp rax");
program!(read_kernel: "mov rax, 0xffff800000001000" "mov rax, [rax]");
program!(run_kernel: "mov rax, 0xffff800000001000" "jmp rax");
program!(read_strange: "mov rax, 0x1000000000000000" "mov rax, [rax]");
program!(jump_strange: "mov rax, 0x1000000000000000" "jmp rax");
program!(return_strange: "mov rax, 0x1000000000000000" "push rax" "ret");
program!(push_strange: "mov rsp, 0x1000000000000000" "push rax");
program!(run_data: "jmp rsp");
program!(write_code: "lea rax, [rip]" "mov [rax], rax");
program!(kernel_segment: "mov eax, 0x10" "mov ds, eax");
program!(task_segment: "mov eax, 0x18" "mov gs, eax");
program!(no_stack_segment: "xor eax, eax" "mov ss, eax");

program!(segments:
    "mov eax, 0x2b" "mov ds, eax" "mov es, eax" "mov fs, eax" "mov gs, eax" "syscall"
    "xor eax, eax" "mov ds, eax" "mov es, eax" "mov fs, eax" "mov gs, eax" "syscall" "jmp rsp");
program!(flags: "mov rsp, rsi" "push 0x254cd5" "popfq" "syscall" "pushfq" "pop rax" "push 2" "popfq" "syscall");
program!(steps: "push 0x100" "popfq" "nop" "syscall" "nop" "ud2");
program!(hidden_step: "mov eax, 0x2b" "push 0x100" "popfq" "mov ss, eax" "syscall" "ud2");
program!(stacks:
    "mov rsp, 0x1000000000000000" "syscall" "mov rsp, 0xffff800000000010" "syscall" "xor esp, esp" "syscall" "2: jmp 2b");
program!(spin: "2: inc rax" "jmp 2b");
program!(spin_hostile: "mov rsp, 0x1000000000000000" "std" "push_none: inc rax" "jmp push_none");

fn main() {
    let pages: &Pages = Box::leak(Box::new(pages()));
    let fault = |vector, error| (vector, error, 0);
    let page = |error, address| (14, error, address);
    let strange = fault(13, 0);
    type Case = (fn() -> &'static [u8], (u8, u64, usize));
    let cases: [Case; 29] = [
        (halt, strange),
        (interrupts_off, strange),
        (interrupts_on, strange),
        (port_in, strange),
        (port_out, strange),
        (write_msr, strange),
        (read_msr, strange),
        (control, strange),
        (set_control, strange),
        (debug_register, strange),
        (swap, strange),
        (return_system, strange),
        (load_table, strange),
        (flush, strange),
        (invalid, fault(6, 0)),
        (divide, fault(0, 0)),
        (breakpoint, fault(3, 0)),
        (far_call, fault(13, 0)),
        (null, page(4, 0)),
        (jump_null, page(0x14, 0)),
        (read_kernel, page(4, 0xffff_8000_0000_1000)),
        (run_kernel, page(0x14, 0xffff_8000_0000_1000)),
        (read_strange, strange),
        (jump_strange, strange),
        (return_strange, strange),
        (run_data, page(0x15, DATA + PAGE / 2)),
        (write_code, page(7, CODE + 7)),
        (kernel_segment, fault(13, 0x10)),
        (no_stack_segment, strange),
    ];
    for (number, (code, (vector, error, address))) in cases.iter().copied().enumerate() {
        let mut context = load(pages, code());
        context.registers_mut().rsp = (DATA + PAGE / 2) as u64;
        assert_eq!(go(&mut context), Event::Fault(Fault { vector, error, address }), "case {number}");
        lives(pages);
    }
    // Processors, real and emulated, differ in what they say of these.
    let any = [
        sysenter,
        task_segment,
        return_interrupt,
        single_step,
        linux_32,
        fake_page_fault,
        fake_timer,
        fake_nmi,
        push_strange,
        virtual_8086,
    ];
    for code in any {
        assert!(matches!(go(&mut load(pages, code())), Event::Fault(_)));
        lives(pages);
    }
    segment_registers(pages);
    flag_registers(pages);
    single_steps(pages);
    stack_pointers(pages);
    edges(pages);
    interrupted_8086(pages);
    println!("{} programs came back", cases.len() + any.len());
}

/// A program that does nothing wrong still runs, and so do other threads.
fn lives(pages: &Pages) {
    thread::spawn(|| assert!(core::hint::black_box(vec![1.5_f64; 100]).iter().sum::<f64>() > 149.0))
        .join()
        .expect("it returns");
    let mut context = load(pages, call());
    assert_eq!(go(&mut context), Event::Syscall);
    let mut bytes = vec![0; 2 * PAGE];
    assert_eq!(pages.read(CODE, &mut bytes), Err(CODE + PAGE));
}

fn segment_registers(pages: &Pages) {
    let mut context = load(pages, segments());
    for _ in 0..2 {
        assert_eq!(go(&mut context), Event::Syscall);
        thread::yield_now();
    }
    assert!(matches!(go(&mut context), Event::Fault(Fault { vector: 14, .. })));
    lives(pages);
}

fn flag_registers(pages: &Pages) {
    let mut context = load(pages, flags());
    context.registers_mut().rsi = (DATA + PAGE) as u64;
    assert_eq!(go(&mut context), Event::Syscall);
    let kept = 0x24_4cd5; // RF never shows
    assert_eq!(context.registers().rflags & kept, kept);
    pages.write(DATA, &[7; 1000]).expect("mapped"); // a copy that went backward would be wrong
    let mut bytes = [0; 1000];
    pages.read(DATA, &mut bytes).expect("mapped");
    assert_eq!(bytes, [7; 1000]);
    thread::spawn(|| {}).join().expect("it returns");
    assert_eq!(go(&mut context), Event::Syscall);
    assert_eq!(context.registers().rax & kept, kept);
    lives(pages);
}

fn single_steps(pages: &Pages) {
    for code in [steps, hidden_step] {
        let mut context = load(pages, code());
        let mut steps = 0;
        loop {
            match go(&mut context) {
                Event::Fault(Fault { vector: 1, .. }) => steps += 1,
                Event::Syscall | Event::Interrupt => {}
                Event::Fault(Fault { vector: 6, .. }) => break,
                event => panic!("{event:?}"),
            }
            assert!(steps < 10, "{:?}", context.registers());
        }
        lives(pages);
    }
}

fn stack_pointers(pages: &Pages) {
    let mut context = load(pages, stacks());
    for _ in 0..3 {
        assert_eq!(go(&mut context), Event::Syscall);
    }
    for code in [spin, spin_hostile] {
        let mut other = load(pages, code());
        let mut count = 0;
        // A processor that the host has not run meanwhile is interrupted before its first instruction.
        while count < 5 || other.registers().rax == 0 {
            interrupt_after(Duration::from_micros(200));
            assert_eq!(run(&mut other), Event::Interrupt);
            count += 1;
        }
        lives(pages);
    }
}

/// What is interrupted in a mode in which selectors have no privilege was a program all the same.
fn interrupted_8086(pages: &'static Pages) {
    pages.map_filled(START, 0, &[0x0f, 0x05], Rights::ReadExecute).expect("the first page"); // `syscall`
    assert!(matches!(go(&mut load(pages, virtual_8086())), Event::Fault(_)));
    pages.unmap(START..START + PAGE).expect("a range");
    pages.map_filled(START, 0, &[0xeb, 0xfe], Rights::ReadExecute).expect("the first page"); // goes round there
    let rounds = move || {
        for _ in 0..50 {
            let mut context = load(pages, virtual_8086());
            interrupt_after(Duration::from_micros(200));
            let event = run(&mut context);
            assert!(matches!(event, Event::Interrupt | Event::Fault(_)), "{event:?}");
        }
    };
    rounds();
    // And while another core wants this one to forget pages.
    for core in thread::cores().skip(1) {
        let other = thread::spawn_on(core, rounds);
        while !other.is_finished() {
            pages.map(DATA + PAGE, Rights::ReadWrite).expect("a page");
            pages.unmap(DATA + PAGE..DATA + 2 * PAGE).expect("a range");
        }
        other.join().expect("it returns");
    }
    pages.unmap(START..START + PAGE).expect("a range");
    lives(pages);
}

/// Addresses at the ends of what there is.
fn edges(pages: &Pages) {
    let last = END - PAGE;
    pages.map_filled(last, PAGE - 2, call(), Rights::ReadExecute).expect("the last page");
    let mut context = load(pages, call());
    context.registers_mut().rip = (END - 2) as u64;
    assert_eq!(go(&mut context), Event::Syscall);
    assert_eq!(context.registers().rip, END as u64);
    assert!(matches!(go(&mut context), Event::Fault(Fault { vector: 13, .. })));
    for rip in [END as u64, 1 << 47, 1 << 63, u64::MAX, 0xffff_8000_0000_0000] {
        context.registers_mut().rip = rip;
        assert!(matches!(go(&mut context), Event::Fault(Fault { vector: 13, .. })));
    }
    assert!(pages.map(END, Rights::Read).is_err() && pages.map(0, Rights::Read).is_err());
    assert!(pages.map(usize::MAX & !4095, Rights::Read).is_err() && pages.map(CODE + 1, Rights::Read).is_err());
    let mut bytes = [0; 16];
    for address in [END - 8, END, 1 << 47, 1 << 63, usize::MAX - 7, usize::MAX] {
        assert!(pages.read(address, &mut bytes).is_err() && pages.write(address, &bytes).is_err());
    }
    assert!(pages.read(0, &mut bytes) == Err(0) && pages.compare_exchange(8, 0, 1) == Err(8));
    pages.unmap(last..END).expect("a range");
    lives(pages);
}
