//! The encoding of records for sending and storing: protobuf, with the payload as its bytes.
//!
//! Encoded and decoded by hand: a document is printed directly into the output, and a received payload stays part of its input.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::extras::{Extras, Form};
use super::record::{Body, Record, content_type};
use crate::sdk::{
    Address, BoxError, Field, Fields, close_header, put_bytes, put_header, put_open_header,
    put_text, put_varint, text, text_len,
};
use crate::time::Timestamp;

// The fields of a record.
const ID: u8 = 1;
const PAYLOAD: u8 = 2;
const CONTENT_TYPE: u8 = 3;
const CONTENT_ENCODING: u8 = 4;
const VALUE: u8 = 5;
const RECEIVED_AT: u8 = 6;
const FORM: u8 = 7;
const RESPONSE: u8 = 8;
const RESPONSE_TYPE: u8 = 9;
const INPUT_TYPE: u8 = 10;
const REPLY_TYPE: u8 = 11;
const REPLY_ID: u8 = 12;
const IS_ROUTED: u8 = 13;
const IS_ISOLATED: u8 = 14;
const CORRELATION_ID: u8 = 15;

// The fields of a kept record. 4 and 5 were written by earlier versions.
const RECORD: u8 = 1;
const PIPELINE: u8 = 2;
const STAGE: u8 = 3;
const VERSION: u8 = 6;

/// The usual size of a record without its payload and its values.
const USUAL: usize = 64;

/// Appends the record.
pub(crate) fn put(record: &Record, out: &mut Vec<u8>) -> Result<(), BoxError> {
    let (id, body) = (record.id(), record.body());
    if let Body::Bytes(bytes) | Body::Both(bytes, _) = body {
        out.reserve(bytes.len() + USUAL);
    }
    if !id.is_nil() {
        put_bytes(out, ID, id.as_bytes());
    }
    match body {
        Body::Bytes(bytes) | Body::Both(bytes, _) if bytes.is_empty() => {}
        Body::Bytes(bytes) | Body::Both(bytes, _) => put_bytes(out, PAYLOAD, bytes),
        Body::Json(document) => {
            let place = put_open_header(out, PAYLOAD);
            serde_json::to_writer(&mut *out, document)?;
            close_header(out, place);
        }
    }
    put_text(out, CONTENT_TYPE, record.content_type());
    put_text(out, CONTENT_ENCODING, record.content_encoding());
    for (key, value) in record.values() {
        put_header(out, VALUE, text_len(key) + text_len(value));
        put_text(out, 1, key);
        put_text(out, 2, value);
    }
    let received_at = record.received_at().as_millis();
    if received_at > 0 {
        out.push(RECEIVED_AT << 3);
        put_varint(out, usize::try_from(received_at)?);
    }
    if let Some(extras) = record.extras() {
        put_extras(extras, out);
    }
    Ok(())
}

fn put_extras(extras: &Extras, out: &mut Vec<u8>) {
    put_text(out, FORM, extras.form.name());
    match &extras.response {
        None => {}
        Some(empty) if empty.is_empty() => put_header(out, RESPONSE, 0),
        Some(response) => put_bytes(out, RESPONSE, response),
    }
    put_text(out, RESPONSE_TYPE, &extras.response_type);
    put_text(out, INPUT_TYPE, &extras.input_type);
    if extras.is_routed {
        out.extend_from_slice(&[IS_ROUTED << 3, 1]);
    }
    if extras.is_isolated {
        out.extend_from_slice(&[IS_ISOLATED << 3, 1]);
    }
    put_text(out, CORRELATION_ID, &extras.correlation_id);
    if let Some(caller) = &extras.reply_to {
        put_text(out, REPLY_TYPE, caller.type_name().as_str());
        put_text(out, REPLY_ID, caller.id());
    }
}

