//! Connections to a Redis server: opened with TLS, user and database, one call at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::resp::{Command, NotResp, Value, take};
use crate::module::RedisServer;
use crate::sdk::BoxError;
use crate::transport::http::client::{HttpClientConfig, Network, client_tls};

/// The time limit for opening a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The time limit for a call, beyond the time for which the server may block.
pub(super) const CALL: Duration = Duration::from_secs(10);

/// How connections to a server are opened.
#[derive(Clone)]
pub(super) struct Connecting {
    server: RedisServer,
    password: Option<String>,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Connecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connecting")
            .field(&self.server.name())
            .finish()
    }
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server answered with an error.
    #[error("{server}: {text}")]
    Refused { server: String, text: String },
    /// There is no connection, or it broke.
    #[error("{server}: {text}")]
    Lost { server: String, text: String },
}

impl Failure {
    /// Whether the server's error begins with `code`, such as `BUSYGROUP`.
    pub(super) fn is(&self, code: &str) -> bool {
        matches!(self, Self::Refused { text, .. } if text.starts_with(code))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// An open connection. After an error it is not used again.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    input: BytesMut,
    server: String,
}

impl Connecting {
    /// The way to `server`. Reads its files.
    ///
    /// # Errors
    /// If a file cannot be read or used; the messages name the keys.
    pub(super) fn of(server: &RedisServer, network: &Network) -> Result<Self, BoxError> {
        let password = match &server.password_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|err| format!("`passwordFile`: {} {err}", path.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => server
                .password
                .as_ref()
                .map(|text| text.expose().to_owned()),
        };
        let tls = match server.is_tls {
            false => None,
            true => {
                let faults = std::cell::RefCell::new(Vec::new());
                let mut config = HttpClientConfig::default().network(network);
                server.tls.read_into(&mut config, &|field, fault| {
                    faults.borrow_mut().push(format!("`{field}`: {fault}"));
                });
                let faults = faults.into_inner();
                if !faults.is_empty() {
                    return Err(faults.join("; ").into());
                }
                Some(TlsConnector::from(Arc::new(client_tls(&config)?)))
            }
        };
        Ok(Self {
            server: server.clone(),
            password,
            tls,
        })
    }

    /// Opens a connection, signs in and chooses the database.
    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        let server = self.server.name();
        let lost = |text: String| Failure::Lost {
            server: server.clone(),
            text,
        };
        let opened = timeout(CONNECT, self.stream()).await;
        let stream = match opened {
            Ok(Ok(stream)) => stream,
            Ok(Err(failure)) => return Err(lost(failure.to_string())),
            Err(_) => {
                return Err(lost(format!(
                    "no connection within {} s",
                    CONNECT.as_secs()
                )));
            }
        };
        let mut connection = Connection {
            stream,
            input: BytesMut::new(),
            server: server.clone(),
        };
        if let Some(password) = &self.password {
            let mut sign_in = Command::new("AUTH");
            if let Some(user) = &self.server.username {
                sign_in.push(user);
            }
            connection.call(&sign_in.with(password)).await?;
        }
        if self.server.database > 0 {
            let select = Command::new("SELECT").with(self.server.database.to_string());
            connection.call(&select).await?;
        }
        Ok(connection)
    }

    async fn stream(&self) -> io::Result<Box<dyn Stream>> {
        let RedisServer { host, port, .. } = &self.server;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((bare, *port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let stream = tls.connect(name, tcp).await;
        let stream = stream.map_err(|failure| io::Error::other(format!("TLS: {failure}")))?;
        Ok(Box::new(stream))
    }
}

impl Connection {
    /// Makes a call.
    pub(super) async fn call(&mut self, command: &Command) -> Result<Value, Failure> {
        self.call_within(command, CALL).await
    }

    /// Makes a call that may take this long.
    pub(super) async fn call_within(
        &mut self,
        command: &Command,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let called = async {
            self.send(command).await?;
            self.reply().await
        };
        let answered = timeout(limit, called).await;
        let name = command.name();
        let value = match answered {
            Ok(value) => value?,
            Err(_) => return Err(self.lost(format!("no answer to {name} within {limit:?}"))),
        };
        match value {
            Value::Error(text) => Err(Failure::Refused {
                server: self.server.clone(),
                text,
            }),
            value => Ok(value),
        }
    }

    /// Sends a command without waiting for its reply.
    pub(super) async fn send(&mut self, command: &Command) -> Result<(), Failure> {
        let mut out = Vec::new();
        command.put(&mut out);
        let sent = self.stream.write_all(&out).await;
        let sent = match sent {
            Ok(()) => self.stream.flush().await,
            failed => failed,
        };
        sent.map_err(|failure| self.lost(failure.to_string()))
    }

    /// The next reply, or the next message of a channel.
    pub(super) async fn reply(&mut self) -> Result<Value, Failure> {
        loop {
            if let Some(value) = self.buffered()? {
                return Ok(value);
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(self.lost("it has closed the connection".to_owned())),
                Ok(_) => {}
                Err(failure) => return Err(self.lost(failure.to_string())),
            }
        }
    }

    /// A reply that is there already.
    pub(super) fn buffered(&mut self) -> Result<Option<Value>, Failure> {
        let taken = take(&mut self.input);
        taken.map_err(|failure: NotResp| self.lost(failure.to_string()))
    }

    /// The failure of a server that says nothing.
    pub(super) fn silent<T>(&self) -> Result<T, Failure> {
        Err(self.lost("it does not answer".to_owned()))
    }

    fn lost(&self, text: String) -> Failure {
        Failure::Lost {
            server: self.server.clone(),
            text,
        }
    }
}
