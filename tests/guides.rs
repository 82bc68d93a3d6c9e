//! The guides, followed: their shell blocks are run one after the other, and what they show must come of them.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use toro_tests::{Tool, skip};

/// The port that guides publish on; a test takes a free one.
const PORT: &str = "8080";

/// A block of shell commands, and the lines that it shows.
struct Step {
    commands: String,
    shown: Vec<String>,
}

fn steps(guide: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let block = |lines: &mut std::str::Lines<'_>| {
            lines.take_while(|line| *line != "```").map(str::to_owned).collect::<Vec<_>>()
        };
        match line {
            "```sh" => steps.push(Step { commands: block(&mut lines).join("\n"), shown: Vec::new() }),
            "```text" => steps.last_mut().expect("commands come first").shown = block(&mut lines),
            _ => {}
        }
    }
    steps
}

/// Follows a guide in an empty folder, by a user of his own.
fn follow(name: &str, tools: &[&str]) {
    let has = |tool: &&&str| Command::new(tool).arg("--version").output().is_ok();
    if let Some(missing) = tools.iter().find(|tool| !has(tool)) {
        return skip(&format!("docs/guides/{name}.md"), &format!("no {missing}"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/guides/{name}.md"));
    let guide = std::fs::read_to_string(&path).expect("the guide is there");
    let free =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port");
    let guide = guide.replace(PORT, &free.port().to_string());
    let (tool, folder) = (Tool::new(), tempfile::tempdir().expect("a folder"));
    let commands = tool.command(&[]);
    let program = Path::new(commands.get_program());
    let path =
        format!("{}:{}", program.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    for (number, step) in steps(&guide).iter().enumerate() {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &format!("exec 2>&1\n{}", step.commands)]).current_dir(folder.path());
        shell.env("PATH", &path).env("GOCACHE", folder.path().join("go-cache")).env("GO111MODULE", "off");
        for (name, value) in commands.get_envs() {
            value.map(|value| shell.env(name, value));
        }
        let output = shell.output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let title = format!("docs/guides/{name}.md, block {}:\n{}\nsaid: {said}", number + 1, step.commands);
        assert!(output.status.success(), "{title}");
        for line in &step.shown {
            assert!(said.lines().any(|there| there.contains(line.as_str())), "{line:?} is not shown by {title}");
        }
    }
}

#[test]
fn the_guide_for_rust() {
    follow("rust", &["cargo", "curl"]);
}

#[test]
fn the_guide_for_go() {
    follow("go", &["go", "curl", "tar"]);
}

#[test]
fn the_guide_for_c() {
    follow("c", &["gcc"]);
}

#[test]
fn the_guide_for_freepascal() {
    follow("freepascal", &["fpc"]);
}
