//! Failed batches are sent again, or their address is parked. Others continue.

use std::num::NonZeroU32;

use stateful_functions::runtime::core::{AdminChange, CoreSettings, FailurePolicy, OnError};

use super::{Reply, Rig, key_of};

#[test]
fn sf_46_a_batch_is_sent_again_with_the_same_messages_and_no_states_and_then_with_them() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["seen"]));
    let call = rig.call();
    rig.fail(&call);
    rig.arrive("x", "2");
    rig.advance(999);
    assert!(!rig.has_calls());
    rig.advance(1);
    let again = rig.call();
    assert_eq!(
        (again.values().len(), &again.batch),
        (0, &vec!["1".to_owned()])
    );
    rig.answer(&again, Reply::needs(&["seen"]));
    let again = rig.call();
    assert_eq!(again.values(), [("seen", None)]);
    assert_eq!(again.batch, ["1"]);
    rig.answer(&again, Reply::new());
    assert_eq!(rig.call().batch, ["2"]);
}

#[test]
fn waits_grow_and_start_again_after_a_success() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let mut waits = Vec::new();
    for _ in 0..3 {
        let call = rig.call();
        rig.fail(&call);
        let next = rig.core.next_deadline().unwrap().as_millis();
        waits.push(next - rig.now);
        rig.advance(next - rig.now);
    }
    assert_eq!(waits, [1_000, 2_000, 4_000]);
    rig.drain();
    rig.arrive("x", "2");
    let call = rig.call();
    rig.seen();
    rig.fail(&call);
    assert_eq!(rig.seen(), ["a/f/x failed (1, Some(1000)): no answer"]);
}

#[test]
fn sf_45_an_address_is_parked_with_its_inbox_and_can_be_resumed() {
    let mut rig = Rig::parking(2);
    rig.arrive("x", "1");
    rig.arrive("x", "2");
    for _ in 0..2 {
        let call = rig.call();
        assert_eq!(call.batch, ["1"]);
        rig.fail(&call);
        rig.advance(1_000);
    }
    assert!(!rig.has_calls());
    let failed = rig.seen();
    assert!(failed.contains(&"a/f/x failed (2, None): no answer".to_owned()));
    rig.arrive("x", "3");
    rig.arrive("y", "other");
    assert_eq!(rig.drain().len(), 1, "others go on");

    rig.sync();
    rig.crash();
    rig.arrive("x", "4");
    rig.advance(1_000_000);
    assert!(!rig.has_calls());
    let queue = rig.core.queues(9).remove(0);
    assert_eq!(super::name(&queue.address), "a/f/x");

    rig.seen();
    let ticket = rig.change(AdminChange::Resume(key_of("x")));
    assert_eq!(rig.call().batch, ["1", "2", "3", "4"]);
    rig.sync();
    assert!(rig.seen().contains(&format!("changed {ticket}: Ok(())")));
}

fn strict(attempts: Option<u32>) -> Rig {
    let failure = FailurePolicy {
        attempts: attempts.and_then(NonZeroU32::new),
        ..FailurePolicy::strict()
    };
    Rig::with(CoreSettings {
        failure,
        ..CoreSettings::default()
    })
}

#[test]
fn sf_44_a_strict_core_retries_each_second_without_end() {
    let mut rig = strict(None);
    rig.arrive("x", "1");
    for attempt in 1..40 {
        let call = rig.call();
        rig.seen();
        rig.fail(&call);
        let failed = format!("a/f/x failed ({attempt}, Some(1000)): no answer");
        assert_eq!(rig.seen(), [failed]);
        rig.advance(1_000);
    }
}

#[test]
fn sf_44_a_strict_core_stops_when_attempts_are_used_up_and_keeps_its_messages() {
    let mut rig = strict(Some(2));
    rig.learn_states();
    rig.arrive("late", "");
    let late = rig.call();
    rig.answer(&late, Reply::new().after(1_500, "late", "timer"));
    rig.arrive("x", "1");
    rig.arrive("other", "in flight");
    rig.arrive("x", "2");
    let call = rig.call();
    rig.fail(&call);
    rig.advance(1_000);
    let other = rig.call_of("a/f/other");
    let call = rig.call_of("a/f/x");
    rig.seen();
    rig.fail(&call);
    assert_eq!(rig.seen(), ["a/f/x failed (2, stop): no answer"]);
    assert_eq!(rig.core.next_deadline(), None);

    rig.arrive("y", "3");
    rig.answer(&other, Reply::new().send("z", "4"));
    rig.advance(1_000_000);
    assert!(!rig.has_calls(), "it has stopped");

    rig.sync();
    rig.crash();
    let mut called = Vec::new();
    while rig.has_calls() {
        let call = rig.call();
        rig.answer(&call, Reply::new());
        called.push(format!("{} {:?}", call.target, call.batch));
    }
    called.sort();
    assert_eq!(
        called,
        [
            "a/f/late [\"timer\"]",
            "a/f/x [\"1\", \"2\"]",
            "a/f/y [\"3\"]",
            "a/f/z [\"4\"]"
        ]
    );
}

