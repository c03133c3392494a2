use stateful_functions::delivery::engine::{
    Delivery, DeliveryState, Effect, Input, Journal, Outcome, Purpose, Token,
};

use super::{Rig, actor, armed, down, every, firefly_batch, is_stale, secs, states};
use DeliveryState::Executing;

#[test]
fn dl_03_a_due_after_its_cancel_or_twice_starts_nothing() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    rig.ends(down());
    let due = rig.due();
    rig.put(due.clone());
    assert_eq!(rig.delivery.attempt, 2);
    assert!(is_stale(&rig.put(due)), "twice");

    rig.ends(down());
    let cancelled = rig.due();
    let effects = rig.put(Input::Wake);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Disarm { .. }))
    );
    assert!(is_stale(&rig.put(cancelled)), "after the wake");

    rig.ends(down());
    let paused = rig.due();
    rig.put(Input::Pause);
    assert!(is_stale(&rig.put(paused.clone())), "while it rests");
    rig.put(Input::Resume);
    assert!(is_stale(&rig.put(paused)), "a timer of before the rest");
    assert_eq!(states(&rig.fires()), [Executing]);

    rig.ends(down());
    let due = rig.due();
    rig.put(Input::Cancel { by: actor() });
    assert!(is_stale(&rig.put(due)), "after the end");
}

#[test]
fn answers_to_ended_attempts_and_other_epochs_change_nothing() {
    let mut rig = firefly_batch();
    rig.submit();
    let late = rig.outcome(Outcome::Ok);
    rig.put(Input::Deadline { epoch: 7, n: 1 });
    let before = rig.delivery.clone();
    assert!(is_stale(&rig.put(late)));
    rig.fires();
    for epoch in [0, 6, 8] {
        assert!(is_stale(&rig.put(Input::Outcome {
            epoch,
            n: 2,
            outcome: Outcome::Ok
        })));
        assert!(is_stale(&rig.put(Input::Deadline { epoch, n: 2 })));
        assert!(is_stale(&rig.put(Input::Interrupted { epoch, n: 2 })));
    }
    assert_eq!(before.attempt + 1, rig.delivery.attempt);
    assert_eq!(rig.delivery.state, Some(Executing));
}

#[test]
fn dl_04_two_functions_with_one_id_have_different_tokens() {
    let token = Token {
        purpose: Purpose::Retry,
        epoch: 0,
        n: 3,
    };
    assert_eq!(token.text("shop/job.crm/4711"), "shop/job.crm/4711/3");
    assert_ne!(
        token.text("shop/job.crm/4711"),
        token.text("shop/job.audit/4711")
    );
    let deadline = Token {
        purpose: Purpose::Deadline,
        ..token
    };
    assert_eq!(
        deadline.text("shop/job.crm/4711"),
        "shop/job.crm/4711/deadline/3"
    );
    let stream = Token {
        purpose: Purpose::Flush,
        epoch: 7,
        n: 1,
    };
    assert_eq!(
        stream.text("shop/stream/orders"),
        "shop/stream/orders/flush/7/1"
    );
}

#[test]
fn an_attempt_that_runs_elsewhere_has_a_deadline_timer() {
    let mut policy = every(60);
    policy.record = Journal::Elsewhere;
    let mut rig = Rig::new(policy);
    let effects = rig.submit();
    let token = Token {
        purpose: Purpose::Deadline,
        epoch: 0,
        n: 1,
    };
    assert_eq!(armed(&effects), Some((token, rig.now + secs(30))));
    let effects = rig.ends(Outcome::Ok);
    assert!(effects.contains(&Effect::Disarm { token }));
}

#[test]
fn a_timer_of_an_earlier_activation_starts_nothing() {
    let mut rig = firefly_batch();
    rig.submit();
    rig.ends(down());
    let due = rig.due();
    let mut restarted = Rig::with(Delivery::batch("s/1-50", "webhook", "50", 8), rig.policy);
    restarted.submit();
    restarted.ends(down());
    assert!(is_stale(&restarted.put(due)), "same attempt, same arming");
}
