//! Where secrets come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::{SecretError, SecretProvider};
use crate::files;

/// The largest file with secrets.
const MAX_BYTES: u64 = 1 << 20;

/// Variables of the process.
#[derive(Debug)]
pub(super) struct Environment;

impl Environment {
    /// The variable of a secret.
    pub(super) fn variable(name: &str, key: &str) -> String {
        let part = |text: &str| -> String {
            let upper = text.chars().flat_map(char::to_uppercase);
            let or_line = |c: char| if c.is_alphanumeric() { c } else { '_' };
            upper.map(or_line).collect()
        };
        format!("SECRET_{}_{}", part(name), part(key))
    }
}

impl SecretProvider for Environment {
    fn secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        let variable = Self::variable(name, key);
        match std::env::var(&variable) {
            Ok(text) => Ok(Some(text)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(SecretError(format!("{variable} is not UTF-8")))
            }
        }
    }
}

/// Secrets that are part of the settings.
pub(super) struct Fixed {
    pub(super) name: String,
    pub(super) texts: BTreeMap<String, String>,
}

/// Names and keys, never texts.
impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.texts.keys().collect();
        f.debug_struct("Fixed")
            .field("name", &self.name)
            .field("keys", &keys)
            .finish()
    }
}

impl SecretProvider for Fixed {
    fn secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        if name != self.name {
            return Ok(None);
        }
        Ok(self.texts.get(key).cloned())
    }
}

/// A file per secret.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl SecretProvider for Directory {
    fn secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        if !is_file_name(name) || !is_file_name(key) {
            return Ok(None);
        }
        let path = self.0.join(name).join(key);
        let bytes = match files::read(&path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(unread(&path, &err)),
        };
        let text = String::from_utf8(bytes).map_err(|_| unread(&path, &"it is not UTF-8"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }
}

/// Whether a name stays within its directory.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}

/// A JSON file of all secrets.
pub(super) struct SecretsFile {
    path: PathBuf,
    read: Mutex<Option<Read>>,
}

type Texts = BTreeMap<String, BTreeMap<String, String>>;

/// What was read, and the time and size of the file then.
struct Read {
    stamp: (Option<SystemTime>, u64),
    secrets: Texts,
}

/// The path, never what is in it.
impl fmt::Debug for SecretsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretsFile").field(&self.path).finish()
    }
}

impl SecretsFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::new(None),
        }
    }

    fn load(&self) -> Result<Texts, SecretError> {
        let bytes = files::read(&self.path, MAX_BYTES).map_err(|err| unread(&self.path, &err))?;
        serde_json::from_slice(&bytes).map_err(|err| {
            // Its own text could contain a part of a secret.
            let text = format!(
                "line {}, column {} is not part of a JSON mapping of names, keys and texts",
                err.line(),
                err.column()
            );
            unread(&self.path, &text)
        })
    }
}

impl SecretProvider for SecretsFile {
    fn secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        let metadata = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(unread(&self.path, &err)),
        };
        check_mode(&self.path, &metadata)?;
        let stamp = (metadata.modified().ok(), metadata.len());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.as_ref().is_none_or(|read| read.stamp != stamp) {
            let secrets = self.load()?;
            *read = Some(Read { stamp, secrets });
        }
        let secrets = read.as_ref().map(|read| &read.secrets);
        let texts = secrets.and_then(|secrets| secrets.get(name));
        Ok(texts.and_then(|texts| texts.get(key)).cloned())
    }
}

/// Others than the owner must not be able to read it.
#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), SecretError> {
    use std::os::unix::fs::MetadataExt as _;
    match metadata.mode() & 0o077 {
        0 => Ok(()),
        _ => {
            let text = format!(
                "other users may read it (mode {:03o}); set it to 600",
                metadata.mode() & 0o777
            );
            Err(unread(path, &text))
        }
    }
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _metadata: &std::fs::Metadata) -> Result<(), SecretError> {
    Ok(())
}

fn unread(path: &Path, why: &dyn fmt::Display) -> SecretError {
    SecretError(format!("{}: {why}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Secrets;
    use super::*;

    #[test]
    fn a_variable_is_named_after_name_and_key() {
        assert_eq!(
            Environment::variable("http-export", "api.key"),
            "SECRET_HTTP_EXPORT_API_KEY"
        );
    }

    #[test]
    fn the_first_source_that_has_a_secret_gives_it_and_a_changed_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        let write = |text: &str| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        std::fs::create_dir(folder.path().join("crm")).unwrap();
        std::fs::write(folder.path().join("crm/token"), "of the directory\n").unwrap();
        let secrets = Secrets::default()
            .file(&file)
            .directory(folder.path())
            .insecure("crm", [("token", "of the settings"), ("user", "me")]);
        let find = |key: &str| secrets.find("crm", key).unwrap();
        assert_eq!(find("token").as_deref(), Some("of the directory"));
        assert_eq!(find("user").as_deref(), Some("me"));
        write(r#"{"crm": {"token": "of the file"}}"#);
        assert_eq!(find("token").as_deref(), Some("of the file"));
        write(r#"{"crm": {"token": "of the file, changed"}}"#);
        assert_eq!(find("token").as_deref(), Some("of the file, changed"));
        assert_eq!(secrets.find("../crm", "token").unwrap(), None);
    }

    #[test]
    fn an_empty_text_is_not_a_secret() {
        let secrets = Secrets::default().insecure("crm", [("token", "")]);
        let told = secrets.demand("crm", "token").unwrap_err();
        assert!(told.message.contains("is empty"), "{told:?}");
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_not_a_mapping_is_refused_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        let secrets = Secrets::default().file(&file);
        std::fs::write(&file, r#"{"crm": {"token": "abc"}}"#).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let err = secrets.find("crm", "token").unwrap_err().to_string();
        assert!(
            err.ends_with("other users may read it (mode 644); set it to 600"),
            "{err}"
        );
        std::fs::write(&file, r#"{"crm": "abc-secret"}"#).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let err = secrets.find("crm", "token").unwrap_err().to_string();
        assert!(
            err.contains("line 1, column") && !err.contains("abc"),
            "{err}"
        );
        let shown = format!(
            "{:?}",
            Secrets::default().insecure("a", [("b", "abc-secret")])
        );
        assert!(!shown.contains("abc"), "{shown}");
    }
}
