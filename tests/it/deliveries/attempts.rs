use stateful_functions::Timestamp;
use stateful_functions::delivery::engine::{
    Classes, DeliveryState, Effect, Failure, Follow, Input, Jitter, Outcome, Policy, Purpose,
    Reason, Refused, Retry, Token,
};

use super::{Rig, actor, armed, down, every, firefly_batch, secs, states, transitions};
use DeliveryState::{Acknowledged, Awaiting, Discarded, Executing, Failed, Succeeded, Unknown};

#[test]
fn a_first_attempt_due_now_starts_in_the_same_step() {
    let mut rig = Rig::new(every(60));
    let effects = rig.submit();
    assert_eq!(states(&effects), [Acknowledged, Executing]);
    let [acknowledged, attempt] = transitions(&effects)[..] else {
        panic!()
    };
    assert_eq!(
        (
            acknowledged.seq,
            acknowledged.attempt,
            acknowledged.state_before
        ),
        (0, 0, None)
    );
    assert_eq!(
        (attempt.seq, attempt.attempt, attempt.state_before),
        (1, 1, Some(Acknowledged))
    );
    let deadline = rig.now + secs(30);
    assert_eq!(
        effects.last(),
        Some(&Effect::Attempt {
            epoch: 0,
            n: 1,
            deadline,
            key: "job-1".into()
        })
    );
    assert_eq!(
        armed(&effects),
        None,
        "the attempt runs here and needs no timer"
    );
}

#[test]
fn a_first_attempt_due_later_waits_for_its_time() {
    let mut rig = Rig::new(every(60));
    let due = rig.now + secs(90);
    let effects = rig.put(Input::Submit { due: Some(due) });
    assert_eq!(states(&effects), [Acknowledged, Awaiting]);
    assert_eq!(rig.delivery.reason, Some(Reason::Scheduled));
    let token = Token {
        purpose: Purpose::Retry,
        epoch: 0,
        n: 1,
    };
    assert_eq!(armed(&effects), Some((token, due)));
    assert_eq!(states(&rig.fires()), [Executing]);
}

#[test]
fn a_start_at_the_tick_waits_for_it() {
    let mut rig = Rig::new(Policy::blacksmith());
    rig.submit();
    assert_eq!(rig.wait(), secs(3600));
    let mut cron = Policy::blacksmith();
    cron.retry = Retry::Cron("30 * * * *".parse().unwrap());
    let mut rig = Rig::new(cron);
    rig.submit();
    assert_eq!(rig.delivery.due.unwrap().as_millis() % 3_600_000, 1_800_000);
}

#[test]
fn a_tried_submission_has_its_failed_attempt_in_the_same_commit() {
    let mut rig = Rig::new(Policy::edgex());
    let started = rig.now - secs(2);
    let failure = Failure::retry("http_503", "unavailable");
    let effects = rig.put(Input::SubmitTried { started, failure });
    assert_eq!(
        states(&effects),
        [Acknowledged, Executing, Failed, Awaiting]
    );
    assert_eq!((rig.delivery.attempt, rig.delivery.spent), (1, 1));
    assert_eq!(rig.delivery.first_at, Some(started));
    assert_eq!(rig.wait(), secs(300), "from the end of the attempt");
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Attempt { .. }))
    );
}

#[test]
fn a_tried_submission_that_cannot_succeed_is_given_up_at_once() {
    let mut rig = Rig::new(Policy::default());
    let failure = Failure::of_status(Classes::Default, 400, "bad request").unwrap();
    let effects = rig.put(Input::SubmitTried {
        started: rig.now,
        failure,
    });
    assert_eq!(states(&effects), [Acknowledged, Executing, Discarded]);
    assert_eq!(rig.delivery.reason, Some(Reason::Permanent));
}

#[test]
fn a_success_ends_the_delivery() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    let effects = rig.ends(Outcome::Ok);
    assert_eq!(states(&effects), [Succeeded]);
    assert!(effects.contains(&Effect::Follow(Follow::Succeeded)));
    assert!(rig.delivery.is_terminal());
}