#[test]
fn a_strict_core_parks_when_asked_to() {
    let mut rig = strict(Some(1));
    rig.settings.failure.on_error = OnError::Park;
    rig.start();
    rig.arrive("x", "1");
    let call = rig.call();
    rig.fail(&call);
    assert_eq!(rig.seen(), ["a/f/x failed (1, None): no answer"]);
    rig.arrive("y", "2");
    assert_eq!(rig.drain().len(), 1, "others go on");
}

#[test]
fn sf_43_a_token_collision_stops_a_strict_core_at_once() {
    let mut rig = strict(None);
    rig.learn_states();
    rig.arrive("x", "");
    let call = rig.call();
    rig.answer(
        &call,
        Reply::new()
            .armed(10, "y", "1", "t")
            .armed(20, "y", "2", "t"),
    );
    let failed = rig.seen().concat();
    assert!(
        failed.contains("failed (1, stop): Trying to associate a message"),
        "{failed}"
    );
    rig.advance(1_000_000);
    assert!(!rig.has_calls());
}

#[test]
fn resuming_ends_a_wait_and_is_refused_where_nothing_waits() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let call = rig.call();
    rig.fail(&call);
    rig.seen();
    rig.change(AdminChange::Resume(key_of("x")));
    assert_eq!(rig.call().batch, ["1"]);
    rig.change(AdminChange::Resume(key_of("x")));
    rig.change(AdminChange::Resume(key_of("y")));
    rig.sync();
    let seen = rig.seen();
    assert_eq!(
        seen.into_iter().skip(2).collect::<Vec<_>>(),
        [
            "changed 3: Err(\"a/f/x is neither parked nor waiting for a retry\")",
            "changed 4: Err(\"nothing waits at a/f/y\")"
        ]
    );
}

/// Broke: messages of addresses that waited for a retry counted as messages on their way, so that an outage of one function held
/// up the timers of all.
#[test]
fn sf_50_addresses_that_fail_do_not_hold_up_the_timers_of_others() {
    let mut rig = Rig::with(CoreSettings {
        max_active: 3,
        ..CoreSettings::default()
    });
    rig.arrive("x", "");
    let call = rig.call();
    rig.answer(&call, Reply::new().after(10, "y", "tick"));
    for id in ["1", "2", "3", "4"] {
        rig.arrive(&format!("a/down/{id}"), "");
    }
    while rig.has_calls() {
        let call = rig.call();
        rig.fail(&call);
    }
    assert_eq!(rig.core.next_deadline().unwrap().as_millis(), 1_010);
    rig.advance(10);
    assert_eq!(rig.drain().len(), 1);
}

#[test]
fn a_core_that_cannot_read_its_store_at_the_start_accepts_nothing_until_it_can() {
    let mut rig = Rig::parking(1);
    rig.arrive("x", "1");
    let call = rig.call();
    rig.fail(&call);
    rig.sync();
    rig.seen();

    (rig.store, rig.syncer) = rig.memory.open();
    rig.memory.fail_reads(true);
    rig.start();
    rig.arrive("x", "2");
    rig.change(AdminChange::Resume(key_of("x")));
    assert_eq!(
        rig.seen(),
        [
            "warning: reading the store failed: cannot read the rows",
            "refused 2: Storage(\"the store cannot be read\")",
            "changed 3: Err(\"the store cannot be read\")"
        ]
    );
    assert_eq!(rig.core.next_deadline().unwrap().as_millis(), 2_000);

    rig.memory.fail_reads(false);
    rig.advance(1_000);
    rig.arrive("x", "3");
    assert!(!rig.has_calls(), "it is parked");
    rig.change(AdminChange::Resume(key_of("x")));
    assert_eq!(rig.call().batch, ["1", "3"]);
}

#[test]
fn a_store_that_cannot_be_read_fails_batches_and_holds_timers_and_loses_nothing() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["seen"]));
    let call = rig.call();
    rig.answer(
        &call,
        Reply::new().set("seen", "yes").after(10, "y", "tick"),
    );
    rig.arrive("z", "2");
    let call = rig.call();
    rig.seen();

    rig.memory.fail_reads(true);
    rig.answer(&call, Reply::new().armed(10, "y", "3", "t"));
    rig.advance(10);
    let seen = rig.seen();
    assert!(seen[0].starts_with("a/f/z failed (1, Some(1000)): reading the store failed"));
    assert!(
        seen[1].starts_with("warning: reading the store failed"),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 2);
    let next = rig.core.next_deadline().unwrap().as_millis();
    assert_eq!(
        next,
        rig.now + 990,
        "the batch; the timer is tried again 10 ms later"
    );
    rig.advance(1);
    assert_eq!(rig.seen(), [""; 0], "it rests");

    rig.memory.fail_reads(false);
    rig.advance(1_000);
    let called = rig.drain();
    assert_eq!(called.len(), 2, "{called:?}");
    assert!(rig.is_at_rest());
}
