//! A server by axum, on tokio. `axum_server ADDRESS:PORT`

use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::http::Uri;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:80".into());
    let routes = Router::new()
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/large", get(|| async { "0123456789".repeat(20_000) }))
        .route("/json/{name}", get(as_json))
        .fallback(|uri: Uri| async move { format!("you asked for {}\n", uri.path()) });
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening");
    axum::serve(listener, routes).await
}

async fn as_json(Path(name): Path<String>, Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    Json(json!({ "name": name, "query": query }))
}
