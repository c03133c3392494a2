//! The encryption of versions 1.0 to 2.3: AES-128-CBC with a key made from a text, and without a tag. For data that others still read this way.

use std::sync::Arc;

use aes::Aes128;
use cbc::cipher::KeyIvInit as _;
use sha1::{Digest as _, Sha1};

use super::{BLOCK, encrypted, set_text};
use crate::document::Complaint;
use crate::pipeline::edgex::parameters::Parameters;
use crate::pipeline::edgex::secret::{self, SecretName};
use crate::pipeline::record::Record;
use crate::pipeline::secrets::Secrets;
use crate::pipeline::stage::{Answer, Stage};
use crate::pipeline::stages::{Builtin, StageKind};

/// Where the text of the key comes from.
#[derive(Debug, Clone)]
enum Key {
    Given(Hidden),
    Secret(SecretName),
}

/// A key in the settings, which is not shown.
#[derive(Clone)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[derive(Debug, Clone)]
struct Aes128Cbc {
    key: Key,
    vector: [u8; BLOCK],
    secrets: Secrets,
}

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    parameters.warn(Complaint::with_remedy(
        "AES-128 without a tag does not show whether the data was changed",
        "use the algorithm aes256",
    ));
    let _ = parameters.text("Algorithm");
    let key = key(&parameters);
    // Not trimmed, and empty if it must be: others decrypt with the same text.
    let vector = parameters.required("InitVector");
    let stage = key.zip(vector).map(|(key, vector)| {
        let mut bytes = [0; BLOCK];
        for (byte, given) in bytes.iter_mut().zip(vector.bytes()) {
            *byte = given;
        }
        StageKind::pure(Aes128Cbc {
            key,
            vector: bytes,
            secrets: Secrets::default(),
        })
    });
    parameters.finish(stage)
}

/// The key in the settings, or that in a secret, which counts if both are given.
fn key(parameters: &Parameters<'_>) -> Option<Key> {
    let given = parameters.text("Key").filter(|key| !key.is_empty());
    let names = secret::names(parameters);
    let is_named = |name| {
        let text = parameters.text(name);
        text.is_some_and(|text| !text.trim().is_empty())
    };
    // Both names are read, so that neither counts as unknown.
    let has_secret = is_named(names.0) | is_named(names.1);
    match (given, has_secret) {
        (Some(key), false) => Some(Key::Given(Hidden(key))),
        (None, false) => {
            let text = "is required, or `SecretPath` and `SecretName` of the secret that has it";
            parameters.fault("Key", text);
            None
        }
        (given, true) => {
            if given.is_some() {
                let text = "has no effect: the key in the secret counts, as in EdgeX";
                let remedy = "remove it, or the names of the secret";
                parameters.warn_at("Key", Complaint::with_remedy(text, remedy));
            }
            SecretName::of(parameters, names).map(Key::Secret)
        }
    }
}

impl Builtin for Aes128Cbc {
    fn with_secrets(&self, secrets: &Secrets) -> Option<Arc<dyn Builtin>> {
        Some(Arc::new(Self {
            secrets: secrets.clone(),
            ..self.clone()
        }))
    }
}

impl Stage for Aes128Cbc {
    fn apply(&self, record: &mut Record) -> Answer {
        let key = match &self.key {
            Key::Given(Hidden(text)) => Ok(text.clone()),
            Key::Secret(secret) => secret.text(&self.secrets),
        };
        let digest = match key {
            Ok(text) => Sha1::digest(text),
            Err(failure) => return Answer::Fail(*failure),
        };
        let key: Vec<u8> = digest.into_iter().take(BLOCK).collect();
        // Key and vector have the length of a block.
        if let Ok(cipher) = cbc::Encryptor::<Aes128>::new_from_slices(&key, &self.vector) {
            set_text(record, &encrypted(cipher, &record.payload()));
        }
        Answer::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::edgex::tests::{applied, faults, kind, warnings};

    const EXPECTED: &str = "HWUKP6lVBarfCznbNlCAkTLrT6Ckdq495rzCbM6MBuk=";

    #[test]
    fn encrypted_bytes_are_those_of_edgex_under_both_names_with_a_warning() {
        for stage in [
            json!({"EncryptWithAES": {"Key": "pipeline-key", "InitVector": "iv-0"}}),
            json!({"Encrypt": {"Algorithm": "AES", "Key": "pipeline-key", "InitVector": "iv-0"}}),
        ] {
            let mut record = Record::new("store and forward");
            assert_eq!(applied(&stage, &mut record), Answer::Continue);
            assert_eq!(record.payload(), EXPECTED);
            assert!(warnings(&stage)[0].contains("aes256"));
        }
    }

    #[test]
    fn the_key_can_be_a_secret_named_as_in_version_2() {
        let mut stage = json!({"Encrypt": {"Algorithm": "aes", "SecretPath": "aes", "SecretName": "key", "InitVector": "iv-0"}});
        // The key in the secret counts even if there is another.
        for (other, warned) in [("", 2), ("another key", 3)] {
            stage["Encrypt"]["Key"] = json!(other);
            assert_eq!(warnings(&stage).len(), warned, "{:?}", warnings(&stage));
            let StageKind::Pure(stage) = kind(&stage) else {
                panic!("only computes");
            };
            let secrets = Secrets::default().insecure("aes", [("key", "pipeline-key")]);
            let mut record = Record::new("store and forward");
            let stage = stage.with_secrets(&secrets).unwrap();
            assert_eq!(stage.apply(&mut record), Answer::Continue);
            assert_eq!(record.payload(), EXPECTED);
        }
    }

    #[test]
    fn a_key_of_the_settings_stands_beside_empty_names_of_a_secret() {
        let stage = json!({"Encrypt": {
            "Algorithm": "aes", "Key": "pipeline-key", "SecretPath": "", "SecretName": "", "InitVector": "iv-0",
        }});
        assert_eq!(warnings(&stage).len(), 1, "{:?}", warnings(&stage));
        let mut record = Record::new("store and forward");
        assert_eq!(applied(&stage, &mut record), Answer::Continue);
        assert_eq!(record.payload(), EXPECTED);
    }

    #[test]
    fn no_key_and_half_of_the_names_of_a_secret_are_faults_and_an_empty_vector_is_none() {
        for (parameters, fault) in [
            (json!({"InitVector": "v"}), "Key: is required"),
            (
                json!({"Key": "k", "SecretName": "s", "InitVector": "v"}),
                "SecretValueKey: is required and missing",
            ),
            (
                json!({"Key": "k", "SecretPath": "s", "InitVector": "v"}),
                "SecretName: is required and missing",
            ),
            (json!({"Key": "k"}), "InitVector: is required and missing"),
        ] {
            let faults = faults(&json!({"EncryptWithAES": parameters}));
            assert_eq!(faults.len(), 1, "{faults:?}");
            let place = format!("stages[0].EncryptWithAES.{fault}");
            assert!(faults[0].starts_with(&place), "{faults:?}");
        }
        let encrypted = |vector: &str| {
            let mut record = Record::new("text");
            let stage = json!({"EncryptWithAES": {"Key": "k", "InitVector": vector}});
            assert_eq!(applied(&stage, &mut record), Answer::Continue);
            record.payload()
        };
        assert_ne!(encrypted(""), encrypted(" v"));
        assert_ne!(encrypted("v"), encrypted(" v"));
    }
}
