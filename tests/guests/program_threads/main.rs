//! Programs of many threads, on each core: they share it though they never call, and hear what others want of them.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "code for ring 3")]

#[path = "../programs/mod.rs"]
mod programs;

use programs::{CODE, DATA, PAGE, go, load, pages, program};
use toro::prelude::*;
use toro::sync::{Arc, mpsc};
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};
use toro::user::{Context, Event, Pages, Rights, interrupt_after, others_are_ready, run};

toro::main!(main);

program!(spin: "2: inc rax" "jmp 2b" ".balign 64"
    "4: lock inc dword ptr [rdi]" "mov rbx, [rsi]" "jmp 4b" ".balign 64"
    "3: syscall" "jmp 3b");
/// Where in there a program watches a page, and where it calls.
const WATCH: usize = CODE + 64;
const CALL: usize = CODE + 128;

const THREADS: usize = 3;
const TURNS: usize = 10;

fn main() {
    let pages = Arc::new(pages());
    drop(load(&pages, spin()));
    let cores: Vec<_> = thread::cores().collect();
    share(&pages, &cores);
    sleepers(&pages);
    for core in cores.iter().skip(1) {
        messages(&pages, *core);
        unmapped(&pages, *core);
    }
    println!("{} programs on {} cores", cores.len() * THREADS, cores.len());
}

/// Lets the program go on, and others in turn with it.
fn turn(context: &mut Context) -> Event {
    if others_are_ready() {
        interrupt_after(Duration::from_millis(1));
    }
    let event = run(context);
    if event == Event::Interrupt {
        thread::yield_now();
    }
    event
}

/// Threads that never call take turns, and those that do lose nothing.
fn share(pages: &Arc<Pages>, cores: &[thread::CoreId]) {
    let threads: Vec<_> = cores
        .iter()
        .flat_map(|core| (0..THREADS).map(move |number| (*core, number)))
        .map(|(core, number)| {
            let pages = pages.clone();
            thread::spawn_on(core, move || {
                let calls = number == 0;
                let mut context = Context::new(&pages, if calls { CALL } else { CODE } as u64, 0).expect("memory");
                context.registers_mut().r12 = number as u64;
                let (mut interrupts, mut before) = (0, 0);
                for _ in 0..1_000_000 {
                    match turn(&mut context) {
                        Event::Interrupt => interrupts += 1,
                        Event::Syscall if calls => {
                            interrupts += 1;
                            thread::yield_now();
                        }
                        event => panic!("{event:?}"),
                    }
                    let now = context.registers().rax;
                    assert!(now >= before && context.registers().r12 == number as u64);
                    before = now;
                    if interrupts >= TURNS && (calls || now > 0) {
                        return;
                    }
                }
                panic!("no turn after {before} rounds");
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it returns"));
}

/// A thread whose sleep is over gets its core back from a program that never calls.
fn sleepers(pages: &Arc<Pages>) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(2));
        }
        done.send(()).expect("somebody waits");
    });
    let mut context = Context::new(pages, CODE as u64, 0).expect("memory");
    thread::yield_now();
    let start = Instant::now();
    while is_done.try_recv().is_err() {
        assert_eq!(run(&mut context), Event::Interrupt);
        thread::yield_now();
    }
    assert!(start.elapsed() >= Duration::from_millis(8));
}

/// A message reaches a core whose only thread is in a program that never calls.
fn messages(pages: &Arc<Pages>, core: thread::CoreId) {
    let (ask, asked) = mpsc::channel::<u32>();
    let (answer, answered) = mpsc::channel();
    let shared = pages.clone();
    let program = thread::spawn_on(core, move || {
        let mut context = Context::new(&shared, CODE as u64, 0).expect("memory");
        let listener =
            thread::spawn(move || asked.iter().for_each(|number| answer.send(number + 1).expect("it waits")));
        thread::yield_now();
        while !listener.is_finished() {
            assert_eq!(run(&mut context), Event::Interrupt);
            thread::yield_now();
        }
    });
    for number in 0..20 {
        ask.send(number).expect("it listens");
        assert_eq!(answered.recv(), Ok(number + 1));
    }
    drop(ask);
    program.join().expect("it returns");
}

/// A program on another core faults as soon as its page is gone, and not before.
fn unmapped(pages: &Arc<Pages>, core: thread::CoreId) {
    let page = DATA + 16 * PAGE;
    for _ in 0..20 {
        pages.zero(DATA, 4).expect("mapped");
        pages.map(page, Rights::Read).expect("a page");
        let shared = pages.clone();
        let watcher = Builder::new().core(core).spawn(move || {
            let mut context = Context::new(&shared, WATCH as u64, 0).expect("memory");
            (context.registers_mut().rdi, context.registers_mut().rsi) = (DATA as u64, page as u64);
            match go(&mut context) {
                Event::Fault(fault) => (fault.vector, fault.address),
                event => panic!("{event:?}"),
            }
        });
        let count = || {
            let mut bytes = [0; 4];
            pages.read(DATA, &mut bytes).expect("mapped");
            u32::from_le_bytes(bytes)
        };
        while count() < 10 {
            thread::yield_now();
        }
        pages.unmap(page..page + PAGE).expect("a range");
        let at_most = count() + 1;
        assert_eq!(watcher.expect("memory").join(), Ok((14, page)));
        assert!(count() <= at_most, "the program went on with a page that was gone");
    }
}
