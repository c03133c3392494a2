//! A TLS server in front of prepared answers.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;

use super::canned::Canned;

/// The folder with the certificates and keys of the tests.
pub(crate) const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

/// A server with the certificate `name` that takes everybody; its port, at `localhost`.
pub(crate) async fn open_to_all(canned: Canned, name: &str) -> u16 {
    start(canned, name, false).await
}

/// A server of the tests' authority that wants a certificate of the same authority; its port, at `localhost`.
pub(crate) async fn mutual(canned: Canned) -> u16 {
    start(canned, "server", true).await
}

async fn start(canned: Canned, name: &str, wants_certificate: bool) -> u16 {
    let read = |file: String| std::fs::read(Path::new(DATA).join(file)).unwrap();
    let certificate = CertificateDer::from_pem_slice(&read(format!("{name}.crt"))).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read(format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = if wants_certificate {
        let authority = read("authority.crt".to_owned());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&authority).unwrap())
            .unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        config.with_client_cert_verifier(clients.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for connection in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            let (acceptor, canned) = (acceptor.clone(), canned.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    canned.converse(connection, stream).await;
                }
            });
        }
    });
    port
}
