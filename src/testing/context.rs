//! Runs one function on one message at a time, without a server.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::side_effects::{DelayedMessage, Scheduled, SideEffects};
use crate::handler::{HandlerError, RequestReplyHandler};
use crate::protocol::reqreply::from_function::Response;
use crate::protocol::reqreply::from_function::persisted_value_mutation::MutationType;
use crate::protocol::reqreply::to_function::{
    Invocation, InvocationBatchRequest, PersistedValue, Request,
};
use crate::protocol::reqreply::{Address as WireAddress, FromFunction, ToFunction};
use crate::sdk::{
    Address, AddressScopedStorage, BoxError, Cell, Expiration, FunctionSpec, Message,
    MessageBuilder, SdkError, StatefulFunctions, TypedBytes,
};
use crate::time::Timestamp;

/// Tests a single function at one address: pass it a message and get its effects as values; its state is kept here.
///
/// Each message takes the full path: it is encoded as by a runtime, handled, and the reply is decoded. Time is virtual and moves only
/// with [`TestContext::advance`]; then values expire and delayed messages become due.
///
/// ```
/// use std::time::Duration;
/// use stateful_functions::testing::TestContext;
/// use stateful_functions::{
///     Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, TypeName, ValueSpec, types,
/// };
///
/// const GREETER: TypeName = TypeName::new("example/greeter");
/// const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
///
/// async fn greet(context: &mut Context, message: Message) -> Result<(), BoxError> {
///     let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
///     context.storage().set(&SEEN, seen)?;
///     let caller = context.caller().ok_or("nobody to answer")?.clone();
///     context.send(MessageBuilder::to(caller).value(seen));
///     let again = MessageBuilder::to(context.address().clone()).forward(&message);
///     context.send_after(Duration::from_secs(60), again)?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let amy = Address::new(TypeName::new("example/person"), "amy");
/// let mut test = TestContext::new(FunctionSpec::new(GREETER, greet).value(SEEN), "bob")?.with_caller(amy.clone());
/// test.storage().set(&SEEN, 2)?;
///
/// let effects = test.invoke(test.message().value("hi")).await?;
///
/// assert_eq!(effects.messages, [MessageBuilder::to(amy).value(3)]);
/// assert_eq!(test.storage().get(&SEEN)?, Some(3));
/// assert_eq!(test.advance(Duration::from_secs(60)), [test.message().value("hi")]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestContext {
    handler: RequestReplyHandler,
    address: Address,
    caller: Option<Address>,
    now: Timestamp,
    storage: AddressScopedStorage,
    /// When each value was last written, or used in a call, in order of declaration.
    stamps: Vec<Timestamp>,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    due: Timestamp,
    delayed: DelayedMessage,
}

impl TestContext {
    /// The function `spec` at `id`, without stored values and without a caller. The time is the UNIX epoch.
    ///
    /// # Errors
    /// If the function cannot be registered: see [`StatefulFunctions::with`].
    pub fn new(spec: FunctionSpec, id: &str) -> Result<Self, SdkError> {
        let absent = vec![Cell::Stored(None); spec.values().len()];
        let function = spec.type_name().clone();
        Ok(Self {
            address: Address::new(function.clone(), id),
            caller: None,
            now: Timestamp::default(),
            stamps: vec![Timestamp::default(); absent.len()],
            storage: AddressScopedStorage::new(function, spec.shared_values(), absent),
            pending: Vec::new(),
            handler: StatefulFunctions::new().with(spec)?.into(),
        })
    }

    /// Sets the caller of all messages.
    #[must_use]
    pub fn with_caller(mut self, caller: Address) -> Self {
        self.caller = Some(caller);
        self
    }

    /// Sets the caller of further messages; `None` for an ingress.
    pub fn set_caller(&mut self, caller: Option<Address>) {
        self.caller = caller;
    }

    /// The function's address.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// A message to the function.
    pub fn message(&self) -> MessageBuilder {
        MessageBuilder::to(self.address.clone())
    }

    /// The stored values of the function, to read and to prepare.
    pub fn storage(&mut self) -> &mut AddressScopedStorage {
        self.settle();
        &mut self.storage
    }

    /// The virtual time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Delayed messages that are not due yet, in the order in which they were sent.
    pub fn pending(&self) -> impl Iterator<Item = &DelayedMessage> {
        self.pending.iter().map(|pending| &pending.delayed)
    }

