//! The authorities that the client trusts, and its own certificate.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{ClientIdentity, HttpClientConfig, HttpError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The TLS configuration for the settings.
///
/// # Errors
/// If the certificates or the key cannot be read, or do not belong together.
pub(crate) fn client_tls(config: &HttpClientConfig) -> Result<ClientConfig, HttpError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default TLS versions")
        .with_root_certificates(roots(config)?);
    let mut tls = match &config.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (certificates, key) = read(identity)?;
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(|err| {
                    let text =
                        "the client's certificate and its private key can't be used together";
                    HttpError::invalid_config(text, Some(err.into()))
                })?
        }
    };
    if config.http2 {
        tls.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(tls)
}

fn roots(config: &HttpClientConfig) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    let own = &config.trusted_certificates_pem;
    let text = "`trusted_certificates_pem` contains something other than PEM certificates";
    add(&mut roots, own, text)?;
    if !config.trust_public_authorities {
        return Ok(roots);
    }
    match &config.public_authorities_pem {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            let text = "`public_authorities_pem` contains something other than PEM certificates";
            add(&mut roots, pem, text)?;
        }
    }
    Ok(roots)
}

/// Adds the certificates in `pem`, of which there must be at least one, unless it is blank.
fn add(roots: &mut RootCertStore, pem: &[u8], text: &'static str) -> Result<(), HttpError> {
    let refused = |source: BoxError| HttpError::invalid_config(text, Some(source));
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|err| refused(err.into()))?;
        roots.add(certificate).map_err(|err| refused(err.into()))?;
    }
    if roots.len() == before && !pem.trim_ascii().is_empty() {
        return Err(refused("no certificate found".into()));
    }
    Ok(())
}

type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(identity: &ClientIdentity) -> Result<Credentials, HttpError> {
    let refused = |text, source: BoxError| HttpError::invalid_config(text, Some(source));
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&identity.certificates_pem)
        .collect::<Result<_, _>>()
        .map_err(|err| refused("the client's certificate is not PEM", err.into()))?;
    if certificates.is_empty() {
        let source = "no certificate found".into();
        return Err(refused("the client's certificate is not PEM", source));
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key_pem)
        .map_err(|err| refused("the client's private key is not PEM", err.into()))?;
    Ok((certificates, key))
}
