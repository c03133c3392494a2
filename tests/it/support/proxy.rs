//! A small HTTP proxy: it answers plain requests itself, and connects every tunnel to one local port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::raw::RawMessage;

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Where tunnels lead; `None`: it refuses them with 407.
    tunnels_to: Option<u16>,
    received: Arc<Mutex<Vec<RawMessage>>>,
}

impl Proxy {
    pub(crate) async fn start(tunnels_to: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            tunnels_to,
            received: Arc::default(),
        };
        let running = proxy.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(running.clone().converse(socket));
            }
        });
        proxy
    }

    /// `host:port`, after a user name and a password.
    pub(crate) fn with_credentials(&self) -> String {
        format!("http://me:secret@{}", self.address)
    }

    /// The requests so far, `CONNECT` among them.
    pub(crate) fn received(&self) -> Vec<RawMessage> {
        self.received.lock().unwrap().clone()
    }

    async fn converse(self, mut socket: TcpStream) {
        while let Some(request) = RawMessage::read(&mut socket).await {
            let is_tunnel = request.head.starts_with("CONNECT ");
            self.received.lock().unwrap().push(request);
            match (is_tunnel, self.tunnels_to) {
                (true, Some(port)) => {
                    let mut target = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let opened = b"HTTP/1.1 200 Connection established\r\n\r\n";
                    socket.write_all(opened).await.unwrap();
                    // Either side may end it.
                    let _ = copy_bidirectional(&mut socket, &mut target).await;
                    return;
                }
                (true, None) => {
                    let refused = b"HTTP/1.1 407 Who are you?\x1b[2J\r\ncontent-length: 0\r\n\r\n";
                    socket.write_all(refused).await.unwrap();
                    return;
                }
                (false, _) => {
                    let fine = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if socket.write_all(fine).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
