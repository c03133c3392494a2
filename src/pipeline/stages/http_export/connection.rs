//! The connection of an export: certificates, keys and proxies.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::document::{At, Value};
use crate::files;
use crate::transport::http::client::{ClientIdentity, HttpClient, HttpClientConfig, Proxies};

/// PEM files for TLS. Relative paths are relative to the working directory of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportTls {
    /// Authorities to trust, instead of the public ones.
    pub ca: Option<PathBuf>,
    /// The client certificate, for destinations that ask for one, followed by those of its issuers.
    pub cert: Option<PathBuf>,
    /// The certificate's private key, not encrypted.
    pub key: Option<PathBuf>,
}

/// The proxy of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportProxy {
    /// The proxy of the process, from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    #[default]
    Environment,
    /// None.
    Direct,
    /// Always this one: `http://host:port`, with `user:password@` where it asks for them.
    Url(String),
}

impl ExportTls {
    /// Reads the files into the settings of a client; `fault` gets the field and the fault.
    pub(crate) fn read_into(
        &self,
        config: &mut HttpClientConfig,
        fault: &impl Fn(&str, &dyn fmt::Display),
    ) {
        if let Some(path) = &self.ca
            && let Some(pem) = read("tls.ca", path, fault)
        {
            let trusting = HttpClientConfig {
                trusted_certificates_pem: pem,
                trust_public_authorities: false,
                ..config.clone()
            };
            if trusting.trusted_certificates_pem.trim_ascii().is_empty() {
                fault("tls.ca", &format_args!("{} is empty", path.display()));
            } else if takes("tls.ca", path, &trusting, fault) {
                *config = trusting;
            }
        }
        match (&self.cert, &self.key) {
            (None, None) => {}
            (Some(cert), Some(key)) => self.read_identity(cert, key, config, fault),
            (Some(_), None) => fault(
                "tls.key",
                &"is missing: a certificate is used with its private key",
            ),
            (None, Some(_)) => fault(
                "tls.cert",
                &"is missing: a private key is used with its certificate",
            ),
        }
    }

    fn read_identity(
        &self,
        cert: &Path,
        key: &Path,
        config: &mut HttpClientConfig,
        fault: &impl Fn(&str, &dyn fmt::Display),
    ) {
        let certificates = read("tls.cert", cert, fault);
        let Some((certificates_pem, key_pem)) = certificates.zip(read("tls.key", key, fault))
        else {
            return;
        };
        if String::from_utf8_lossy(&key_pem).contains("ENCRYPTED") {
            let path = key.display();
            fault(
                "tls.key",
                &format_args!(
                    "{path} is encrypted; decrypt it with `openssl pkey -in {path} -out plain.key`"
                ),
            );
            return;
        }
        let identified = HttpClientConfig {
            identity: Some(ClientIdentity {
                certificates_pem,
                key_pem,
            }),
            ..config.clone()
        };
        if takes("tls.cert", cert, &identified, fault) {
            *config = identified;
        }
    }
}

impl ExportProxy {
    /// `None`: that of the process.
    pub(super) fn check(&self, fault: &impl Fn(&str, &dyn fmt::Display)) -> Option<Proxies> {
        match self {
            Self::Environment => None,
            Self::Direct => Some(Proxies::default()),
            Self::Url(url) => Proxies::all(url).map_err(|err| fault("proxy", &err)).ok(),
        }
    }
}

fn read(field: &str, path: &Path, fault: &impl Fn(&str, &dyn fmt::Display)) -> Option<Vec<u8>> {
    let read = files::read(path, files::MAX_PEM_BYTES);
    read.map_err(|err| {
        fault(
            field,
            &format_args!("{} cannot be read: {err}", path.display()),
        )
    })
    .ok()
}

/// Whether a client can be made with these settings.
fn takes(
    field: &str,
    path: &Path,
    config: &HttpClientConfig,
    fault: &impl Fn(&str, &dyn fmt::Display),
) -> bool {
    let made = HttpClient::new(config.clone());
    let told = made.map_err(|err| {
        let cause = err
            .source()
            .map_or(String::new(), |cause| format!(" ({cause})"));
        let what = match field {
            "tls.ca" => "holds no PEM certificates".to_owned(),
            _ => err.to_string(),
        };
        fault(field, &format_args!("{}: {what}{cause}", path.display()));
    });
    told.is_ok()
}

pub(crate) fn read_tls(node: &At<'_>) -> Option<ExportTls> {
    let mut tls = ExportTls::default();
    let path = |node: &At<'_>| node.text().map(|text| Some(PathBuf::from(text)));
    let fields = node.clone().fields()?;
    let whole = [
        fields.set("ca", &mut tls.ca, path),
        fields.set("cert", &mut tls.cert, path),
        fields.set("key", &mut tls.key, path),
    ];
    fields.finish();
    (!whole.contains(&false)).then_some(tls)
}

pub(super) fn read_proxy(node: &At<'_>) -> Option<ExportProxy> {
    match &node.node.value {
        Value::Bool(false) => Some(ExportProxy::Direct),
        Value::Text(url) => Some(ExportProxy::Url(url.clone())),
        _ => node.fault("expected a URL such as http://proxy:3128, or false for none"),
    }
}
