//! The program `toro`, built once in a run, as a user with a runtime folder of his own has it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Spec, images};

/// A user of the program. His guests end with him.
pub struct Tool {
    runtime: TempDir,
}

impl Tool {
    /// A user who has started nothing yet.
    #[expect(clippy::new_without_default, reason = "making one makes a folder, and may fail the test")]
    pub fn new() -> Tool {
        Tool { runtime: tempfile::tempdir().expect("a folder") }
    }

    /// The command `toro WORDS`.
    pub fn command(&self, words: &[&str]) -> Command {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        let mut command = Command::new(BUILT.get_or_init(images::tool));
        command.args(words).env("XDG_RUNTIME_DIR", self.runtime.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `toro WORDS`, to its end.
    pub fn run(&self, words: &[&str]) -> Told {
        let Output { status, stdout, stderr } = self.command(words).output().expect("the tool starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&stdout), text(&stderr));
        Told { title: format!("toro {}", words.join(" ")), status: status.code(), stdout, stderr }
    }

    /// Starts a guest in the background: `toro run -d --name NAME OPTIONS IMAGE`.
    pub fn start(&self, spec: &Spec, name: &str, options: &[&str]) -> Told {
        let image = spec.image_path();
        self.run(&[&["run", "-d", "--accel", "tcg", "--name", name], options, &[&image]].concat())
    }

    /// What `toro inspect NAME` tells.
    pub fn inspect(&self, name: &str) -> Value {
        let told = self.run(&["inspect", name]).expect_status(0);
        serde_json::from_str(&told.stdout).expect("JSON")
    }

    /// Where a guest's first port is published.
    pub fn address(&self, name: &str) -> SocketAddr {
        let state = self.inspect(name);
        state["ports"][0]["host"].as_str().and_then(|host| host.parse().ok()).expect("an address")
    }

    /// `toro logs -f NAME`, which ends with the guest.
    pub fn follow(&self, name: &str) -> Child {
        self.command(&["logs", "-f", name]).spawn().expect("the tool starts")
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let table = self.run(&["ps"]).stdout;
        for name in table.lines().skip(1).filter_map(|line| line.split(' ').next()) {
            self.run(&["kill", name]);
        }
    }
}

/// What the program told.
#[derive(Debug)]
pub struct Told {
    title: String,
    status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Told {
    /// The exit status must be this.
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Told {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    /// Standard output must be exactly this.
    #[track_caller]
    pub fn expect_stdout(self, text: &str) -> Told {
        assert_eq!(self.stdout, text, "{self:?}");
        self
    }

    /// Standard error must contain this.
    #[track_caller]
    pub fn expect_stderr(self, text: &str) -> Told {
        assert!(self.stderr.contains(text), "{}: {text:?} is not in: {}", self.title, self.stderr);
        self
    }
}
