//! Kind: a promise was made durable before it was kept.
//!
//! A declaration of a value was stored at once for the whole function type, even if its batch then failed. After a corrected function was
//! deployed, every id failed with "Previous type was …", and nothing could undo it, not even deleting all values. A changed expiration
//! was ignored while running, and stopped all ids at the next start. Now a declaration is stored with the batch that used it, and only an
//! address with a value of another type fails.

use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode::{
    AfterInvoke, AfterWrite, None as Never,
};
use stateful_functions::runtime::core::keys::SPECS;
use stateful_functions::runtime::core::{AdminChange, CoreSettings, FailurePolicy, Input};
use stateful_functions::storage::Rows as _;

use crate::core::{Rig, key_of};
use crate::support::reply::Reply;

fn declared(rig: &Rig) -> usize {
    rig.store.scan(SPECS, &[], None, 9).unwrap().len()
}

fn crash(rig: &mut Rig) {
    rig.sync();
    rig.crash();
    rig.seen();
}

/// Calls the function of `target`, which declares and then answers. Gives the values that went with the second call.
fn visit(rig: &mut Rig, target: &str, declares: Reply, reply: Reply) -> Vec<String> {
    rig.arrive(target, "");
    let call = rig.call_of(&format!("a/f/{target}"));
    rig.answer(&call, declares);
    let call = rig.call_of(&format!("a/f/{target}"));
    let values = call.values();
    let values = values.iter().map(|(_, value)| format!("{value:?}"));
    let values = values.collect();
    rig.answer(&call, reply);
    values
}

#[test]
fn a_declaration_is_stored_with_the_batch_that_used_it_and_not_before() {
    let mut rig = Rig::new();
    rig.arrive("x", "");
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["v"]));
    let call = rig.call();
    assert_eq!(declared(&rig), 0);
    rig.fail(&call);
    assert_eq!(declared(&rig), 0);
    rig.advance(1_000);
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["v"]));
    let call = rig.call();
    rig.answer(&call, Reply::new().set("v", "1"));
    assert_eq!(declared(&rig), 1);
}

#[test]
fn a_mended_function_goes_on_where_the_batch_with_the_wrong_declaration_failed() {
    let mut rig = Rig::new();
    rig.arrive("x", "");
    let call = rig.call();
    rig.answer(&call, Reply::needs_type("v", "wrong/type"));
    let call = rig.call();
    rig.fail(&call);
    rig.seen();
    rig.advance(1_000);
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["v"]));
    let call = rig.call();
    rig.answer(&call, Reply::new().set("v", "1"));
    crash(&mut rig);
    let values = visit(&mut rig, "x", Reply::needs(&["v"]), Reply::new());
    assert_eq!(
        (values, rig.seen()),
        (vec!["Some(\"1\")".to_owned()], vec![])
    );
}

#[test]
fn only_an_address_that_holds_a_value_of_the_old_type_fails_and_it_can_be_removed() {
    let mut rig = Rig::new();
    for id in ["x", "y"] {
        let old = Reply::new().set("v", "1");
        rig.arrive(id, "");
        let call = rig.call();
        if call.values().is_empty() {
            rig.answer(&call, Reply::needs(&["v"]));
            let call = rig.call();
            rig.answer(&call, old);
        } else {
            rig.answer(&call, old);
        }
    }
    crash(&mut rig);
    let new = || Reply::needs_type("v", "new/type");
    assert_eq!(visit(&mut rig, "z", new(), Reply::new()), ["None"]);
    rig.arrive("x", "");
    let told = rig.seen().concat();
    assert!(
        told.starts_with("a/f/x failed (1, Some(1000)): An error occurred for state [v].: Previous type was: TypeName(test, text), new type is: TypeName(new, type)"),
        "{told}"
    );
    rig.change(AdminChange::SetState {
        address: key_of("x"),
        name: "v".into(),
        value: None,
    });
    rig.advance(1_000);
    let call = rig.call_of("a/f/x");
    rig.answer(&call, new());
    let call = rig.call_of("a/f/x");
    assert_eq!(call.values(), [("v", None)]);
    rig.answer(&call, Reply::new());
    // The same while running: a replaced function fails once, and its states are then requested again.
    rig.arrive("z", "");
    let call = rig.call();
    rig.fail(&call);
    rig.advance(1_000);
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["v"]));
    assert_eq!(rig.call().values(), [("v", None)]);
}

