//! Whom the client trusts, and who it is.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{ClientIdentity, HttpClientConfig, HttpError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What TLS needs of the settings.
///
/// # Errors
/// When the certificates or the key can't be read, or do not belong together.
pub(super) fn tls(config: &HttpClientConfig) -> Result<ClientConfig, HttpError> {
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
    let refused = |source: BoxError| {
        let text = "`trusted_certificates_pem` holds something else than PEM certificates";
        HttpError::invalid_config(text, Some(source))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&config.trusted_certificates_pem) {
        let certificate = certificate.map_err(|err| refused(err.into()))?;
        roots.add(certificate).map_err(|err| refused(err.into()))?;
    }
    if roots.is_empty() && !config.trusted_certificates_pem.trim_ascii().is_empty() {
        return Err(refused("no certificate found".into()));
    }
    if config.trust_public_authorities {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
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
