//! Connections to a Redis server. The crate `redis` speaks the protocol, over streams that are opened here, with TLS as everywhere in this crate.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Arg, AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::listening::Listening;
use super::watched::{Watch, WatchedStream};
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

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

    /// What `failure` means; `watch` knows why the connection ended.
    pub(super) fn of(failure: &RedisError, watch: &Watch, server: &str) -> Self {
        let server = server.to_owned();
        match failure.code() {
            Some(code) => Self::Refused {
                server,
                text: match failure.detail() {
                    Some(detail) => format!("{code} {detail}"),
                    None => code.to_owned(),
                },
            },
            None => Self::Lost {
                server,
                text: watch.end().unwrap_or_else(|| failure.to_string()),
            },
        }
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// An open connection, for one call at a time. After a call that was not answered it is not used again.
pub(super) struct Connection {
    calls: MultiplexedConnection,
    driver: JoinHandle<()>,
    watch: Arc<Watch>,
    server: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
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
        let (stream, watch) = self.watched().await?;
        // The crate's own sign-in does not pass on the server's words. Calls have limits of their own.
        let plain = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&plain, stream, config).await;
        let (calls, driver) = made.map_err(|err| Failure::of(&err, &watch, &server))?;
        let mut connection = Connection {
            calls,
            driver: tokio::spawn(driver),
            watch,
            server,
        };
        if let Some(password) = &self.password {
            let mut sign_in = redis::cmd("AUTH");
            sign_in.arg(&self.server.username).arg(password);
            connection.call::<()>(&sign_in).await?;
        }
        if self.server.database > 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(self.server.database);
            connection.call::<()>(&select).await?;
        }
        Ok(connection)
    }

    /// Opens a connection for subscriptions.
    pub(super) async fn listen(&self) -> Result<Listening, Failure> {
        // This one tells in the server's words why it refuses a password.
        self.open().await?;
        let server = self.server.name();
        let (stream, watch) = self.watched().await?;
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = &self.password {
            info = info.set_password(password);
            if let Some(user) = &self.server.username {
                info = info.set_username(user);
            }
        }
        match timeout(CONNECT, redis::aio::PubSub::new(&info, stream)).await {
            Ok(Ok(made)) => Ok(Listening::new(made, watch, server)),
            Ok(Err(err)) => Err(Failure::of(&err, &watch, &server)),
            Err(_) => Err(Failure::Lost {
                server,
                text: format!("no answer to AUTH within {CONNECT:?}"),
            }),
        }
    }

    async fn watched(&self) -> Result<(WatchedStream<Box<dyn Stream>>, Arc<Watch>), Failure> {
        let text = match timeout(CONNECT, self.stream()).await {
            Ok(Ok(stream)) => return Ok(WatchedStream::new(stream)),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("no connection within {} s", CONNECT.as_secs()),
        };
        let server = self.server.name();
        Err(Failure::Lost { server, text })
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
    pub(super) async fn call<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Failure> {
        self.call_within(command, CALL).await
    }

    /// Makes a call that may take this long.
    pub(super) async fn call_within<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<T, Failure> {
        match timeout(limit, command.query_async(&mut self.calls)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(Failure::of(&failure, &self.watch, &self.server)),
            Err(_) => Err(Failure::Lost {
                server: self.server.clone(),
                text: format!("no answer to {} within {limit:?}", name(command)),
            }),
        }
    }
}

fn name(command: &Cmd) -> String {
    match command.args_iter().next() {
        Some(Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => "a command".to_owned(),
    }
}
