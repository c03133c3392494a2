//! Kind: one bad answer stops everything.
//!
//! A function that asked for 200,000 values in one answer blocked the core for ten minutes, and with it all other functions, `/health` and the
//! admin API; one that asked for one more value each time was called 991 times. Now each answer is limited: beyond the limit its
//! batch fails at once, and the next input belongs to another address. The tests count inputs: one for the greedy answer, one for the
//! other address.

use stateful_functions::runtime::core::{AnswerLimits, CoreSettings};

use crate::core::Rig;
use crate::support::reply::Reply;

fn limited(limit: impl FnOnce(&mut AnswerLimits)) -> Rig {
    let mut settings = CoreSettings::default();
    limit(&mut settings.answers);
    Rig::with(settings)
}

/// A call of another address is in progress while a function answers greedily. Returns the result of the greedy batch.
fn failure_of(rig: &mut Rig, greedy: Reply) -> String {
    rig.ask("b/f/neighbour", "", "gate");
    let neighbour = rig.call();
    rig.arrive("a/f/greedy", "");
    let call = rig.call();
    rig.sync();
    let rows = rig.rows();
    rig.seen();
    rig.answer(&call, greedy);
    let told = rig.seen().concat();
    assert_eq!(rig.rows(), rows, "nothing of a greedy answer is kept");
    assert!(!rig.has_calls(), "it is asked again after a wait");

    rig.answer(
        &neighbour,
        Reply::new().send("statefun.http/gateway/gate", "here"),
    );
    rig.sync();
    assert_eq!(rig.seen(), ["gate <- here"], "the very next input");

    // The greedy address continues when its function is repaired.
    rig.advance(1_000);
    rig.drain();
    assert!(rig.is_at_rest());
    told
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("v{number}")).collect()
}

fn needs(names: &[String]) -> Reply {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Reply::needs(&names)
}

#[test]
fn two_hundred_thousand_values_in_one_answer_fail_its_batch_and_delay_nobody() {
    let mut rig = Rig::new();
    let told = failure_of(&mut rig, needs(&names(200_000)));
    assert!(
        told.starts_with("a/f/greedy failed (1, Some(1000)): the function asks for values, and its type would have 200000 with them; at most 1000 may be declared (setting `answers.values`)"),
        "{told}"
    );
}

#[test]
fn as_many_values_as_the_bound_allows_go_with_each_call() {
    let mut rig = limited(|limits| limits.values = 50);
    rig.arrive("x", "");
    let call = rig.call();
    rig.answer(&call, needs(&names(50)));
    let call = rig.call();
    assert_eq!(call.values().len(), 50);
    rig.answer(&call, Reply::needs(&["one more"]));
    assert!(rig.seen().concat().contains("would have 51 with them"));
    // The excessive declarations are dropped: a corrected function starts again.
    rig.advance(1_000);
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["mended"]));
    let call = rig.call();
    assert_eq!(call.values(), [("mended", None)]);
    rig.answer(&call, Reply::new());
    assert!(rig.is_at_rest());
}

#[test]
fn one_more_value_with_each_answer_ends_with_the_bound_of_rounds_and_neighbours_come_in_between() {
    let mut rig = Rig::new();
    rig.arrive("a/f/greedy", "");
    for round in 1..=100 {
        let call = rig.call();
        rig.answer(&call, needs(&names(round)[round - 1..]));
        assert!(rig.has_calls(), "round {round} is in order");
        rig.arrive("b/f/neighbour", "");
        let neighbour = rig.call_of("b/f/neighbour");
        rig.answer(&neighbour, Reply::new());
    }
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["once more"]));
    assert!(!rig.has_calls());
    let told = rig.seen().concat();
    assert!(
        told.contains("asked for further values 101 times"),
        "{told}"
    );
    assert!(told.contains("setting `answers.rounds`"), "{told}");
    // Its next attempt has the same limit.
    rig.advance(1_000);
    let call = rig.call();
    rig.answer(&call, Reply::new());
    assert!(rig.is_at_rest());
}

/// One more of something than is allowed.
fn one_too_many(limit: impl FnOnce(&mut AnswerLimits), greedy: Reply, what: &str) {
    let told = failure_of(&mut limited(limit), greedy);
    let expected = format!("a/f/greedy failed (1, Some(1000)): the answer contains {what}");
    assert!(told.starts_with(&expected), "{told}");
    assert!(told.contains("nothing of it was applied"), "{told}");
}

fn three(step: impl Fn(Reply, &str) -> Reply) -> Reply {
    ["1", "2", "3"].into_iter().fold(Reply::new(), step)
}

#[test]
fn messages_of_one_answer_are_bounded() {
    one_too_many(
        |limits| limits.messages = 2,
        three(|reply, id| reply.send(&format!("a/f/{id}"), "")),
        "3 messages, and at most 2 are applied at once (setting `answers.messages`)",
    );
}

#[test]
fn delayed_messages_of_one_answer_are_bounded() {
    one_too_many(
        |limits| limits.delays = 2,
        three(|reply, id| reply.after(9, &format!("a/f/{id}"), "")),
        "3 delayed messages, and at most 2 are applied at once (setting `answers.delays`)",
    );
}

#[test]
fn cancellations_of_one_answer_are_bounded() {
    one_too_many(
        |limits| limits.cancellations = 2,
        three(|reply, token| reply.cancel(token)),
        "3 cancellations, and at most 2 are applied at once (setting `answers.cancellations`)",
    );
}

#[test]
fn egress_records_of_one_answer_are_bounded() {
    one_too_many(
        |limits| limits.records = 2,
        three(|reply, text| reply.egress("out/log", text)),
        "3 egress records, and at most 2 are applied at once (setting `answers.records`)",
    );
}

#[test]
fn changes_of_values_in_one_answer_are_bounded() {
    one_too_many(
        |limits| limits.mutations = 2,
        three(|reply, text| reply.set("v", text)),
        "3 changes of values, and at most 2 are applied at once (setting `answers.mutations`)",
    );
}

#[test]
fn bytes_of_one_answer_are_bounded() {
    one_too_many(
        |limits| limits.bytes = 1_000,
        three(|reply, _| reply.send("a/f/x", &"long".repeat(100))),
        "more than 1000 bytes of messages, records and values, and at most 1000 are applied at once (setting `answers.bytes`)",
    );
}
