//! Functions served over HTTP by this process, on a free port, until the test ends.

use std::future::IntoFuture;
use std::net::SocketAddr;

use stateful_functions::transport::http::{HandlerService, serve};
use tokio::net::TcpListener;

/// The address at which the functions are served.
pub(crate) async fn served(functions: impl Into<HandlerService>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, functions).into_future());
    address
}
