//! Adds the numbers it is sent and answers with the total.

use crate::sdk::{BoxError, Context, FunctionSpec, Message, TypeName, ValueSpec, types};

const TOTAL: ValueSpec<i64> = ValueSpec::new("total", types::LONG);

pub(super) fn spec() -> FunctionSpec {
    FunctionSpec::new(TypeName::new("statefun.samples/counter"), add).value(TOTAL)
}

async fn add(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let Some(number) = number(&message) else {
        context.reply("not a whole number; the total stays as it is");
        return Ok(());
    };
    let total = context.storage().get(&TOTAL)?.unwrap_or(0);
    let Some(total) = total.checked_add(number) else {
        context.reply("the total would be beyond 64 bits; it stays as it is");
        return Ok(());
    };
    context.storage().set(&TOTAL, total)?;
    context.reply(total);
    Ok(())
}

/// `io.statefun.types/int`, `/long`, or the digits of a number as text or JSON.
fn number(message: &Message) -> Option<i64> {
    if message.is(&types::INT) {
        return message.get(&types::INT).ok()?.map(i64::from);
    }
    if message.is(&types::LONG) {
        return message.get(&types::LONG).ok()?;
    }
    if message.is(&types::STRING) {
        return message.get(&types::STRING).ok()??.trim().parse().ok();
    }
    let bytes = message.raw_value()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}
