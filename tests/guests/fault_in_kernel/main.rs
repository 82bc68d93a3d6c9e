//! A wild pointer handed to each of the kernel's public functions: what it then does is a defect of the kernel, whose state nobody
//! knows any more.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "wild pointers")]

use core::hint::black_box;
use toro::io::{Read, Write};
use toro::net::{TcpListener, TcpStream, UdpSocket};
use toro::prelude::*;
use toro::sync::{Condvar, Mutex, RwLock, mpsc};
use toro::{fault, io, random, thread};

toro::main!(main);

/// Not mapped, and like no address that means something.
const WILD: usize = 0xffff_c000_0000_1000;

/// A reference to nothing.
fn wild<T>() -> &'static T {
    // SAFETY: none; the test is what becomes of it.
    unsafe { &*core::ptr::with_exposed_provenance(black_box(WILD)) }
}

/// A handle whose other end is nowhere.
fn handle<T>() -> &'static T {
    static ADDRESS: usize = WILD;
    const { assert!(size_of::<T>() == size_of::<usize>()) };
    // SAFETY: none, as above.
    unsafe { &*(&raw const ADDRESS).cast() }
}

fn wild_bytes() -> &'static mut [u8] {
    // SAFETY: none, as above.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(black_box(WILD)), 64) }
}

fn stream() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:80").expect("a port");
    let stream = TcpStream::connect("127.0.0.1:80").expect("loopback");
    let (mut peer, _) = listener.accept().expect("a connection");
    peer.write_all(b"something to read").expect("a connection");
    core::mem::forget((listener, peer));
    stream
}

fn free_wild() {
    let layout = core::alloc::Layout::new::<[u64; 4]>();
    // SAFETY: none, as above.
    unsafe { alloc::alloc::dealloc(core::ptr::with_exposed_provenance_mut(black_box(WILD)), layout) };
}

/// What was freed is overwritten, and the allocator follows it.
fn allocate_after_misuse() {
    let first = Box::into_raw(Box::new([0_usize; 4]));
    // SAFETY: none, as above.
    unsafe {
        drop(Box::from_raw(first));
        first.cast::<usize>().write_volatile(black_box(WILD));
    }
    for _ in 0..3 {
        black_box(Box::leak(Box::new([0_usize; 4])));
    }
}

extern crate alloc;

fn main() {
    let what = toro::env::args().nth(1).expect("what to misuse");
    println!("{what}");
    let misuse: fn() = match what.as_str() {
        "free" => free_wild,
        "allocate" => allocate_after_misuse,
        "mutex" => || drop(wild::<Mutex<u8>>().lock()),
        "rwlock" => || drop(wild::<RwLock<u8>>().read()),
        "condvar" => || wild::<Condvar>().notify_all(),
        "channel" => || handle::<mpsc::Sender<u64>>().send(1).expect("not reached"),
        "stdout" => || io::stdout().write_all(wild_bytes()).expect("not reached"),
        "random" => || random::fill(wild_bytes()),
        "tcp_read" => || drop(stream().read(wild_bytes())),
        "tcp_write" => || drop(stream().write(wild_bytes())),
        "udp" => || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            drop(socket.send_to(wild_bytes(), "127.0.0.1:9"));
        },
        "unpark" => || handle::<thread::Thread>().unpark(),
        other => panic!("nothing is called {other}"),
    };
    // Caught or not, in a thread or in `main`: it is no event in a thread.
    println!("not caught: {:?}", fault::catch(misuse).err().map(|fault| fault.to_string()));
}
