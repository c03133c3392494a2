//! Events and readings of EdgeX as JSON documents: what they must have, and what of them is used here. Unknown fields stay where they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::value_type::ValueType;

/// The version that new events and requests carry.
pub(super) const API_VERSION: &str = "v3";

type Object = Map<String, Value>;

/// The text of a field; empty if it is absent or no text.
pub(super) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The readings of an event.
pub(super) fn readings(event: &Value) -> &[Value] {
    let readings = event.get("readings").and_then(Value::as_array);
    readings.map_or(&[], Vec::as_slice)
}

/// The tags of an event or a reading, unless there are none.
pub(super) fn tags(object: &Value) -> Option<&Object> {
    let tags = object.get("tags").and_then(Value::as_object);
    tags.filter(|tags| !tags.is_empty())
}

/// The checked event in a request to add one, or why it is none.
pub(super) fn of_request(mut request: Value) -> Result<Value, String> {
    required(&request, "apiVersion")?;
    let id = text(&request, "requestId");
    if !id.is_empty() && Uuid::try_parse(id).is_err() {
        return Err("`requestId` is not a UUID".to_owned());
    }
    let event = request.get_mut("event").map(Value::take);
    check(event.unwrap_or_default()).map_err(|err| format!("event: {err}"))
}

/// The event with the names of its value types normalised, or why it is not an event.
pub(super) fn check(mut event: Value) -> Result<Value, String> {
    if !event.is_object() {
        return Err("an event is a JSON object".to_owned());
    }
    required(&event, "apiVersion")?;
    required(&event, "deviceName")?;
    for key in ["profileName", "sourceName"] {
        optional(&event, key)?;
    }
    let id = required(&event, "id")?;
    if Uuid::try_parse(id).is_err() {
        return Err("`id` is not a UUID".to_owned());
    }
    origin(&event)?;
    match event.get("tags") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(_) => return Err("`tags` is not a mapping".to_owned()),
    }
    let Some(Value::Array(readings)) = event.get_mut("readings") else {
        return Err("`readings` is required: a list of readings".to_owned());
    };
    if readings.is_empty() {
        return Err("`readings` must have at least one reading".to_owned());
    }
    for (at, reading) in readings.iter_mut().enumerate() {
        check_reading(reading).map_err(|err| format!("readings[{at}]: {err}"))?;
    }
    Ok(event)
}

fn check_reading(reading: &mut Value) -> Result<(), String> {
    required(reading, "resourceName")?;
    required(reading, "deviceName")?;
    optional(reading, "profileName")?;
    origin(reading)?;
    let named = required(reading, "valueType")?;
    let value_type = ValueType::named(named)
        .ok_or_else(|| format!("`valueType` is `{}`, which is not a type", shown(named)))?;
    check_value(reading, value_type)?;
    if let Some(object) = reading.as_object_mut() {
        object.insert("valueType".to_owned(), value_type.name().into());
    }
    Ok(())
}

fn check_value(reading: &Value, value_type: ValueType) -> Result<(), String> {
    let given = |key: &str| reading.get(key).filter(|value| !value.is_null());
    if ["value", "binaryValue", "objectValue"]
        .iter()
        .all(|key| given(key).is_none())
    {
        return Ok(()); // a reading without a value, which EdgeX calls a null reading
    }
    match value_type {
        ValueType::Binary => {
            let bytes = given("binaryValue").and_then(Value::as_str);
            let bytes = bytes.ok_or("`binaryValue` is required: base64 text")?;
            STANDARD
                .decode(bytes)
                .map_err(|err| format!("`binaryValue` is not base64: {err}"))?;
            required(reading, "mediaType").map(|_| ())
        }
        ValueType::Object | ValueType::ObjectArray => given("objectValue")
            .map(|_| ())
            .ok_or_else(|| "`objectValue` is required".to_owned()),
        simple => {
            let text = given("value").and_then(Value::as_str);
            let text = text.ok_or("`value` is required: a text")?;
            match simple.takes(text) {
                true => Ok(()),
                false => Err(format!("`value` is not of type {}", simple.name())),
            }
        }
    }
}

fn required<'a>(object: &'a Value, key: &str) -> Result<&'a str, String> {
    let text = object.get(key).and_then(Value::as_str);
    let text = text.ok_or_else(|| format!("`{key}` is required: a text"))?;
    match text.trim() {
        "" => Err(format!("`{key}` must not be blank")),
        _ => Ok(text),
    }
}

/// Absent or empty is fine, and only spaces are not.
fn optional(object: &Value, key: &str) -> Result<(), String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if text.is_empty() || !text.trim().is_empty() => Ok(()),
        Some(_) => Err(format!("`{key}` must be a text that is not only spaces")),
    }
}

