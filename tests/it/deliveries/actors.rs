use stateful_functions::delivery::engine::{
    Actor, DeliveryState, Effect, Failure, Follow, Input, Outcome, Policy, Reason, Refused,
};

use super::{Rig, actor, armed, down, every, secs, states, transitions};
use DeliveryState::{Awaiting, Cancelled, Discarded, Executing, Failed, Succeeded, Unknown};

#[test]
fn an_actor_cancels_a_waiting_delivery_at_once() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    rig.ends(down());
    let effects = rig.put(Input::Cancel { by: actor() });
    assert_eq!(states(&effects), [Cancelled]);
    assert!(matches!(effects[0], Effect::Disarm { .. }));
    let last = transitions(&effects)[0];
    assert_eq!(last.actor.as_deref(), Some("alice"));
    assert_eq!(last.note.as_deref(), Some("crm fixed"));
}

#[test]
fn a_cancel_during_an_attempt_waits_for_its_end() {
    let executing = || {
        let mut rig = Rig::new(every(60));
        rig.submit();
        assert_eq!(states(&rig.put(Input::Cancel { by: actor() })), []);
        rig
    };
    assert_eq!(
        states(&executing().ends(Outcome::Ok)),
        [Succeeded],
        "the real outcome counts"
    );
    assert_eq!(states(&executing().ends(down())), [Failed, Cancelled]);
    assert_eq!(
        states(&executing().ends(Outcome::NoAnswer)),
        [Unknown, Cancelled]
    );
    assert_eq!(states(&executing().ends(Outcome::Cancelled)), [Cancelled]);
    assert_eq!(
        states(&executing().put(Input::Interrupted { epoch: 0, n: 1 })),
        [Unknown, Cancelled]
    );
    let forced = Outcome::Err(Failure::retry("gone", "gone").with_discard());
    assert_eq!(states(&executing().ends(forced)), [Discarded]);
    let mut rig = Rig::new(every(60));
    rig.submit();
    let unasked = rig.outcome(Outcome::Cancelled);
    assert!(rig.try_put(unasked).is_err());
}

#[test]
fn an_operator_discards_a_waiting_delivery() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    rig.ends(down());
    let effects = rig.put(Input::Discard {
        by: actor(),
        reason: Reason::Operator,
    });
    assert_eq!(states(&effects), [Discarded]);
    assert!(effects.contains(&Effect::Follow(Follow::Discarded)));
    assert_eq!(rig.delivery.reason, Some(Reason::Operator));
    let mut rig = Rig::new(Policy::blacksmith());
    rig.submit();
    let waiting = Input::Discard {
        by: actor(),
        reason: Reason::Retry,
    };
    assert_eq!(
        rig.try_put(waiting),
        Err(Refused::NoGiveUp {
            reason: Reason::Retry
        })
    );
}

#[test]
fn a_discarded_or_cancelled_delivery_is_requeued_with_new_limits() {
    let mut policy = every(60).max_retries(1);
    policy.within = Some(secs(600));
    let mut rig = Rig::new(policy);
    rig.submit();
    rig.ends(down());
    rig.fires();
    rig.ends(down());
    assert_eq!(rig.delivery.state, Some(Discarded));
    rig.now = rig.now + secs(100 * 3600);
    let effects = rig.put(Input::RetryNow {
        by: actor(),
        at: None,
    });
    assert_eq!(states(&effects), [Awaiting]);
    let wait = transitions(&effects)[0];
    assert_eq!(
        (wait.state_before, wait.reason),
        (Some(Discarded), Some(Reason::Requeued))
    );
    assert_eq!(
        (wait.actor.as_deref(), wait.note.as_deref()),
        (Some("alice"), Some("crm fixed"))
    );
    assert_eq!(
        (
            rig.delivery.attempt,
            rig.delivery.spent,
            rig.delivery.first_at
        ),
        (2, 0, None)
    );
    rig.fires();
    assert_eq!(rig.delivery.attempt, 3, "attempts go on");
    assert_eq!(states(&rig.ends(down())), [Failed, Awaiting]);
    rig.put(Input::Cancel { by: actor() });
    let at = rig.now + secs(5);
    rig.put(Input::RetryNow {
        by: actor(),
        at: Some(at),
    });
    assert_eq!(rig.delivery.due, Some(at));
}

#[test]
fn an_actor_hurries_a_waiting_delivery() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    rig.ends(down());
    let at = rig.now + secs(10);
    let effects = rig.put(Input::RetryNow {
        by: actor(),
        at: Some(at),
    });
    assert_eq!(states(&effects), [Awaiting]);
    assert_eq!(armed(&effects).unwrap().1, at);
    let effects = rig.put(Input::RetryNow {
        by: actor(),
        at: None,
    });
    assert_eq!(states(&effects), [Executing]);
    assert_eq!(transitions(&effects)[0].actor.as_deref(), Some("alice"));
    assert!(matches!(effects[0], Effect::Disarm { .. }));
}

#[test]
fn a_blank_actor_or_reason_is_refused() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    rig.ends(down());
    for by in [Actor::new("", "why"), Actor::new("alice", "  ")] {
        for input in [
            Input::Cancel { by: by.clone() },
            Input::Discard {
                by: by.clone(),
                reason: Reason::Operator,
            },
            Input::RetryNow {
                by: by.clone(),
                at: None,
            },
        ] {
            assert!(matches!(rig.try_put(input), Err(Refused::NoActor { .. })));
        }
    }
}

#[test]
fn a_refused_input_names_the_current_state() {
    let mut fresh = Rig::new(every(60));
    let refused = fresh.try_put(Input::Cancel { by: actor() }).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cancel is refused: the delivery is not submitted yet"
    );
    let mut rig = Rig::new(every(60));
    rig.submit();
    for input in [
        Input::Submit { due: None },
        Input::Discard {
            by: actor(),
            reason: Reason::Operator,
        },
        Input::RetryNow {
            by: actor(),
            at: None,
        },
        Input::Pause,
        Input::Resume,
    ] {
        let refused = rig.try_put(input).unwrap_err().to_string();
        assert!(refused.contains("executing"), "{refused}");
    }
    rig.ends(Outcome::Ok);
    for input in [
        Input::Submit { due: None },
        Input::SubmitTried {
            started: rig.now,
            failure: Failure::retry("a", "b"),
        },
        Input::Cancel { by: actor() },
        Input::Discard {
            by: actor(),
            reason: Reason::Operator,
        },
        Input::RetryNow {
            by: actor(),
            at: None,
        },
        Input::Pause,
        Input::Resume,
    ] {
        let refused = rig.try_put(input).unwrap_err().to_string();
        assert!(refused.contains("succeeded"), "{refused}");
    }
    assert_eq!(rig.put(Input::Wake), [], "nothing to wake");
}

#[test]
fn holding_keeps_the_state_and_ends_no_earlier_than_the_wait() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    rig.ends(down());
    let due = rig.delivery.due.unwrap();
    let effects = rig.put(Input::Pause);
    assert!(matches!(effects[..], [Effect::Disarm { .. }]));
    assert_eq!(rig.put(Input::Wake), [], "it rests");
    rig.now = rig.now + secs(10);
    assert_eq!(armed(&rig.put(Input::Resume)).unwrap().1, due);
    rig.put(Input::Pause);
    rig.now = rig.now + secs(100);
    assert_eq!(armed(&rig.put(Input::Resume)).unwrap().1, rig.now);
    assert_eq!(rig.put(Input::Resume), []);
}
