//! A large program that nobody wrote for Toro: redis-server, under redis-benchmark, each request alone and sixteen at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use toro_vmm::usage::Usage;

use crate::linux::{self, Kernel, Server};
use crate::private;
use crate::study::subject::order;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};
use crate::vm::{Guest, Vm};

const WHO: [Who; 3] = [Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const MEMORY_MIB: u64 = 256;
const ROUNDS: usize = 3;
const CLIENTS: &str = "16";
const TESTS: [&str; 3] = ["PING_MBULK", "SET", "GET"];
/// Requests on their way of one connection, and requests of one test.
const PIPELINES: [(u32, u32); 2] = [(1, 20_000), (16, 100_000)];
/// Longest run of redis-benchmark, for `timeout`.
const LIMIT_SECONDS: &str = "120";

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let rounds = options.runs(ROUNDS);
    let network = if private::is_inside() { "a TAP interface" } else { "QEMU's own network" };
    let load = format!(
        "redis-benchmark -c {CLIENTS}, 3 bytes a value, {} requests a test and {} with -P 16, {rounds} times, over {network}; \
         one processor and {MEMORY_MIB} MB; redis-server is the same static file everywhere, nothing is saved",
        PIPELINES[0].1, PIPELINES[1].1
    );
    let mut study = Study::new("redis", load, options)?;
    let tools = tools()?;
    let subjects = subjects(options, &tools)?;
    subjects.iter().for_each(|subject| study.note_command(subject, options));
    // By subject, pipeline and test: requests a second, and all requests a CPU second of the VMM.
    let mut seen = vec![vec![vec![Vec::new(); TESTS.len() + 1]; PIPELINES.len()]; subjects.len()];
    let mut progress = Progress::new(rounds * subjects.len() * PIPELINES.len(), Duration::from_secs(10));
    for round in 0..rounds {
        for place in order(subjects.len(), round) {
            let subject = &subjects[place];
            let Some((vm, address)) = study.keep(subject.name(), "starting", private::start(subject, options, ping))
            else {
                continue;
            };
            for (step, &(pipeline, requests)) in PIPELINES.iter().enumerate() {
                progress.step(&format!("{}, {pipeline} at a time", subject.name()));
                let requests = if options.smoke { requests / 50 } else { requests };
                let figures = one(&vm, address, &tools, pipeline, requests);
                let Some(figures) = study.keep(subject.name(), &format!("{pipeline} at a time"), figures) else {
                    break;
                };
                seen[place][step].iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
            }
        }
    }
    drop(progress);
    let columns: Vec<(&str, &str)> = TESTS
        .iter()
        .map(|test| (*test, "a second"))
        .chain([("requests a CPU second of the VMM", "requests")])
        .collect();
    for (step, (pipeline, _)) in PIPELINES.iter().enumerate() {
        let mut table = Table::new(format!("{pipeline} at a time"), &columns);
        for (subject, seen) in subjects.iter().zip(&seen) {
            table.row(subject.name(), seen[step].iter().map(|all| Spread::of(all.iter().copied())).collect());
        }
        study.tables.push(table);
    }
    Ok(study)
}

/// Where `cargo xtask setup` puts redis.
fn tools() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("toro/redis");
    ensure!(folder.join("redis-server").exists(), "no redis in {}: `cargo xtask setup` builds it", folder.display());
    Ok(folder)
}

fn subjects(options: &Options, tools: &Path) -> Result<Vec<Subject>> {
    let arguments = ["--port", "80", "--protected-mode", "no", "--save"].map(str::to_owned).to_vec();
    let server = Server { file: tools.join("redis-server"), arguments, ready: "Ready to accept connections" };
    let wanted = WHO.into_iter().filter(|who| !options.without.contains(who));
    let subject = |who| {
        let guest = match who {
            Who::LinuxTrimmed => linux::guest_with(&Kernel::Trimmed, options.machine, &server)?,
            Who::LinuxCloud => linux::guest_with(&Kernel::Cloud, options.machine, &server)?,
            _ => Guest::linux_program(server.file.clone(), &server.arguments)?,
        };
        Ok(Subject { who, guest: Guest { memory_mib: MEMORY_MIB, name: who.name().to_owned(), ..guest } })
    };
    wanted.map(subject).collect()
}

fn ping(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    Ok(stream.read_exact(&mut answer)?)
}

/// Requests a second of each test, and requests a CPU second of the VMM.
fn one(vm: &Vm, address: SocketAddr, tools: &Path, pipeline: u32, requests: u32) -> Result<[f64; 4]> {
    let before = Usage::of(vm.pid()).cpu;
    let mut command = Command::new("timeout");
    command.arg(LIMIT_SECONDS).arg(tools.join("redis-benchmark"));
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-c", CLIENTS]);
    command.args(["-P", &pipeline.to_string(), "-n", &requests.to_string(), "-t", "ping_mbulk,set,get", "--csv"]);
    let output = command.output().context("cannot run redis-benchmark")?;
    if !output.status.success() {
        bail!("redis-benchmark, {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let cpu = Usage::of(vm.pid()).cpu - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let [ping, set, get] = TESTS.map(|test| rate(&text, test));
    let all = f64::from(requests) * TESTS.len() as f64;
    Ok([ping?, set?, get?, all / cpu.as_secs_f64()])
}

/// Requests a second of one test, out of lines like `"SET","12345.67",...`.
fn rate(text: &str, test: &str) -> Result<f64> {
    let field = |line: &str, at: usize| Some(line.split(',').nth(at)?.trim_matches('"').to_owned());
    let line = text.lines().find(|line| field(line, 0).as_deref() == Some(test));
    let rate = line.and_then(|line| field(line, 1)?.parse().ok());
    rate.with_context(|| format!("redis-benchmark says nothing of {test}: {text:?}"))
}

/// Requests a CPU second.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let mut bars = Vec::new();
    for table in &study.tables {
        for (name, figures) in &table.rows {
            let measured = figures.last().and_then(Option::as_ref);
            bars.extend(
                measured.map(|all| plot::Bar { name: format!("{name}, {}", table.title), parts: vec![all.median] }),
            );
        }
    }
    let title = "Requests of redis-benchmark a CPU second of the VMM";
    plot::bars(&folder.join("redis.svg"), title, "requests", &["requests"], &bars, &study.host.line())
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_is_found_by_its_test() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"12345.60\",\"0.1\"\n\"GET\",\"7.5\",\"0.1\"\n";
        assert_eq!(rate(text, "GET").unwrap(), 7.5);
        assert!(rate(text, "PING").is_err());
    }
}
