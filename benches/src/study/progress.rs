//! A line that says what is measured now, and about how long all of it will take.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How far a study is.
pub struct Progress {
    steps: usize,
    done: usize,
    started: Instant,
    /// What the caller expects a step to take, until one has been seen.
    expected: Duration,
}

impl Progress {
    /// One of so many steps, each of about this length.
    pub fn new(steps: usize, expected: Duration) -> Progress {
        Progress { steps, done: 0, started: Instant::now(), expected }
    }

    /// A step begins.
    pub fn step(&mut self, what: &str) {
        let each = if self.done == 0 { self.expected } else { self.started.elapsed() / self.done as u32 };
        let left = each * (self.steps - self.done.min(self.steps)) as u32;
        self.done += 1;
        let line = format!("[{}/{}] {what}, about {} left", self.done, self.steps, short(left));
        let mut stderr = std::io::stderr();
        // Progress that nobody sees is no failure.
        let _shown = if stderr.is_terminal() { write!(stderr, "\r\x1b[K{line}") } else { writeln!(stderr, "{line}") };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..90 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(short(Duration::from_secs(89)), "89 s");
        assert_eq!(short(Duration::from_secs(91)), "2 min");
    }
}
