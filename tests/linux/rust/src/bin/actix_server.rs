//! A server by actix-web, two workers. `actix_server ADDRESS:PORT`

use actix_web::web::{Bytes, get, post, to};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:80".into());
    let application = || {
        App::new()
            .route("/echo", post().to(|body: Bytes| async { HttpResponse::Ok().body(body) }))
            .route("/large", get().to(|| async { HttpResponse::Ok().body("0123456789".repeat(20_000)) }))
            .default_service(to(|request: HttpRequest| async move {
                HttpResponse::Ok().body(format!("you asked for {}\n", request.path()))
            }))
    };
    actix_web::rt::System::new().block_on(async move {
        // Many connections at once take a user network's forwarding seconds: no request is late.
        let server = HttpServer::new(application).workers(2).client_request_timeout(Duration::ZERO).bind(address)?;
        println!("listening");
        server.run().await
    })
}
