//! Stands in for QEMU: speaks its control protocol, and plays the guest that `$SCRIPT` names.
#![expect(unsafe_code, reason = "the control socket is inherited, and has nothing but a number")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use toro_abi::cmdline::{self, CommandLine};
use toro_abi::console::{Stream, Token};
use toro_abi::stdin::{Decoder, Input};

/// Plays `script`, started with QEMU's arguments.
pub(crate) fn play(script: &str) {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--version") {
        return println!("QEMU emulator version 9.0.0");
    }
    match script {
        "mute" => {
            signal_caller();
            wait_for_ever();
        }
        "stuck" => wait_for_ever(),
        _ => {}
    }
    let control = arguments.iter().find_map(|argument| argument.strip_prefix("socket,id=control,fd=")).unwrap();
    // SAFETY: the caller left this descriptor open for us, and nothing else in this process has it.
    let stream = unsafe { UnixStream::from_raw_fd(control.parse().unwrap()) };
    let (sender, command_line) = channel();
    std::thread::spawn(move || obey(&stream, &sender));
    let command_line = command_line.recv().unwrap();
    if script == "firmware" {
        signal_caller();
        wait_for_ever();
    }
    let token = CommandLine::new(&command_line).get(cmdline::TOKEN).unwrap();
    Guest { token: Token::parse(token.encoded()).unwrap() }.play(script);
}

/// Ctrl-C, at a moment that the script chooses.
fn signal_caller() {
    rustix::process::kill_process(rustix::process::getppid().unwrap(), rustix::process::Signal::INT).unwrap();
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Answers commands until the caller is gone; the guest begins with its command line.
fn obey(mut stream: &UnixStream, begin: &Sender<String>) {
    let mut command_line = String::new();
    let major = if std::env::var("SCRIPT").is_ok_and(|script| script == "newer") { 11 } else { 9 };
    let greeting = json!({"QMP": {"version": {"qemu": {"major": major, "minor": 0, "micro": 0}}}});
    writeln!(stream, "{greeting}").unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap();
        match command["execute"].as_str() {
            Some("qom-set") => command_line = command["arguments"]["value"].as_str().unwrap().to_owned(),
            // Stopped, say, once its guest runs.
            Some("query-status") if std::env::var("SCRIPT").is_ok_and(|script| script == "hung") => wait_for_ever(),
            // The disk is full halfway.
            Some("dump-guest-memory") => {
                let file = command["arguments"]["protocol"].as_str().unwrap().strip_prefix("file:").unwrap();
                std::fs::write(file, "half").unwrap();
                writeln!(&mut stream, "{}", json!({ "error": {"class": "GenericError", "desc": "no space"} })).unwrap();
                continue;
            }
            Some("cont") => begin.send(std::mem::take(&mut command_line)).unwrap_or_default(),
            _ => {}
        }
        let answer = match command["arguments"]["command-line"].as_str() {
            Some("info usernet") => json!("  TCP[HOST_FORWARD]  13  127.0.0.1 40404  10.0.2.15  80  0  0\n"),
            Some("info registers -a") => json!("\nCPU#0\nRBP=0000000000000000\nRIP=ffff800000101234 RFL=2\n"),
            _ => json!({"running": true}),
        };
        writeln!(&mut stream, "{}", json!({ "return": answer })).unwrap();
    }
}

struct Guest {
    token: Token,
}

impl Guest {
    fn say(&self, stream: Stream, bytes: &[u8]) {
        let mut console = std::io::stdout().lock();
        console.write_all(&self.token.marker(stream)).and_then(|()| console.write_all(bytes)).unwrap();
        console.flush().unwrap();
    }

