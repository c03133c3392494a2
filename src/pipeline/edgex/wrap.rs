//! `WrapIntoEvent`: the data becomes the reading of a new event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::extras::Form;
use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::super::stages::{Builtin, StageKind};
use super::event::{self, NewEvent};
use super::parameters::Parameters;
use super::value_type::{Scalar, ValueType};

/// Nanoseconds in a millisecond.
const NANOS: u64 = 1_000_000;

/// Makes a request to add an event of one reading.
#[derive(Debug)]
pub(super) struct Wrap {
    pub(super) profile: String,
    pub(super) device: String,
    pub(super) resource: String,
    value_type: ValueType,
    media_type: String,
}

impl Wrap {
    /// The function that these parameters describe; `None` if one has a fault, which is reported.
    pub(super) fn read(parameters: &Parameters<'_>) -> Option<Self> {
        Self::of(parameters, "ResourceName", None)
    }

    /// The same with the resource under another name of its parameter, and the type if none is given.
    pub(super) fn of(
        parameters: &Parameters<'_>,
        resource_key: &'static str,
        default_type: Option<ValueType>,
    ) -> Option<Self> {
        let profile = parameters.filled("ProfileName");
        let device = parameters.filled("DeviceName");
        let resource = parameters.filled(resource_key);
        let named = |name: String| {
            let known = ValueType::named(&name);
            parameters.check(
                "ValueType",
                known.ok_or_else(|| format!("`{name}` is not a type of readings")),
            )
        };
        let value_type = match default_type.filter(|_| !parameters.has("ValueType")) {
            Some(default) => Some(default),
            None => parameters.filled("ValueType").and_then(named),
        };
        let media_type = match value_type {
            Some(ValueType::Binary) => parameters.filled("MediaType"),
            _ => Some(parameters.text("MediaType").unwrap_or_default()),
        };
        Some(Self {
            profile: profile?,
            device: device?,
            resource: resource?,
            value_type: value_type?,
            media_type: media_type?,
        })
    }

    /// The request for the data of `record`.
    pub(super) fn request(&self, record: &mut Record) -> Result<Value, String> {
        let reading = self.reading(record)?;
        // Derived, so that a record that is processed again makes the same event again.
        let names = format!("{}/{}/{}", self.profile, self.device, self.resource);
        let id = |part: &str| Uuid::new_v5(&record.id(), format!("{part}/{names}").as_bytes());
        let new = NewEvent {
            profile: &self.profile,
            device: &self.device,
            resource: &self.resource,
            origin: record
                .received_at()
                .as_millis()
                .max(1)
                .saturating_mul(NANOS),
        };
        let ids = [id("request"), id("event"), id("reading")];
        Ok(event::request(ids, &new, reading))
    }

    fn reading(&self, record: &mut Record) -> Result<Map<String, Value>, String> {
        let name = self.value_type.name();
        let mut reading = Map::new();
        let mut set = |key: &str, value: Value| drop(reading.insert(key.to_owned(), value));
        set("valueType", name.into());
        let payload = record.payload();
        match self.value_type {
            ValueType::Binary => {
                set("binaryValue", STANDARD.encode(&payload).into());
                set("mediaType", self.media_type.as_str().into());
            }
            ValueType::Object | ValueType::ObjectArray => {
                let value = record.document().map_err(|err| err.to_string())?;
                set("objectValue", value.clone());
            }
            ValueType::Simple(Scalar::Text, _) => {
                let text = std::str::from_utf8(&payload);
                set(
                    "value",
                    text.map_err(|_| "the data is not UTF-8 text")?.into(),
                );
            }
            value_type => {
                let text = record
                    .document()
                    .ok()
                    .and_then(|value| value_type.text_of(value));
                set(
                    "value",
                    text.ok_or_else(|| format!("the data is not of type {name}"))?
                        .into(),
                );
            }
        }
        Ok(reading)
    }