#[test]
fn dl_02_a_failed_attempt_appends_failed_and_awaiting_in_one_commit() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    let effects = rig.ends(down());
    assert_eq!(states(&effects), [Failed, Awaiting]);
    let [failed, awaiting] = transitions(&effects)[..] else {
        panic!()
    };
    assert_eq!((failed.attempt, awaiting.attempt), (1, 1));
    assert_eq!(failed.error.as_ref().unwrap().code, "connect");
    assert_eq!(
        (&awaiting.error, awaiting.reason),
        (&None, Some(Reason::Retry))
    );
    assert_eq!(awaiting.due, Some(rig.now + secs(60)));
    assert!(effects.contains(&Effect::Follow(Follow::Failed)));
}

#[test]
fn waits_grow_to_their_bound_and_a_slow_failure_waits_the_longest_at_once() {
    let mut policy = Policy::default();
    let jitter = Jitter::None;
    policy.retry = Retry::Backoff {
        first: secs(1),
        factor: 2.0,
        max: secs(5),
        jitter,
    };
    let mut rig = Rig::new(policy);
    rig.submit();
    let mut waits = Vec::new();
    for _ in 0..4 {
        rig.ends(down());
        waits.push(rig.wait().as_secs());
        rig.fires();
    }
    assert_eq!(waits, [1, 2, 4, 5]);
    rig.put(Input::Cancel { by: actor() });
    rig.ends(down());
    let mut rig = Rig::new(rig.policy);
    rig.submit();
    rig.ends(Outcome::Err(
        Failure::of_status(Classes::Default, 404, "not found").unwrap(),
    ));
    assert_eq!(rig.wait(), secs(5));
}

#[test]
fn dl_05_retry_after_is_respected_by_default_and_not_by_firefly() {
    let busy = |now| {
        let failure = Failure::of_status(Classes::Default, 429, "too many").unwrap();
        Outcome::Err(failure.with_retry_after("90", now))
    };
    let mut rig = Rig::new(Policy::default());
    rig.submit();
    rig.ends(busy(rig.now));
    assert!(rig.wait() >= secs(90));
    let mut rig = firefly_batch();
    rig.submit();
    rig.ends(busy(rig.now));
    assert_eq!(rig.wait().as_millis(), 250);
}

#[test]
fn a_permanent_failure_is_discarded_for_the_reason_its_code_names() {
    for (code, reason) in [
        ("http_400", Reason::Permanent),
        ("too_large", Reason::TooLarge),
        ("stage_gone", Reason::StageGone),
    ] {
        let mut rig = Rig::new(Policy::default());
        rig.submit();
        let effects = rig.ends(Outcome::Err(Failure::permanent(code, "no")));
        assert_eq!(states(&effects), [Discarded], "no failed before it");
        let last = transitions(&effects)[0];
        assert_eq!(
            (last.reason, last.error.as_ref().unwrap().code.as_str()),
            (Some(reason), code)
        );
        let follows: Vec<_> = effects
            .iter()
            .filter(|e| matches!(e, Effect::Follow(_)))
            .collect();
        assert_eq!(follows, [&Effect::Follow(Follow::Discarded)]);
    }
}

#[test]
fn attempts_are_one_more_than_retries() {
    let mut rig = Rig::new(every(60).max_retries(2));
    rig.submit();
    for _ in 0..2 {
        assert_eq!(states(&rig.ends(down())), [Failed, Awaiting]);
        rig.fires();
    }
    assert_eq!(states(&rig.ends(down())), [Discarded]);
    assert_eq!(
        (rig.delivery.attempt, rig.delivery.reason),
        (3, Some(Reason::Exhausted))
    );
}

#[test]
fn within_counts_from_the_first_attempt_and_not_while_it_waits_to_begin() {
    let mut policy = every(60);
    policy.within = Some(secs(100));
    let mut rig = Rig::new(policy);
    let due = rig.now + secs(1000);
    rig.put(Input::Submit { due: Some(due) });
    rig.fires();
    assert_eq!(states(&rig.ends(down())), [Failed, Awaiting]);
    rig.fires();
    assert_eq!(states(&rig.ends(down())), [Failed, Awaiting]);
    rig.fires();
    assert_eq!(states(&rig.ends(down())), [Discarded]);
    assert_eq!(rig.delivery.reason, Some(Reason::Elapsed));
}

