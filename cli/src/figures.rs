//! What a guest has counted and its VMM has used, as JSON and as a table for people.

use serde_json::{Map, Value, json};
use std::time::Duration;
use toro_vmm::usage::Usage;
use toro_vmm::{Error, Guest, Stat};

/// All of it.
#[derive(Debug)]
pub(crate) struct Figures {
    stats: Vec<Stat>,
    /// What the VMM's process has used, and how long it has run; none of a guest that has ended.
    vmm: Option<(Usage, Duration)>,
}

impl Figures {
    /// Asks a running guest.
    pub(crate) fn ask(guest: &Guest, limit: Duration) -> Result<Self, Error> {
        let stats = guest.statistics(limit)?;
        Ok(Self { stats, vmm: Some((guest.usage(), guest.started().elapsed())) })
    }

    /// What a guest told at its end; `None` when it told nothing.
    pub(crate) fn last(guest: &Guest) -> Option<Self> {
        let stats = guest.transcript(|said| said.stats.clone());
        (!stats.is_empty()).then_some(Self { stats, vmm: None })
    }

    /// `machine`: name and value of each figure; `cores`: the same for each; `vmm`.
    pub(crate) fn to_json(&self) -> Value {
        let value = |stat: &Stat| stat.value.parse::<u64>().map_or_else(|_| json!(stat.value), |number| json!(number));
        let of = |core: Option<u8>| {
            let stats = self.stats.iter().filter(|stat| stat.core == core);
            stats.map(|stat| (stat.name.clone(), value(stat))).collect::<Map<String, Value>>()
        };
        let cores: Vec<Value> = self.cores().map(|core| Value::Object(of(Some(core)))).collect();
        let vmm = self.vmm.map(|(usage, uptime)| {
            json!({
                "cpu_ns": usage.cpu.as_nanos() as u64,
                "resident_bytes": usage.resident_bytes,
                "uptime_ns": uptime.as_nanos() as u64,
            })
        });
        json!({ "machine": of(None), "cores": cores, "vmm": vmm })
    }

    /// Reads what [`Self::to_json`] wrote.
    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let stats_of = |core, table: &Map<String, Value>| {
            let stat = |(name, value): (&String, &Value)| Stat { core, name: name.clone(), value: text(value) };
            table.iter().map(stat).collect::<Vec<_>>()
        };
        let mut stats = stats_of(None, json["machine"].as_object()?);
        for (number, core) in json["cores"].as_array()?.iter().enumerate() {
            stats.extend(stats_of(Some(u8::try_from(number).ok()?), core.as_object()?));
        }
        let vmm = &json["vmm"];
        let ns = |name: &str| vmm[name].as_u64().map(Duration::from_nanos);
        let usage =
            |cpu| Usage { cpu, vcpu: Duration::ZERO, resident_bytes: vmm["resident_bytes"].as_u64().unwrap_or(0) };
        Some(Self { stats, vmm: ns("cpu_ns").map(usage).zip(ns("uptime_ns")) })
    }

    fn cores(&self) -> impl Iterator<Item = u8> {
        let last = self.stats.iter().filter_map(|stat| stat.core).max();
        last.map_or(0..0, |last| 0..last + 1)
    }

    fn find(&self, core: Option<u8>, name: &str) -> Option<&str> {
        self.stats.iter().find(|stat| stat.core == core && stat.name == name).map(|stat| stat.value.as_str())
    }

    fn number(&self, core: Option<u8>, name: &str) -> u64 {
        self.find(core, name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// For people: the machine, then a line for each core, then what woke it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let word = |name| self.find(None, name).unwrap_or("?");
        let uptime_ns = self.number(None, "uptime_ns");
        let mut lines = vec![format!(
            "up {:.1} s, mode {}, sleeps by {}, processor frequency {}",
            uptime_ns as f64 / 1e9,
            word("mode"),
            word("sleeps-by"),
            word("frequency"),
        )];
        if let Some((usage, uptime)) = self.vmm {
            let (cpu, memory) = (usage.cpu.as_secs_f64(), usage.resident_bytes as f64 / f64::from(1 << 20));
            let share = cpu / uptime.as_secs_f64() * 100.0;
            lines.push(format!("VMM: {cpu:.3} s of processor time ({share:.2} %), {memory:.1} MiB of memory"));
        }
        lines.push(format!(
            "{:<6}{:>10}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}",
            "core", "asleep", "polling", "awake", "sleeps", "polls", "hits", "letters"
        ));
        for core in self.cores() {
            let number = |name| self.number(Some(core), name);
            let (asleep, polling) = (number("halted_ns") + number("mwaited_ns"), number("polled_ns"));
            let percent = |ns: u64| format!("{:.2} %", ns as f64 / (uptime_ns.max(1)) as f64 * 100.0);
            lines.push(format!(
                "{core:<6}{:>10}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}",
                percent(asleep),
                percent(polling),
                percent(uptime_ns.saturating_sub(asleep + polling)),
                number("sleeps"),
                number("poll_hits") + number("poll_misses"),
                number("poll_hits"),
                number("letters"),
            ));
            let causes = self.stats.iter().filter(|stat| stat.core == Some(core) && stat.value != "0");
            let causes = causes.filter_map(|stat| {
                let timer =
                    stat.name.strip_prefix("timer.").map(|whose| format!("{} for a deadline of {whose}", stat.value));
                let device = stat.name.strip_prefix("interrupt.").map(|name| format!("{} {name}", stat.value));
                timer.or(device)
            });
            let causes: Vec<String> = causes.collect();
            if !causes.is_empty() {
                lines.push(format!("      interrupts: {}", causes.join(", ")));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let stat = |core, name: &str, value: &str| Stat { core, name: name.into(), value: value.into() };
        let stats = vec![
            stat(None, "mode", "balanced"),
            stat(None, "uptime_ns", "2000000000"),
            stat(Some(0), "halted_ns", "1500000000"),
            stat(Some(0), "interrupt.timer", "3"),
            stat(Some(0), "timer.threads", "2"),
            stat(Some(1), "sleeps", "7"),
        ];
        let usage = Usage { cpu: Duration::from_millis(500), resident_bytes: 3 << 20, ..Usage::default() };
        Figures { stats, vmm: Some((usage, Duration::from_secs(10))) }
    }

    #[test]
    fn people_read_shares_and_causes() {
        let text = figures().lines().join("\n");
        for part in ["mode balanced", "(5.00 %), 3.0 MiB", "75.00 %", "3 timer", "2 for a deadline of threads"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn json_is_read_back() {
        let json = figures().to_json();
        assert_eq!(json["cores"][1]["sleeps"], 7);
        assert_eq!(Figures::from_json(&json).unwrap().to_json(), json);
        assert!(Figures::from_json(&json!({})).is_none());
    }
}
