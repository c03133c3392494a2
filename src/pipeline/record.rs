//! Records, which move through a pipeline: bytes, their content type, and values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::extras::{Extras, Form};
use super::wire;
use crate::delivery::{Edit, Payload};
use crate::json_words;
use crate::sdk::{BoxError, EgressMessage, Message, Type, TypeName};
use crate::time::Timestamp;

/// The type under which records travel between stages. Send it to a pipeline to choose the record's id and values yourself.
///
/// ```
/// use stateful_functions::pipeline::{RECORD, Record};
/// use stateful_functions::{Address, MessageBuilder, TypeName};
///
/// let pipeline = Address::new(TypeName::new("pipelines/orders"), "shop-7");
/// let record = Record::new("order 1").with_value("shop", "7");
/// let message = MessageBuilder::to(pipeline).value_as(&RECORD, record)?;
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
pub const RECORD: Type<Record> = record_type(TypeName::new("statefun.pipelines/record"));

/// Records under a type name of their own.
pub(crate) const fn record_type(name: TypeName) -> Type<Record> {
    Type::sharing(name, wire::put, Record::decode)
}

/// A record in a pipeline.
///
/// The payload is bytes. Stages that look into it use it as JSON, which is parsed and written once for all of them.
#[derive(Clone, PartialEq)]
pub struct Record {
    id: Uuid,
    body: Body,
    content_type: Cow<'static, str>,
    content_encoding: Cow<'static, str>,
    values: BTreeMap<String, String>,
    received_at: Timestamp,
    /// `None` as long as nothing of it is set, as in most pipelines.
    extras: Option<Box<Extras>>,
}

/// The payload is not a JSON document.
#[derive(Debug)]
pub struct NotJson {
    /// The error, with line and column.
    error: serde_json::Error,
    /// The byte of the error, counted from 1.
    byte: usize,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json_words::what_of("the payload", &self.error))?;
        let (line, column) = (self.error.line(), self.error.column());
        match self.byte {
            0 => Ok(()),
            byte => write!(f, " at line {line} column {column} (byte {byte})"),
        }
    }
}

impl std::error::Error for NotJson {}

impl NotJson {
    pub(super) fn new(error: serde_json::Error, payload: &[u8]) -> Self {
        let lines_before = error.line().saturating_sub(1);
        let before: usize = payload
            .split_inclusive(|byte| *byte == b'\n')
            .take(lines_before)
            .map(<[u8]>::len)
            .sum();
        let byte = before + error.column();
        Self { error, byte }
    }
}

/// Content types that this crate assigns itself.
pub(crate) mod content_type {
    pub(crate) const JSON: &str = "application/json";
    pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
    pub(crate) const BYTES: &str = "application/octet-stream";

    /// Whether a payload of this type is JSON: `application/json`, or `+json` at the end of another type.
    pub(crate) fn is_json(content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let suffix = essence.len().checked_sub("+json".len());
        let suffix = suffix.and_then(|at| essence.get(at..));
        essence.eq_ignore_ascii_case(JSON)
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
    }
}

