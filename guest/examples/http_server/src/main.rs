//! A static site, built into the image, and a JSON endpoint: `GET /` and `GET /api/status`.
#![no_std]
#![no_main]

use small_http::{Reply, Request, Status};
use toro::prelude::*;
use toro::sync::atomic::{AtomicU64, Ordering};
use toro::time::Instant;

toro::main!(main);

/// Path, type, content.
const SITE: [(&str, &str, &[u8]); 3] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../site/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../site/style.css")),
    ("/toro.svg", "image/svg+xml", include_bytes!("../site/toro.svg")),
];

static REQUESTS: AtomicU64 = AtomicU64::new(0);

fn main() -> toro::io::Result<()> {
    let port = toro::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    let started = Instant::now();
    small_http::serve(port, move |request, reply| answer(request, reply, started))
}

fn answer(request: &Request<'_>, reply: Reply<'_>, started: Instant) {
    let requests = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    let page = SITE.iter().find(|page| page.0 == request.path);
    if page.is_none() && request.path != "/api/status" {
        return reply.text(Status::NOT_FOUND, "There is no such page.\n");
    }
    if !matches!(request.method, "GET" | "HEAD") {
        return reply.allow("GET, HEAD");
    }
    match page {
        Some((_, content_type, content)) => reply.send(Status::OK, content_type, content),
        None => {
            let uptime_ms = started.elapsed().as_millis() as u64; // 600 million years, and less code
            let status = format!("{{\"requests\":{requests},\"uptime_ms\":{uptime_ms}}}\n");
            reply.send(Status::OK, "application/json", status.as_bytes());
        }
    }
}
