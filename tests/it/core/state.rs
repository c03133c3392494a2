//! States: what is sent with a request, what is kept, what expires.

use stateful_functions::runtime::core::{AdminChange, CoreSettings, FailurePolicy, Input};

use super::ExpireMode::{AfterInvoke, AfterWrite, None as Never};
use super::{Reply, Rig, key_of, typed};

/// Calls `target` and, if it must, introduces the states of its type. Gives the values that went with the call, and answers `reply`.
fn visit(rig: &mut Rig, target: &str, states: &Reply, reply: Reply) -> Vec<Option<String>> {
    rig.arrive(target, "");
    let mut call = rig.call();
    if call.states.is_empty() {
        rig.answer(&call, states.clone());
        call = rig.call();
    }
    let values = call.values();
    let values = values.iter().map(|(_, value)| value.map(str::to_owned));
    let values = values.collect();
    rig.answer(&call, reply);
    values
}

fn some(text: &str) -> Vec<Option<String>> {
    vec![Some(text.to_owned())]
}

#[test]
fn sf_35_all_known_states_of_a_type_go_with_each_request_absent_ones_by_name_only() {
    let mut rig = Rig::new();
    rig.arrive("x", "");
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["b"]));
    let call = rig.call();
    assert_eq!(call.values(), [("b", None)]);
    rig.answer(&call, Reply::needs(&["a"]));
    let call = rig.call();
    assert_eq!(call.values(), [("b", None), ("a", None)]);
    rig.answer(&call, Reply::new().set("a", "1"));
    rig.arrive("y", "");
    rig.arrive("x", "");
    rig.arrive("b/f/x", "");
    assert_eq!(rig.call().values(), [("b", None), ("a", None)]);
    assert_eq!(rig.call().values(), [("b", None), ("a", Some("1"))]);
    assert_eq!(rig.call_of("b/f/x").values(), [], "of another type");
}

#[test]
fn sf_36_ten_incomplete_answers_in_a_row_without_anything_new_fail_the_batch() {
    let mut rig = Rig::new();
    rig.arrive("x", "");
    for _ in 0..10 {
        let call = rig.call();
        rig.answer(&call, Reply::needs(&["seen"]));
    }
    assert!(rig.has_calls(), "the first one was new");
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["seen"]));
    assert!(!rig.has_calls());
    let failed = rig.seen().pop().unwrap();
    assert!(failed.contains("the function answered 10 times in a row that values are missing"));

    // The batch is sent again without states, so that its first incomplete answer is in order.
    rig.advance(1_000);
    for _ in 0..10 {
        let call = rig.call();
        rig.answer(&call, Reply::needs(&["seen"]));
    }
    assert!(rig.has_calls());
}

#[test]
fn sf_38_the_last_of_several_mutations_counts_and_empty_bytes_are_a_value() {
    let mut rig = Rig::new();
    let states = Reply::needs(&["v"]);
    let reply = Reply::new().set("v", "1").remove("v").set("v", "2");
    visit(&mut rig, "x", &states, reply);
    assert_eq!(
        visit(&mut rig, "x", &states, Reply::new().set("v", "")),
        some("2")
    );
    let reply = Reply::new().set("v", "3").remove("v");
    assert_eq!(visit(&mut rig, "x", &states, reply), some(""));
    let silent = bytes::Bytes::from_static(b"\x0a\x09test/text");
    let reply = Reply::new().mutate(1, "v", Some(silent));
    assert_eq!(visit(&mut rig, "x", &states, reply), [None]);
    assert_eq!(
        visit(&mut rig, "x", &states, Reply::new()),
        some(""),
        "`has_value` of a written value does not count"
    );
}

