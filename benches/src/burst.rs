//! Requests at a given rate over a few keep-alive connections, and the processor time of a process meanwhile.
//!
//! A request is due at its time whether or not those before it were answered, and its latency counts from then: a guest that
//! stalls pays for all that queues up behind.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use toro_vmm::usage::Usage;

use crate::http::Client;

/// Connections of a burst.
pub const CONNECTIONS: usize = 4;
/// Between two looks at the processor time: four a second.
const SAMPLE: Duration = Duration::from_millis(250);

/// Bursts, each with a pause after it.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Requests a second while the burst lasts.
    pub rate: f64,
    /// Requests of a burst.
    pub requests: u64,
    /// From the beginning of one burst to that of the next.
    pub length: Duration,
}

impl Window {
    /// How long the burst is.
    pub fn burst(&self) -> Duration {
        Duration::from_secs_f64(self.requests as f64 / self.rate)
    }
}

/// What came of one window.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Time since its beginning, s, and the share of one processor in the quarter of a second before, %.
    pub samples: Vec<(f64, f64)>,
    /// From when it was due to its answer, ms, of each request.
    pub latencies_ms: Vec<f64>,
    /// Answers that were none, and connections that broke.
    pub errors: u64,
    /// Processor time from the beginning to half a second after the last request was due.
    pub burst_cpu: Duration,
}

impl Outcome {
    /// The samples that lie in the burst, but for the first, and those of the second half of the pause.
    pub fn halves(&self, window: &Window) -> (Vec<f64>, Vec<f64>) {
        let (burst, length) = (window.burst().as_secs_f64(), window.length.as_secs_f64());
        let among = |from: f64, to: f64| {
            let inside = self.samples.iter().filter(move |(at, _)| (from..=to).contains(at));
            inside.map(|(_, percent)| *percent).collect()
        };
        let first = SAMPLE.as_secs_f64() * 1.5;
        (among(first, burst), among((burst + length) / 2.0, length))
    }
}

/// Runs one window against the server on `port`, whose VMM is the process `pid`.
pub fn run(port: u16, pid: u32, window: &Window) -> Result<Outcome> {
    let clients = (0..CONNECTIONS).map(|_| Client::connect(port)).collect::<std::io::Result<Vec<_>>>();
    let mut clients = clients.context("connecting")?;
    for client in &mut clients {
        client.get().context("the first request of a connection")?;
    }
    let start = Instant::now() + Duration::from_millis(20);
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || watch(pid, start, window));
        let asking: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, client)| scope.spawn(move || ask(client, number as u64, port, start, window)))
            .collect();
        let mut outcome = Outcome::default();
        for thread in asking {
            let (latencies_ms, errors) = thread.join().map_err(|_| anyhow::anyhow!("a client failed"))?;
            outcome.latencies_ms.extend(latencies_ms);
            outcome.errors += errors;
        }
        (outcome.samples, outcome.burst_cpu) = watch.join().map_err(|_| anyhow::anyhow!("the watch failed"))?;
        Ok(outcome)
    })
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// Every fourth request of a burst.
fn ask(client: Client, number: u64, port: u16, start: Instant, window: &Window) -> (Vec<f64>, u64) {
    let (mut client, mut latencies_ms, mut errors) = (Some(client), Vec::new(), 0);
    for request in (number..window.requests).step_by(CONNECTIONS) {
        let due = start + Duration::from_secs_f64(request as f64 / window.rate);
        sleep_until(due);
        let answer = match &mut client {
            Some(client) => client.get(),
            None => Client::connect(port).and_then(|new| client.insert(new).get()),
        };
        if answer.is_ok_and(|answer| answer.status == 200) {
            latencies_ms.push(due.elapsed().as_secs_f64() * 1e3);
        } else {
            errors += 1;
            client = None;
        }
    }
    (latencies_ms, errors)
}

fn watch(pid: u32, start: Instant, window: &Window) -> (Vec<(f64, f64)>, Duration) {
    sleep_until(start);
    let first = Usage::of(pid).cpu;
    let (mut samples, mut before, mut before_at) = (Vec::new(), first, Instant::now());
    let end_of_burst = start + window.burst() + Duration::from_millis(500);
    let mut burst_cpu = Duration::ZERO;
    for sample in 1.. {
        let at = start + SAMPLE * sample;
        if at > start + window.length {
            break;
        }
        sleep_until(at);
        let (now, now_at) = (Usage::of(pid).cpu, Instant::now());
        let share = (now - before).as_secs_f64() / (now_at - before_at).as_secs_f64();
        samples.push(((now_at - start).as_secs_f64(), share * 100.0));
        if at <= end_of_burst {
            burst_cpu = now - first;
        }
        (before, before_at) = (now, now_at);
    }
    (samples, burst_cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_divided_into_burst_and_pause() {
        let window = Window { rate: 100.0, requests: 300, length: Duration::from_secs(7) };
        assert_eq!(window.burst(), Duration::from_secs(3));
        let samples = (1..=28).map(|sample| (f64::from(sample) * 0.25, f64::from(sample))).collect();
        let (burst, pause) = Outcome { samples, ..Outcome::default() }.halves(&window);
        assert_eq!((burst.first(), burst.last()), (Some(&2.0), Some(&12.0)));
        assert_eq!((pause.first(), pause.last()), (Some(&20.0), Some(&28.0)));
    }
}
