//! The entry function of a pipeline.

use std::sync::Arc;

use super::plan::{Onward, Plan};
use super::record::{RECORD, Record, content_type};
use crate::delivery::engine::Failure;
use crate::sdk::{Address, BoxError, Context, Message, MessageBuilder, StatefulFunction, types};

/// Function `<namespace>/<pipeline>`: makes a record of each message, whatever its type.
pub(crate) struct Entry {
    pub(crate) plan: Arc<Plan>,
}

impl StatefulFunction for Entry {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if self.plan.has_routes() {
            self.route(context, &message)?;
        }
        let caller = context.caller().cloned();
        enter(&self.plan, &message, caller.as_ref(), &|_| true)?.send(context);
        Ok(())
    }
}

impl Entry {
    /// Gives a copy of the record to each pipeline for its topic. They answer nobody, as in EdgeX.
    fn route(&self, context: &mut Context, message: &Message) -> Result<(), BoxError> {
        let Ok(mut record) = record_of(message) else {
            return Ok(()); // the pipeline itself keeps it
        };
        record.extras_mut().is_routed = true;
        let topic = record.value("receivedtopic").unwrap_or_default().to_owned();
        for pipeline in self.plan.routed(&topic) {
            let to = Address::new(pipeline.clone(), context.address().id());
            context.send(MessageBuilder::to(to).value_as(&RECORD, &record)?);
        }
        Ok(())
    }
}

/// The message that follows from a message to the pipeline: it passes on the record or keeps it; `None` if the pipeline is done with it.
/// There are no other effects, so this may be computed wherever the message is. For `suits` see [`Plan::entering`].
pub(crate) fn enter(
    plan: &Plan,
    message: &Message,
    caller: Option<&Address>,
    suits: &dyn Fn(&Address) -> bool,
) -> Result<Onward, BoxError> {
    let (record, failure) = match record_of(message) {
        Ok(record) => (record, None),
        Err(err) => {
            // Without a value there are no bytes to keep, but the reason is kept.
            let raw = Record::new(message.raw_value().unwrap_or_default());
            (raw, Some(Failure::permanent("decode", err.to_string())))
        }
    };
    plan.entering(plan.called_by(record, caller), failure, suits)
}

/// Makes a record of a message: text and numbers as written, records unchanged, everything else as its bytes.
fn record_of(message: &Message) -> Result<Record, BoxError> {
    let value = message.raw_value();
    let value = value.ok_or("the message has no value; a pipeline requires one")?;
    let json = |text: String| Record::new(text).with_content_type(content_type::JSON);
    Ok(match message.value_type_name() {
        name if name == RECORD.name().as_str() => Record::decode(value)?,
        name if name == types::STRING.name().as_str() => {
            Record::new(message.require(&types::STRING)?).with_content_type(content_type::TEXT)
        }
        name if name == types::BOOL.name().as_str() => {
            json(message.require(&types::BOOL)?.to_string())
        }
        name if name == types::INT.name().as_str() => {
            json(message.require(&types::INT)?.to_string())
        }
        name if name == types::LONG.name().as_str() => {
            json(message.require(&types::LONG)?.to_string())
        }
        name if name == types::FLOAT.name().as_str() => {
            json(message.require(&types::FLOAT)?.to_string())
        }
        name if name == types::DOUBLE.name().as_str() => {
            json(message.require(&types::DOUBLE)?.to_string())
        }
        "statefun/json" => Record::new(value).with_content_type(content_type::JSON),
        _ => Record::new(value),
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use bytes::Bytes;

    use crate::sdk::{Address, MessageBuilder, TypeName, TypedBytes};

    #[derive(Serialize, Deserialize)]
    struct Order {
        total: u32,
    }

    #[test]
    fn every_kind_of_message_is_a_record() {
        let to = || MessageBuilder::to(Address::new(TypeName::new("pipelines/p"), "x"));
        let json = types::json::<Order>("statefun/json");
        for (message, payload, content_type) in [
            (to().value("text"), "text", "text/plain; charset=utf-8"),
            (to().value(true), "true", "application/json"),
            (to().value(-7), "-7", "application/json"),
            (to().value(1.5), "1.5", "application/json"),
            (
                to().value_as(&json, Order { total: 3 }).unwrap(),
                r#"{"total":3}"#,
                "application/json",
            ),
            (
                to().raw("acme/bytes", b"\x01"),
                "\u{1}",
                "application/octet-stream",
            ),
            (
                to().value_as(&RECORD, Record::new("r").with_content_type("x/y"))
                    .unwrap(),
                "r",
                "x/y",
            ),
        ] {
            let record = record_of(&message).unwrap();
            assert_eq!(record.payload(), payload);
            assert_eq!(record.content_type(), content_type);
        }
        assert!(record_of(&to().raw("statefun.pipelines/record", b"\xff")).is_err());
    }

    #[test]
    fn a_message_without_a_value_is_not_an_empty_record() {
        let to = Address::new(TypeName::new("pipelines/p"), "x");
        let message = Message::new(to, TypedBytes::parse(Bytes::new()).unwrap());
        for fault in [record_of(&message), Record::of(&message)] {
            let fault = fault.unwrap_err().to_string();
            assert!(fault.starts_with("the message has no value"), "{fault}");
        }
    }
}