/// The record in `bytes`; its payload is a part of them, not a copy.
pub(crate) fn read(bytes: &Bytes) -> Result<Record, BoxError> {
    let mut record = Record::new(Bytes::new()).with_content_type("");
    let mut values = BTreeMap::new();
    let mut caller = (String::new(), String::new());
    let mut fields = Fields::of(bytes);
    while let Some((number, field)) = fields.next()? {
        match u8::try_from(number).unwrap_or_default() {
            ID => {
                let id = field.bytes()?;
                record = record.with_id(match id {
                    [] => Uuid::nil(),
                    id => Uuid::from_slice(id)?,
                });
            }
            PAYLOAD => record.set_body(Body::Bytes(bytes.slice_ref(field.bytes()?))),
            CONTENT_TYPE => record = record.with_content_type(usual(field.text()?)),
            CONTENT_ENCODING => record.set_content_encoding(field.text()?.to_owned()),
            VALUE => {
                let (key, value) = entry(field.bytes()?)?;
                values.insert(key, value);
            }
            RECEIVED_AT => record.set_received_at(Timestamp::from_millis(number_in(field)?)),
            FORM => record.extras_mut().form = Form::named(field.text()?),
            RESPONSE => record.set_response(bytes.slice_ref(field.bytes()?)),
            RESPONSE_TYPE => record.set_response_content_type(field.text()?),
            INPUT_TYPE => field
                .text()?
                .clone_into(&mut record.extras_mut().input_type),
            IS_ROUTED => record.extras_mut().is_routed = number_in(field)? != 0,
            IS_ISOLATED => record.extras_mut().is_isolated = number_in(field)? != 0,
            CORRELATION_ID => field
                .text()?
                .clone_into(&mut record.extras_mut().correlation_id),
            REPLY_TYPE => field.text()?.clone_into(&mut caller.0),
            REPLY_ID => field.text()?.clone_into(&mut caller.1),
            _ => {}
        }
    }
    if !caller.0.is_empty() {
        let caller = Address::new(caller.0.parse()?, caller.1);
        record.extras_mut().reply_to = Some(caller);
    }
    record.set_values(values);
    Ok(record)
}

/// Content types assigned by this crate are static and take no memory.
fn usual(text: &str) -> Cow<'static, str> {
    let known = [content_type::JSON, content_type::TEXT, content_type::BYTES];
    let known = known.into_iter().find(|known| *known == text);
    known.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

fn entry(bytes: &[u8]) -> Result<(String, String), BoxError> {
    let (mut key, mut value) = (String::new(), String::new());
    let mut fields = Fields::of(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => field.text()?.clone_into(&mut key),
            2 => field.text()?.clone_into(&mut value),
            _ => {}
        }
    }
    Ok((key, value))
}

fn number_in(field: Field<'_>) -> Result<u64, BoxError> {
    match field {
        Field::Varint(number) => Ok(number),
        _ => Err("a field of the record is not a number".into()),
    }
}

/// A waiting record as it is stored, with the names of its stage.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) record: Record,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    /// The version of the pipeline; 0 if it was not stored.
    pub(crate) version: u32,
}

impl Kept {
    /// A kept record.
    pub(crate) fn of(record: &Record, pipeline: &str, stage: &str, version: u32) -> Bytes {
        let mut out = Vec::new();
        let place = put_open_header(&mut out, RECORD);
        // Written to memory, which grows; a document has text keys and finite numbers only.
        put(record, &mut out).expect("a record can be written");
        if close_header(&mut out, place) == 0 {
            put_header(&mut out, RECORD, 0);
        }
        put_text(&mut out, PIPELINE, pipeline);
        put_text(&mut out, STAGE, stage);
        if version > 0 {
            out.push(VERSION << 3);
            put_varint(&mut out, usize::try_from(version).unwrap_or(0));
        }
        out.into()
    }

