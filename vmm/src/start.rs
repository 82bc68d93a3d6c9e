//! The start of a guest: QEMU and the threads around it, the talk that makes its machine, and then the handle.

use crate::child::{self, Cancel};
use crate::console::{self, Console};
use crate::error::Error;
use crate::guest::Guest;
use crate::hurry::Hurry;
use crate::input::Input;
use crate::machine::{Accelerator, Machine};
use crate::ports::Port;
use crate::qmp::Qmp;
use crate::symbolize::Symbolizer;
use crate::transcript::Shared;
use crate::{check, probe, qemu, random};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use toro_abi::console::Token;
use toro_abi::control::Protocol;

/// QEMU greets in some 20 ms; this is for a host that is overloaded.
const GREETING_LIMIT: Duration = Duration::from_secs(30);
/// How long the last words of a VMM that has ended may take to arrive.
const ENDING_LIMIT: Duration = Duration::from_secs(10);

/// Starts `machine`.
pub(crate) fn start(mut machine: Machine, cancel: &Cancel) -> Result<Guest, Error> {
    let program = qemu::program(machine.vmm_program.as_deref());
    let accelerator = match machine.accelerator {
        Accelerator::Auto => probe::choose(&program)?.accelerator,
        decided => decided,
    };
    let token = Token::from_random(random::number()?);
    let command_line = machine.command_line(token);
    check::check(&machine, &command_line)?;
    // A pair, and no socket in a folder, which would be left behind by a tool that is killed.
    let (ours, theirs) = UnixStream::pair().map_err(|error| cannot_talk(&error))?;
    let arguments = qemu::arguments(&machine, accelerator, qemu::Control::Socket(theirs.as_raw_fd()));
    let shared = Arc::new(Shared::new());
    let exited = shared.clone();
    let (child, pipes) = child::spawn(qemu::command(&program, &arguments), theirs.into(), move |status| {
        exited.update(|transcript| transcript.vmm_exit = Some(status.unwrap_or_default()));
    })
    .map_err(|error| qemu::cannot_start(&program, &error))?;
    let watch = cancel.watch(&child).map_err(|error| no_thread(&error))?;

    let of_program = machine.program.as_mut().and_then(|program| program.symbols.take());
    let symbolizer = Arc::new(Symbolizer::new(&machine.image.symbols).with_program(of_program));
    let input = Arc::new(Input::default());
    let hurry = Arc::new(Hurry::new());
    run("console", {
        let sinks = std::mem::take(&mut machine.sinks);
        let (shared, symbolizer, input, hurry) = (shared.clone(), symbolizer.clone(), input.clone(), hurry.clone());
        move || {
            let console = Console { sinks, symbolizer: &symbolizer, shared: &shared, input: &input, hurry: &hurry };
            console::read(pipes.stdout, token, console);
        }
    })?;
    run("vmm-messages", {
        let shared = shared.clone();
        move || shared.read_messages(pipes.stderr)
    })?;
    run("stdin", {
        let (shared, input) = (shared.clone(), input.clone());
        move || input.run(pipes.stdin, &shared)
    })?;

    let talk = connect(ours, &shared, &input, machine.core.is_some());
    if let Ok(Qmp { version: Some(version), .. }) = &talk {
        qemu::check_version(&program, *version)?;
    }
    let talk = talk.and_then(|qmp| {
        make(&qmp, &command_line)?;
        learn_free_ports(&qmp, &mut machine.ports)?;
        Ok(qmp)
    });
    // From here on it is a guest, which can be asked to stop.
    let is_cancelled = watch.end();
    let talk = talk.and_then(|qmp| {
        if !is_cancelled && machine.gdb_port.is_none() {
            begin(&qmp, &shared)?;
        }
        Ok(qmp)
    });
    match talk {
        Ok(qmp) if !is_cancelled => {
            let (ports, killed) = (machine.ports, AtomicBool::new(false));
            let core = machine.core;
            Ok(Guest { child, shared, input, hurry, qmp, ports, accelerator, symbolizer, core, killed })
        }
        talk => {
            // One that has ended by itself a moment ago has a better reason than ours.
            let ended = if is_cancelled { None } else { wait_for_exit(&shared) };
            child.kill();
            input.close();
            Err(match (talk, ended) {
                (_, Some(status)) => {
                    let messages = shared.lock().vmm_messages.clone();
                    qemu::explain_death(&program, &machine, &status.to_string(), &messages)
                }
                (Err(error), None) if !is_cancelled => error,
                _ => Error::new(format!("cannot start {}: cancelled", machine.image.name)),
            })
        }
    }
}

/// How a VMM that is about to end has ended, once all that it said is there.
fn wait_for_exit(shared: &Shared) -> Option<ExitStatus> {
    let deadline = Some(Instant::now() + ENDING_LIMIT);
    shared.wait(deadline, |said| said.vmm_exit.filter(|_| said.has_ended()))
}