    fn play(&self, script: &str) {
        let version = if script == "future" { 9 } else { 1 };
        // Most play a guest of the first revision.
        let revision = match script {
            "counts" => " revision=1",
            "sockets" => " revision=2",
            _ => "",
        };
        self.say(
            Stream::Control,
            format!("event=boot base=0xffff800000000000 version={version}{revision}\n").as_bytes(),
        );
        match script {
            // Ends in order when asked to.
            "serve" => {
                self.say(Stream::Control, b"event=listen proto=tcp port=80\n");
                self.wait_for(Input::Stop);
                self.say(Stream::Outcome, b"kind=stopped\n");
            }
            // Says what it has counted, when it is asked and at its end.
            "counts" => {
                self.wait_for(Input::Statistics);
                self.say_stats(41);
                self.wait_for(Input::Stop);
                self.say_stats(42);
                self.say(Stream::Outcome, b"kind=stopped\n");
            }
            // Says how its network stands.
            "sockets" => {
                self.wait_for(Input::Network);
                for record in [
                    "event=stat name=net.malformed value=5 core=0",
                    "event=socket core=0 proto=tcp state=listen local=0.0.0.0:80 unread=0 unsent=128 again=0 rtt_ns=0 window=0",
                    toro_abi::stats::NETWORK_END,
                ] {
                    self.say(Stream::Control, format!("{record}\n").as_bytes());
                }
                self.wait_for(Input::Stop);
                self.say(Stream::Outcome, b"kind=stopped\n");
            }
            // Sends its input back, with a word on the other streams.
            "echo" => {
                self.say(Stream::Log, b"[0.001] test: log\n");
                self.say(Stream::Control, b"event=stdin room=1000000\n");
                let input = self.wait_for(Input::End);
                self.say(Stream::Stdout, &input);
                self.say(Stream::Stderr, b"error stream");
                self.say(Stream::Outcome, b"kind=exit status=7\n");
            }
            // Has room for four bytes of input and no more; says which came before it was asked to stop.
            "full" => {
                self.say(Stream::Control, b"event=stdin room=4\n");
                self.say(Stream::Log, b"full\n");
                let input = self.wait_for(Input::Stop);
                self.say(Stream::Stdout, &input);
                self.say(Stream::Outcome, b"kind=stopped\n");
            }
            // Says more than any pipe holds.
            "flood" => {
                self.say(Stream::Log, b"flood\n");
                loop {
                    self.say(Stream::Stdout, &[b'o'; 4096]);
                    self.say(Stream::Stderr, &[b'e'; 4096]);
                }
            }
            "short" => {
                self.say(Stream::Stdout, b"short\n");
                self.say(Stream::Outcome, b"kind=exit status=0\n");
            }
            // Is impatiently asked once more, when it is about to go.
            "leaving" => {
                self.say(Stream::Log, b"leaving\n");
                self.wait_for(Input::Stop);
                self.say(Stream::Outcome, b"kind=stopped\n");
                signal_caller();
                wait_for_ever();
            }
            // Says a word on each stream.
            "talk" | "newer" => {
                self.say(Stream::Log, b"[0.001] test: log\n");
                self.say(Stream::Stdout, b"output \0\xff");
                self.say(Stream::Stderr, b"error stream");
                self.say(Stream::Outcome, b"kind=exit status=0\n");
            }
            "panic" => {
                self.say(Stream::Log, b"panicked at main.rs:1: why\n");
                self.say(Stream::Outcome, b"kind=panic message=panicked%20at%20main.rs:1:%20why\n");
            }
            // Its frames found no room on the disk.
            "frames" => {
                eprintln!("qemu-system-x86_64: network dump write error - stopping dump");
                self.say(Stream::Outcome, b"kind=exit status=0\n");
            }
            "silent" => {}
            "vmm-failure" => {
                eprintln!("qemu: it broke");
                std::process::exit(1);
            }
            // Says that it is there, and then neither ends nor listens.
            _ => {
                self.say(Stream::Log, b"deaf\n");
                wait_for_ever();
            }
        }
    }

    fn say_stats(&self, sleeps: u32) {
        for figure in
            ["name=mode value=saving", "name=uptime_ns value=1000", &format!("name=sleeps value={sleeps} core=0")]
        {
            self.say(Stream::Control, format!("event=stat {figure}\n").as_bytes());
        }
        self.say(Stream::Control, format!("{}\n", toro_abi::stats::END).as_bytes());
    }

    /// Reads the console until `last` arrives; the bytes before it.
    fn wait_for(&self, last: Input) -> Vec<u8> {
        let mut decoder = Decoder::new();
        let mut bytes = Vec::new();
        for byte in std::io::stdin().lock().bytes().map_while(Result::ok) {
            match decoder.push(byte) {
                Some(input) if input == last => break,
                Some(Input::Byte(byte)) => bytes.push(byte),
                _ => {}
            }
        }
        bytes
    }
}
