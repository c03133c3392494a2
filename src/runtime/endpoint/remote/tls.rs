//! Certificates and keys from files, as StateFun names them.

use std::path::{Path, PathBuf};

use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, SecretDocument};

use super::old_key::OldKey;
use crate::files;
use crate::module::{Location, TlsFiles};
use crate::transport::http::client::{ClientIdentity, HttpClientConfig};

const HALF: &str = "You need to provide both the cert and they key if you want to use mutual TLS.";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Reads the files of an endpoint into the settings of its client. `location` is that of its document.
///
/// # Errors
/// The files that cannot be used, and why.
pub(super) fn apply(
    files: &TlsFiles,
    location: &Location,
    config: &mut HttpClientConfig,
) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut read = |key: &str, name: &Option<String>| {
        let path = path(name.as_ref()?, location);
        let read = files::read(&path, files::MAX_PEM_BYTES);
        read.map_err(|err| wrong.push(format!("`{key}` {}: {err}", path.display())))
            .ok()
    };
    let authorities = read("trust_cacerts", &files.trust_cacerts);
    let certificate = read("client_cert", &files.client_cert);
    let key = read("client_key", &files.client_key);
    let password = match files.client_key {
        Some(_) => read("client_key_password", &files.client_key_password),
        None => None,
    };
    if files.client_cert.is_some() != files.client_key.is_some() {
        wrong.push(HALF.to_owned());
    }
    let is_whole = wrong.is_empty();
    let key = key.filter(|_| is_whole).and_then(|key| {
        let named = files.client_key.as_deref().unwrap_or_default();
        opened(key, password.as_deref())
            .map_err(|why| wrong.push(format!("`client_key` {named}: {why}")))
            .ok()
    });
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    if let Some(authorities) = authorities {
        config.trusted_certificates_pem = authorities;
        config.trust_public_authorities = false;
    }
    config.identity = certificate
        .zip(key)
        .map(|(certificates_pem, key_pem)| ClientIdentity {
            certificates_pem,
            key_pem,
        });
    Ok(())
}

/// Resolves `classpath:` names in the folder of the module file, because there is no class path here.
pub(super) fn path(name: &str, location: &Location) -> PathBuf {
    match name.strip_prefix("classpath:") {
        None => PathBuf::from(name.strip_prefix("file:").unwrap_or(name)),
        Some(resource) => {
            let folder = Path::new(&*location.file).parent().unwrap_or(Path::new(""));
            folder.join(resource.trim_start_matches('/'))
        }
    }
}

/// The encrypted key in a file, if there is one.
pub(super) fn encrypted(pem: &[u8]) -> Option<Result<SecretDocument, String>> {
    let text = str::from_utf8(pem).ok()?;
    let begin = text.find(&format!("-----BEGIN {ENCRYPTED}-----"))?;
    let document = SecretDocument::from_pem(text.get(begin..)?);
    Some(match document {
        Ok((_, document)) => Ok(document),
        Err(err) => Err(format!("the encrypted key is damaged: {err}")),
    })
}

/// A private key without encryption.
fn opened(pem: Vec<u8>, password: Option<&[u8]>) -> Result<Vec<u8>, String> {
    if str::from_utf8(&pem).is_err() {
        return Err("the file is not PEM".to_owned());
    }
    let Some(document) = encrypted(&pem) else {
        return Ok(pem);
    };
    let password = password
        .ok_or("the key is encrypted; name a file with its password in `client_key_password`")?;
    let document = document?;
    // A line end added by an editor is hardly part of the password.
    let passwords = [password, password.trim_ascii_end()];
    let key = decrypted(document.as_bytes(), passwords)?;
    let pem = key
        .to_pem("PRIVATE KEY", LineEnding::LF)
        .map_err(|err| format!("the decrypted key can't be written: {err}"))?;
    Ok(pem.as_bytes().to_vec())
}

/// Opens a key with the first password that fits.
fn decrypted(document: &[u8], passwords: [&[u8]; 2]) -> Result<SecretDocument, String> {
    let wrong = "the password in `client_key_password` does not open it".to_owned();
    if let Some(old) = OldKey::parse(document) {
        let plain = passwords
            .into_iter()
            .find_map(|password| old.decrypt(password));
        return SecretDocument::try_from(plain.ok_or(wrong.clone())?).map_err(|_| wrong);
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document).map_err(|err| {
        format!("{err}; of encrypted keys, those of `openssl pkcs8 -topk8` with `-v2 aes-256-cbc` or `-v1 PBE-SHA1-3DES` are read")
    })?;
    let mut keys = passwords
        .into_iter()
        .map(|password| encrypted.decrypt(password));
    keys.find_map(Result::ok).ok_or(wrong)
}
