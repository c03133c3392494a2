//! Greets the one whose id it is called at, and counts the visits.

use crate::sdk::{BoxError, Context, FunctionSpec, Message, TypeName, ValueSpec, types};

const VISITS: ValueSpec<i32> = ValueSpec::new("visits", types::INT);

pub(super) fn spec() -> FunctionSpec {
    FunctionSpec::new(TypeName::new("statefun.samples/greeter"), greet).value(VISITS)
}

async fn greet(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    let visits = context
        .storage()
        .get(&VISITS)?
        .unwrap_or(0)
        .saturating_add(1);
    context.storage().set(&VISITS, visits)?;
    let text = format!("Hello {}, visit {visits}", context.address().id());
    context.reply(text);
    Ok(())
}
