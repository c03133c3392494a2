//! What the SDK stores of data that could not be sent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Data that waits in the store of the App Functions SDK, in the form in which it is stored there: JSON without empty fields.
///
/// ```
/// use stateful_functions::edgex::StoredObject;
///
/// let text = r#"{"id":"0b7c9a52-2d2c-4d3e-9d6e-0a4f3a1c2b3d","appServiceKey":"app-x","payload":"aGVsbG8=","version":"v"}"#;
/// let object: StoredObject = serde_json::from_str(text)?;
/// assert_eq!(object.payload, "hello");
/// assert_eq!(serde_json::to_string(&object)?, text);
/// assert!(object.check().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct StoredObject {
    /// A UUID.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "given")]
    pub id: String,
    /// The service.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "given")]
    pub app_service_key: String,
    /// What is sent.
    #[serde(
        skip_serializing_if = "Bytes::is_empty",
        serialize_with = "to_base64",
        deserialize_with = "from_base64"
    )]
    pub payload: Bytes,
    /// Failed attempts after the first one.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "given")]
    pub retry_count: i64,
    /// The pipeline; before version 2.1 there was only one.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "given")]
    pub pipeline_id: String,
    /// The function at which it continues, counted from 0.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "given")]
    pub pipeline_position: i64,
    /// The version of the pipeline: the names of its functions. An object of another version is deleted by EdgeX.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "given")]
    pub version: String,
    /// The correlation id of the message.
    #[serde(
        rename = "correlationID",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "given"
    )]
    pub correlation_id: String,
    /// The values of the context.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "given")]
    pub context_data: BTreeMap<String, String>,
}

/// An object that breaks the contract of stored objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid contract, {0}")]
pub struct InvalidObject(&'static str);

impl StoredObject {
    /// Checks what the SDK checks. An empty id is not a fault: it is made when the object is stored.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), InvalidObject> {
        if !self.id.is_empty() && Uuid::try_parse(&self.id).is_err() {
            return Err(InvalidObject("ID must be UUID"));
        }
        if self.app_service_key.is_empty() {
            return Err(InvalidObject("app service key cannot be empty"));
        }
        if self.payload.is_empty() {
            return Err(InvalidObject("payload cannot be empty"));
        }
        if self.version.is_empty() {
            return Err(InvalidObject("version cannot be empty"));
        }
        Ok(())
    }
}

/// Go writes nothing, or null, for what is empty.
fn given<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn to_base64<S: Serializer>(bytes: &Bytes, into: S) -> Result<S::Ok, S::Error> {
    into.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text: String = given(from)?;
    let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> StoredObject {
        StoredObject {
            id: "0b7c9a52-2d2c-4d3e-9d6e-0a4f3a1c2b3d".to_owned(),
            app_service_key: "app-x".to_owned(),
            payload: "p".into(),
            version: "v".to_owned(),
            ..StoredObject::default()
        }
    }

    #[test]
    fn an_empty_object_is_empty_and_null_is_nothing() {
        let empty = StoredObject::default();
        assert_eq!(serde_json::to_string(&empty).unwrap(), "{}");
        let text = r#"{"id":null,"payload":null,"retryCount":null,"contextData":null,"eventID":"x","eventChecksum":"y"}"#;
        assert_eq!(serde_json::from_str::<StoredObject>(text).unwrap(), empty);
    }

    #[test]
    fn all_fields_are_written_and_read_as_the_sdk_does() {
        let mut object = whole();
        (object.retry_count, object.pipeline_position) = (3, 2);
        object.pipeline_id = "default-pipeline".to_owned();
        object.correlation_id = "c".to_owned();
        object.context_data = BTreeMap::from([("devicename".to_owned(), "d".to_owned())]);
        let text = r#"{"id":"0b7c9a52-2d2c-4d3e-9d6e-0a4f3a1c2b3d","appServiceKey":"app-x","payload":"cA==","retryCount":3,"pipelineId":"default-pipeline","pipelinePosition":2,"version":"v","correlationID":"c","contextData":{"devicename":"d"}}"#;
        assert_eq!(serde_json::to_string(&object).unwrap(), text);
        assert_eq!(serde_json::from_str::<StoredObject>(text).unwrap(), object);
    }

    #[test]
    fn pl_26_what_the_contract_demands_is_checked() {
        assert!(whole().check().is_ok());
        let refused = |change: fn(&mut StoredObject)| {
            let mut object = whole();
            change(&mut object);
            object.check().unwrap_err().to_string()
        };
        let found = [
            refused(|object| object.id = "x".to_owned()),
            refused(|object| object.app_service_key.clear()),
            refused(|object| object.payload.clear()),
            refused(|object| object.version.clear()),
        ];
        let expected = [
            "invalid contract, ID must be UUID",
            "invalid contract, app service key cannot be empty",
            "invalid contract, payload cannot be empty",
            "invalid contract, version cannot be empty",
        ];
        assert_eq!(found, expected);
    }
}
