//! A hash table behind HTTP: `PUT /name` stores the body, `GET /name` brings it back, `DELETE /name` removes it.
//!
//! Each core serves connections, and has its share of the keys to itself: a request for another core's key is sent there.
#![no_std]
#![no_main]

use small_http::{Reply, Request, Status};
use toro::collections::HashMap;
use toro::prelude::*;
use toro::sync::mpsc::{self, Sender};
use toro::sync::{Mutex, OnceLock};
use toro::thread::{self, CoreId};

toro::main!(main);

/// All keys and values together, so that clients cannot use up the machine's memory.
const BYTES_MAX: usize = 16 << 20;

/// A core's share of the keys. Its own threads take turns; others ask.
struct Shard {
    store: Mutex<Store>,
    questions: Sender<Question>,
}

/// What a thread of another core wants of a shard.
struct Question {
    method: String,
    key: String,
    value: Vec<u8>,
    answer: Sender<(Status, Vec<u8>)>,
}

#[derive(Default)]
struct Store {
    values: HashMap<String, Vec<u8>>,
    bytes: usize,
}

static SHARDS: OnceLock<Vec<Shard>> = OnceLock::new();

fn main() -> toro::io::Result<()> {
    let port = toro::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    SHARDS.get_or_init(|| thread::cores().map(Shard::start).collect());
    small_http::serve(port, answer)
}

fn shards() -> &'static [Shard] {
    SHARDS.get().expect("main makes them first")
}

fn answer(request: &Request<'_>, reply: Reply<'_>) {
    let key = &request.path[request.path.len().min(1)..]; // without the slash
    if key.is_empty() {
        let keys: usize = shards().iter().map(|shard| shard.store.lock().values.len()).sum();
        return reply.text(Status::OK, &format!("{keys} keys\n"));
    }
    match request.method {
        "GET" | "HEAD" | "PUT" | "DELETE" => {}
        _ => return reply.allow("GET, HEAD, PUT, DELETE"),
    }
    let home = home(key);
    let shard = &shards()[home];
    if home == thread::current_core().index() {
        let send = |status, value: &[u8]| reply.send(status, "application/octet-stream", value);
        return shard.store.lock().answer(request.method, key, request.body, send);
    }
    let (answer, answers) = mpsc::channel();
    let question = Question { method: request.method.into(), key: key.into(), value: request.body.into(), answer };
    match shard.questions.send(question).ok().and_then(|()| answers.recv().ok()) {
        Some((status, value)) => reply.send(status, "application/octet-stream", &value),
        None => reply.text(Status::SERVICE_UNAVAILABLE, "The key's core does not answer.\n"),
    }
}

/// The core that has a key, by its hash (FNV-1a).
fn home(key: &str) -> usize {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    key.bytes().fold(0x811c_9dc5, step) as usize % shards().len()
}

impl Shard {
    /// Its answers to other cores are given by a thread of its own.
    fn start(core: CoreId) -> Shard {
        let (questions, asked) = mpsc::channel::<Question>();
        thread::spawn_on(core, move || {
            for Question { method, key, value, answer } in asked {
                let send = |status, value: &[u8]| drop(answer.send((status, value.to_vec())));
                shards()[core.index()].store.lock().answer(&method, &key, &value, send);
            }
        });
        Shard { store: Mutex::default(), questions }
    }
}

impl Store {
    fn answer(&mut self, method: &str, key: &str, value: &[u8], send: impl FnOnce(Status, &[u8])) {
        match method {
            "PUT" => send(self.put(key, value), b""),
            "DELETE" if self.remove(key) => send(Status::NO_CONTENT, b""),
            _ => match self.values.get(key) {
                Some(value) => send(Status::OK, value),
                None => send(Status::NOT_FOUND, b"There is no such key.\n"),
            },
        }
    }

    fn put(&mut self, key: &str, value: &[u8]) -> Status {
        let old = self.values.get(key).map_or(0, |old| key.len() + old.len());
        let bytes = self.bytes - old + key.len() + value.len();
        if bytes > BYTES_MAX / shards().len() {
            return Status::INSUFFICIENT_STORAGE;
        }
        self.bytes = bytes;
        match self.values.insert(key.to_string(), value.to_vec()) {
            Some(_) => Status::OK,
            None => Status::CREATED,
        }
    }

    fn remove(&mut self, key: &str) -> bool {
        let removed = self.values.remove(key);
        self.bytes -= removed.as_ref().map_or(0, |value| key.len() + value.len());
        removed.is_some()
    }
}
