//! The envelopes in which messages travel on EdgeX's message bus, in JSON and CBOR, of versions 1 to 4.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ciborium::Value as Cbor;
use serde_json::{Value, json};

use super::configuration::EnvelopeForm;

const JSON: &str = "application/json";
const CBOR: &str = "application/cbor";
const BYTES: &str = "application/octet-stream";

/// A message without its envelope.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Enveloped {
    pub(super) correlation_id: String,
    pub(super) content_type: String,
    pub(super) payload: Bytes,
}

/// The content type of a payload that has none: JSON if it begins like it, and CBOR otherwise.
pub(super) fn guessed(payload: &[u8]) -> &'static str {
    match payload.first() {
        None => BYTES,
        Some(b'{' | b'[') => JSON,
        Some(_) => CBOR,
    }
}

/// Takes a message out of its envelope.
pub(super) fn open(bytes: &Bytes) -> Result<Enveloped, String> {
    let opened = match bytes.trim_ascii_start().first() {
        Some(b'{') => of_json(bytes),
        _ => of_cbor(bytes),
    }?;
    Ok(match opened.content_type.as_str() {
        "" => Enveloped {
            content_type: guessed(&opened.payload).to_owned(),
            ..opened
        },
        _ => opened,
    })
}

fn of_json(bytes: &[u8]) -> Result<Enveloped, String> {
    let envelope: Value =
        serde_json::from_slice(bytes).map_err(|err| format!("not an envelope: {err}"))?;
    let text = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| envelope.get(name)?.as_str());
        found.unwrap_or_default().to_owned()
    };
    let payload = ["payload", "Payload"]
        .iter()
        .find_map(|name| envelope.get(name));
    let payload = match payload {
        None => return Err("not an envelope: it has no `payload`".to_owned()),
        Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => match STANDARD.decode(text) {
            Ok(bytes) => bytes.into(),
            Err(_) => text.clone().into(),
        },
        Some(other) => other.to_string().into(),
    };
    Ok(Enveloped {
        correlation_id: text(["correlationID", "CorrelationID"]),
        content_type: text(["contentType", "ContentType"]),
        payload,
    })
}

fn of_cbor(bytes: &[u8]) -> Result<Enveloped, String> {
    let envelope: Cbor =
        ciborium::from_reader(bytes).map_err(|err| format!("not an envelope: {err}"))?;
    let Cbor::Map(entries) = envelope else {
        return Err("not an envelope: not a mapping in JSON or CBOR".to_owned());
    };
    let get = |name: &str| {
        let is_it = |key: &Cbor| {
            key.as_text()
                .is_some_and(|key| key.eq_ignore_ascii_case(name))
        };
        entries
            .iter()
            .find(|(key, _)| is_it(key))
            .map(|(_, value)| value)
    };
    let text = |name: &str| {
        get(name)
            .and_then(Cbor::as_text)
            .unwrap_or_default()
            .to_owned()
    };
    let content_type = text("contentType");
    let payload = match get("payload") {
        None => return Err("not an envelope: it has no `payload`".to_owned()),
        Some(Cbor::Null) => Bytes::new(),
        Some(Cbor::Bytes(bytes)) => bytes.clone().into(),
        Some(Cbor::Text(text)) => match STANDARD.decode(text) {
            Ok(bytes) => bytes.into(),
            Err(_) => text.clone().into(),
        },
        Some(other) if content_type.starts_with(CBOR) => {
            let mut out = Vec::new();
            ciborium::into_writer(other, &mut out).map_err(|err| err.to_string())?;
            out.into()
        }
        Some(other) => {
            let json: Value = other
                .deserialized()
                .map_err(|err| format!("the payload is not a document: {err}"))?;
            json.to_string().into()
        }
    };
    Ok(Enveloped {
        correlation_id: text("correlationID"),
        content_type,
        payload,
    })
}

/// Puts a message into its envelope.
pub(super) fn close(message: &Enveloped, form: EnvelopeForm) -> Result<Bytes, String> {
    let is_json = message
        .content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        == JSON;
    let document = serde_json::from_slice::<Value>(&message.payload).ok();
    let document = document.filter(|_| is_json && !form.has_base64 && !form.is_cbor);
    let payload = document.unwrap_or_else(|| STANDARD.encode(&message.payload).into());
    let envelope = json!({
        "apiVersion": "v3",
        "receivedTopic": "",
        "correlationID": message.correlation_id,
        "requestID": "",
        "errorCode": 0,
        "payload": payload,
        "contentType": message.content_type,
    });
    if !form.is_cbor {
        return Ok(envelope.to_string().into());
    }
    let mut envelope = Cbor::serialized(&envelope).map_err(|err| err.to_string())?;
    if let Cbor::Map(entries) = &mut envelope {
        for (key, value) in entries {
            if key.as_text() == Some("payload") {
                *value = Cbor::Bytes(message.payload.to_vec());
            }
        }
    }
    let mut out = Vec::new();
    ciborium::into_writer(&envelope, &mut out).map_err(|err| err.to_string())?;
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enveloped(content_type: &str, payload: &'static [u8]) -> Enveloped {
        Enveloped {
            correlation_id: "123-234-345-456".to_owned(),
            content_type: content_type.to_owned(),
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn every_form_of_an_envelope_is_opened() {
        for (form, begins) in [
            (EnvelopeForm::default(), b'{'),
            (
                EnvelopeForm {
                    has_base64: true,
                    ..EnvelopeForm::default()
                },
                b'{',
            ),
            (
                EnvelopeForm {
                    is_cbor: true,
                    ..EnvelopeForm::default()
                },
                0xa7,
            ),
        ] {
            for message in [
                enveloped(JSON, br#"{"a":1}"#),
                enveloped(CBOR, b"\xa1\x61a\x01"),
                enveloped("text/plain", b"text, with a comma"),
            ] {
                let closed = close(&message, form).unwrap();
                assert_eq!(closed[0], begins);
                assert_eq!(open(&closed).unwrap(), message, "{form:?}");
            }
        }
    }

    #[test]
    fn documents_and_base64_are_payloads_and_a_missing_type_is_guessed() {
        let opened = |envelope: Value| open(&envelope.to_string().into()).unwrap();
        let plain = opened(json!({"correlationID": "c", "payload": {"a": 1}, "contentType": JSON}));
        assert_eq!(
            (plain.correlation_id.as_str(), &plain.payload[..]),
            ("c", &br#"{"a":1}"#[..])
        );
        let version_2 = opened(json!({"CorrelationID": "c", "Payload": "eyJhIjoxfQ=="}));
        assert_eq!(version_2.payload, plain.payload);
        assert_eq!(version_2.content_type, JSON);
        assert_eq!(guessed(b"\xa1"), CBOR);
        assert_eq!(guessed(b""), BYTES);
    }

    #[test]
    fn what_is_not_an_envelope_is_an_error() {
        for bytes in [&b"{"[..], b"{}", b"", b"text", b"\x01"] {
            assert!(open(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
    }
}
