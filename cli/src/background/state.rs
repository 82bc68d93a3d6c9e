//! What is known of a guest, as JSON in its folder: written by its process, read by everybody else, printed by `inspect`.

use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use toro_abi::control::Control;
use toro_abi::outcome::status;
use toro_vmm::{Error, Guest, Machine, Port};

const FILE: &str = "state.json";

/// The state of one guest.
#[derive(Clone, Debug)]
pub(crate) struct State(Value);

impl State {
    /// One that is about to be started.
    pub(crate) fn new(name: &str) -> Self {
        Self(json!({
            "name": name, "state": "starting", "pid": std::process::id(), "started_ms": now_ms(),
            "ports": [], "address": null, "address6": null, "outcome": null,
        }))
    }

    /// What a guest's folder says; `None` when it says nothing that can be read.
    pub(crate) fn load(folder: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()?;
        value.is_object().then_some(Self(value))
    }

    /// Written aside and renamed, so that nobody reads half of it.
    pub(crate) fn store(&self, folder: &Path) -> Result<(), Error> {
        let (file, aside) = (folder.join(FILE), folder.join("state.json.new"));
        std::fs::write(&aside, format!("{:#}\n", self.0))
            .and_then(|()| std::fs::rename(&aside, &file))
            .map_err(|error| Error::new(format!("cannot write {}: {error}", file.display())))
    }

    /// What is about to run: `shown` is what its user calls it.
    pub(crate) fn set_machine(&mut self, machine: &Machine, shown: &str) {
        self.0["image"] = shown.into();
        self.0["machine"] = machine.machine_type.name().into();
        self.0["memory_bytes"] = machine.memory_bytes.into();
        self.0["cpus"] = machine.cpus.into();
        let cards: Vec<String> = machine.cards().map(|card| card.network.to_string()).collect();
        self.0["net"] = if cards.is_empty() { "none".into() } else { cards.join(" ").into() };
        self.set_ports(&machine.ports);
    }

    pub(crate) fn set_started(&mut self, guest: &Guest) {
        self.0["accel"] = guest.accelerator().name().into();
        self.0["vmm_pid"] = guest.pid().into();
        self.set_ports(guest.ports());
    }

    fn set_ports(&mut self, ports: &[Port]) {
        let port = |port: &Port| {
            let protocol = port.protocol.to_string();
            json!({ "host": port.host.to_string(), "guest": port.guest, "protocol": protocol, "listening": false })
        };
        self.0["ports"] = ports.iter().map(port).collect();
    }

    pub(crate) fn hear(&mut self, control: &Control) {
        if let Control::Boot { .. } = control {
            self.0["state"] = "running".into();
        }
        if let Control::Address { ip, .. } = control {
            self.0[if ip.is_ipv4() { "address" } else { "address6" }] = ip.to_string().into();
        }
        if let Control::Listen { protocol, port } = control {
            let protocol = protocol.to_string();
            for known in self.0["ports"].as_array_mut().into_iter().flatten() {
                if known["guest"] == *port && known["protocol"] == *protocol {
                    known["listening"] = true.into();
                }
            }
        }
    }

    /// Whether there are published ports, and the guest listens on all of them.
    pub(crate) fn listens_on_all_ports(&self) -> bool {
        let mut ports = self.ports().peekable();
        ports.peek().is_some() && ports.all(|port| port["listening"] == true)
    }

    /// It has ended; `report` is that of the status file.
    pub(crate) fn end(&mut self, report: Value) {
        self.0["uptime_ms"] = self.uptime_ms().into();
        self.0["state"] = "ended".into();
        self.0["outcome"] = report;
    }

    /// Its process is gone without having said how it ended.
    pub(crate) fn lose(&mut self) {
        self.end(json!({
            "status": status::TOOL, "kind": "lost", "message": "the process that watched the guest was killed",
        }));
        // When is not known.
        self.0["uptime_ms"] = Value::Null;
    }

    /// `starting`, `running` or `ended`.
    pub(crate) fn stage(&self) -> &str {
        self.0["state"].as_str().unwrap_or("unknown")
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.stage() == "ended"
    }

    pub(crate) fn started_ms(&self) -> u64 {
        self.0["started_ms"].as_u64().unwrap_or(0)
    }

    fn uptime_ms(&self) -> u64 {
        self.0["uptime_ms"].as_u64().unwrap_or_else(|| now_ms().saturating_sub(self.started_ms()))
    }

    /// How long it has run, or ran; `None` when nobody knows.
    pub(crate) fn uptime(&self) -> Option<Duration> {
        let is_lost = self.has_ended() && self.0["uptime_ms"].is_null();
        (!is_lost).then(|| Duration::from_millis(self.uptime_ms()))
    }

    fn ports(&self) -> impl Iterator<Item = &Value> {
        self.0["ports"].as_array().into_iter().flatten()
    }

    /// `127.0.0.1:8080->80/tcp` and so on.
    pub(crate) fn ports_text(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let ports =
            self.ports().map(|port| format!("{}->{}/{}", text(&port["host"]), port["guest"], text(&port["protocol"])));
        ports.collect::<Vec<_>>().join(", ")
    }

    /// `panic (101)`; empty while it runs.
    pub(crate) fn outcome_text(&self) -> String {
        let outcome = &self.0["outcome"];
        match (outcome["kind"].as_str(), outcome["status"].as_u64()) {
            (Some(kind), Some(status)) => format!("{kind} ({status})"),
            _ => String::new(),
        }
    }

    /// All of it, with the time until now.
    pub(crate) fn into_json(mut self) -> Value {
        let uptime = self.uptime();
        self.0["uptime_ms"] = uptime.map(|uptime| uptime.as_millis() as u64).into();
        self.0
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toro_abi::control::Protocol;

    #[test]
    fn a_guest_is_ready_when_it_listens_on_all_published_ports() {
        let mut state = State::new("web");
        assert!(!state.listens_on_all_ports());
        state.set_ports(&[Port::parse("8080:80").unwrap(), Port::parse("5353:53/udp").unwrap()]);
        state.hear(&Control::Boot { base: 1, version: 1, revision: 1 });
        state.hear(&Control::Listen { protocol: Protocol::Tcp, port: 80 });
        state.hear(&Control::Listen { protocol: Protocol::Tcp, port: 53 });
        assert!(state.stage() == "running" && !state.listens_on_all_ports());
        state.hear(&Control::Listen { protocol: Protocol::Udp, port: 53 });
        assert!(state.listens_on_all_ports());
        assert_eq!(state.ports_text(), "127.0.0.1:8080->80/tcp, 127.0.0.1:5353->53/udp");
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        assert!(State::load(folder.path()).is_none());
        let mut state = State::new("web");
        assert!(state.uptime().is_some() && state.outcome_text().is_empty());
        state.end(json!({ "status": 101, "kind": "panic" }));
        state.store(folder.path()).unwrap();
        let state = State::load(folder.path()).unwrap();
        assert_eq!((state.stage(), &*state.outcome_text()), ("ended", "panic (101)"));
        std::fs::write(folder.path().join(FILE), "[]").unwrap();
        assert!(State::load(folder.path()).is_none());
    }

    #[test]
    fn how_long_a_lost_guest_ran_is_not_made_up() {
        let mut state = State::new("web");
        state.lose();
        assert_eq!((state.uptime(), &*state.outcome_text()), (None, "lost (125)"));
        assert!(state.into_json()["uptime_ms"].is_null());
    }
}
