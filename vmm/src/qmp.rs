//! QEMU's control connection: one JSON object a line, commands answered in order, events in between.

use crate::error::Error;
use crate::input::Input;
use crate::transcript::Shared;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// QEMU answers at once, unless its machine is being torn down or its host is overloaded.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A connection on which commands can be given.
#[derive(Debug)]
pub struct Qmp {
    /// QEMU's version, as it greets; `None` when it ended before it could.
    pub version: Option<(u64, u64)>,
    conversation: Mutex<Conversation>,
}

#[derive(Debug)]
struct Conversation {
    stream: UnixStream,
    answers: Receiver<Value>,
    negotiated: bool,
}

impl Qmp {
    /// Reads the greeting, then listens on a thread of its own. `stays` says that QEMU does when its machine goes off.
    pub(crate) fn connect(
        stream: UnixStream,
        shared: Arc<Shared>,
        input: Arc<Input>,
        stays: bool,
    ) -> std::io::Result<Self> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut greeting = String::new();
        // One that cannot be read is that of a QEMU that has ended, which the first command finds out.
        if lines.read_line(&mut greeting).is_err() {
            greeting.clear();
        }
        stream.set_read_timeout(None)?; // events may be hours apart
        let greeting: Value = serde_json::from_str(&greeting).unwrap_or_default();
        let version = &greeting["QMP"]["version"]["qemu"];
        let version = version["major"].as_u64().zip(version["minor"].as_u64());
        let (sender, answers) = channel();
        std::thread::Builder::new().name("qmp".into()).spawn(move || {
            let mut has_stopped = false;
            for line in lines.lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap_or_default();
                match message["event"].as_str() {
                    Some("SHUTDOWN") => {
                        shared.update(|transcript| {
                            let reason = message["data"]["reason"].as_str().unwrap_or("unknown");
                            transcript.shutdown_reason = Some(reason.into());
                        });
                        // QEMU ends now. A command under way is answered no more, and may even keep QEMU 7.2
                        // from ending: whoever waits for the answer must not.
                        if !stays {
                            break;
                        }
                    }
                    Some("STOP") => has_stopped = true,
                    // Its clocks have stood still, or have jumped, and what it was told at its start is no longer so.
                    Some("RESUME") if has_stopped && shared.lock().revision() >= Some(1) => input.tell_time(),
                    Some(_) => {}
                    None => {
                        if sender.send(message).is_err() {
                            break;
                        }
                    }
                }
            }
        })?;
        Ok(Self { version, conversation: Mutex::new(Conversation { stream, answers, negotiated: false }) })
    }

    /// Gives a command and returns what it answers.
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        self.execute_within(ANSWER_LIMIT, command, arguments)
    }

    /// The same for one that takes its time.
    pub(crate) fn execute_within(&self, limit: Duration, command: &str, arguments: Value) -> Result<Value, Error> {
        let mut conversation = self.conversation.lock().unwrap_or_else(PoisonError::into_inner);
        if !conversation.negotiated {
            conversation.execute(ANSWER_LIMIT, "qmp_capabilities", json!({}))?;
            conversation.negotiated = true;
        }
        conversation.execute(limit, command, arguments)
    }

    /// Gives a command of the human monitor and returns the text that it prints.
    pub fn monitor(&self, line: &str) -> Result<String, Error> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().replace("\r\n", "\n"))
    }

    /// The same, as one processor sees it.
    pub fn monitor_on(&self, cpu: usize, line: &str) -> Result<String, Error> {
        let arguments = json!({ "command-line": line, "cpu-index": cpu });
        let answer = self.execute("human-monitor-command", arguments)?;
        Ok(answer.as_str().unwrap_or_default().replace("\r\n", "\n"))
    }
}

impl Conversation {
    fn execute(&mut self, limit: Duration, command: &str, arguments: Value) -> Result<Value, Error> {
        let fail = |why: &str| Error::new(format!("QEMU did not obey `{command}`: {why}"));
        let request = json!({ "execute": command, "arguments": arguments });
        while self.answers.try_recv().is_ok() {} // an answer that came too late for its command
        self.stream.write_all(format!("{request}\n").as_bytes()).map_err(|error| fail(&error.to_string()))?;
        let answer = self.answers.recv_timeout(limit).map_err(|_| fail("no answer"))?;
        match answer.get("return") {
            Some(value) => Ok(value.clone()),
            None => Err(fail(answer["error"]["desc"].as_str().unwrap_or("an answer that is not understood"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays QEMU on the other end: a greeting, then `answers`, one for each line that arrives.
    fn connect(answers: &'static [&'static str]) -> (Qmp, Arc<Shared>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        theirs.write_all(b"{\"QMP\":{\"version\":{\"qemu\":{\"micro\":22,\"minor\":2,\"major\":7}}}}\n").unwrap();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            for answer in answers {
                lines.next().unwrap().unwrap();
                theirs.write_all(answer.as_bytes()).unwrap();
            }
        });
        let shared = Arc::new(Shared::new());
        (Qmp::connect(ours, shared.clone(), Arc::default(), false).unwrap(), shared)
    }

    #[test]
    fn answers_are_told_from_events() {
        let (qmp, shared) = connect(&[
            "{\"return\":{}}\n",
            "{\"event\":\"RTC_CHANGE\",\"data\":{}}\n{\"return\":\"RIP=1\\r\\n\"}\n",
            "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\n",
        ]);
        assert_eq!(qmp.version, Some((7, 2)));
        assert_eq!(qmp.monitor("info registers").unwrap(), "RIP=1\n");
        assert!(qmp.execute("query-status", json!({})).is_err(), "a machine that goes off answers no more");
        assert_eq!(shared.lock().shutdown_reason.as_deref(), Some("guest-reset"));
    }

    #[test]
    fn silence_does_not_end_the_connection() {
        let (qmp, _) = connect(&[]);
        assert_eq!(qmp.conversation.lock().unwrap().stream.read_timeout().unwrap(), None);
    }

    #[test]
    fn a_refusal_and_a_lost_connection_are_errors() {
        let (qmp, _) = connect(&["{\"return\":{}}\n", "{\"error\":{\"desc\":\"no such command\"}}\n"]);
        assert!(qmp.execute("dance", json!({})).unwrap_err().message().ends_with("`dance`: no such command"));
        assert!(qmp.execute("dance", json!({})).is_err());
    }
}
