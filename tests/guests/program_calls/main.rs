//! What a program has in registers is there again when it goes on, whatever the kernel and other programs did meanwhile.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "code for ring 3")]

#[path = "../programs/mod.rs"]
mod programs;

use programs::{CODE, DATA, PAGE, go, load, pages, program};
use toro::prelude::*;
use toro::thread;
use toro::user::{Context, Event, Fault, Pages, Registers, Rights};

toro::main!(main);

program!(calls: "2: syscall" "jmp 2b");
program!(vectors_128:
    "movups xmm0, [rsi]" "movups xmm1, [rsi+16]" "movups xmm7, [rsi+32]" "movups xmm8, [rsi+48]" "movups xmm15, [rsi+64]"
    "syscall"
    "movups [rdi], xmm0" "movups [rdi+16], xmm1" "movups [rdi+32], xmm7" "movups [rdi+48], xmm8" "movups [rdi+64], xmm15"
    "syscall");
program!(vectors_256:
    "vmovups ymm0, [rsi]" "vmovups ymm7, [rsi+32]" "vmovups ymm15, [rsi+64]"
    "syscall"
    "vmovups [rdi], ymm0" "vmovups [rdi+32], ymm7" "vmovups [rdi+64], ymm15"
    "syscall");
program!(floats:
    "fldcw [rsi]" "ldmxcsr [rsi+4]" "fld qword ptr [rsi+8]" "fld qword ptr [rsi+16]"
    "syscall"
    "fnstcw [rdi]" "stmxcsr [rdi+4]" "fstp qword ptr [rdi+16]" "fstp qword ptr [rdi+8]"
    "syscall");
program!(pending: "fldcw [rsi]" "fld1" "fldz" "fdivp" "syscall" "fwait" "syscall");
program!(bases: "mov rax, fs:[0]" "mov rbx, gs:[8]" "syscall");

fn main() {
    let pages = pages();
    general(&pages);
    vectors("xmm", &pages, vectors_128(), 80);
    if core::arch::x86_64::__cpuid(1).ecx & 1 << 28 != 0 {
        vectors("ymm", &pages, vectors_256(), 96);
    }
    float_control(&pages);
    pending_exception(&pages);
    thread_bases(&pages);
    snapshots(&pages);
    println!("registers are kept");
}

/// Uses every register that the kernel may use, and lets others run.
fn disturb() {
    thread::spawn(|| {
        let values: Vec<f64> = (1..100).map(|number| core::hint::black_box(f64::from(number)) / 3.0).collect();
        assert!(values.iter().sum::<f64>() > 0.0);
        assert!((core::hint::black_box(1.0) / core::hint::black_box(0.0_f64)).is_infinite());
    })
    .join()
    .expect("it returns");
}

/// Another program that leaves nothing as it was.
fn other_program(pages: &Pages) {
    pages.map_filled(CODE + PAGE, 0, vectors_128(), Rights::ReadExecute).expect("a page");
    let mut other = Context::new(pages, (CODE + PAGE) as u64, 0).expect("memory");
    other.registers_mut().rsi = (CODE + PAGE) as u64;
    assert_eq!(go(&mut other), Event::Syscall);
    pages.unmap(CODE + PAGE..CODE + 2 * PAGE).expect("a range");
}

fn general(pages: &Pages) {
    let mut context = load(pages, calls());
    let pattern = |number: u64| number.wrapping_mul(0x1234_5678_9abc_def1);
    *context.registers_mut() = Registers {
        rax: pattern(1),
        rbx: pattern(2),
        rcx: pattern(3),
        rdx: pattern(4),
        rsi: pattern(5),
        rdi: pattern(6),
        rbp: pattern(7),
        rsp: pattern(8),
        r8: pattern(9),
        r9: pattern(10),
        r10: pattern(11),
        r11: pattern(12),
        r12: pattern(13),
        r13: pattern(14),
        r14: pattern(15),
        r15: pattern(16),
        rip: CODE as u64,
        rflags: 0x8d5,
    };
    let before = *context.registers();
    for round in 0..10 {
        assert_eq!(go(&mut context), Event::Syscall, "round {round}");
        let now = *context.registers();
        let rip = CODE as u64 + 2;
        assert_eq!(now, Registers { rcx: rip, rip, r11: 0xad7, rflags: 0xad7, ..before }, "round {round}");
        if round % 2 == 1 {
            disturb();
        }
        if round % 3 == 2 {
            context.registers_mut().rcx = round; // no way for `sysret`
        }
    }
}

