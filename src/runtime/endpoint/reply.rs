//! Reads the replies of functions of this process. They have the form in which the handler writes them: each field once, and few kinds of them in most
//! replies. Read by hand that costs a third of the generated decoder, which reads everything else.

use bytes::Bytes;
use prost::{DecodeError, Message as _};

use crate::protocol::reqreply::from_function::{
    EgressMessage, Invocation, InvocationResponse, PersistedValueMutation, Response,
};
use crate::protocol::reqreply::{Address, FromFunction};
use crate::sdk::{Field, Fields, WireAddress, WireError};

const RESULT: u32 = 100;
// The fields of a result.
const MUTATION: u32 = 1;
const MESSAGE: u32 = 2;
const EGRESS: u32 = 4;

/// The reply in `bytes`, which the handler has written.
pub(super) fn read(bytes: Bytes) -> Result<FromFunction, DecodeError> {
    match usual(&bytes) {
        Ok(Some(result)) => Ok(FromFunction {
            response: Some(Response::InvocationResult(result)),
        }),
        _ => FromFunction::decode(bytes),
    }
}

/// `None` if there is anything else in it.
fn usual(bytes: &Bytes) -> Result<Option<InvocationResponse>, WireError> {
    let mut fields = Fields::of(bytes);
    let Some((RESULT, Field::Bytes(result))) = fields.next()? else {
        return Ok(None);
    };
    if fields.next()?.is_some() {
        return Ok(None);
    }
    let mut read = InvocationResponse::default();
    let mut fields = Fields::of(result);
    while let Some((number, field)) = fields.next()? {
        let entry = field.bytes()?;
        match number {
            MUTATION => read.state_mutations.push(mutation(bytes, entry)?),
            MESSAGE => read.outgoing_messages.push(message(bytes, entry)?),
            EGRESS => read.outgoing_egresses.push(egress(bytes, entry)?),
            _ => return Ok(None),
        }
    }
    Ok(Some(read))
}

fn mutation(bytes: &Bytes, entry: &[u8]) -> Result<PersistedValueMutation, WireError> {
    let mut read = PersistedValueMutation::default();
    let mut fields = Fields::of(entry);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Varint(kind @ ..=1)) => read.mutation_type = i32::from(kind == 1),
            (2, field) => field.text()?.clone_into(&mut read.state_name),
            (3, field) => read.state_value = Some(bytes.slice_ref(field.bytes()?)),
            _ => return Err(UNUSUAL),
        }
    }
    Ok(read)
}

fn message(bytes: &Bytes, entry: &[u8]) -> Result<Invocation, WireError> {
    let mut read = Invocation::default();
    let mut fields = Fields::of(entry);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => read.target = Some(address(WireAddress::read(field.bytes()?)?)),
            2 => read.argument = Some(bytes.slice_ref(field.bytes()?)),
            _ => return Err(UNUSUAL),
        }
    }
    Ok(read)
}

fn address(
    WireAddress {
        namespace,
        name,
        id,
    }: WireAddress<'_>,
) -> Address {
    Address {
        namespace: namespace.to_owned(),
        r#type: name.to_owned(),
        id: id.to_owned(),
    }
}

fn egress(bytes: &Bytes, entry: &[u8]) -> Result<EgressMessage, WireError> {
    let mut read = EgressMessage::default();
    let mut fields = Fields::of(entry);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => field.text()?.clone_into(&mut read.egress_namespace),
            2 => field.text()?.clone_into(&mut read.egress_type),
            3 => read.argument = Some(bytes.slice_ref(field.bytes()?)),
            _ => return Err(UNUSUAL),
        }
    }
    Ok(read)
}

const UNUSUAL: WireError = WireError("the handler writes no such field");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handler::RequestReplyHandler;
    use crate::runtime::core::{AddressKey, wire};
    use crate::sdk::{
        BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
        StatefulFunctions, TypeName, ValueSpec, types,
    };

    const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
    const GONE: ValueSpec<i32> = ValueSpec::new("gone", types::INT);

    /// Does what the text of a message says.
    async fn act(context: &mut Context, message: Message) -> Result<(), BoxError> {
        let target = || crate::sdk::Address::new(TypeName::new("t/neighbour"), "x".repeat(200));
        for word in message.require(&types::STRING)?.split(' ') {
            match word {
                "set" => context.storage().set(&SEEN, 7)?,
                "remove" => context.storage().remove(&GONE)?,
                "send" => context.send(MessageBuilder::to(target()).value("v".repeat(300))),
                "empty" => context.send(
                    MessageBuilder::to(crate::sdk::Address::new(TypeName::new("t/n"), ""))
                        .value(""),
                ),
                "egress" => context
                    .send_egress(EgressMessageBuilder::to(TypeName::new("t/e")).raw("t/v", b"out")),
                "later" => context.send_after(
                    Duration::from_secs(1),
                    MessageBuilder::to(target()).value(1),
                )?,
                _ => {}
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn replies_are_read_as_the_generated_decoder_reads_them() {
        let spec = FunctionSpec::new(TypeName::new("t/f"), act)
            .value(SEEN)
            .value(GONE);
        let handler = RequestReplyHandler::new(StatefulFunctions::new().with(spec).unwrap());
        let seven = types::typed(&7).raw().clone();
        let states = [("seen", None), ("gone", Some(seven))];
        for words in [
            "",
            "set",
            "remove set",
            "send empty send",
            "egress set",
            "later",
            "later set send",
        ] {
            let invocation = wire::invocation(None, types::typed(&words).raw());
            let target = AddressKey::new("t", "f", "id");
            let request = wire::request(&target, &states, [invocation].iter());
            let reply = handler.handle(request).await.unwrap();
            let is_usual = usual(&reply).unwrap().is_some();
            assert_eq!(is_usual, !words.contains("later"), "{words}");
            assert_eq!(read(reply.clone()), FromFunction::decode(reply), "{words}");
        }
        let incomplete = wire::request(&AddressKey::new("t", "f", "id"), &[], [].iter());
        let reply = handler.handle(incomplete).await.unwrap();
        assert_eq!(read(reply.clone()), FromFunction::decode(reply));
        assert_eq!(read(Bytes::new()), FromFunction::decode(Bytes::new()));
        assert!(read(Bytes::from_static(b"\xff")).is_err());
    }
}