fn origin(object: &Value) -> Result<(), String> {
    let origin = object.get("origin").and_then(Value::as_i64);
    match origin {
        Some(0) | None => Err("`origin` is required: nanoseconds, not 0".to_owned()),
        Some(_) => Ok(()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// A new event of one reading, in a request to add it.
pub(super) fn request(ids: [Uuid; 3], event: &NewEvent<'_>, mut reading: Object) -> Value {
    let [request_id, event_id, reading_id] = ids.map(|id| id.to_string());
    for (key, value) in [
        ("id", json!(reading_id)),
        ("origin", event.origin.into()),
        ("deviceName", event.device.into()),
        ("resourceName", event.resource.into()),
        ("profileName", event.profile.into()),
    ] {
        reading.insert(key.to_owned(), value);
    }
    json!({
        "apiVersion": API_VERSION,
        "requestId": request_id,
        "event": {
            "apiVersion": API_VERSION,
            "id": event_id,
            "deviceName": event.device,
            "profileName": event.profile,
            "sourceName": event.resource,
            "origin": event.origin,
            "readings": [reading],
        },
    })
}

/// What a new event says of itself.
pub(super) struct NewEvent<'a> {
    pub(super) profile: &'a str,
    pub(super) device: &'a str,
    pub(super) resource: &'a str,
    /// Nanoseconds.
    pub(super) origin: u64,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An event of one reading.
    pub(in crate::pipeline::edgex) fn event() -> Value {
        json!({
            "apiVersion": "v3", "id": "7a1707f0-166f-4c4b-bc9d-1d54c74e0137",
            "profileName": "P", "deviceName": "D", "sourceName": "S", "origin": 1_700_000_000_000_000_000_i64,
            "readings": [reading("resource1")],
        })
    }

    pub(in crate::pipeline::edgex) fn reading(resource: &str) -> Value {
        json!({
            "id": "82eb2e26-0f24-48aa-ae4c-de9dac3fb9bc", "origin": 1_700_000_000_000_000_000_i64, "deviceName": "D",
            "resourceName": resource, "profileName": "P", "valueType": "Int32", "value": "42",
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut event = event();
        event[key] = value;
        event
    }

    #[test]
    fn a_whole_event_keeps_its_unknown_fields_and_normalises_types() {
        let mut given = with("made", json!({"by": "us"}));
        given["readings"][0]["valueType"] = json!("int32");
        let checked = check(given).unwrap();
        assert_eq!(checked["made"], json!({"by": "us"}));
        assert_eq!(checked["readings"][0]["valueType"], "Int32");
    }

    #[test]
    fn profile_and_source_may_be_absent_or_empty_but_not_blank() {
        assert!(check(with("sourceName", json!(""))).is_ok());
        assert!(check(with("profileName", Value::Null)).is_ok());
        assert!(check(with("sourceName", json!("  "))).is_err());
    }

    #[test]
    fn pl_05_what_is_missing_or_blank_is_named() {
        for (key, value, fault) in [
            ("deviceName", json!(" "), "`deviceName` must not be blank"),
            ("id", json!("7"), "`id` is not a UUID"),
            (
                "origin",
                json!(0),
                "`origin` is required: nanoseconds, not 0",
            ),
            (
                "readings",
                json!([]),
                "`readings` must have at least one reading",
            ),
            ("tags", json!([]), "`tags` is not a mapping"),
            (
                "apiVersion",
                Value::Null,
                "`apiVersion` is required: a text",
            ),
        ] {
            assert_eq!(check(with(key, value)).unwrap_err(), fault);
        }
    }

    #[test]
    fn a_reading_has_the_value_of_its_type_or_none() {
        let with_reading = |change: &[(&str, Value)]| {
            let mut event = event();
            for (key, value) in change {
                event["readings"][0][*key] = value.clone();
            }
            check(event)
        };
        assert!(with_reading(&[("value", Value::Null)]).is_ok());
        let binary = ("valueType", json!("Binary"));
        let none = ("value", Value::Null);
        let bytes = ("binaryValue", json!("/wA="));
        assert!(
            with_reading(&[
                binary.clone(),
                none.clone(),
                bytes.clone(),
                ("mediaType", json!("a/b"))
            ])
            .is_ok()
        );
        for (change, fault) in [
            (
                vec![("value", json!("x"))],
                "readings[0]: `value` is not of type Int32",
            ),
            (
                vec![("valueType", json!("Int128"))],
                "readings[0]: `valueType` is `Int128`, which is not a type",
            ),
            (
                vec![binary.clone(), none.clone(), bytes],
                "readings[0]: `mediaType` is required: a text",
            ),
            (
                vec![("valueType", json!("Object"))],
                "readings[0]: `objectValue` is required",
            ),
        ] {
            assert_eq!(with_reading(&change).unwrap_err(), fault);
        }
    }
}