    /// Reads a kept record; the payload is a part of `bytes`.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, BoxError> {
        let (mut record, mut names) = (None, [String::new(), String::new()]);
        let mut version = 0;
        let [pipeline, stage] = &mut names;
        let mut fields = Fields::of(bytes);
        while let Some((number, field)) = fields.next()? {
            match u8::try_from(number).unwrap_or_default() {
                RECORD => record = Some(read(&bytes.slice_ref(field.bytes()?))?),
                PIPELINE => text(field.bytes()?)?.clone_into(pipeline),
                STAGE => text(field.bytes()?)?.clone_into(stage),
                VERSION => version = u32::try_from(number_in(field)?)?,
                _ => {}
            }
        }
        let [pipeline, stage] = names;
        Ok(Self {
            record: record.ok_or("what is kept has no record in it")?,
            pipeline,
            stage,
            version,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    /// The form of earlier versions.
    #[derive(Clone, PartialEq, prost::Message)]
    struct WireRecord {
        #[prost(bytes = "bytes", tag = "1")]
        id: Bytes,
        #[prost(bytes = "bytes", tag = "2")]
        payload: Bytes,
        #[prost(string, tag = "3")]
        content_type: String,
        #[prost(string, tag = "4")]
        content_encoding: String,
        #[prost(btree_map = "string, string", tag = "5")]
        values: BTreeMap<String, String>,
        #[prost(uint64, tag = "6")]
        received_at: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct WireKept {
        #[prost(message, optional, tag = "1")]
        record: Option<WireRecord>,
        #[prost(string, tag = "2")]
        pipeline: String,
        #[prost(string, tag = "3")]
        stage: String,
        #[prost(string, tag = "5")]
        destination: String,
    }

    prop_compose! {
        fn record()(
            id: Option<u128>,
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            content_type in "[a-z/;=-]{0,40}",
            content_encoding in "[a-z]{0,4}",
            values in proptest::collection::btree_map("[a-z]{0,3}", "\\PC{0,3}", 0..4),
            received_at in 0..u64::MAX / 2,
        ) -> WireRecord {
            let id = id.map(Uuid::from_u128).filter(|id| !id.is_nil());
            WireRecord {
                id: id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes())),
                payload: payload.into(),
                content_type,
                content_encoding,
                values,
                received_at,
            }
        }
    }

    proptest! {
        #[test]
        fn records_have_the_form_of_earlier_versions(expected in record()) {
            let bytes = Bytes::from(expected.encode_to_vec());
            let record = read(&bytes).unwrap();
            prop_assert_eq!(record.payload(), &expected.payload);
            prop_assert_eq!(record.values(), &expected.values);
            let mut out = b"before".to_vec();
            put(&record, &mut out).unwrap();
            prop_assert_eq!(WireRecord::decode(&out[6..]).unwrap(), expected.clone());

            let kept = Kept::of(&record, "orders", "crm", 7);
            let wire = WireKept::decode(kept.clone()).unwrap();
            prop_assert_eq!(wire.record, Some(expected));
            let kept = Kept::read(&kept).unwrap();
            prop_assert_eq!((kept.record, &*kept.pipeline, &*kept.stage), (record, "orders", "crm"));
        }

        #[test]
        fn bytes_with_an_error_in_them_are_refused_or_read_but_never_panic(
            expected in record(), place: prop::sample::Index, byte: u8, cut: prop::sample::Index,
        ) {
            let mut bytes = expected.encode_to_vec();
            if !bytes.is_empty() {
                *place.get_mut(&mut bytes) = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let bytes = Bytes::from(bytes);
            let _ = (read(&bytes), Kept::read(&bytes));
        }
    }

    #[test]
    fn what_an_earlier_version_kept_is_read() {
        let record = WireRecord {
            payload: Bytes::from_static(b"x"),
            ..WireRecord::default()
        };
        let kept = WireKept {
            record: Some(record),
            pipeline: "p".to_owned(),
            stage: "s".to_owned(),
            destination: "http://h:80".to_owned(),
        };
        let kept = Kept::read(&kept.encode_to_vec().into()).unwrap();
        assert_eq!(
            (kept.record.payload(), &*kept.stage),
            (Bytes::from_static(b"x"), "s")
        );
        let none = WireKept::default().encode_to_vec();
        assert!(Kept::read(&none.into()).is_err());
    }

    #[test]
    fn a_document_is_printed_where_it_is_written() {
        let record = Record::json(serde_json::json!({"a": "x".repeat(200)}));
        let mut out = Vec::new();
        put(&record, &mut out).unwrap();
        assert_eq!(read(&out.into()).unwrap().payload(), record.payload());
    }

    #[test]
    fn r_13_what_a_record_lacks_does_not_come_from_the_one_before() {
        let full = Record::new("x")
            .with_value("devicename", "D")
            .with_content_type("a/b");
        let full = Kept::of(&full, "orders", "crm", 7);
        assert_eq!(
            Kept::read(&full).unwrap().record.value("devicename"),
            Some("D")
        );
        let empty = Kept::of(&Record::new("").with_content_type(""), "", "", 0);
        let kept = Kept::read(&empty).unwrap();
        assert_eq!(
            (kept.record.values().len(), kept.record.content_type()),
            (0, "")
        );
        assert_eq!((&*kept.pipeline, &*kept.stage), ("", ""));
    }
}
