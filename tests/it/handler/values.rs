//! States of functions: what is stored, missing, set, removed, and of which type.

use prost::Message as _;
use stateful_functions::protocol::reqreply::TypedValue;
use stateful_functions::protocol::reqreply::from_function::InvocationResponse;
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use stateful_functions::protocol::reqreply::from_function::persisted_value_mutation::MutationType;
use stateful_functions::{Context, FunctionSpec, Message, ValueSpec, types};

use super::{
    Batch, GREETER, LAST, NAME, SEEN, greet, greeter, handler, missing, text, told, typed,
};

#[tokio::test]
async fn sf_03_an_empty_stored_value_and_an_absent_one_stay_distinct() {
    let tell = async |context: &mut Context, _: Message| {
        let (name, last) = (context.storage().get(&NAME)?, context.storage().get(&LAST)?);
        context.storage().set(&LAST, String::new())?;
        context.send(told(format!("{name:?} {last:?}")));
        Ok(())
    };
    let result = Batch::default()
        .stored("name", &types::STRING, &String::new())
        .absent("last")
        .message("go")
        .run(FunctionSpec::new(GREETER, tell).value(NAME).value(LAST))
        .await;
    assert_eq!(
        text(result.outgoing_messages[0].argument.as_ref()),
        r#"Some("") None"#
    );
    assert_eq!(text(result.state_mutations[0].state_value.as_ref()), "");
}

#[tokio::test]
async fn a_stored_entry_without_a_value_counts_as_absent() {
    let mut batch = Batch::default().stored("name", &types::STRING, &"old".to_owned());
    let unset = TypedValue {
        has_value: false,
        ..typed(&types::STRING, &"old".to_owned())
    };
    batch.state[0].state_value = Some(unset.encode_to_vec().into());
    let tell = async |context: &mut Context, _: Message| {
        assert_eq!(context.storage().get(&NAME)?, None);
        Ok(())
    };
    let spec = FunctionSpec::new(GREETER, tell).value(NAME);
    assert_eq!(
        batch.message("go").run(spec).await,
        InvocationResponse::default()
    );
}

#[tokio::test]
async fn sf_10_missing_values_are_listed_in_declaration_order_and_nothing_runs() {
    let handler = handler(
        FunctionSpec::new(GREETER, async |_: &mut Context, _: Message| {
            panic!("it ran")
        })
        .value(NAME)
        .value(SEEN)
        .value(LAST),
    );
    let request = Batch::default()
        .absent("seen")
        .absent("other")
        .message("go")
        .encode();
    let reply = handler.handle(request).await.unwrap();
    assert_eq!(reply[..2], [0xAA, 0x06]);
    let names: Vec<_> = missing(reply)
        .into_iter()
        .map(|value| value.state_name)
        .collect();
    assert_eq!(names, ["name", "last"]);
}

#[tokio::test]
async fn sf_11_expirations_are_asked_for_with_mode_and_milliseconds() {
    let handler = handler(greeter().value(LAST).value(NAME));
    let asked = missing(
        handler
            .handle(Batch::default().message("go").encode())
            .await
            .unwrap(),
    );
    let expirations: Vec<_> = asked
        .iter()
        .map(|value| {
            value
                .expiration_spec
                .map(|spec| (spec.mode(), spec.expire_after_millis))
        })
        .collect();
    assert_eq!(
        expirations,
        [
            None,
            Some((ExpireMode::AfterWrite, 2)),
            Some((ExpireMode::AfterInvoke, 60_000))
        ]
    );
    assert_eq!(asked[0].type_typename, "io.statefun.types/int");
}

#[tokio::test]
async fn sf_12_later_invocations_see_earlier_writes_and_one_mutation_is_left() {
    let result = Batch::default()
        .stored("seen", &types::INT, &1)
        .message("a")
        .message("b")
        .run(greeter())
        .await;
    assert_eq!(result.state_mutations.len(), 1);
    let value = result.state_mutations[0].state_value.clone().unwrap();
    assert_eq!(TypedValue::decode(value).unwrap(), typed(&types::INT, &3));
    assert_eq!(
        text(result.outgoing_messages[1].argument.as_ref()),
        "hello, visit 3"
    );
}

#[tokio::test]
async fn sf_12_set_then_remove_deletes_remove_then_set_modifies_and_reading_leaves_nothing() {
    const MORE: ValueSpec<i64> = ValueSpec::new("more", types::LONG);
    let touch = async |context: &mut Context, _: Message| {
        let storage = context.storage();
        storage.get(&SEEN)?;
        storage.set(&NAME, "new".to_owned())?;
        storage.remove(&NAME)?;
        storage.remove(&LAST)?;
        assert_eq!(storage.get(&LAST)?, None);
        storage.set(&LAST, "kept".to_owned())?;
        assert_eq!(storage.get(&LAST)?.as_deref(), Some("kept"));
        storage.remove(&MORE)?;
        Ok(())
    };
    let spec = FunctionSpec::new(GREETER, touch)
        .value(SEEN)
        .value(LAST)
        .value(NAME)
        .value(MORE);
    let result = Batch::default()
        .stored("name", &types::STRING, &"old".to_owned())
        .stored("seen", &types::INT, &1)
        .stored("last", &types::STRING, &"old".to_owned())
        .absent("more")
        .message("go")
        .run(spec)
        .await;
    let left: Vec<_> = result
        .state_mutations
        .iter()
        .map(|left| {
            (
                left.state_name.as_str(),
                left.mutation_type(),
                left.state_value.is_some(),
            )
        })
        .collect();
    assert_eq!(
        left,
        [
            ("last", MutationType::Modify, true),
            ("name", MutationType::Delete, false),
            ("more", MutationType::Delete, false)
        ]
    );
}

#[tokio::test]
async fn sf_13_a_stored_value_of_another_type_is_an_error_that_names_both() {
    let batch = Batch::default()
        .stored("seen", &types::LONG, &1)
        .message("go");
    assert_eq!(
        batch.fail(greeter()).await,
        "function example/greeter/bob failed on message 1 of 1: stored value `seen` of example/greeter: \
         expected io.statefun.types/int, got io.statefun.types/long"
    );
}

#[tokio::test]
async fn sf_13_an_undeclared_value_is_an_error_that_names_the_declared_ones() {
    let spec = FunctionSpec::new(GREETER, greet).value(NAME).value(LAST);
    let batch = Batch::default().absent("name").absent("last").message("go");
    let line = batch.fail(spec).await;
    assert!(
        line.ends_with("value `seen` is not declared by example/greeter; declared: name, last"),
        "{line}"
    );
}

#[tokio::test]
async fn sf_13_a_value_declared_with_another_type_is_an_error_that_names_both() {
    const LONG_SEEN: ValueSpec<i64> = ValueSpec::new("seen", types::LONG);
    let set = async |context: &mut Context, _: Message| Ok(context.storage().set(&LONG_SEEN, 1)?);
    let line = Batch::default()
        .absent("seen")
        .message("go")
        .fail(FunctionSpec::new(GREETER, set).value(SEEN))
        .await;
    assert!(
        line.ends_with(
            "value `seen` of example/greeter is declared as io.statefun.types/int, and used as io.statefun.types/long"
        ),
        "{line}"
    );
}
