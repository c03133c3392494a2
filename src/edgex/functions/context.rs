//! The context of a function: EdgeX's `AppFunctionContext`.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::super::bus::Publication;
use super::super::services::Services;
use crate::pipeline::{Record, SecretError};

/// What a function knows of its record, and of its service.
///
/// | EdgeX | here |
/// |---|---|
/// | `CorrelationID`, `SetCorrelationID` | [`correlation_id`](Self::correlation_id), [`set_correlation_id`](Self::set_correlation_id) |
/// | `InputContentType`, `PipelineId` | [`input_content_type`](Self::input_content_type), [`pipeline_id`](Self::pipeline_id) |
/// | `SetResponseData`, `SetResponseContentType` | [`set_response_data`](Self::set_response_data), [`set_response_content_type`](Self::set_response_content_type) |
/// | `SetRetryData` | [`set_retry_data`](Self::set_retry_data) |
/// | `AddValue`, `GetValue`, `RemoveValue`, `GetAllValues` | [`add_value`](Self::add_value), [`get_value`](Self::get_value), [`remove_value`](Self::remove_value), [`get_all_values`](Self::get_all_values) |
/// | `ApplyValues` | [`apply_values`](Self::apply_values) |
/// | `Publish`, `PublishWithTopic` | [`publish`](Self::publish), [`publish_with_topic`](Self::publish_with_topic) |
/// | `SecretProvider().GetSecret` | [`get_secret`](Self::get_secret) |
/// | `LoggingClient` | the macros of `tracing` |
/// | `EventClient` and other clients | [`client`](Self::client): the address of a client in `Clients` |
pub struct AppContext<'a> {
    record: &'a mut Record,
    services: &'a Services,
    retry_data: Option<Bytes>,
}

/// A placeholder that no value fills in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to replace all context placeholders in input ('{replaced}' after replacements)")]
#[non_exhaustive]
pub struct Unresolved {
    /// The text as far as it was replaced.
    pub replaced: String,
}

/// Why something was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The service is not at a message bus.
    #[error("publishing needs the message bus: set `Trigger.Type: edgex-messagebus`")]
    NoBus,
    /// There is no topic.
    #[error("no topic: set `Trigger.PublishTopic`, or name a topic")]
    NoTopic,
    /// A placeholder of the topic has no value.
    #[error("topic: {0}")]
    Topic(#[from] Unresolved),
    /// The data cannot be written.
    #[error("the data cannot be written: {0}")]
    Data(String),
    /// The service has not started, or is stopping, or its store takes nothing.
    #[error("not accepted: {0}")]
    NotAccepted(String),
}

impl<'a> AppContext<'a> {
    pub(super) fn new(record: &'a mut Record, services: &'a Services) -> Self {
        Self {
            record,
            services,
            retry_data: None,
        }
    }

    pub(super) fn into_retry_data(self) -> Option<Bytes> {
        self.retry_data
    }

    /// The id under which the sender knows the request.
    pub fn correlation_id(&self) -> &str {
        self.record.correlation_id()
    }

    /// Sets the id under which the sender knows the request.
    pub fn set_correlation_id(&mut self, id: impl Into<String>) {
        self.record.set_correlation_id(id);
    }

    /// The content type with which the data came in; also on a retry.
    pub fn input_content_type(&self) -> &str {
        self.record.input_content_type()
    }

    /// The pipeline in which the function runs.
    pub fn pipeline_id(&self) -> &str {
        self.record.value("pipelineid").unwrap_or_default()
    }

    /// Sets the data that the trigger gets when the pipeline has succeeded; the last one counts.
    pub fn set_response_data(&mut self, data: impl Into<Bytes>) {
        self.record.set_response(data);
    }

    /// The data for the trigger, if a function has set it.
    pub fn response_data(&self) -> Option<&Bytes> {
        self.record.response()
    }

    /// Sets the content type of the response.
    pub fn set_response_content_type(&mut self, content_type: impl Into<String>) {
        self.record.set_response_content_type(content_type);
    }

    /// The content type of the response; empty if no function has set it.
    pub fn response_content_type(&self) -> &str {
        self.record.response_content_type()
    }

    /// Sets the data that is stored if the function then fails, and that it gets again later. Data without bytes is data, too.
    pub fn set_retry_data(&mut self, data: impl Into<Bytes>) {
        self.retry_data = Some(data.into());
    }

    /// Sets a value, which travels with the record and is there again on a retry. Keys have no case.
    pub fn add_value(&mut self, key: &str, value: impl Into<String>) {
        self.record.set_value(key, value);
    }

    /// Removes a value; without one nothing happens.
    pub fn remove_value(&mut self, key: &str) {
        self.record.remove_value(key);
    }

    /// The value under `key`.
    pub fn get_value(&self, key: &str) -> Option<&str> {
        self.record.value(key)
    }

    /// A copy of all values, by their keys in lower case.
    pub fn get_all_values(&self) -> BTreeMap<String, String> {
        self.record.values().clone()
    }