    /// Moves the time forward and returns the delayed messages that are then due, in the order of delivery.
    ///
    /// To deliver one to the function, set the function as its own caller and invoke it.
    pub fn advance(&mut self, time: Duration) -> Vec<Message> {
        self.settle();
        self.now = self.now + time;
        self.settle();
        let (mut due, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<Vec<_>, _>(|pending| pending.due <= self.now);
        self.pending = later;
        due.sort_by_key(|pending| pending.due);
        due.into_iter()
            .map(|pending| pending.delayed.message)
            .collect()
    }

    /// Calls the function with `message`, whatever its target.
    ///
    /// # Errors
    /// The function's error, the text of its panic, or something that the runtime would refuse, such as arming a pending token. State
    /// and pending messages are then unchanged.
    pub async fn invoke(&mut self, message: Message) -> Result<SideEffects, BoxError> {
        self.settle();
        let reply = self.handler.handle(self.request(&message)).await;
        let reply = FromFunction::decode(reply.map_err(cause)?)?;
        let Some(Response::InvocationResult(reply)) = reply.response else {
            return Err("the function did not take its values as they are".into());
        };
        let mutations = reply.state_mutations.clone();
        let (effects, schedule) = SideEffects::read(reply)?;
        self.pending = self.scheduled(schedule)?;
        self.touch();
        for mutation in mutations {
            let cell = match mutation.mutation_type() {
                MutationType::Delete => None,
                MutationType::Modify => {
                    Some(TypedBytes::parse(mutation.state_value.unwrap_or_default())?)
                }
            };
            self.store(&mutation.state_name, cell);
        }
        Ok(effects)
    }

    fn request(&self, message: &Message) -> Bytes {
        let state = self
            .storage
            .values()
            .map(|(declared, cell)| PersistedValue {
                state_name: declared.name.to_string(),
                state_value: match cell {
                    Cell::Stored(Some(typed)) => Some(typed.raw().clone()),
                    Cell::Stored(None) | Cell::Written(_) | Cell::Removed => None,
                },
            });
        let caller = self.caller.as_ref().map(wire);
        let batch = InvocationBatchRequest {
            target: Some(wire(&self.address)),
            state: state.collect(),
            invocations: vec![Invocation {
                caller: caller.map(|caller| caller.encode_to_vec().into()),
                argument: Some(message.typed().raw().clone()),
            }],
        };
        let request = Some(Request::Invocation(batch));
        ToFunction { request }.encode_to_vec().into()
    }

    /// The pending messages after applying `schedule`.
    fn scheduled(&mut self, schedule: Vec<Scheduled>) -> Result<Vec<Pending>, BoxError> {
        let before = self.pending.iter().map(|pending| Pending {
            due: pending.due,
            delayed: pending.delayed.clone(),
        });
        let mut left: Vec<Pending> = before.collect();
        for entry in schedule {
            match entry {
                Scheduled::Cancel(token) => {
                    left.retain(|pending| pending.delayed.token.as_ref() != Some(&token));
                }
                Scheduled::Arm(delayed) => {
                    let armed = |pending: &Pending| pending.delayed.token == delayed.token;
                    if let Some(token) = &delayed.token
                        && left.iter().any(armed)
                    {
                        return Err(format!(
                            "cancellation token `{token}` is armed while a message with the same cancellation token exists; \
                             on the Flink runtime this kills the job: cancel it first or use another token"
                        )
                        .into());
                    }
                    left.push(Pending {
                        due: self.now + delayed.delay,
                        delayed,
                    });
                }
            }
        }
        Ok(left)
    }

    /// A call renews values that expire after calls.
    fn touch(&mut self) {
        for ((declared, _), stamp) in self.storage.values().zip(&mut self.stamps) {
            if let Expiration::AfterCall(_) = declared.expiration {
                *stamp = self.now;
            }
        }
    }

    fn store(&mut self, name: &str, value: Option<TypedBytes>) {
        let mut values = self.storage.values_mut().zip(&mut self.stamps);
        if let Some(((_, cell), stamp)) = values.find(|((declared, _), _)| declared.name == name) {
            *cell = Cell::Stored(value);
            *stamp = self.now;
        }
    }

    /// Values written by the test count as written now; expired ones are removed.
    fn settle(&mut self) {
        for ((declared, cell), stamp) in self.storage.values_mut().zip(&mut self.stamps) {
            if let Cell::Written(bytes) = cell {
                let written = TypedBytes::of_bytes(declared.type_name.as_str(), bytes);
                *cell = Cell::Stored(Some(written));
                *stamp = self.now;
            }
            let lives = match declared.expiration {
                Expiration::Never => true,
                Expiration::AfterWrite(ttl) | Expiration::AfterCall(ttl) => {
                    self.now < *stamp + ttl.as_duration()
                }
            };
            if !lives {
                *cell = Cell::Removed;
            }
        }
    }
}

fn wire(address: &Address) -> WireAddress {
    WireAddress {
        namespace: address.type_name().namespace().to_owned(),
        r#type: address.type_name().name().to_owned(),
        id: address.id().to_owned(),
    }
}

/// The function's own error, if it is one.
fn cause(error: HandlerError) -> BoxError {
    match error {
        HandlerError::Function { source, .. } => source,
        other => other.into(),
    }
}
