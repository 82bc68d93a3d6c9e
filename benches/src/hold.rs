//! More connections than a process may open files: some processes hold them, each a part.
//!
//! A holder is this program once more. It opens its connections, says so, and then asks for something over each of them whenever
//! it is sent a line; it ends with its standard input.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::http::Client;

/// Connections of a holder: Linux lets a process have 20,000 files on many hosts.
const EACH: usize = 15_000;
const DONE: &str = "done";

/// Opens connections one after another, each with a first request.
///
/// # Errors
/// One of them fails.
pub fn connect(server: SocketAddr, count: usize) -> Result<Vec<Client>> {
    let connect = |number: usize| {
        let mut client = Client::connect_to(server).with_context(|| format!("connection {number}"))?;
        client.get_ok().with_context(|| format!("the first request of connection {number}"))?;
        Ok(client)
    };
    (0..count).map(connect).collect()
}

/// What a holder does.
///
/// # Errors
/// A connection fails.
pub fn hold(server: &str, count: &str) -> Result<()> {
    let mut clients = connect(server.parse()?, count.parse()?)?;
    println!("{DONE}");
    for line in std::io::stdin().lines() {
        line?;
        for (number, client) in clients.iter_mut().enumerate() {
            client.get_ok().with_context(|| format!("a request on connection {number}"))?;
        }
        println!("{DONE}");
    }
    Ok(())
}

/// Processes that hold connections.
pub struct Held(Vec<Holder>);

struct Holder {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Held {
    /// Opens so many connections.
    ///
    /// # Errors
    /// One of them fails; the holder has said why.
    pub fn open(server: SocketAddr, count: usize) -> Result<Held> {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut held = Held(Vec::new());
        let mut left = count;
        while left > 0 {
            let part = left.min(EACH);
            let mut command = Command::new(&program);
            command.args(["hold", &server.to_string(), &part.to_string()]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("no holder")?;
            let (input, output) = child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
            held.0.push(Holder { child, input, output: BufReader::new(output) });
            held.0.last_mut().map_or(Ok(()), Holder::done)?;
            left -= part;
        }
        Ok(held)
    }

    /// Asks for something over each connection, one after another.
    ///
    /// # Errors
    /// One of them fails.
    pub fn ask(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(|holder| {
            holder.input.write_all(b"\n").context("a holder is gone")?;
            holder.done()
        })
    }
}

impl Holder {
    fn done(&mut self) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.trim() != DONE {
            bail!("a holder of connections failed");
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for holder in &mut self.0 {
            // It may have ended; there is nothing to do about it then.
            let _ended = holder.child.kill().and_then(|()| holder.child.wait());
        }
    }
}
