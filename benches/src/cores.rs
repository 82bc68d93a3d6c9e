//! What a second core is worth: the instructions of the busiest core for the same requests, beside those of one core alone.
//!
//! The guest is plugged into a TAP interface with several queues, in a network of its own that ends with the measurement:
//! the program starts itself again under `unshare --net`, which takes root.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use toro_counter::Counter;
use toro_vmm::{Image, MachineType};

use crate::http::Client;
use crate::measure::at_rest;
use crate::private::{self, Place};
use crate::vm::{Counting, Guest, Vm};

/// Connections among which the card chooses a core for each; so many that the halves are nearly equal.
const CONNECTIONS: usize = 128;
/// Requests over each, when they are counted.
const ROUNDS: usize = 20;

/// How many times the requests of one core two cores serve in the same time, by counted instructions.
pub fn worth_of_two(server: &Guest, plugin: &Path) -> Result<f64> {
    let program = std::env::current_exe().context("where is this program?")?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(program).arg("two-cores").arg(plugin).arg(&server.image.boot);
    let output = command.stdin(Stdio::null()).output().context("cannot run unshare")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = text.lines().find_map(|line| line.strip_prefix("worth ")?.parse().ok());
    value.with_context(|| {
        let why = String::from_utf8_lossy(&output.stderr);
        format!("no private network (root and /dev/net/tun are needed): {}", why.trim())
    })
}

/// The measurement, in the private network, of the server that was built outside.
pub fn measure_in_private_network(plugin: &Path, server: &Path) -> Result<f64> {
    private::ip(&["link", "set", "lo", "up"])?;
    Place::FIRST.set_up(&["multi_queue"])?;
    let one = Guest::ours(Image::open(server).map_err(|error| anyhow::anyhow!("{error}"))?, true);
    let two = Guest { cpus: 2, ..one.clone() };
    let alone = per_request(&one, "0", plugin)?;
    let [first, second] = [per_request(&two, "0", plugin)?, per_request(&two, "1", plugin)?];
    eprintln!("instructions a request: {alone:.0} on one core; {first:.0} and {second:.0} on each of two");
    Ok(alone / first.max(second))
}

/// Instructions of one core for each request, whichever core serves it.
fn per_request(guest: &Guest, core: &'static str, plugin: &Path) -> Result<f64> {
    let counting = Counting { processors: (guest.cpus > 1).then_some(core), ..Counting::default() };
    let plug = |machine| Place::FIRST.plug(machine);
    let vm = Vm::start_as(guest, MachineType::Q35, Some((plugin, &counting)), plug)?;
    vm.listens()?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect_to(Place::FIRST.server())?);
    }
    send(&mut clients, 2)?;
    let before = at_rest(&vm)?;
    send(&mut clients, ROUNDS)?;
    let spent = at_rest(&vm)? - &before;
    Ok(spent.get(Counter::Instructions) as f64 / (CONNECTIONS * ROUNDS) as f64)
}

/// So many over each connection, one connection after the other: an acknowledgement that waits for the next request of its
/// connection is not sent alone.
fn send(clients: &mut [Client], rounds: usize) -> Result<()> {
    for client in clients {
        for _ in 0..rounds {
            client.get_ok()?;
        }
    }
    Ok(())
}