    /// Sets the values that an event gives.
    pub(super) fn set_values(&self, record: &mut Record) {
        record.set_value("profilename", &*self.profile);
        record.set_value("devicename", &*self.device);
        record.set_value("sourcename", &*self.resource);
    }
}

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let wrap = Wrap::read(&parameters);
    parameters.finish(wrap.map(StageKind::pure))
}

impl Builtin for Wrap {}

impl Stage for Wrap {
    fn apply(&self, record: &mut Record) -> Answer {
        match self.request(record) {
            Ok(request) => record.set_object(Form::AddEventRequest, request),
            Err(text) => return refuse(format_args!("WrapIntoEvent: {text}")),
        }
        self.set_values(record);
        record.set_response_content_type("");
        Answer::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{applied, faults};
    use super::*;

    fn parameters(value_type: &str) -> Value {
        json!({"ProfileName": "P", "DeviceName": "D", "ResourceName": "R", "ValueType": value_type, "MediaType": "a/b"})
    }

    fn wrapped(value_type: &str, payload: &'static [u8]) -> Option<Value> {
        let mut record = Record::new(payload).with_id(Uuid::from_u128(7));
        record.set_response_content_type("text/plain");
        let stage = json!({"WrapIntoEvent": parameters(value_type)});
        if applied(&stage, &mut record) != Answer::Continue {
            return None;
        }
        assert_eq!(record.form(), Form::AddEventRequest);
        assert_eq!(record.value("sourcename"), Some("R"));
        assert_eq!(record.response_content_type(), "");
        let request = record.document().unwrap().clone();
        let event = event::of_request(request.clone()).unwrap();
        for key in ["profileName", "deviceName"] {
            assert_eq!(event[key], event["readings"][0][key]);
        }
        assert_eq!(event["sourceName"], event["readings"][0]["resourceName"]);
        Some(event["readings"][0].clone())
    }

    #[test]
    fn pl_15_data_becomes_the_reading_of_an_event() {
        assert_eq!(wrapped("string", b"text").unwrap()["value"], "text");
        assert_eq!(wrapped("Float64", b"12.5").unwrap()["value"], "1.25e+01");
        assert_eq!(wrapped("Int32Array", b"[1,2]").unwrap()["value"], "[1, 2]");
        let binary = wrapped("Binary", b"\xff\x00").unwrap();
        assert_eq!(
            (&binary["binaryValue"], &binary["mediaType"]),
            (&json!("/wA="), &json!("a/b"))
        );
        assert_eq!(
            wrapped("Object", br#"{"a":1}"#).unwrap()["objectValue"],
            json!({"a": 1})
        );
        for (value_type, bad) in [
            ("Int8", b"128" as &[u8]),
            ("Int8", b"x"),
            ("String", b"\xff"),
            ("Object", b"{"),
        ] {
            assert!(wrapped(value_type, bad).is_none(), "{value_type}");
        }
    }

    #[test]
    fn the_same_record_makes_the_same_event_again() {
        assert_eq!(
            wrapped("String", b"x").unwrap()["id"],
            wrapped("String", b"x").unwrap()["id"]
        );
    }

    #[test]
    fn pl_18_missing_names_and_types_are_faults() {
        for key in ["ProfileName", "DeviceName", "ResourceName", "ValueType"] {
            let mut parameters = parameters("Int8");
            parameters.as_object_mut().unwrap().remove(key);
            assert_eq!(
                faults(&json!({"WrapIntoEvent": parameters})),
                [format!(
                    "stages[0].WrapIntoEvent.{key}: is required and missing"
                )]
            );
        }
        let mut binary = parameters("binary");
        binary["MediaType"] = json!(" ");
        assert_eq!(
            faults(&json!({"WrapIntoEvent": binary})),
            ["stages[0].WrapIntoEvent.MediaType: must not be empty"]
        );
        assert_eq!(
            faults(&json!({"WrapIntoEvent": parameters("Int128")})),
            ["stages[0].WrapIntoEvent.ValueType: `Int128` is not a type of readings"]
        );
    }
}
