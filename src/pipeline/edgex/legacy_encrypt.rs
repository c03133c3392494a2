//! The encryption of versions 1.0 to 2.3: AES-128-CBC with a key made from a text, and without a tag. For data that others still read this way.

use std::sync::Arc;

use aes::Aes128;
use cbc::cipher::KeyIvInit as _;
use sha1::{Digest as _, Sha1};

use super::{BLOCK, encrypted, set_text};
use crate::document::Complaint;
use crate::pipeline::edgex::parameters::Parameters;
use crate::pipeline::edgex::secret::SecretName;
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
    let key = match parameters.text("Key").filter(|key| !key.is_empty()) {
        Some(key) => Some(Key::Given(Hidden(key))),
        None => SecretName::required(&parameters).map(Key::Secret),
    };
    let vector = parameters.filled("InitVector");
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
        let stage = json!({"Encrypt": {"Algorithm": "aes", "SecretPath": "aes", "SecretName": "key", "InitVector": "iv-0"}});
        let StageKind::Pure(stage) = kind(&stage) else {
            panic!("only computes");
        };
        let secrets = Secrets::default().insecure("aes", [("key", "pipeline-key")]);
        let mut record = Record::new("store and forward");
        let stage = stage.with_secrets(&secrets).unwrap();
        assert_eq!(stage.apply(&mut record), Answer::Continue);
        assert_eq!(record.payload(), EXPECTED);
        assert_eq!(
            faults(&json!({"EncryptWithAES": {"InitVector": "v"}})).len(),
            2
        );
    }
}
