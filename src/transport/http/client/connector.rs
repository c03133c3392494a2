//! Opens connections: name lookup, TCP or a UNIX socket, TLS and HTTP's handshake, all under one time limit.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;

use super::connection::{Connection, Dialect};
use super::error::{FailureKind, Unresolved};
use super::origin::Origin;
use super::proxy::{Proxies, Proxy};
use super::stream::{Pauses, Stream};
use super::tls::client_tls;
use super::{HttpClientConfig, HttpError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How the errors of a failed name lookup begin.
const NO_ADDRESS: &str = "dns error";

/// Much longer than any call.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The proxy cannot be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{proxy} cannot be reached")]
struct ProxyDown {
    proxy: String,
    source: BoxError,
}

pub(super) struct Connector {
    tcp: HttpConnector,
    tls: TlsConnector,
    unix_socket: Option<PathBuf>,
    proxies: Proxies,
    timeout: Duration,
    dialect: Dialect,
    pauses: Option<Pauses>,
}

impl Connector {
    pub(super) fn new(config: &HttpClientConfig) -> Result<Self, HttpError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let pauses =
            (config.read_timeout.is_some() || config.write_timeout.is_some()).then(|| Pauses {
                read: config.read_timeout.unwrap_or(NO_LIMIT),
                write: config.write_timeout.unwrap_or(NO_LIMIT),
            });
        let dialect = match (config.http2, config.title_case_headers) {
            (true, _) => Dialect::Http2,
            (false, title_case_headers) => Dialect::Http1 { title_case_headers },
        };
        Ok(Self {
            tcp,
            tls: TlsConnector::from(Arc::new(client_tls(config)?)),
            unix_socket: config.unix_socket.clone(),
            proxies: config.proxies.clone(),
            timeout: config.connect_timeout,
            dialect,
            pauses,
        })
    }

    pub(super) const fn speaks_http2(&self) -> bool {
        matches!(self.dialect, Dialect::Http2)
    }

    /// Opens a new connection.
    pub(super) async fn connect(&self, origin: &Origin) -> Result<Connection, FailureKind> {
        let opening = async {
            let stream = self.stream(origin).await?;
            Ok(Connection::open(stream, self.dialect, self.pauses).await?)
        };
        tokio::time::timeout(self.timeout, opening)
            .await
            .unwrap_or_else(|_| {
                let text = format!("not connected within {:?}", self.timeout);
                Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
            })
            .map_err(FailureKind::Connect)
    }

    async fn stream(&self, origin: &Origin) -> Result<Box<dyn Stream>, BoxError> {
        if let Some(path) = &self.unix_socket {
            return unix(path).await;
        }
        let tcp = self.tcp(origin).await?;
        if !origin.tls {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(origin.name().to_owned())?;
        let secured = self.tls.connect(name, tcp.into_inner()).await?;
        Ok(Box::new(TokioIo::new(secured)))
    }

    /// Connects to the origin, or to the proxy for it.
    async fn tcp(&self, origin: &Origin) -> Result<TokioIo<TcpStream>, BoxError> {
        let mut connector = self.tcp.clone();
        let Some(proxy) = self.proxy(origin) else {
            let connected = connector.call(origin.url()).await;
            return connected.map_err(|err| match err.to_string().starts_with(NO_ADDRESS) {
                true => Unresolved(err.into()).into(),
                false => err.into(),
            });
        };
        let connected = connector.call(proxy.origin.url()).await;
        let mut tcp = connected.map_err(|source| ProxyDown {
            proxy: proxy.to_string(),
            source: source.into(),
        })?;
        if origin.tls {
            proxy.tunnel(tcp.inner_mut(), origin).await?;
        }
        Ok(tcp)
    }

    /// The proxy for `origin`.
    pub(super) fn proxy(&self, origin: &Origin) -> Option<&Proxy> {
        match self.unix_socket {
            Some(_) => None,
            None => self.proxies.of(origin),
        }
    }
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<Box<dyn Stream>, BoxError> {
    let socket = tokio::net::UnixStream::connect(path).await?;
    Ok(Box::new(TokioIo::new(socket)))
}

#[cfg(not(unix))]
async fn unix(_path: &std::path::Path) -> Result<Box<dyn Stream>, BoxError> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}