fn vectors(what: &str, pages: &Pages, code: &[u8], bytes: usize) {
    let mut context = load(pages, code);
    let values: Vec<u8> = (0..bytes).map(|number| (number * 7 + 3) as u8).collect();
    pages.write(DATA, &values).expect("mapped");
    pages.zero(DATA + 512, 128).expect("mapped");
    (context.registers_mut().rsi, context.registers_mut().rdi) = (DATA as u64, DATA as u64 + 512);
    assert_eq!(go(&mut context), Event::Syscall);
    disturb();
    other_program(pages);
    disturb();
    assert_eq!(go(&mut context), Event::Syscall);
    let mut now = vec![0; bytes];
    pages.read(DATA + 512, &mut now).expect("mapped");
    assert_eq!(now, values, "{what}");
}

fn float_control(pages: &Pages) {
    let mut context = load(pages, floats());
    let mut values = [0; 24];
    values[..2].copy_from_slice(&0xe7f_u16.to_le_bytes()); // rounds towards zero
    values[4..8].copy_from_slice(&0x1d80_u32.to_le_bytes()); // division by zero is not masked
    values[8..16].copy_from_slice(&1.5_f64.to_le_bytes());
    values[16..24].copy_from_slice(&(-2.25_f64).to_le_bytes());
    pages.write(DATA, &values).expect("mapped");
    (context.registers_mut().rsi, context.registers_mut().rdi) = (DATA as u64, DATA as u64 + 512);
    assert_eq!(go(&mut context), Event::Syscall);
    disturb();
    other_program(pages);
    assert_eq!(go(&mut context), Event::Syscall);
    let mut now = [0; 24];
    pages.read(DATA + 512, &mut now).expect("mapped");
    assert_eq!((&now[..2], &now[4..]), (&values[..2], &values[4..]), "x87 and MXCSR");
}

/// An exception of the x87 that the program has not met yet is met by it, and not by the kernel.
fn pending_exception(pages: &Pages) {
    let mut context = load(pages, pending());
    pages.write(DATA, &0x37b_u16.to_le_bytes()).expect("mapped");
    context.registers_mut().rsi = DATA as u64;
    assert_eq!(go(&mut context), Event::Syscall);
    disturb();
    other_program(pages);
    disturb();
    assert_eq!(go(&mut context), Event::Fault(Fault { vector: 16, error: 0, address: 0 }));
}

fn thread_bases(pages: &Pages) {
    let mut context = load(pages, bases());
    pages.write(DATA, &[11_u64, 22, 33].map(u64::to_le_bytes).concat()).expect("mapped");
    context.set_fs_base(DATA as u64).expect("an address");
    context.set_gs_base(DATA as u64 + 8).expect("an address");
    assert!(context.set_gs_base(u64::MAX).is_err() && context.set_fs_base(1 << 63).is_err());
    for round in 0..3 {
        context.registers_mut().rip = CODE as u64;
        assert_eq!(go(&mut context), Event::Syscall);
        assert_eq!((context.registers().rax, context.registers().rbx), (11 + 11 * u64::from(round == 2), 33));
        if round == 1 {
            context.set_fs_base(DATA as u64 + 8).expect("an address");
        }
        other_program(pages);
    }
}

fn snapshots(pages: &Pages) {
    let mut context = load(pages, floats());
    let mut values = [0; 24];
    values[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    values[4..8].copy_from_slice(&0x1f80_u32.to_le_bytes());
    values[8..16].copy_from_slice(&4.5_f64.to_le_bytes());
    pages.write(DATA, &values).expect("mapped");
    (context.registers_mut().rsi, context.registers_mut().rdi) = (DATA as u64, DATA as u64 + 512);
    assert_eq!(go(&mut context), Event::Syscall);
    let copy = |context: &mut Context| Context::of(context.snapshot().expect("memory")).expect("memory");
    let mut other = copy(&mut context);
    let [mut strange, mut short] = [copy(&mut context), copy(&mut context)];
    let bytes = context.extended().to_vec();
    assert_eq!(other.extended(), bytes);
    context.set_extended(&bytes);
    for context in [&mut context, &mut other] {
        pages.zero(DATA + 512, 64).expect("mapped");
        assert_eq!(go(context), Event::Syscall);
        let mut now = [0; 8];
        pages.read(DATA + 520, &mut now).expect("mapped");
        assert_eq!(f64::from_le_bytes(now), 4.5);
    }
    // Whatever a program writes there, the processor gets nothing that it refuses.
    strange.set_extended(&vec![0xff; bytes.len()]);
    strange.registers_mut().rip = CODE as u64 + 2; // not the instruction that begins it
    go(&mut strange); // whatever comes of it, it is the program's
    disturb();
    short.set_extended(&[1, 2, 3]);
    go(&mut short);
    disturb();
}
