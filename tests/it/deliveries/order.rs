use stateful_functions::delivery::engine::{
    Delivery, DeliveryState, Effect, Failure, Input, Order, Outcome, Reason, Refused, Then,
};
use stateful_functions::delivery::owner::{LaneEntry, LaneHead};

use super::{Rig, actor, armed, down, every, firefly_batch, is_stale, secs, states, transitions};
use DeliveryState::{Acknowledged, Awaiting, Cancelled, Discarded, Executing, Failed, Succeeded};

#[test]
fn dl_06_while_the_first_of_a_key_retries_the_second_waits_and_another_key_runs() {
    let job = |id: &str, key: &str| {
        let mut rig = Rig::with(Delivery::job(id, "crm", Some(key.into())), every(60));
        let effects = rig.submit();
        let Some(Effect::Join { seq }) = effects.last() else {
            panic!()
        };
        let entry = LaneEntry {
            id: id.into(),
            seq: *seq,
        };
        (rig, entry)
    };
    let ((mut a1, a1_place), (mut a2, a2_place), (mut b1, b1_place)) =
        (job("a1", "a"), job("a2", "a"), job("b1", "b"));
    let (mut a, mut b) = (LaneHead::default(), LaneHead::default());
    let turn = |rig: &mut Rig, entry: Option<&LaneEntry>| {
        let entry = entry.filter(|entry| entry.id == rig.delivery.id);
        entry.is_some_and(|entry| states(&rig.put(Input::Turn { seq: entry.seq })) == [Executing])
    };
    a.give(Some(a1_place));
    assert!(turn(&mut a1, a.turn()));
    assert!(!turn(&mut a2, a.turn()));
    a1.ends(down());
    a1.fires();
    a1.ends(down());
    assert!(a2.delivery.waits_for_turn());
    b.give(Some(b1_place));
    assert!(turn(&mut b1, b.turn()), "the other key's lane is free");
    assert!(
        a1.put(Input::Discard {
            by: actor(),
            reason: Reason::Operator
        })
        .contains(&Effect::Leave)
    );
    assert!(!a.leave("a2", 0), "only the first ends its turn");
    assert!(a.leave("a1", 0));
    a.give(Some(a2_place));
    assert!(turn(&mut a2, a.turn()));
}

#[test]
fn a_delivery_with_a_key_waits_for_its_turn_and_passes_it_on_at_its_end() {
    let mut rig = Rig::with(Delivery::job("a", "crm", Some("k".into())), every(60));
    let effects = rig.submit();
    assert_eq!(states(&effects), [Acknowledged, Awaiting]);
    assert_eq!(effects.last(), Some(&Effect::Join { seq: 1 }));
    let expiry = rig.now + secs(72 * 3600);
    assert_eq!(
        armed(&effects).unwrap().1,
        expiry,
        "only the end of its life is timed"
    );
    assert!(matches!(
        rig.try_put(Input::RetryNow {
            by: actor(),
            at: None
        }),
        Err(Refused::Turn { .. })
    ));
    assert_eq!(rig.put(Input::Wake), [], "a wake does not overtake");
    assert!(is_stale(&rig.put(Input::Turn { seq: 0 })));
    assert_eq!(states(&rig.put(Input::Turn { seq: 1 })), [Executing]);
    assert!(is_stale(&rig.put(Input::Turn { seq: 1 })));
    assert!(
        !rig.ends(down()).contains(&Effect::Leave),
        "it keeps its turn while it waits"
    );
    rig.fires();
    assert!(rig.ends(Outcome::Ok).contains(&Effect::Leave));
}

#[test]
fn a_turn_before_the_due_time_waits_for_it() {
    let mut rig = Rig::with(Delivery::job("a", "crm", Some("k".into())), every(60));
    let due = rig.now + secs(90);
    rig.put(Input::Submit { due: Some(due) });
    assert!(rig.delivery.waits_for_turn());
    let effects = rig.put(Input::Turn { seq: 1 });
    assert_eq!(
        (states(&effects), armed(&effects).unwrap().1),
        (vec![Awaiting], due)
    );
    assert_eq!(states(&rig.fires()), [Executing]);
}

#[test]
fn a_turn_during_a_rest_is_kept_for_its_end() {
    let mut rig = Rig::with(Delivery::job("a", "crm", Some("k".into())), every(60));
    rig.submit();
    rig.put(Input::Pause);
    let effects = rig.put(Input::Turn { seq: 1 });
    assert_eq!((states(&effects), armed(&effects)), (vec![Awaiting], None));
    rig.put(Input::Resume);
    assert_eq!(states(&rig.fires()), [Executing]);
}