#[test]
fn a_declaration_goes_when_no_value_is_left_and_no_function_makes_it_any_more() {
    let mut rig = Rig::new();
    let both = Reply::needs(&["stays", "goes"]);
    let reply = Reply::new()
        .set("stays", "1")
        .set("goes", "1")
        .remove("goes");
    visit(&mut rig, "x", both, reply);
    rig.step(Input::Sweep);
    assert_eq!(declared(&rig), 2, "they are in use");
    crash(&mut rig);
    rig.step(Input::Sweep);
    assert_eq!(declared(&rig), 1);
}

#[test]
fn an_operator_drops_a_declaration_and_the_function_declares_again() {
    let mut rig = Rig::new();
    visit(
        &mut rig,
        "x",
        Reply::needs(&["v"]),
        Reply::new().set("v", "1"),
    );
    let ticket = rig.change(AdminChange::ForgetDeclaration {
        namespace: "a".into(),
        name: "f".into(),
        value: "v".into(),
    });
    rig.sync();
    assert!(rig.seen().contains(&format!("changed {ticket}: Ok(())")));
    assert_eq!(declared(&rig), 0);
    let again = Reply::missing(&[("v", AfterWrite, 50)]);
    assert_eq!(visit(&mut rig, "x", again, Reply::new()), ["Some(\"1\")"]);
    assert_eq!(declared(&rig), 1);
}

#[test]
fn a_changed_expiration_counts_from_the_next_failure_or_start_on() {
    let mut rig = Rig::new();
    let hour = Reply::missing(&[("v", AfterWrite, 3_600_000)]);
    visit(&mut rig, "x", hour, Reply::new().set("v", "1"));
    rig.advance(2_000);
    rig.arrive("x", "");
    let call = rig.call();
    // Named once more, it is as it was.
    rig.answer(
        &call,
        Reply::missing(&[("v", AfterWrite, 1), ("w", Never, 0)]),
    );
    let call = rig.call();
    assert_eq!(call.values(), [("v", Some("1")), ("w", None)]);
    rig.fail(&call);
    rig.advance(1_000);
    let call = rig.call();
    rig.answer(&call, Reply::missing(&[("v", AfterWrite, 1)]));
    assert_eq!(rig.call().values(), [("v", None), ("w", None)]);
}

#[test]
fn expiration_that_is_switched_on_or_off_stops_nobody() {
    let mut rig = Rig::new();
    visit(
        &mut rig,
        "x",
        Reply::needs(&["v"]),
        Reply::new().set("v", "1"),
    );
    crash(&mut rig);
    for mode in [AfterWrite, AfterInvoke] {
        let on = Reply::missing(&[("v", mode, 100)]);
        assert_eq!(visit(&mut rig, "x", on, Reply::new()), ["Some(\"1\")"]);
        crash(&mut rig);
        rig.advance(50);
    }
    let off = Reply::needs(&["v"]);
    rig.advance(1_000);
    assert_eq!(visit(&mut rig, "x", off, Reply::new()), ["Some(\"1\")"]);
    crash(&mut rig);
    // It has been written, or was seen, long ago.
    let on = Reply::missing(&[("v", AfterWrite, 100)]);
    assert_eq!(visit(&mut rig, "x", on, Reply::new()), ["None"]);
    assert_eq!(rig.seen(), [""; 0]);
}

#[test]
fn where_statefuns_failures_count_what_is_stored_of_a_type_counts_for_all_its_addresses() {
    let mut rig = Rig::with(CoreSettings {
        failure: FailurePolicy::strict(),
        ..CoreSettings::default()
    });
    visit(&mut rig, "x", Reply::needs(&["v"]), Reply::new());
    crash(&mut rig);
    rig.arrive("y", "");
    let call = rig.call();
    rig.answer(&call, Reply::needs_type("v", "new/type"));
    assert!(rig.seen().concat().contains("Previous type was"));
    // It can be undone.
    rig.change(AdminChange::ForgetDeclaration {
        namespace: "a".into(),
        name: "f".into(),
        value: "v".into(),
    });
    rig.advance(1_000);
    let call = rig.call();
    rig.answer(&call, Reply::needs_type("v", "new/type"));
    assert_eq!(rig.call().values(), [("v", None)]);
}
