//! `Encrypt`: AES-256-CBC with HMAC-SHA-512, as base64 text; and, with the feature `legacy-crypto`, the AES-128-CBC of earlier versions.

use std::sync::Arc;

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;

use super::super::record::Record;
use super::super::secrets::Secrets;
use super::super::stage::{Answer, Stage};
use super::super::stages::{Builtin, StageKind};
use super::parameters::Parameters;
use super::secret::SecretName;
use crate::delivery::engine::Failure;

#[cfg(feature = "legacy-crypto")]
#[path = "legacy_encrypt.rs"]
mod legacy;

/// The bytes of a secret: a key for AES-256, then one for the HMAC.
const SECRET: usize = 64;
const BLOCK: usize = 16;
/// The bytes of the tag, which is cut.
const TAG: usize = 32;

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let text = parameters.required("Algorithm")?;
    match text.trim().to_ascii_lowercase().as_str() {
        "aes256" => aes256(parameters),
        "aes" => read_aes(parameters),
        _ => {
            parameters.fault(
                "Algorithm",
                format_args!("`{text}` is not an algorithm; known: aes256"),
            );
            None
        }
    }
}

fn aes256(parameters: Parameters<'_>) -> Option<StageKind> {
    let secret = SecretName::required(&parameters);
    let stage = secret.map(|secret| {
        StageKind::pure(Aes256Cbc {
            secret,
            secrets: Secrets::default(),
        })
    });
    parameters.finish(stage)
}

/// The algorithm of versions 1.0 to 2.3.
pub(super) fn read_aes(parameters: Parameters<'_>) -> Option<StageKind> {
    #[cfg(feature = "legacy-crypto")]
    return legacy::read(parameters);
    #[cfg(not(feature = "legacy-crypto"))]
    {
        let text = "AES-128 without a tag is not built in: use `Encrypt` with the algorithm aes256, or build with the feature `legacy-crypto`";
        parameters.fault("Algorithm", text);
        None
    }
}

#[derive(Debug)]
struct Aes256Cbc {
    secret: SecretName,
    secrets: Secrets,
}

impl Builtin for Aes256Cbc {
    fn with_secrets(&self, secrets: &Secrets) -> Option<Arc<dyn Builtin>> {
        Some(Arc::new(Self {
            secret: self.secret.clone(),
            secrets: secrets.clone(),
        }))
    }
}

impl Stage for Aes256Cbc {
    fn apply(&self, record: &mut Record) -> Answer {
        let key = match self.secret.text(&self.secrets) {
            Ok(text) => text,
            Err(failure) => return Answer::Fail(*failure),
        };
        let Some(key) = key_bytes(&key) else {
            return Answer::Fail(Failure::permanent(
                "secret",
                format!("Encrypt: {} is not 128 hexadecimal digits", self.secret),
            ));
        };
        let mut vector = [0; BLOCK];
        if let Err(err) = getrandom::fill(&mut vector) {
            let text = format!("Encrypt: the system gave no random numbers: {err}");
            return Answer::Fail(Failure::retry("random", text));
        }
        set_text(record, &seal(&key, &vector, &record.payload()));
        Answer::Continue
    }
}

/// Makes encrypted bytes the payload.
fn set_text(record: &mut Record, encrypted: &[u8]) {
    record.set_payload(STANDARD.encode(encrypted), "text/plain");
    record.set_response_content_type("text/plain");
}

fn key_bytes(text: &str) -> Option<[u8; SECRET]> {
    let text = text.trim().as_bytes();
    if text.len() != 2 * SECRET {
        return None;
    }
    let mut key = [0; SECRET];
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        let are_digits = digits.chars().all(|c| c.is_ascii_hexdigit());
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| are_digits)?;
    }
    Some(key)
}

/// The vector, the encrypted text and the tag.
fn seal(key: &[u8; SECRET], vector: &[u8; BLOCK], text: &[u8]) -> Vec<u8> {
    let (for_cipher, for_tag) = key.split_at(SECRET / 2);
    let mut sealed = vector.to_vec();
    // Both keys have the length that is asked for.
    if let Ok(cipher) = cbc::Encryptor::<Aes256>::new_from_slices(for_cipher, vector) {
        sealed.extend_from_slice(&encrypted(cipher, text));
    }
    if let Ok(mut tag) = Hmac::<Sha512>::new_from_slice(for_tag) {
        tag.update(&sealed);
        tag.update(&[0; 8]);
        sealed.extend(tag.finalize().into_bytes().into_iter().take(TAG));
    }
    sealed
}

/// The text, padded and encrypted.
fn encrypted(cipher: impl BlockModeEncrypt, text: &[u8]) -> Vec<u8> {
    let mut buffer = text.to_vec();
    buffer.resize(text.len() + BLOCK, 0);
    // There is room for a whole block of padding.
    let encrypted = cipher.encrypt_padded::<Pkcs7>(&mut buffer, text.len());
    let length = encrypted.map_or(0, <[u8]>::len);
    buffer.truncate(length);
    buffer
}

