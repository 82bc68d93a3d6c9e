//! A hash table behind HTTP: `PUT /name` stores the body, `GET /name` brings it back, `DELETE /name` removes it.
#![no_std]
#![no_main]

use small_http::{Reply, Request, Status};
use toro::collections::HashMap;
use toro::prelude::*;
use toro::sync::{LazyLock, Mutex};

toro::main!(main);

/// All keys and values together, so that clients cannot use up the machine's memory.
const BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
struct Store {
    values: HashMap<String, Vec<u8>>,
    bytes: usize,
}

static STORE: LazyLock<Mutex<Store>> = LazyLock::new(Mutex::default);

fn main() -> toro::io::Result<()> {
    let port = toro::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    small_http::serve(port, answer)
}

fn answer(request: &Request<'_>, reply: Reply<'_>) {
    let key = &request.path[request.path.len().min(1)..]; // without the slash
    if key.is_empty() {
        return reply.text(Status::OK, &format!("{} keys\n", STORE.lock().values.len()));
    }
    match request.method {
        "GET" | "HEAD" => match STORE.lock().values.get(key) {
            Some(value) => reply.send(Status::OK, "application/octet-stream", value),
            None => reply.text(Status::NOT_FOUND, "There is no such key.\n"),
        },
        "PUT" => reply.text(STORE.lock().put(key, request.body), ""),
        "DELETE" => match STORE.lock().remove(key) {
            true => reply.text(Status::NO_CONTENT, ""),
            false => reply.text(Status::NOT_FOUND, "There is no such key.\n"),
        },
        _ => reply.allow("GET, HEAD, PUT, DELETE"),
    }
}

impl Store {
    fn put(&mut self, key: &str, value: &[u8]) -> Status {
        let old = self.values.get(key).map_or(0, |old| key.len() + old.len());
        let bytes = self.bytes - old + key.len() + value.len();
        if bytes > BYTES_MAX {
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