#[test]
fn sf_39_written_values_vanish_though_read_and_called_ones_live_while_messages_come() {
    let mut rig = Rig::new();
    let states = Reply::missing(&[("w", AfterWrite, 100), ("c", AfterInvoke, 100)]);
    let both = Reply::new().set("w", "1").set("c", "2");
    visit(&mut rig, "x", &states, both);
    rig.advance(99);
    let values = visit(&mut rig, "x", &states, Reply::new());
    assert_eq!(values, [some("1"), some("2")].concat());
    rig.advance(1);
    let values = visit(&mut rig, "x", &states, Reply::new());
    assert_eq!(values, [None, Some("2".to_owned())]);
    rig.advance(99);
    assert_eq!(
        visit(&mut rig, "x", &states, Reply::new())[1].as_deref(),
        Some("2")
    );
    rig.advance(100);
    assert_eq!(visit(&mut rig, "x", &states, Reply::new()), [None, None]);
}

#[test]
fn sf_40_another_time_or_mode_is_fine_after_a_restart_and_counts_for_old_values() {
    let mut rig = Rig::new();
    visit(
        &mut rig,
        "x",
        &Reply::missing(&[("v", AfterWrite, 100)]),
        Reply::new().set("v", "1"),
    );
    rig.sync();
    rig.crash();
    rig.advance(150);
    let longer = Reply::missing(&[("v", AfterInvoke, 200)]);
    assert_eq!(visit(&mut rig, "x", &longer, Reply::new()), some("1"));
    rig.sync();
    rig.crash();
    rig.advance(150);
    assert_eq!(visit(&mut rig, "x", &longer, Reply::new()), some("1"));
    // In one run the declaration that came first counts.
    rig.arrive("y", "");
    let call = rig.call();
    rig.answer(&call, Reply::missing(&[("v", AfterWrite, 1)]));
    rig.drain();
    rig.advance(150);
    assert_eq!(visit(&mut rig, "x", &longer, Reply::new()), some("1"));
}

#[test]
fn sf_40_a_strict_core_refuses_another_expiration_or_type_after_a_restart_as_statefun_does() {
    for (before, after, text) in [
        (AfterWrite, Never, "StateMigrationException on Flink"),
        (Never, AfterInvoke, "StateMigrationException on Flink"),
    ] {
        let mut rig = Rig::with(CoreSettings {
            failure: FailurePolicy::strict(),
            ..CoreSettings::default()
        });
        visit(
            &mut rig,
            "x",
            &Reply::missing(&[("v", before, 9)]),
            Reply::new(),
        );
        rig.sync();
        rig.crash();
        rig.seen();
        rig.arrive("y", "");
        let call = rig.call();
        rig.answer(&call, Reply::missing(&[("v", after, 9)]));
        let failed = rig.seen().concat();
        assert!(failed.contains(text), "{failed}");
    }
}

#[test]
fn expired_values_are_swept_a_page_at_a_time_and_living_ones_stay() {
    let mut rig = Rig::new();
    let states = Reply::missing(&[("w", AfterWrite, 100), ("v", Never, 0)]);
    for id in 0..40 {
        let both = Reply::new().set("w", "1").set("v", "2");
        visit(&mut rig, &id.to_string(), &states, both);
    }
    let before = rig.rows().len();
    rig.step(Input::Sweep);
    assert_eq!(rig.rows().len(), before);
    rig.advance(100);
    rig.step(Input::Sweep);
    assert_eq!(rig.rows().len(), before - 40);
}

#[test]
fn an_operators_change_waits_for_the_call_and_is_reported_when_it_is_on_disk() {
    let mut rig = Rig::new();
    let states = Reply::needs(&["v"]);
    visit(&mut rig, "x", &states, Reply::new().set("v", "1"));
    rig.arrive("x", "");
    let call = rig.call();
    rig.sync();
    rig.seen();
    let set = |text: &str| AdminChange::SetState {
        address: key_of("x"),
        name: "v".into(),
        value: Some(typed(text)),
    };
    let ticket = rig.change(set("operator"));
    rig.sync();
    assert_eq!(rig.seen(), [""; 0]);
    rig.answer(&call, Reply::new().set("v", "function"));
    rig.sync();
    assert_eq!(rig.seen(), [format!("changed {ticket}: Ok(())")]);
    assert_eq!(
        visit(&mut rig, "x", &states, Reply::new()),
        some("operator")
    );
}