    /// Replaces each `{key}` in `format` by its value.
    ///
    /// # Errors
    /// If one has no value.
    pub fn apply_values(&self, format: &str) -> Result<String, Unresolved> {
        applied(format, |key| self.record.value(key))
    }

    /// Publishes `data` as JSON to `Trigger.PublishTopic`, once the record is committed.
    ///
    /// # Errors
    /// If there is no message bus or no topic, or a placeholder of the topic has no value. Nothing is published then.
    pub fn publish(&mut self, data: &impl Serialize) -> Result<(), PublishError> {
        let topic = self.services.publish_topic().ok_or(PublishError::NoTopic)?;
        self.publish_with_topic(topic, data)
    }

    /// Publishes `data` as JSON to a topic, below the prefix of the message bus, once the record is committed. `{key}` in the topic is the value of
    /// that key.
    ///
    /// # Errors
    /// If there is no message bus, a placeholder has no value, or the data cannot be written. Nothing is published then.
    pub fn publish_with_topic(
        &mut self,
        topic: &str,
        data: &impl Serialize,
    ) -> Result<(), PublishError> {
        let bus = self.services.bus().ok_or(PublishError::NoBus)?;
        let topic = self.apply_values(topic)?;
        let payload =
            serde_json::to_vec(data).map_err(|err| PublishError::Data(err.to_string()))?;
        let id = Uuid::new_v4().to_string();
        let message = bus.message(Publication {
            topic: &topic,
            payload: payload.into(),
            content_type: "application/json",
            correlation_id: &id,
        });
        let message = message.map_err(PublishError::Data)?;
        self.record.publish(message);
        Ok(())
    }

    /// The text under `key` of the secret `name`; `None` if there is none.
    ///
    /// # Errors
    /// If a source of secrets cannot be read.
    pub fn get_secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        self.services.secrets().find(name, key)
    }

    /// The address of a client in `Clients`, such as `http://localhost:59880` for `core-data`; `None` if it is not configured.
    pub fn client(&self, key: &str) -> Option<&str> {
        self.services.client(key)
    }

    /// The name of the service.
    pub fn service_key(&self) -> &str {
        self.services.service_key()
    }
}

/// Replaces each `{key}`. What was filled in is not searched again.
pub(in crate::edgex) fn applied<'v>(
    format: &str,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<String, Unresolved> {
    let (mut replaced, mut rest) = (String::new(), format);
    let mut is_whole = true;
    while let Some(open) = rest.find('{') {
        let (before, tail) = rest.split_at(open);
        replaced.push_str(before);
        let Some(close) = tail.find('}') else {
            rest = tail;
            break;
        };
        let (placeholder, after) = tail.split_at(close + 1);
        let key = placeholder.trim_start_matches('{').trim_end_matches('}');
        match value(key) {
            Some(text) => replaced.push_str(text),
            None => {
                replaced.push_str(placeholder);
                is_whole = false;
            }
        }
        rest = after;
    }
    replaced.push_str(rest);
    match is_whole {
        true => Ok(replaced),
        false => Err(Unresolved { replaced }),
    }
}

impl fmt::Debug for AppContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppContext")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(record: &'a mut Record, services: &'a Services) -> AppContext<'a> {
        AppContext::new(record, services)
    }

    #[test]
    fn pl_06_values_have_no_case_and_copies_of_them_change_nothing() {
        let (mut record, services) = (Record::new("x"), Services::default());
        let mut context = context(&mut record, &services);
        context.add_value("Key1", "v");
        assert_eq!(context.get_value("KEY1"), Some("v"));
        context.remove_value("nope");
        let mut all = context.get_all_values();
        all.insert("key1".to_owned(), "changed".to_owned());
        assert_eq!(context.get_value("key1"), Some("v"));
        context.remove_value("kEY1");
        assert_eq!(context.get_value("key1"), None);
    }

    #[test]
    fn placeholders_are_filled_in_all_or_none() {
        let (mut record, services) = (Record::new("x"), Services::default());
        let mut context = context(&mut record, &services);
        context.add_value("device", "{other}");
        assert_eq!(context.apply_values("a/{Device}/b").unwrap(), "a/{other}/b");
        assert_eq!(context.apply_values("a/{open").unwrap(), "a/{open");
        let unresolved = context.apply_values("{device}/{nope}").unwrap_err();
        assert_eq!(unresolved.replaced, "{other}/{nope}");
    }

    #[test]
    fn without_a_message_bus_nothing_is_published() {
        let (mut record, services) = (Record::new("x"), Services::default());
        let mut context = context(&mut record, &services);
        let refused = context.publish_with_topic("t", &1).unwrap_err();
        assert!(matches!(refused, PublishError::NoBus), "{refused}");
        let refused = context.publish(&1).unwrap_err();
        assert!(matches!(refused, PublishError::NoTopic), "{refused}");
    }
}
