//! `test/ledger`: a function that records every message it gets, so that lost and duplicate ones show.
//!
//! A message is text: `<entry>`, optionally followed by an action. The entry is appended to the address's list and sent to the egress
//! `test/out`; then `relay <id>` sends `<entry>-relayed` to the ledger of another id, and `late <ms>` sends `<entry>-late` to
//! itself after that time. `read` writes nothing and answers with the list, one entry per line. Callers are answered with their entry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    StatefulFunctions, TypeName, ValueSpec, types,
};

/// Gets every entry of every ledger.
pub(crate) const OUT: TypeName = TypeName::new("test/out");
const LEDGER: TypeName = TypeName::new("test/ledger");
const ENTRIES: ValueSpec<String> = ValueSpec::new("entries", types::STRING);

/// The registry with `test/ledger`.
pub(crate) fn functions() -> StatefulFunctions {
    let ledger = FunctionSpec::new(LEDGER, write_down).value(ENTRIES);
    StatefulFunctions::new().with(ledger).unwrap()
}

async fn write_down(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let text = message.require(&types::STRING)?;
    let mut entries = context.storage().get(&ENTRIES)?.unwrap_or_default();
    if text == "read" {
        answer(context, entries);
        return Ok(());
    }
    let words: Vec<&str> = text.split(' ').collect();
    let mut entry = words[0].to_owned();
    match words[1..] {
        [] => {}
        ["relay", id] => {
            let other = MessageBuilder::to(Address::new(LEDGER, id));
            context.send(other.value(format!("{entry}-relayed")));
        }
        ["late", ms] => {
            let delay = Duration::from_millis(ms.parse()?);
            let due = (now() + delay).as_millis();
            let to_self = MessageBuilder::to(context.address().clone());
            context.send_after(delay, to_self.value(format!("{entry}-late due {due}")))?;
        }
        ["due", ms] if now().as_millis() < ms.parse()? => entry.push_str("-too-early"),
        ["due", _] => {}
        _ => return Err(format!("no such order: {text}").into()),
    }
    entries.push_str(&entry);
    entries.push('\n');
    context.storage().set(&ENTRIES, entries)?;
    context.send_egress(EgressMessageBuilder::to(OUT).value(entry.clone()));
    answer(context, entry);
    Ok(())
}

fn answer(context: &mut Context, text: String) {
    let caller = context.caller().cloned();
    if let Some(gateway) = caller.filter(|caller| *caller.type_name() != LEDGER) {
        context.send(MessageBuilder::to(gateway).value(text));
    }
}

/// Wall time, in whole milliseconds as the runtime counts it.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Duration::from_millis(now.as_millis().try_into().unwrap())
}