fn run(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| no_thread(&error))
}

fn no_thread(error: &std::io::Error) -> Error {
    Error::new(format!("cannot start a thread: {error}"))
}

fn cannot_talk(error: &std::io::Error) -> Error {
    Error::new(format!("cannot talk to QEMU: {error}"))
}

/// Waits for QEMU to greet, or to end.
fn connect(stream: UnixStream, shared: &Arc<Shared>, input: &Arc<Input>, stays: bool) -> Result<Qmp, Error> {
    stream.set_read_timeout(Some(GREETING_LIMIT)).map_err(|error| cannot_talk(&error))?;
    Qmp::connect(stream, shared.clone(), input.clone(), stays).map_err(|error| cannot_talk(&error))
}

/// Has QEMU make its machine, with this command line for the guest. It answers when all is there.
fn make(qmp: &Qmp, command_line: &str) -> Result<(), Error> {
    let append = json!({ "path": "/machine", "property": "append", "value": command_line });
    qmp.execute("qom-set", append)?;
    qmp.execute("x-exit-preconfig", json!({})).map(drop)
}

/// Lets the machine run, which has waited since it was made.
fn begin(qmp: &Qmp, shared: &Shared) -> Result<(), Error> {
    match qmp.execute("cont", json!({})) {
        Ok(_) => Ok(()),
        // It was so quick that QEMU ended with its answer still on the way.
        Err(_) if has_run(shared) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a VMM that does not answer has ended because its guest was quick, and not because it failed to start.
fn has_run(shared: &Shared) -> bool {
    if shared.lock().is_over() {
        return true;
    }
    let exit = wait_for_exit(shared);
    let said = shared.lock();
    exit.is_some_and(|exit| exit.success()) || said.image_base().is_some() || said.outcome.is_some()
}

/// Asks QEMU which free ports it took.
fn learn_free_ports(qmp: &Qmp, ports: &mut [Port]) -> Result<(), Error> {
    if ports.iter().all(|port| port.host.port() != 0) {
        return Ok(());
    }
    fill_free_ports(ports, parse_forwards(&qmp.monitor("info usernet")?))
}

/// Gives each port that may be any its own of the forwards that QEMU lists.
fn fill_free_ports(ports: &mut [Port], mut forwards: Vec<Port>) -> Result<(), Error> {
    // One with a port of its own, which may lead to the same port of the guest, is nobody else's.
    forwards.retain(|forward| !ports.contains(forward));
    for port in ports.iter_mut().filter(|port| port.host.port() == 0) {
        let is_its_own = |forward: &Port| {
            let address = SocketAddrV4::new(*forward.host.ip(), 0);
            Port { host: address, ..*forward } == *port
        };
        let Some(at) = forwards.iter().position(is_its_own) else {
            return Err(Error::new(format!("cannot publish {port}: QEMU did not say which port it took"))
                .help(format!("name a port: -p 8080:{}", port.guest)));
        };
        *port = forwards.remove(at);
    }
    Ok(())
}

/// The forwards that `info usernet` lists.
fn parse_forwards(text: &str) -> Vec<Port> {
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let protocol = match *words.first()? {
            "TCP[HOST_FORWARD]" => Protocol::Tcp,
            "UDP[HOST_FORWARD]" => Protocol::Udp,
            _ => return None,
        };
        let address = match *words.get(2)? {
            "*" => Ipv4Addr::UNSPECIFIED,
            address => address.parse().ok()?,
        };
        let host = SocketAddrV4::new(address, words.get(3)?.parse().ok()?);
        Some(Port { host, guest: words.get(5)?.parse().ok()?, protocol })
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_read_from_the_monitor() {
        let text = "Hub -1 (net0):\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\n  \
                    TCP[HOST_FORWARD]  13       127.0.0.1  8080       10.0.2.15    80     0     0\n  \
                    TCP[HOST_FORWARD]  14       127.0.0.2 37422       10.0.2.15    80     0     0\n  \
                    TCP[HOST_FORWARD]  15       127.0.0.1 37423       10.0.2.15    80     0     0\n  \
                    UDP[HOST_FORWARD]  16               * 53000       10.0.2.15    53     0     0\n";
        let published = |texts: &[&str]| texts.iter().map(|text| Port::parse(text).unwrap()).collect::<Vec<_>>();
        let mut ports = published(&["0.0.0.0:0:53/udp", "8080:80", "0:80", "127.0.0.2:0:80"]);
        fill_free_ports(&mut ports, parse_forwards(text)).unwrap();
        assert_eq!(ports, published(&["0.0.0.0:53000:53/udp", "8080:80", "37423:80", "127.0.0.2:37422:80"]));
        let error = fill_free_ports(&mut published(&["0:80"]), Vec::new()).unwrap_err();
        assert!(error.message().contains("127.0.0.1:0:80") && error.cure().is_some(), "{error}");
    }
}