#[test]
fn a_requeued_delivery_goes_to_the_end_of_its_lane() {
    let mut rig = Rig::with(Delivery::job("a", "crm", Some("k".into())), every(60));
    rig.submit();
    assert!(
        rig.put(Input::Cancel { by: actor() })
            .contains(&Effect::Leave)
    );
    let effects = rig.put(Input::RetryNow {
        by: actor(),
        at: None,
    });
    let reasons: Vec<_> = transitions(&effects)
        .iter()
        .map(|t| t.reason.unwrap())
        .collect();
    assert_eq!(reasons, [Reason::Requeued, Reason::Turn]);
    assert!(effects.contains(&Effect::Join {
        seq: rig.delivery.seq
    }));
}

#[test]
fn a_key_counts_only_with_that_order() {
    let mut policy = every(60);
    policy.order = Order::Any;
    let mut rig = Rig::with(Delivery::job("a", "crm", Some("k".into())), policy);
    assert_eq!(states(&rig.submit()), [Acknowledged, Executing]);
    assert!(!rig.ends(Outcome::Ok).contains(&Effect::Leave));
}

#[test]
fn a_stream_moves_on_when_its_batch_is_delivered_or_given_up_and_not_when_it_stops() {
    let advance = Effect::Advance {
        position: "50".into(),
    };
    let mut rig = firefly_batch();
    let effects = rig.submit();
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Attempt { epoch: 7, n: 1, .. }))
    );
    let effects = rig.ends(Outcome::Ok);
    assert!(effects.contains(&advance));
    assert!(
        !effects.iter().any(|e| matches!(e, Effect::Follow(_))),
        "streams have no follow-ups"
    );

    let mut rig = firefly_batch();
    rig.submit();
    rig.ends(down());
    assert!(
        rig.put(Input::Discard {
            by: actor(),
            reason: Reason::Operator
        })
        .contains(&advance)
    );
    let again = rig.try_put(Input::RetryNow {
        by: actor(),
        at: None,
    });
    assert!(matches!(
        again,
        Err(Refused::Passed {
            state: Discarded,
            ..
        })
    ));

    let mut rig = firefly_batch();
    rig.submit();
    rig.put(Input::Cancel { by: actor() });
    let effects = rig.ends(Outcome::Cancelled);
    assert_eq!(
        (states(&effects), effects.contains(&advance)),
        (vec![Cancelled], false)
    );
}

#[test]
fn a_blocked_stream_tries_once_in_each_delay() {
    let mut rig = firefly_batch();
    rig.submit();
    while rig.delivery.reason != Some(Reason::Blocked) {
        rig.ends(down());
        rig.fires();
        assert!(rig.delivery.attempt < 30);
    }
    for _ in 0..3 {
        let effects = rig.ends(down());
        assert_eq!(states(&effects), [Failed, Awaiting]);
        assert_eq!(
            (rig.delivery.reason, rig.wait()),
            (Some(Reason::Blocked), secs(60))
        );
        rig.fires();
    }
    assert_eq!(states(&rig.ends(Outcome::Ok)), [Succeeded]);
}

#[test]
fn a_stream_blocked_by_a_permanent_failure_starts_no_new_burst() {
    let mut rig = firefly_batch();
    rig.submit();
    rig.ends(Outcome::Err(Failure::permanent("http_400", "no")));
    assert_eq!(
        (rig.delivery.reason, rig.wait()),
        (Some(Reason::Blocked), secs(60))
    );
    rig.fires();
    rig.ends(down());
    assert_eq!(
        (rig.delivery.reason, rig.wait()),
        (Some(Reason::Blocked), secs(60))
    );
}

#[test]
fn a_stream_that_skips_continues_after_the_batch() {
    let mut rig = firefly_batch();
    rig.policy.then = Then::Skip;
    rig.policy.attempts = Some(2);
    rig.submit();
    rig.ends(down());
    rig.fires();
    let effects = rig.ends(down());
    assert_eq!(states(&effects), [Discarded]);
    assert_eq!(rig.delivery.reason, Some(Reason::Skipped));
    assert!(effects.contains(&Effect::Advance {
        position: "50".into()
    }));
}
