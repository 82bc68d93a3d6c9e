//! Stands in for QEMU: speaks its control protocol, and plays the guest that `$SCRIPT` names.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use toro_abi::cmdline::{self, CommandLine};
use toro_abi::console::{Stream, Token};
use toro_abi::stdin::{Decoder, Input};

/// Plays `script`, started with QEMU's arguments.
pub(crate) fn play(script: &str) {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--version") {
        return println!("QEMU emulator version 9.0.0");
    }
    let after = |option: &str| arguments.iter().skip_while(|argument| *argument != option).nth(1);
    let control = arguments.iter().find_map(|argument| argument.strip_prefix("socket,id=control,path=")).unwrap();
    let token = CommandLine::new(after("-append").unwrap()).get(cmdline::TOKEN).unwrap();
    let guest = Guest { token: Token::parse(token.encoded()).unwrap() };
    let stream = UnixStream::connect(control).unwrap();
    std::thread::spawn(move || obey(&stream));
    guest.play(script);
}

/// Answers commands until the caller is gone.
fn obey(mut stream: &UnixStream) {
    let greeting = json!({"QMP": {"version": {"qemu": {"major": 9, "minor": 0, "micro": 0}}}});
    writeln!(stream, "{greeting}").unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap();
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
        self.say(Stream::Control, b"event=boot base=0xffff800000000000 version=1\n");
        match script {
            // Ends in order when asked to.
            "serve" => {
                self.say(Stream::Control, b"event=listen proto=tcp port=80\n");
                self.wait_for(Input::Stop);
                self.say(Stream::Outcome, b"kind=stopped\n");
            }
            // Sends its input back, with a word on the other streams.
            "echo" => {
                self.say(Stream::Log, b"[0.001] test: log\n");
                let input = self.wait_for(Input::End);
                self.say(Stream::Stdout, &input);
                self.say(Stream::Stderr, b"error stream");
                self.say(Stream::Outcome, b"kind=exit status=7\n");
            }
            "panic" => {
                self.say(Stream::Log, b"panicked at main.rs:1: why\n");
                self.say(Stream::Outcome, b"kind=panic message=panicked%20at%20main.rs:1:%20why\n");
            }
            "silent" => {}
            "vmm-failure" => {
                eprintln!("qemu: it broke");
                std::process::exit(1);
            }
            // Says that it is there, and then neither ends nor listens.
            _ => {
                self.say(Stream::Log, b"deaf\n");
                loop {
                    std::thread::park();
                }
            }
        }
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
