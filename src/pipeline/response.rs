//! The response of a pipeline to its caller: the data that a stage has set, under its content type.

use bytes::Bytes;
use serde_json::json;

use super::record::{Record, content_type};
use crate::delivery::engine::{Class, Failure};
use crate::sdk::{Address, Message, MessageBuilder};

/// The type of what a caller gets instead of a response: JSON, `{"statusCode": …, "message": …}`.
pub(crate) const REFUSAL: &str = "statefun.pipelines/refusal";
/// The type of what a caller gets whose record is kept for another attempt: JSON, `{"id": …}` with the id of the delivery.
pub(crate) const STORED: &str = "statefun.pipelines/stored";

/// The message to the caller of the record; `None` if nobody waits. Without data it is empty if the pipeline `always_answers`,
/// and there is none otherwise.
pub(crate) fn message(record: &Record, always_answers: bool) -> Option<Message> {
    let caller = record.extras()?.reply_to.clone()?;
    let data = record.response().cloned();
    let data = data.or_else(|| always_answers.then(Bytes::new))?;
    Some(MessageBuilder::to(caller).raw(type_name(record, &data), &data))
}

/// The message to the caller of a record with which a stage failed for good; `None` if nobody waits, or if the record is tried again.
pub(crate) fn refusal(record: &Record, failure: &Failure) -> Option<Message> {
    let caller = record.extras()?.reply_to.clone()?;
    if failure.class != Class::Permanent {
        return None; // the caller waits, too
    }
    let status = match failure.code.as_str() {
        "decode" => 400,
        _ => 422,
    };
    Some(refused(caller, status, &failure.message))
}

/// The message to the caller of a record that was given up at once; `None` if nobody waits.
pub(crate) fn given_up(record: &Record, error: &str) -> Option<Message> {
    let caller = record.extras()?.reply_to.clone()?;
    Some(refused(caller, 422, error))
}

/// The message to the caller of a record that is kept for another attempt as the delivery `id`; `None` if nobody waits.
pub(crate) fn stored(record: &Record, id: &str) -> Option<Message> {
    let caller = record.extras()?.reply_to.clone()?;
    let stored = json!({"id": id}).to_string();
    Some(MessageBuilder::to(caller).raw(STORED, stored.as_bytes()))
}

fn refused(caller: Address, status: u16, message: &str) -> Message {
    let refusal = json!({"statusCode": status, "message": message}).to_string();
    MessageBuilder::to(caller).raw(REFUSAL, refusal.as_bytes())
}

/// Nobody waits for the record any more.
pub(crate) fn forget_caller(record: &mut Record) {
    if record
        .extras()
        .is_some_and(|extras| extras.reply_to.is_some())
    {
        record.extras_mut().reply_to = None;
    }
}

/// The content type without its parameters, which has the form of a typename: `application/json`.
fn type_name<'a>(record: &'a Record, data: &Bytes) -> &'a str {
    let given = record.response_content_type();
    match given.split(';').next().unwrap_or_default().trim() {
        essence if essence.contains('/') => essence,
        _ if data.is_empty() => "text/plain",
        _ => content_type::BYTES,
    }
}
