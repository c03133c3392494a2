//! Serves the functions over HTTP. A runtime calls them: `statefun run`, or Apache Flink StateFun.

use stateful_functions::transport::http;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&listen).await?;
    println!("functions of {{name}} on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    http::serve(listener, {{crate}}::functions()?)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
