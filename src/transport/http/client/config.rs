//! Settings of a client.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::proxy::Proxies;
use super::scripted::Script;

/// Settings of an [`HttpClient`](super::HttpClient).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpClientConfig {
    /// Limit for name lookup, TCP and TLS together. Default 10 s. The time limit of the call applies as well.
    pub connect_timeout: Duration,
    /// How long an exchange may continue without receiving a byte. Default `None`: only the time limit of the call applies.
    pub read_timeout: Option<Duration>,
    /// How long a write may wait for the peer to accept a byte. Default `None`: only the time limit of the call applies.
    pub write_timeout: Option<Duration>,
    /// Unused connections are closed after this time. Default 15 s.
    pub pool_idle_timeout: Duration,
    /// Unused connections kept per scheme, host and port; more are closed after their exchange. Default 1024. 0 keeps none.
    pub max_idle_per_host: usize,
    /// Unused connections kept for all hosts together. Default 1024.
    pub max_idle: usize,
    /// The maximum age of a connection, chosen for each from this range. A connection in use finishes its exchange
    /// first. Default `None`: connections do not age.
    pub max_connection_age: Option<RangeInclusive<Duration>>,
    /// Seed of the random ages: equal seeds give equal ages. Default 0.
    pub seed: u64,
    /// Larger responses fail; the limit applies to the size as received and to the decompressed size. Default 32 MiB.
    pub max_response_body_bytes: usize,
    /// Whether `gzip` and `deflate` responses are decompressed; they then lose `content-encoding` and `content-length`.
    /// Default true. To ask a server for compression, set `accept-encoding` on the request.
    pub decompress: bool,
    /// Speaks HTTP/2 instead of HTTP/1.1: negotiated over TLS, by prior knowledge over plain TCP. Default false.
    pub http2: bool,
    /// Sends header names as `Content-Type` instead of `content-type`, over HTTP/1.1. Default false.
    pub title_case_headers: bool,
    /// Connect to this UNIX socket, without TLS; the URL supplies path and `host`. Default `None`: TCP.
    pub unix_socket: Option<PathBuf>,
    /// PEM certificates of authorities to trust. Default empty.
    pub trusted_certificates_pem: Vec<u8>,
    /// Whether the public authorities are trusted as well. Default true.
    pub trust_public_authorities: bool,
    /// PEM certificates of the public authorities, in place of the built-in ones. Default `None`.
    pub public_authorities_pem: Option<Vec<u8>>,
    /// Which requests go through a proxy. Default none. Requests to a UNIX socket never do.
    pub proxies: Proxies,
    /// The client certificate, for servers that ask for one. Default none.
    pub identity: Option<ClientIdentity>,
    /// Answers requests in the place of the network. Default `None`.
    pub script: Option<Script>,
}

/// Network settings of a process, for all its clients, such as those from its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Network {
    /// Which requests go through a proxy.
    pub proxies: Proxies,
    /// See [`HttpClientConfig::public_authorities_pem`].
    pub public_authorities_pem: Option<Vec<u8>>,
    /// See [`HttpClientConfig::script`].
    pub script: Option<Script>,
}

impl Network {
    /// No network: requests are answered by `script`.
    pub fn scripted(script: Script) -> Self {
        Self {
            script: Some(script),
            ..Self::default()
        }
    }
}

impl HttpClientConfig {
    /// Applies the network settings of the process.
    #[must_use]
    pub fn network(mut self, network: &Network) -> Self {
        self.proxies.clone_from(&network.proxies);
        let authorities = &network.public_authorities_pem;
        self.public_authorities_pem.clone_from(authorities);
        self.script.clone_from(&network.script);
        self
    }
}

/// A certificate and its private key, for mutual TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM certificates: the client's own first, then those of its issuers.
    pub certificates_pem: Vec<u8>,
    /// The PEM private key, not encrypted.
    pub key_pem: Vec<u8>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: None,
            write_timeout: None,
            pool_idle_timeout: Duration::from_secs(15),
            max_idle_per_host: 1024,
            max_idle: 1024,
            max_connection_age: None,
            seed: 0,
            max_response_body_bytes: 32 * 1024 * 1024,
            decompress: true,
            http2: false,
            title_case_headers: false,
            unix_socket: None,
            trusted_certificates_pem: Vec::new(),
            trust_public_authorities: true,
            public_authorities_pem: None,
            proxies: Proxies::default(),
            identity: None,
            script: None,
        }
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("certificates_pem", &self.certificates_pem.len())
            .field("key_pem", &"***")
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_key_is_not_shown() {
        let config = HttpClientConfig {
            identity: Some(ClientIdentity {
                certificates_pem: Vec::new(),
                key_pem: b"secret".to_vec(),
            }),
            ..HttpClientConfig::default()
        };
        let shown = format!("{config:?}");
        assert!(
            shown.contains("***") && !shown.contains("secret") && !shown.contains("115"),
            "{shown}"
        );
    }
}
