//! Requests that fault, and a server that goes on.
//!
//! `GET /divide/0` panics in the thread of its connection: that thread ends with a report, and the client's connection is
//! reset. `GET /caught/0` does the same inside of `catch`, and is answered. `GET /raised` is answered by a value that the program
//! raised, and `GET /faults` counts.
#![no_std]
#![no_main]

use small_http::{Reply, Request, Status};
use toro::fault::{self, Fault, Kind, catch};
use toro::prelude::*;

toro::main!(main);

/// What this program raises itself.
struct Refused {
    because: &'static str,
}

fn main() -> toro::io::Result<()> {
    small_http::serve(80, |request: &Request<'_>, reply: Reply<'_>| {
        let (what, number) = request.path[1..].split_once('/').unwrap_or((&request.path[1..], ""));
        match (what, number.parse::<u32>()) {
            ("divide", Ok(divisor)) => reply.text(Status::OK, &format!("{}\n", 1000 / divisor)),
            ("caught", Ok(divisor)) => match catch(move || 1000 / divisor) {
                Ok(quotient) => reply.text(Status::OK, &format!("{quotient}\n")),
                Err(fault) => reply.text(Status::INTERNAL_SERVER_ERROR, &tell(&fault)),
            },
            ("raised", _) => {
                let fault = catch(|| -> () { fault::raise(Refused { because: "nobody may" }) });
                reply.text(Status::INTERNAL_SERVER_ERROR, &fault.map_err(|fault| tell(&fault)).unwrap_err());
            }
            ("faults", _) => {
                let fault::Stats { faults, caught, lost_bytes } = fault::stats();
                let text = format!("{{\"faults\":{faults},\"caught\":{caught},\"lost_bytes\":{lost_bytes}}}\n");
                reply.send(Status::OK, "application/json", text.as_bytes());
            }
            _ => reply.text(Status::NOT_FOUND, "/divide/10, /caught/0, /raised or /faults\n"),
        }
    })
}

/// What there is to say of a fault, by its kind.
fn tell(fault: &Fault) -> String {
    match (fault.kind(), fault.value::<Refused>()) {
        (_, Some(refused)) => format!("refused: {}\n", refused.because),
        (Kind::Panic, _) => format!("a panic: {}\n", fault.message()),
        _ => format!("{fault}\n"),
    }
}