#[test]
fn max_age_ends_a_wait_and_the_delivery() {
    let mut policy = every(60);
    policy.max_age = Some(secs(100));
    let mut rig = Rig::new(policy);
    rig.submit();
    rig.ends(down());
    rig.fires();
    rig.ends(down());
    assert_eq!(rig.wait(), secs(40));
    let effects = rig.fires();
    assert_eq!(states(&effects), [Discarded]);
    let last = transitions(&effects)[0];
    assert_eq!(
        (last.reason, &last.error, &last.actor),
        (Some(Reason::Expired), &None, &None)
    );
}

#[test]
fn a_forced_discard_needs_an_error() {
    let mut rig = Rig::new(Policy::default());
    rig.submit();
    let silent = rig.outcome(Outcome::Err(Failure::retry("", " ").with_discard()));
    assert_eq!(
        rig.try_put(silent),
        Err(Refused::NoError { state: Executing })
    );
    let effects = rig.ends(Outcome::Err(
        Failure::retry("gone", "user deleted").with_discard(),
    ));
    assert_eq!(states(&effects), [Discarded]);
    assert_eq!(rig.delivery.reason, Some(Reason::Forced));
}

#[test]
fn an_attempt_without_an_answer_is_unknown_and_counts() {
    let mut rig = Rig::new(every(60).max_retries(1));
    rig.submit();
    let effects = rig.ends(Outcome::NoAnswer);
    assert_eq!(states(&effects), [Unknown, Awaiting]);
    assert_eq!(
        transitions(&effects)[0].error.as_ref().unwrap().code,
        "no_outcome"
    );
    assert_eq!(rig.delivery.spent, 1);
    rig.fires();
    assert_eq!(states(&rig.ends(Outcome::NoAnswer)), [Discarded]);
    assert_eq!(rig.delivery.reason, Some(Reason::NoOutcome));
}

#[test]
fn a_deadline_is_a_failure_that_is_tried_again() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    let effects = rig.put(Input::Deadline { epoch: 0, n: 1 });
    assert_eq!(states(&effects), [Failed, Awaiting]);
    assert_eq!(
        transitions(&effects)[0].error.as_ref().unwrap().code,
        "timeout"
    );
}

#[test]
fn five_interruptions_in_a_row_are_free_and_a_failure_restarts_the_count() {
    let mut rig = Rig::new(every(60).max_retries(1));
    rig.submit();
    let interrupt = |rig: &mut Rig| {
        let n = rig.delivery.attempt;
        rig.put(Input::Interrupted { epoch: 0, n })
    };
    for row in 1..=5 {
        assert_eq!(states(&interrupt(&mut rig)), [Unknown, Awaiting]);
        assert_eq!((rig.delivery.spent, rig.delivery.interruptions), (0, row));
        assert_eq!(rig.wait(), secs(0), "due at once");
        rig.fires();
    }
    interrupt(&mut rig);
    assert_eq!((rig.delivery.spent, rig.delivery.interruptions), (1, 6));
    assert_eq!(rig.wait(), secs(60), "now as a failure");
    rig.fires();
    assert_eq!(states(&interrupt(&mut rig)), [Discarded]);
    let mut rig = Rig::new(every(60));
    rig.submit();
    interrupt(&mut rig);
    rig.fires();
    rig.ends(down());
    assert_eq!(rig.delivery.interruptions, 0);
}

#[test]
fn a_clock_that_goes_back_never_reorders_a_history() {
    let mut rig = Rig::new(every(60));
    rig.submit();
    let before = rig.now;
    rig.now = Timestamp::from_millis(before.as_millis() - 5000);
    let effects = rig.ends(down());
    assert!(transitions(&effects).iter().all(|t| t.created_at == before));
    assert_eq!(rig.delivery.due, Some(before + secs(60)));
}