impl Record {
    /// A record of these bytes, without an id: the pipeline assigns one when it enters.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            id: Uuid::nil(),
            body: Body::Bytes(payload.into()),
            content_type: content_type::BYTES.into(),
            content_encoding: Cow::default(),
            values: BTreeMap::new(),
            received_at: Timestamp::default(),
            extras: None,
        }
    }

    /// A record of this document.
    pub fn json(document: Value) -> Self {
        let mut record = Self::new(Bytes::new());
        record.set_document(document);
        record
    }

    /// Sets the id: while a record is in the pipeline, another one with the same id counts as a duplicate.
    #[must_use]
    pub const fn with_id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }

    /// Sets the content type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Sets a value; see [`Record::set_value`].
    #[must_use]
    pub fn with_value(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set_value(key, value);
        self
    }

    /// The id, assigned when the record enters the pipeline; nil before.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// The payload.
    pub fn payload(&self) -> Bytes {
        self.body.to_bytes()
    }

    /// Replaces the payload.
    pub fn set_payload(
        &mut self,
        payload: impl Into<Bytes>,
        content_type: impl Into<Cow<'static, str>>,
    ) {
        self.body = Body::Bytes(payload.into());
        self.content_type = content_type.into();
        self.content_encoding = Cow::default();
        self.forget_form();
    }

    /// The record with other content. What its payload is known to be stays, since the stage at which it waits takes nothing else.
    pub(crate) fn edited(mut self, edit: &Edit) -> Result<Self, String> {
        let form = self.extras().map(|extras| extras.form);
        let content_type = edit.content_type.clone().map(Cow::Owned);
        match &edit.payload {
            Some(Payload::Bytes(bytes)) => {
                let content_type = content_type.unwrap_or_else(|| self.content_type.clone());
                self.set_payload(bytes.clone(), content_type);
            }
            Some(_) => return Err("`payload` is a range: write `text` or `base64`".to_owned()),
            None => self.content_type = content_type.unwrap_or(self.content_type),
        }
        if let Some(form) = form {
            self.extras_mut().form = form;
        }
        for (key, value) in &edit.values {
            self.set_value(key, value);
        }
        Ok(self)
    }

    /// The payload as a JSON document.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn document(&mut self) -> Result<&Value, NotJson> {
        if let Body::Bytes(bytes) = &self.body {
            let document = serde_json::from_slice(bytes).map_err(|err| NotJson::new(err, bytes))?;
            self.body = Body::Both(bytes.clone(), document);
        }
        match &self.body {
            Body::Both(_, document) | Body::Json(document) => Ok(document),
            Body::Bytes(_) => unreachable!("read above"),
        }
    }

    /// Takes the payload as a JSON document to change; the record keeps its bytes until
    /// [`Record::set_document`].
    pub(crate) fn take_document(&mut self) -> Result<Value, NotJson> {
        self.document()?;
        match std::mem::take(&mut self.body) {
            Body::Both(bytes, document) => {
                self.body = Body::Bytes(bytes);
                Ok(document)
            }
            Body::Json(document) => Ok(document),
            Body::Bytes(_) => unreachable!("read above"),
        }
    }

    /// Appends members, as JSON, to a payload that is an object without them; `is_empty` if it has no others. The result is `document`, which
    /// [`Record::take_document`] gave and which has been changed in the same way.
    pub(crate) fn append_members(&mut self, members: &str, is_empty: bool, document: Value) {
        let text = match &self.body {
            Body::Bytes(bytes) => bytes.trim_ascii_end().strip_suffix(b"}"),
            Body::Both(..) | Body::Json(_) => None,
        };
        let Some(open) = text else {
            return self.set_document(document); // it was never text
        };
        let comma: &[u8] = if is_empty { b"" } else { b"," };
        let bytes = [open, comma, members.as_bytes(), b"}"].concat().into();
        self.set_document(document);
        if let Body::Json(document) = std::mem::take(&mut self.body) {
            self.body = Body::Both(bytes, document);
        }
    }

    /// Replaces the payload by a JSON document. A content type that is JSON stays, such as `application/cloudevents+json`.
    pub fn set_document(&mut self, document: Value) {
        self.body = Body::Json(document);
        if !content_type::is_json(&self.content_type) {
            self.content_type = content_type::JSON.into();
        }
        self.content_encoding = Cow::default();
        self.forget_form();
    }

    /// What the payload is known to be. Whoever replaces the payload makes it bytes again.
    pub(crate) fn form(&self) -> Form {
        self.extras().map_or(Form::Bytes, |extras| extras.form)
    }

    /// Replaces the payload by the JSON of an object.
    #[cfg(feature = "edgex")]
    pub(crate) fn set_object(&mut self, form: Form, document: Value) {
        self.set_document(document);
        self.content_type = content_type::JSON.into();
        self.extras_mut().form = form;
    }

    fn forget_form(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.form = Form::Bytes;
        }
    }

    pub(crate) fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Sets the data that the caller of the pipeline gets once the pipeline is done; the last one counts.
    pub fn set_response(&mut self, data: impl Into<Bytes>) {
        self.extras_mut().response = Some(data.into());
    }

    /// The data for the caller, if a stage has set it.
    pub fn response(&self) -> Option<&Bytes> {
        self.extras()?.response.as_ref()
    }

    /// Sets the content type of the response.
    pub fn set_response_content_type(&mut self, content_type: impl Into<String>) {
        self.extras_mut().response_type = content_type.into();
    }

    /// The content type of the response; empty if no stage has set it.
    pub fn response_content_type(&self) -> &str {
        self.extras()
            .map_or("", |extras| extras.response_type.as_str())
    }

    /// Sets the id under which the sender knows the request that the record belongs to.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<String>) -> Self {
        self.extras_mut().correlation_id = id.into();
        self
    }

    /// The id under which the sender knows the request; empty if it has none.
    pub fn correlation_id(&self) -> &str {
        self.extras()
            .map_or("", |extras| extras.correlation_id.as_str())
    }

    /// Sets the id under which the sender knows the request.
    #[cfg(feature = "runtime")]
    pub(crate) fn set_correlation_id(&mut self, id: impl Into<String>) {
        self.extras_mut().correlation_id = id.into();
    }

    /// Removes a value; without one nothing happens.
    pub fn remove_value(&mut self, key: &str) {
        self.values.remove(&key.to_lowercase());
    }

    /// Sends `message` when the record is committed.
    #[cfg(feature = "runtime")]
    pub(crate) fn publish(&mut self, message: EgressMessage) {
        self.extras_mut().publications.push(message);
    }

    /// How many messages were published.
    #[cfg(feature = "runtime")]
    pub(crate) fn publications(&self) -> usize {
        self.extras().map_or(0, |extras| extras.publications.len())
    }

    /// Forgets all messages published after the first `count`.
    #[cfg(feature = "runtime")]
    pub(crate) fn unpublish(&mut self, count: usize) {
        if let Some(extras) = &mut self.extras {
            extras.publications.truncate(count);
        }
    }

    /// The messages that functions have published since they were taken last.
    pub(crate) fn take_publications(&mut self) -> Vec<EgressMessage> {
        let extras = self.extras.as_mut();
        extras.map_or_else(Vec::new, |extras| std::mem::take(&mut extras.publications))
    }

    /// The content type with which the record entered, if it was decoded since; otherwise its own.
    pub fn input_content_type(&self) -> &str {
        let extras = self.extras();
        let input = extras.map_or("", |extras| extras.input_type.as_str());
        if input.is_empty() {
            &self.content_type
        } else {
            input
        }
    }

    /// The HTTP content type of the payload.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The HTTP content encoding of the payload; empty if it is not compressed.
    pub fn content_encoding(&self) -> &str {
        &self.content_encoding
    }

    /// Sets the content encoding of the payload.
    pub fn set_content_encoding(&mut self, encoding: impl Into<Cow<'static, str>>) {
        self.content_encoding = encoding.into();
    }

    /// The value under `key`, ignoring case.
    pub fn value(&self, key: &str) -> Option<&str> {
        if self.values.is_empty() {
            return None;
        }
        self.values.get(&key.to_lowercase()).map(String::as_str)
    }

    /// Sets a value, which stays with the record to its end, also on a retry.
    pub fn set_value(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_lowercase(), value.into());
    }

    /// All values, by key in lower case.
    pub const fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// When the record entered the pipeline.
    pub const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    pub(crate) const fn set_received_at(&mut self, now: Timestamp) {
        self.received_at = now;
    }

    pub(crate) const fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn set_body(&mut self, body: Body) {
        self.body = body;
    }

    pub(crate) fn set_values(&mut self, values: BTreeMap<String, String>) {
        self.values = values;
    }

    /// The record in a message from one stage to another.
    pub(crate) fn of(message: &Message) -> Result<Self, BoxError> {
        let bytes = message.raw_value();
        Self::decode(bytes.ok_or("the message has no value; a record was expected")?)
    }

    /// The record in `bytes`; its payload is a part of them, not a copy.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, BoxError> {
        wire::read(&bytes)
    }
}

