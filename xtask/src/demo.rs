//! `cargo xtask demo`: from nothing to a page served by a microVM, in front of the reader.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::packages;
use crate::run::{self, cargo};

const APPLICATION: &str = "guest/examples/http_server";
/// Longest wait for the guest and for its answer; a boot takes well under a second.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn demo() -> Result<()> {
    println!("1. What this needs");
    packages::ensure_qemu()?;

    println!("2. Building the tool and the image of {APPLICATION}");
    let building = Instant::now();
    let toro = build_tool()?;
    run::check(&mut cargo("guest", &["build", "--release", "-p", "http_server"]))?;
    println!("   {:.1} s", building.elapsed().as_secs_f64());

    println!("3. Booting it: toro run -p 0:80 {APPLICATION}");
    let booting = Instant::now();
    let mut guest = Guest::start(&toro)?;
    let address = guest.wait_ready()?;
    let ready = booting.elapsed();
    println!("   {:.3} s until it listens", ready.as_secs_f64());

    println!("4. Fetching http://{address}/");
    let fetching = Instant::now();
    let page = fetch(address)?;
    let fetched = fetching.elapsed();
    for line in page.lines().take(20) {
        println!("   | {line}");
    }
    println!("   {:.1} ms for {} bytes", fetched.as_secs_f64() * 1e3, page.len());
    drop(guest);

    println!("\nThat was a kernel and one application, alone in a virtual machine, which is ended now.");
    println!("Go on:");
    println!("   cargo install --path cli              the program `toro`");
    println!("   toro run -p 8080:80 {APPLICATION}     the same server, to keep");
    println!("   toro new hello && toro run hello      an application of your own");
    println!("   cargo xtask bench quick               what it costs");
    Ok(())
}

fn build_tool() -> Result<PathBuf> {
    let arguments = ["build", "-p", "toro-cli", "--message-format=json-render-diagnostics"];
    let output = cargo("", &arguments).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("building the tool failed");
    }
    // Cargo says where the program is; no JSON reader is worth building for one string.
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split("\"executable\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    paths.map(PathBuf::from).find(|path| path.ends_with("toro")).context("cargo did not say where `toro` is")
}

/// The tool with the guest under it; dropping it ends both.
struct Guest {
    tool: Child,
    said: Receiver<String>,
}

impl Guest {
    fn start(toro: &PathBuf) -> Result<Guest> {
        let mut command = Command::new(toro);
        command.args(["run", "-p", "0:80", APPLICATION]).current_dir(run::root());
        command.stdin(Stdio::null()).stdout(Stdio::inherit()).stderr(Stdio::piped());
        let mut tool = command.spawn().context("cannot start the tool")?;
        let stderr = tool.stderr.take().context("no stderr")?;
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            // Ends with the tool, or when nobody listens any more.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                println!("   {line}");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Guest { tool, said })
    }

    /// The address in the tool's `ready: http://127.0.0.1:PORT -> ...`.
    fn wait_ready(&mut self) -> Result<SocketAddr> {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.said.recv_timeout(left) else { bail!("the guest did not get ready") };
            let Some(rest) = line.trim().strip_prefix("ready: http://") else {
                continue;
            };
            let address = rest.split_whitespace().next().unwrap_or("");
            return address.parse().with_context(|| format!("not an address: {line}"));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The tool ends its guest with itself. Both calls fail only when it is gone already.
        drop(self.tool.kill());
        drop(self.tool.wait());
    }
}

/// The body of `/`.
fn fetch(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).context("cannot connect")?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).context("no whole answer")?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.lines().next().unwrap_or("");
    if !status.contains(" 200 ") {
        bail!("the answer was {status:?}");
    }
    println!("   {status}");
    Ok(body.to_owned())
}
