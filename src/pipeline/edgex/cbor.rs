//! CBOR as a JSON document: bytes become base64, and whole numbers stay whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

/// The document in `bytes`.
pub(super) fn document(bytes: &[u8]) -> Result<Value, String> {
    let mut rest = bytes;
    let value: Cbor = ciborium::from_reader(&mut rest).map_err(|err| err.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow after its end", rest.len()));
    }
    json(value)
}

fn json(value: Cbor) -> Result<Value, String> {
    Ok(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(value) => value.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Cbor::Integer(number) => Number::from_i128(number.into())
            .map(Value::Number)
            .ok_or("a whole number has more than 64 bits")?,
        Cbor::Float(number) => Number::from_f64(number)
            .map(Value::Number)
            .ok_or("a number is not finite")?,
        Cbor::Tag(_, inner) => json(*inner)?,
        Cbor::Array(items) => {
            let items: Result<Vec<Value>, String> = items.into_iter().map(json).collect();
            Value::Array(items?)
        }
        Cbor::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let Cbor::Text(key) = key else {
                    return Err("a key of a mapping is not text".to_owned());
                };
                map.insert(key, json(value)?);
            }
            Value::Object(map)
        }
        _ => return Err("it has a value of an unknown kind".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cbor(value: &Cbor) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_kind_of_value_has_its_form_in_json() {
        let value = Cbor::Map(vec![
            ("n".into(), Cbor::Integer((-7).into())),
            ("u".into(), Cbor::Integer(u64::MAX.into())),
            ("f".into(), Cbor::Float(1.5)),
            ("b".into(), Cbor::Bytes(vec![255, 0])),
            ("l".into(), Cbor::Array(vec![Cbor::Null, true.into()])),
            ("t".into(), Cbor::Tag(0, Box::new("x".into()))),
        ]);
        assert_eq!(
            document(&cbor(&value)).unwrap(),
            json!({"n": -7, "u": u64::MAX, "f": 1.5, "b": "/wA=", "l": [null, true], "t": "x"})
        );
    }

    #[test]
    fn what_json_cannot_hold_and_broken_bytes_are_refused() {
        for bad in [
            cbor(&Cbor::Float(f64::NAN)),
            cbor(&Cbor::Map(vec![(1.into(), Cbor::Null)])),
            [cbor(&Cbor::Null), vec![0]].concat(),
            vec![0x82, 1],
            Vec::new(),
            vec![0x81; 10_000],
        ] {
            assert!(document(&bad).is_err(), "{bad:?}");
        }
    }
}
