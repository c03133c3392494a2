//! Sends a text to the egress `statefun.samples/out` after a while, unless it is cancelled before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sdk::{
    BoxError, CancellationToken, Context, EgressMessageBuilder, FunctionSpec, Message,
    MessageBuilder, Type, TypeName, ValueSpec, types,
};
use crate::time::span;

const OUT: TypeName = TypeName::new("statefun.samples/out");
/// What the reminder sends to itself.
const DUE: Type<Reminder> = types::json("statefun.samples/due");
/// The reminder that waits, if one does.
const WAITING: ValueSpec<Reminder> = ValueSpec::new("waiting", DUE);
/// How many reminders were set at this id so far.
const SET: ValueSpec<i64> = ValueSpec::new("set", types::LONG);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reminder {
    /// A delayed message that was on its way when it was cancelled has an older number.
    number: u64,
    text: String,
}

/// What someone asks for.
#[derive(Debug, PartialEq)]
enum Wish {
    Remind {
        after: Duration,
        text: String,
    },
    /// The wait cannot be read; why.
    Wrong(String),
    Cancel,
}

/// A wish as JSON.
#[derive(Deserialize)]
struct JsonWish {
    after: String,
    text: String,
}

const HOW: &str = "write `in 5s TEXT`, `cancel`, or JSON {\"after\": \"5s\", \"text\": \"TEXT\"}";

pub(super) fn spec() -> FunctionSpec {
    FunctionSpec::new(TypeName::new("statefun.samples/reminder"), remind)
        .value(WAITING)
        .value(SET)
}

async fn remind(context: &mut Context, message: Message) -> Result<(), BoxError> {
    if message.is(&DUE) && context.caller() == Some(context.address()) {
        return fire(context, &message.require(&DUE)?);
    }
    match wish(&message) {
        Some(Wish::Remind { after, text }) => set(context, after, text),
        Some(Wish::Cancel) => {
            let told = if drop_waiting(context)? {
                "cancelled"
            } else {
                "nothing to cancel"
            };
            context.reply(told);
            Ok(())
        }
        Some(Wish::Wrong(why)) => {
            context.reply(why);
            Ok(())
        }
        None => {
            context.reply(HOW);
            Ok(())
        }
    }
}

fn set(context: &mut Context, after: Duration, text: String) -> Result<(), BoxError> {
    let replaced = drop_waiting(context)?;
    let number = context.storage().get(&SET)?.unwrap_or(0).saturating_add(1);
    context.storage().set(&SET, number)?;
    let reminder = Reminder {
        number: number.unsigned_abs(),
        text,
    };
    let to_self = MessageBuilder::to(context.address().clone()).value_as(&DUE, &reminder)?;
    let token = token(context, &reminder);
    context.send_after_with_token(after, token, to_self)?;
    context.storage().set(&WAITING, reminder)?;
    let instead = if replaced { " instead" } else { "" };
    let after = match after {
        Duration::ZERO => "0s".to_owned(), // and not in no nanoseconds
        after => format!("{after:?}"),
    };
    context.reply(format!("reminding in {after}{instead}"));
    Ok(())
}

fn fire(context: &mut Context, due: &Reminder) -> Result<(), BoxError> {
    if context.storage().get(&WAITING)?.as_ref() == Some(due) {
        context.storage().remove(&WAITING)?;
        context.send_egress(EgressMessageBuilder::to(OUT).value(due.text.clone()));
    }
    Ok(())
}

/// Cancels the reminder that waits; whether there was one.
fn drop_waiting(context: &mut Context) -> Result<bool, BoxError> {
    let Some(waiting) = context.storage().get(&WAITING)? else {
        return Ok(false);
    };
    let token = token(context, &waiting);
    context.cancel_delayed_message(&token);
    context.storage().remove(&WAITING)?;
    Ok(true)
}

fn token(context: &Context, reminder: &Reminder) -> CancellationToken {
    CancellationToken::of(context.address(), reminder.number)
}

fn wish(message: &Message) -> Option<Wish> {
    let text = match message.get(&types::STRING) {
        Ok(text) => text?,
        Err(_) => String::from_utf8(message.raw_value()?.to_vec()).ok()?,
    };
    let text = text.trim();
    if text == "cancel" {
        return Some(Wish::Cancel);
    }
    if let Some(rest) = text.strip_prefix("in ") {
        let (after, text) = rest.trim_start().split_once(char::is_whitespace)?;
        return remind_after(after, text.trim());
    }
    let json: JsonWish = serde_json::from_str(text).ok()?;
    remind_after(&json.after, &json.text)
}

fn remind_after(after: &str, text: &str) -> Option<Wish> {
    let text = text.to_owned();
    match span::parse(after) {
        Ok(after) => Some(Wish::Remind { after, text }),
        Err(err) if after.starts_with(|first: char| first.is_ascii_digit()) => {
            Some(Wish::Wrong(err.to_string()))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::Address;

    fn wish_of(text: &str) -> Option<Wish> {
        let me = Address::new(TypeName::new("statefun.samples/reminder"), "me");
        let json = MessageBuilder::to(me.clone()).raw("statefun/json", text.as_bytes());
        let plain = wish(&MessageBuilder::to(me).value(text));
        assert_eq!(wish(&json), plain, "text and bytes mean the same");
        plain
    }

    #[test]
    fn wishes_are_read_from_text_and_json() {
        let tea = Some(Wish::Remind {
            after: Duration::from_secs(90),
            text: "drink your tea".to_owned(),
        });
        assert_eq!(wish_of("in 1m30s drink your tea"), tea);
        assert_eq!(
            wish_of(r#"{"after": "90s", "text": "drink your tea"}"#),
            tea
        );
        assert_eq!(wish_of(" cancel\n"), Some(Wish::Cancel));
        let too_long = wish_of("in 9000000h far");
        assert!(
            matches!(&too_long, Some(Wish::Wrong(why)) if why.contains("longer than")),
            "{too_long:?}"
        );
        for nonsense in ["", "in 5s", "in five seconds tea", "{}", "remind me"] {
            assert_eq!(wish_of(nonsense), None, "{nonsense}");
        }
    }
}
