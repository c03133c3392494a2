//! What a batch asks the runtime to do, encoded for the wire.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::value_spec::whole_millis;
use super::wire::{field_len, put_bytes, put_header, put_text, put_varint, text_len, varint_len};
use super::{Address, CallSite, CancellationToken, EgressMessage, Message, SdkError};

/// Three lists of encoded entries, each in call order: fields 2, 3 and 4 of `InvocationResponse`.
#[derive(Default)]
pub(crate) struct Effects {
    messages: Vec<u8>,
    delayed: Vec<u8>,
    egresses: Vec<u8>,
    /// Tokens armed and not cancelled since, with the call that armed them.
    armed: BTreeMap<CancellationToken, &'static Location<'static>>,
}

/// A point in [`Effects`] to return to.
pub(crate) struct Mark {
    messages: usize,
    delayed: usize,
    egresses: usize,
    armed: BTreeMap<CancellationToken, &'static Location<'static>>,
}

const MESSAGE: u8 = 2;
const DELAYED: u8 = 3;
const EGRESS: u8 = 4;

impl Effects {
    pub(crate) fn send(&mut self, message: &Message) {
        let target = message.target();
        let (target_len, typed) = (address_len(target), message.typed().raw());
        let len = field_len(target_len) + field_len(typed.len());
        let out = room(&mut self.messages, len);
        put_header(out, MESSAGE, len);
        put_address(out, 1, target, target_len);
        put_bytes(out, 2, typed);
    }

    pub(crate) fn send_after(
        &mut self,
        delay: Duration,
        message: &Message,
    ) -> Result<(), SdkError> {
        self.delay(delay, message, "")
    }

    /// `sender` is for the text of an error; `call` is where the user's program arms the token.
    pub(crate) fn send_after_with_token(
        &mut self,
        delay: Duration,
        token: CancellationToken,
        message: &Message,
        sender: &Address,
        call: &'static Location<'static>,
    ) -> Result<(), SdkError> {
        match self.armed.entry(token.clone()) {
            Entry::Occupied(first) => {
                return Err(SdkError::TokenArmedTwice {
                    token: token.to_string(),
                    address: sender.clone(),
                    first: CallSite(first.get()),
                    second: CallSite(call),
                });
            }
            Entry::Vacant(free) => _ = free.insert(call),
        }
        self.delay(delay, message, token.as_str())
            .inspect_err(|_| _ = self.armed.remove(&token))
    }

    fn delay(&mut self, delay: Duration, message: &Message, token: &str) -> Result<(), SdkError> {
        let millis = whole_millis(delay).ok_or(SdkError::DelayTooLong)?;
        let millis = usize::try_from(millis).map_err(|_| SdkError::DelayTooLong)?;
        let target = message.target();
        let (target_len, typed) = (address_len(target), message.typed().raw());
        let millis_len = if millis == 0 {
            0
        } else {
            1 + varint_len(millis)
        };
        let len = millis_len + field_len(target_len) + field_len(typed.len()) + text_len(token);
        let out = room(&mut self.delayed, len);
        put_header(out, DELAYED, len);
        if millis > 0 {
            out.push(DELAY_IN_MS);
            put_varint(out, millis);
        }
        put_address(out, 2, target, target_len);
        put_bytes(out, 3, typed);
        put_text(out, TOKEN, token);
        Ok(())
    }

    pub(crate) fn cancel(&mut self, token: &CancellationToken) {
        self.armed.remove(token);
        let out = &mut self.delayed;
        put_header(
            out,
            DELAYED,
            IS_CANCELLATION.len() + text_len(token.as_str()),
        );
        out.extend_from_slice(IS_CANCELLATION);
        put_text(out, TOKEN, token.as_str());
    }

    pub(crate) fn send_egress(&mut self, message: &EgressMessage) {
        let (egress, typed) = (message.egress(), message.typed().raw());
        let (namespace, name) = (egress.namespace(), egress.name());
        let len = text_len(namespace) + text_len(name) + field_len(typed.len());
        let out = room(&mut self.egresses, len);
        put_header(out, EGRESS, len);
        put_text(out, 1, namespace);
        put_text(out, 2, name);
        put_bytes(out, 3, typed);
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            messages: self.messages.len(),
            delayed: self.delayed.len(),
            egresses: self.egresses.len(),
            armed: self.armed.clone(),
        }
    }

    /// Discards everything after `mark`.
    pub(crate) fn restore(&mut self, mark: Mark) {
        self.messages.truncate(mark.messages);
        self.delayed.truncate(mark.delayed);
        self.egresses.truncate(mark.egresses);
        self.armed = mark.armed;
    }

    /// The lists in the order in which the runtime applies them.
    pub(crate) fn lists(&self) -> [&[u8]; 3] {
        [&self.messages, &self.delayed, &self.egresses]
    }
}

/// Sizes only: values may be secrets.
impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [messages, delayed, egresses] = self.lists().map(<[u8]>::len);
        write!(f, "Effects({messages} + {delayed} + {egresses} bytes)")
    }
}

/// Key of `DelayedInvocation.delay_in_ms`.
const DELAY_IN_MS: u8 = 1 << 3;
/// `is_cancellation_request = true`.
const IS_CANCELLATION: &[u8] = &[10 << 3, 1];
/// Number of `cancellation_token`.
const TOKEN: u8 = 11;

/// `list` with room for an entry of `len` bytes, and at first for some more.
fn room(list: &mut Vec<u8>, len: usize) -> &mut Vec<u8> {
    const HEADER: usize = 11;
    const FIRST: usize = 256;
    let least = if list.capacity() == 0 { FIRST } else { 0 };
    list.reserve(least.max(HEADER + len));
    list
}

fn address_len(address: &Address) -> usize {
    let type_name = address.type_name();
    text_len(type_name.namespace()) + text_len(type_name.name()) + text_len(address.id())
}

fn put_address(out: &mut Vec<u8>, number: u8, address: &Address, len: usize) {
    put_header(out, number, len);
    put_text(out, 1, address.type_name().namespace());
    put_text(out, 2, address.type_name().name());
    put_text(out, 3, address.id());
}
