//! Findings of `statefun check` about the certificates and keys of a module.

use super::old_key::OldKey;
use super::{function, tls};
use crate::files;
use crate::module::{Complaint, Endpoint as EndpointSpec, Finding, Module, TlsFiles, Transport};
use crate::transport::http::client::Network;

/// Findings about the files of a module's endpoints.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct TlsFindings {
    /// Files that cannot be used, at least on this machine, so that calls fail.
    pub warnings: Vec<Finding>,
    /// Files that can be read here, but not by StateFun.
    pub not_for_flink: Vec<Finding>,
}

impl TlsFindings {
    /// Reads the files that endpoints behind `https` name.
    pub fn of(module: &Module) -> Self {
        let mut findings = Self::default();
        let endpoints = module.endpoints.iter();
        for endpoint in endpoints.filter(|endpoint| endpoint.lazy_fault.is_none()) {
            if let Transport::Async(transport) = &endpoint.transport
                && endpoint.is_tls()
            {
                findings.look_at(endpoint, &transport.tls);
            }
        }
        findings
    }

    fn look_at(&mut self, endpoint: &EndpointSpec, files: &TlsFiles) {
        let finding = |complaint: Complaint| {
            Finding::new(endpoint.location.clone(), "spec.transport", complaint)
        };
        if let Err(cause) = function::client_config(endpoint, &Network::default(), 0) {
            let remedy = "each call fails, unless the file is right where the module runs";
            self.warnings
                .push(finding(Complaint::with_remedy(cause, remedy)));
            return;
        }
        let flink = not_for_flink(endpoint, files).into_iter().map(finding);
        self.not_for_flink.extend(flink);
    }
}

/// Facts of `docs/compatibility.md`: encrypted private keys, the password file.
fn not_for_flink(endpoint: &EndpointSpec, files: &TlsFiles) -> Option<Complaint> {
    let read = |name: &String| {
        let path = tls::path(name, &endpoint.location);
        files::read(&path, files::MAX_PEM_BYTES).ok()
    };
    let key = files.client_key.as_ref().and_then(read)?;
    let password = files.client_key_password.as_ref().and_then(read);
    let Some(document) = tls::encrypted(&key) else {
        password?;
        let text = "`client_key_password` is given and `client_key` is not encrypted: Input stream does not contain valid private key.";
        return Some(Complaint::with_remedy(text, "leave the password out"));
    };
    if OldKey::parse(document.ok()?.as_bytes()).is_none() {
        let text = "`client_key` is under PBES2, which StateFun can't read: PBES2 SecretKeyFactory not available";
        let remedy = "encrypt it with `openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES`, or not at all";
        return Some(Complaint::with_remedy(text, remedy));
    }
    let ends_line = password.is_some_and(|password| password.ends_with(b"\n"));
    ends_line.then(|| {
        Complaint::with_remedy(
            "`client_key_password` ends with a line end, which StateFun takes as part of the password",
            "write the file without one (`printf`)",
        )
    })
}
