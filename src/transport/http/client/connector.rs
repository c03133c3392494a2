//! Opens connections: name lookup, TCP and TLS under one time limit.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{HttpClientConfig, HttpError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// hyper-util finishes an opened connection in the background when another one becomes free first, so the limit of the
/// call does not reach it: this one does.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(config: &HttpClientConfig) -> Result<Self, HttpError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let mut tls = tls(&config.trusted_certificates_pem)?;
        if config.http2 {
            tls.alpn_protocols = vec![b"h2".to_vec()];
        }
        let names = Arc::new(DefaultServerNameResolver::default());
        Ok(Self {
            https: HttpsConnector::new(tcp, tls, false, names),
            timeout: config.connect_timeout,
        })
    }
}

fn tls(trusted_pem: &[u8]) -> Result<ClientConfig, HttpError> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let refused = |source: BoxError| {
        let text = "`trusted_certificates_pem` holds something else than PEM certificates";
        HttpError::invalid_config(text, Some(source))
    };
    for certificate in CertificateDer::pem_slice_iter(trusted_pem) {
        let certificate = certificate.map_err(|err| refused(err.into()))?;
        roots.add(certificate).map_err(|err| refused(err.into()))?;
    }
    if roots.len() == webpki_roots::TLS_SERVER_ROOTS.len() && !trusted_pem.trim_ascii().is_empty() {
        return Err(refused("no certificate found".into()));
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = self.https.call(url);
        let limit = self.timeout;
        Box::pin(async move {
            tokio::time::timeout(limit, connecting)
                .await
                .unwrap_or_else(|_| {
                    let text = format!("not connected within {limit:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
                })
        })
    }
}
