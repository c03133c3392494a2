//! Writes secrets that came over the service's route into its file of secrets.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::files;

/// The largest file of secrets.
const MAX_BYTES: u64 = 1 << 20;

/// Adds or replaces texts of the secret `name`. The file is replaced as a whole, and only its owner may read it.
///
/// # Errors
/// If the file cannot be read or written, or holds something else.
pub(super) fn store(path: &Path, name: &str, texts: &[(String, String)]) -> io::Result<()> {
    let mut secrets: BTreeMap<String, BTreeMap<String, String>> = match files::read(path, MAX_BYTES)
    {
        // The error of the reader could show a part of a secret.
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|_| io::Error::other("it is not a JSON mapping of names, keys and texts"))?,
        Err(err) if err.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(err) => return Err(err),
    };
    let secret = secrets.entry(name.to_owned()).or_default();
    secret.extend(texts.iter().cloned());
    let text = serde_json::to_vec_pretty(&secrets)?;
    let beside = path.with_extension("new");
    let mut file = private(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// A new file for its owner alone.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Secrets;

    #[test]
    fn stored_secrets_are_found_beside_those_that_were_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let texts = |text: &str| vec![("token".to_owned(), text.to_owned())];
        store(&path, "crm", &texts("abc")).unwrap();
        store(&path, "erp", &texts("def")).unwrap();
        store(&path, "crm", &texts("ghi, longer")).unwrap();
        let secrets = Secrets::default().file(&path);
        let find = |name| secrets.find(name, "token").unwrap();
        assert_eq!(find("crm").as_deref(), Some("ghi, longer"));
        assert_eq!(find("erp").as_deref(), Some("def"));
        fs::write(&path, "[]").unwrap();
        assert!(store(&path, "crm", &texts("abc")).is_err());
    }
}