/// Shows the type and size of the payload, but never the payload or the values.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("content_type", &self.content_type)
            .field("payload_bytes", &self.payload().len())
            .field("values", &self.values.keys())
            .finish_non_exhaustive()
    }
}

/// A payload as bytes, as a document, or as both while they are equal.
#[derive(Clone)]
pub(crate) enum Body {
    Bytes(Bytes),
    Both(Bytes, Value),
    Json(Value),
}

impl Body {
    fn to_bytes(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) | Self::Both(bytes, _) => bytes.clone(),
            // A document has text keys and finite numbers only, so writing it cannot fail.
            Self::Json(document) => serde_json::to_vec(document).unwrap_or_default().into(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_comes_back_from_its_bytes_whole() {
        let mut record = Record::json(json!({"a": 1}))
            .with_id(Uuid::from_u128(7))
            .with_value("Shop", "7");
        record.set_received_at(Timestamp::from_millis(5));
        record.set_content_encoding("gzip");
        let bytes = RECORD.encode(&record).unwrap();
        assert_eq!(RECORD.decode(&bytes).unwrap(), record);
    }

    #[test]
    fn a_payload_that_is_only_looked_at_keeps_its_bytes() {
        let text = r#"{ "b": 9007199254740993, "a": 1.10 }"#;
        let mut record = Record::new(text);
        assert_eq!(record.document().unwrap()["a"], json!(1.1));
        assert_eq!(record.payload(), text);
    }

    #[test]
    fn a_payload_that_is_not_json_stays_as_it_is() {
        let mut record = Record::new("{");
        assert!(record.document().is_err());
        assert!(record.take_document().is_err());
        assert_eq!(record.payload(), "{");
    }

    #[test]
    fn keys_of_values_have_no_case() {
        let record = Record::new("").with_value("Key1", "v");
        assert_eq!(record.value("KEY1"), Some("v"));
        assert_eq!(record.value("nope"), None);
    }

    #[test]
    fn debug_output_shows_no_payload_and_no_value() {
        let shown = format!("{:?}", Record::new("secret").with_value("k", "secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
