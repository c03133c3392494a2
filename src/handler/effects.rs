//! Replies: the effects of a batch, or the values that it needs first.

use bytes::Bytes;
use prost::Message as _;

use crate::protocol::reqreply::FromFunction;
use crate::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use crate::protocol::reqreply::from_function::{
    ExpirationSpec, IncompleteInvocationContext, PersistedValueSpec, Response,
};
use crate::sdk::{Context, DeclaredValue, Expiration, TimeToLive, put_varint, varint_len};

/// Key of `FromFunction.invocation_result`: field 100.
const INVOCATION_RESULT: &[u8] = &[0xA2, 0x06];

/// The `FromFunction` with the effects of a batch that succeeded.
pub(super) fn reply(context: &Context) -> Bytes {
    let (storage, lists) = (context.stored(), context.effects().lists());
    let len = storage.mutations_len() + lists.iter().map(|list| list.len()).sum::<usize>();

    let mut out = Vec::with_capacity(INVOCATION_RESULT.len() + varint_len(len) + len);
    out.extend_from_slice(INVOCATION_RESULT);
    put_varint(&mut out, len);
    storage.put_mutations(&mut out);
    for list in lists {
        out.extend_from_slice(list);
    }
    out.into()
}

/// The `FromFunction` that asks for `missing` values.
pub(super) fn incomplete(missing: &[&DeclaredValue]) -> Bytes {
    let missing_values = missing.iter().map(|value| to_wire(value)).collect();
    let context = IncompleteInvocationContext { missing_values };
    let reply = FromFunction {
        response: Some(Response::IncompleteInvocationContext(context)),
    };
    reply.encode_to_vec().into()
}

fn to_wire(value: &DeclaredValue) -> PersistedValueSpec {
    PersistedValueSpec {
        state_name: value.name.to_string(),
        expiration_spec: expiration(value.expiration),
        type_typename: value.type_name.to_string(),
    }
}

/// `Never` is left out, as Java and JavaScript do.
fn expiration(expiration: Expiration) -> Option<ExpirationSpec> {
    let (mode, ttl) = match expiration {
        Expiration::Never => return None,
        Expiration::AfterWrite(ttl) => (ExpireMode::AfterWrite, ttl),
        Expiration::AfterCall(ttl) => (ExpireMode::AfterInvoke, ttl),
    };
    Some(ExpirationSpec {
        mode: mode.into(),
        expire_after_millis: millis(ttl),
    })
}

fn millis(ttl: TimeToLive) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}
