//! A TCP link to a server that can fail in the ways of networks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the link does with connections, those that are open included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: bytes go through.
    None,
    /// Connections are reset, new ones as soon as they send something.
    Reset,
    /// Nothing goes through, and nothing is closed.
    Stall,
    /// The server's end is gone and the client is not told: what it sends is taken and lost, also after the fault.
    HalfOpen,
    /// One byte at a time, with the executor's other tasks between two of them.
    Slow,
    /// Requests go through, answers do not.
    OneWay,
}

/// The link; it ends with its executor.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    fault: watch::Sender<Fault>,
    connections: Arc<AtomicUsize>,
}

impl Link {
    /// A link to the server at `to`.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self {
            address: listener.local_addr().unwrap(),
            fault: watch::Sender::new(Fault::None),
            connections: Arc::default(),
        };
        let (fault, connections) = (link.fault.clone(), Arc::clone(&link.connections));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                client.set_nodelay(true).unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, to, fault.subscribe()));
            }
        });
        link
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn carry(client: TcpStream, to: SocketAddr, fault: watch::Receiver<Fault>) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    server.set_nodelay(true).unwrap();
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let requests = one_way(client_in, server_out, fault.clone(), false);
    let answers = one_way(server_in, client_out, fault, true);
    // Either end closes both; a reset does so at once.
    let (reset, half) = tokio::select! {
        ended = requests => ended,
        ended = answers => ended,
    };
    if let (true, Some(half)) = (reset, half) {
        // Both halves are dropped now: the kernel sends a reset.
        let _ = half.as_ref().set_zero_linger();
    }
}

/// Carries bytes until one side closes; true if it ends with a reset.
async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    are_answers: bool,
) -> (bool, Option<OwnedReadHalf>) {
    let (mut buffer, mut is_lost) = (vec![0; 16 * 1024], false);
    loop {
        let now = *fault.borrow_and_update();
        is_lost |= now == Fault::HalfOpen;
        let waits = now == Fault::Stall || (now == Fault::OneWay && are_answers);
        let read = tokio::select! {
            read = from.read(&mut buffer), if !waits => read,
            changed = fault.changed() => match changed {
                Ok(()) if *fault.borrow() == Fault::Reset && !are_answers => return (true, Some(from)),
                Ok(()) => continue,
                Err(_) => return (false, None),
            },
        };
        let Ok(count @ 1..) = read else {
            return (false, None);
        };
        let bytes = &buffer[..count];
        let now = *fault.borrow();
        match now {
            _ if is_lost => {}
            Fault::Reset if !are_answers => return (true, Some(from)),
            Fault::Slow => {
                for byte in bytes {
                    if to.write_all(std::slice::from_ref(byte)).await.is_err() {
                        return (false, None);
                    }
                    tokio::task::yield_now().await;
                }
            }
            _ => {
                if to.write_all(bytes).await.is_err() {
                    return (false, None);
                }
            }
        }
    }
}
