//! Listens on port 7 on the cores that its arguments name, and answers lines: `who` is told the core, `carry N` is answered
//! by a thread of core N, to which `give N` leaves the connection for good, `call N ADDRESS` with the line that a thread of core N gets for `who` from there, `counts` with what
//! the core's network has done; `hold` keeps the core from looking at anything until `release`, and `held` is told whether one
//! is kept so; everything else comes back.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use toro::io::{self, BufRead, BufReader, Write};
use toro::net::{self, Ipv4Addr, TcpListener, TcpStream};
use toro::prelude::*;
use toro::thread::{self, CoreId};

toro::main!(main);

static HOLD: AtomicBool = AtomicBool::new(false);

fn main() -> io::Result<()> {
    let named: Vec<CoreId> = toro::env::args().skip(1).filter_map(|text| CoreId::new(text.parse().ok()?)).collect();
    let servers: Vec<_> = named.into_iter().map(|core| thread::spawn_on(core, serve)).collect();
    for server in servers {
        server.join().expect("a server does not fault")?;
    }
    Ok(())
}

fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7))?;
    println!("core {} listens", thread::current_core());
    for stream in listener.incoming() {
        let stream = stream?;
        // What ends one connection does not concern the others.
        thread::spawn(move || drop(talk(stream)));
    }
    Ok(())
}

fn talk(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut output = stream.try_clone()?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("who", _) => writeln!(output, "core {}", thread::current_core())?,
            ("carry", number) => {
                let Some(core) = number.parse().ok().and_then(CoreId::new) else { continue };
                let mut stream = stream.try_clone()?;
                let answer = move || {
                    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
                    writeln!(stream, "core {} at {} for {}", thread::current_core(), local.port(), peer.ip())
                };
                thread::spawn_on(core, answer).join().expect("the carrier does not fault")?;
            }
            ("give", number) => {
                let Some(core) = number.parse().ok().and_then(CoreId::new) else { continue };
                let last = move |mut stream: TcpStream| writeln!(stream, "core {}", thread::current_core());
                drop((lines, output));
                thread::spawn_on(core, move || last(stream));
                return Ok(());
            }
            ("call", words) => {
                let Some((core, address)) = words.split_once(' ') else { continue };
                let (core, address) = (core.parse().ok().and_then(CoreId::new), String::from(address));
                let Some(core) = core else { continue };
                let line = thread::spawn_on(core, move || call(&address)).join().expect("the caller does not fault")?;
                write!(output, "{core}: {line}")?;
            }
            ("hold", _) => {
                HOLD.store(true, SeqCst);
                while HOLD.load(SeqCst) {
                    core::hint::spin_loop();
                }
            }
            ("release", _) => HOLD.store(false, SeqCst),
            ("held", _) => writeln!(output, "{}", HOLD.load(SeqCst))?,
            ("counts", _) => writeln!(output, "{:?}", net::statistics())?,
            _ => output.write_all(line.as_bytes())?,
        }
    }
}

fn call(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"who\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