#[cfg(test)]
mod tests {
    use cbc::cipher::BlockModeDecrypt as _;
    use serde_json::json;

    use super::super::tests::{faults, kind};
    use super::*;
    use crate::delivery::engine::Class;

    const SEALED: &str = "oKGio6SlpqeoqaqrrK2ur9gteQQAD2khuA/7AbNpMu8LhQo07LjjcFh1eoYcFt1z8fAr3DnPDUCjpqurTWxRfX2H1FbL7SVo4uSogePj7hM=";

    fn key() -> [u8; SECRET] {
        std::array::from_fn(|at| u8::try_from(at).unwrap())
    }

    fn hex() -> String {
        key().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Checks the tag before it looks at the padding.
    fn opened(key: &[u8; SECRET], sealed: &[u8]) -> Option<Vec<u8>> {
        let (for_cipher, for_tag) = key.split_at(SECRET / 2);
        let (text, tag) = sealed.split_at(sealed.len().checked_sub(TAG)?);
        let mut expected = Hmac::<Sha512>::new_from_slice(for_tag).unwrap();
        expected.update(text);
        expected.update(&[0; 8]);
        expected.verify_truncated_left(tag).ok()?;
        let (vector, text) = text.split_at(BLOCK);
        let mut text = text.to_vec();
        let cipher = cbc::Decryptor::<Aes256>::new_from_slices(for_cipher, vector).unwrap();
        Some(cipher.decrypt_padded::<Pkcs7>(&mut text).ok()?.to_vec())
    }

    #[test]
    fn encrypted_bytes_are_those_of_edgex() {
        let vector = std::array::from_fn(|at| 0xa0 + u8::try_from(at).unwrap());
        let sealed = seal(&key(), &vector, b"store and forward");
        assert_eq!(STANDARD.encode(&sealed), SEALED);
        assert_eq!(opened(&key(), &sealed).unwrap(), b"store and forward");
        let mut changed = sealed;
        changed[20] ^= 1;
        assert_eq!(opened(&key(), &changed), None);
    }

    fn applied_with(secrets: &Secrets, record: &mut Record) -> Answer {
        let stage = json!({"Encrypt": {"Algorithm": "AES256", "SecretName": "aes", "SecretValueKey": "key"}});
        let StageKind::Pure(stage) = kind(&stage) else {
            panic!("only computes");
        };
        stage.with_secrets(secrets).unwrap().apply(record)
    }

    #[test]
    fn each_text_has_its_own_vector_and_opens_with_the_key() {
        let secrets = Secrets::default().insecure("aes", [("key", hex())]);
        let encrypted = || {
            let mut record = Record::new("x");
            assert_eq!(applied_with(&secrets, &mut record), Answer::Continue);
            assert_eq!(record.content_type(), "text/plain");
            assert_eq!(record.response_content_type(), "text/plain");
            STANDARD.decode(record.payload()).unwrap()
        };
        let (one, two) = (encrypted(), encrypted());
        assert_ne!(one, two);
        assert_eq!(opened(&key(), &two).unwrap(), b"x");
    }

    #[test]
    fn pl_37_an_absent_key_is_waited_for_and_a_malformed_one_is_not() {
        for (secrets, class) in [
            (Secrets::default(), Class::Retry),
            (
                Secrets::default().insecure("aes", [("key", "00")]),
                Class::Permanent,
            ),
            (
                Secrets::default().insecure("aes", [("key", "+0".repeat(64))]),
                Class::Permanent,
            ),
        ] {
            let mut record = Record::new("x");
            let Answer::Fail(failure) = applied_with(&secrets, &mut record) else {
                panic!("no key");
            };
            assert_eq!(failure.class, class, "{failure:?}");
            assert_eq!(record.payload(), "x");
        }
    }

    #[test]
    fn pl_18_both_names_of_the_secret_are_needed() {
        let faults = faults(&json!({"Encrypt": {"Algorithm": "aes256"}}));
        assert_eq!(
            faults,
            [
                "stages[0].Encrypt.SecretName: is required and missing",
                "stages[0].Encrypt.SecretValueKey: is required and missing"
            ]
        );
    }

    #[cfg(not(feature = "legacy-crypto"))]
    #[test]
    fn the_old_algorithm_is_a_fault_that_names_the_new_one() {
        for stage in [
            json!({"Encrypt": {"Algorithm": "aes", "Key": "k", "InitVector": "v"}}),
            json!({"EncryptWithAES": {"Key": "k", "InitVector": "v"}}),
        ] {
            let faults = faults(&stage);
            assert!(faults[0].contains("aes256"), "{faults:?}");
        }
    }
}
