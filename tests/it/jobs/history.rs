//! The steps of a job, and what actors do to it.

use std::time::Duration;

use serde_json::json;
use stateful_functions::delivery::engine::{Class, DeliveryState, Reason};
use stateful_functions::delivery::{Failure, Verb};
use stateful_functions::jobs::{ANSWER, Destination, JOB, JobAnswer, Jobs, Schedule};
use stateful_functions::{BoxError, Context, FunctionSpec, Message, MessageBuilder, TypeName};

use super::site::{Script, Site, address, paid};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn realtime() -> Schedule {
    Schedule::realtime().max_retries(2)
}

#[tokio::test]
async fn dl_11_an_event_becomes_a_job_for_each_destination_acknowledged_with_attempt_0() {
    let script = Script::default();
    let jobs = Jobs::builder()
        .destination(script.destination("crm"))
        .destination(script.destination("audit"));
    let mut site = Site::new(jobs);
    let accepted = site.submit(paid(&json!({"total": 12}))).await;
    assert_eq!(accepted.refused, None);
    let event = site.event(&accepted.id).unwrap();
    assert_eq!(event.jobs, accepted.jobs);
    for at in 0..2 {
        let kept = site.kept(&address(&accepted, at)).unwrap();
        let first = &kept.transitions()[0];
        assert_eq!(first["attempt"], 0);
        assert_eq!(first["state_after"], "acknowledged");
        assert!(first["state_before"].is_null());
    }
    assert!(script.attempts().is_empty(), "the first tick is in an hour");
    site.advance(HOUR).await;
    let mut attempts = script.attempts();
    attempts.sort();
    assert_eq!(attempts, ["audit 1", "crm 1"]);
}

#[tokio::test]
async fn dl_15_a_realtime_job_that_fails_once_has_these_steps() {
    let script = Script::default();
    let crm = script.destination("crm").schedule(realtime());
    let mut site = Site::new(Jobs::builder().destination(crm));
    script.fail([Failure::retry("http_429", "slow down")]);
    let accepted = site.submit(paid(&json!({}))).await;
    site.advance(HOUR).await;
    let job = address(&accepted, 0);
    let steps = [
        "acknowledged 0",
        "executing 1",
        "failed 1",
        "awaiting 1",
        "executing 2",
        "succeeded 2",
    ];
    assert_eq!(site.steps(&job), steps);
    let kept = site.kept(&job).unwrap();
    let with_error: Vec<bool> = kept
        .transitions()
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step.get("error").is_some())
        .collect();
    assert_eq!(with_error, [false, false, true, false, false, false]);
    let asked = script.asked.lock().unwrap();
    assert_eq!((asked[0].id.as_str(), asked[1].attempt), (job.id(), 2));
    assert_eq!(asked[0].event, "order.paid");
    assert_eq!(asked[0].source, "shop");
}

#[tokio::test]
async fn dl_16_a_forced_discard_ends_a_job_at_once_and_needs_an_error() {
    let script = Script::default();
    let crm = script.destination("crm").schedule(realtime());
    let mut site = Site::new(Jobs::builder().destination(crm));
    script.fail([Failure::retry("gone", "the customer is gone").with_discard()]);
    let accepted = site.submit(paid(&json!({}))).await;
    let job = address(&accepted, 0);
    assert_eq!(
        site.steps(&job),
        ["acknowledged 0", "executing 1", "discarded 1"]
    );
    assert_eq!(site.delivery(&job).reason, Some(Reason::Forced));

    script.fail([Failure::new(Class::Retry, "gone", " ").with_discard()]);
    let accepted = site.submit(paid(&json!({}))).await;
    let job = address(&accepted, 0);
    assert_eq!(site.state(&job), Some(DeliveryState::Awaiting));
    let kept = site.kept(&job).unwrap();
    assert_eq!(kept.summary()["error"]["code"], "discard_without_error");
}

#[tokio::test]
async fn a_target_that_panics_has_failed_and_the_job_is_tried_again() {
    let crm = Destination::new("crm")
        .call(async |_| panic!("oh"))
        .schedule(realtime());
    let mut site = Site::new(Jobs::builder().destination(crm));
    let accepted = site.submit(paid(&json!({}))).await;
    let kept = site.kept(&address(&accepted, 0)).unwrap();
    assert_eq!(
        kept.summary()["error"]["message"],
        "the target panicked: oh"
    );
}

#[tokio::test]
async fn dl_25_a_discarded_job_is_sent_again_by_an_actor_and_its_attempts_go_on() {
    let script = Script::default();
    let crm = script.destination("crm");
    let crm = crm.schedule(Schedule::realtime().max_retries(0));
    let mut site = Site::new(Jobs::builder().destination(crm));
    script.fail([Failure::retry("down", "it is down")]);
    let accepted = site.submit(paid(&json!({}))).await;
    let job = address(&accepted, 0);
    assert_eq!(site.state(&job), Some(DeliveryState::Discarded));
    assert!(site.command(&job, Verb::Retry).await.ok);
    site.advance(Duration::from_secs(1)).await;
    let steps = [
        "acknowledged 0",
        "executing 1",
        "discarded 1",
        "awaiting 1",
        "executing 2",
        "succeeded 2",
    ];
    assert_eq!(site.steps(&job), steps);
    let requeued = &site.kept(&job).unwrap().transitions()[3];
    assert_eq!(
        (&requeued["actor"], &requeued["note"]),
        (&json!("alice"), &json!("because"))
    );
    let refused = site.command(&job, Verb::Retry).await;
    assert_eq!(refused.code.as_deref(), Some("job.bad_state"));
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_and_a_cancelled_one_starts_nothing() {
    let script = Script::default();
    let mut site = Site::new(Jobs::builder().destination(script.destination("crm")));
    let accepted = site.submit(paid(&json!({}))).await;
    let job = address(&accepted, 0);
    assert!(site.command(&job, Verb::Cancel).await.ok);
    site.advance(2 * HOUR).await;
    assert_eq!(
        site.steps(&job),
        ["acknowledged 0", "awaiting 0", "cancelled 0"]
    );
    assert!(script.attempts().is_empty());
}

#[tokio::test]
async fn succeeded_jobs_and_their_event_are_kept_for_a_week_and_given_up_ones_until_purged() {
    let script = Script::default();
    let crm = script.destination("crm").schedule(realtime());
    let audit = script.destination("audit");
    let audit = audit.schedule(Schedule::realtime().max_retries(0));
    let mut site = Site::new(Jobs::builder().destination(crm).destination(audit));
    let accepted = site.submit(paid(&json!({}))).await;
    assert_eq!(
        site.state(&address(&accepted, 0)),
        Some(DeliveryState::Succeeded)
    );
    site.advance(7 * DAY - HOUR).await;
    assert_eq!(site.addresses().len(), 2);
    site.advance(HOUR).await;
    assert_eq!(site.addresses().len(), 0);
    assert!(site.event(&accepted.id).is_none());

    script.fail([
        Failure::permanent("no", "no"),
        Failure::permanent("no", "no"),
    ]);
    let accepted = site.submit(paid(&json!({}))).await;
    site.advance(30 * DAY).await;
    assert_eq!(site.addresses().len(), 2);
    assert!(site.command(&address(&accepted, 0), Verb::Purge).await.ok);
    assert_eq!(site.event(&accepted.id).unwrap().jobs, accepted.jobs[1..]);
    assert!(site.command(&address(&accepted, 1), Verb::Purge).await.ok);
    assert!(site.event(&accepted.id).is_none());
}

#[tokio::test]
async fn an_event_that_exists_is_refused_or_answered_as_the_first_time() {
    let script = Script::default();
    let mut site = Site::new(Jobs::builder().destination(script.destination("crm")));
    let first = site.submit(paid(&json!({}))).await;
    let again = site.submit_as(&first.id, paid(&json!({}))).await;
    assert_eq!(again.refused.unwrap().code, "event.exists");
    let mut event = paid(&json!({}));
    event.idempotent = true;
    let again = site.submit_as(&first.id, event).await;
    assert_eq!((again.jobs, again.refused), (first.jobs, None));
    let refused = site.submit_as("order-7", paid(&json!({}))).await;
    assert_eq!(refused.refused.unwrap().code, "event.bad_id");
}

#[tokio::test]
async fn dl_06_jobs_with_one_key_are_delivered_one_after_the_other() {
    let script = Script::default();
    let crm = script.destination("crm").schedule(realtime());
    let mut site = Site::new(Jobs::builder().destination(crm.order_key("customer")));
    script.fail([Failure::retry("down", "it is down")]);
    let first = site.submit(paid(&json!({"customer": "a", "n": 1}))).await;
    let second = site.submit(paid(&json!({"customer": "a", "n": 2}))).await;
    let other = site.submit(paid(&json!({"customer": "b", "n": 3}))).await;
    let state = |site: &Site, accepted| site.state(&address(accepted, 0));
    assert_eq!(state(&site, &other), Some(DeliveryState::Succeeded));
    assert!(site.delivery(&address(&second, 0)).waits_for_turn());
    site.advance(HOUR).await;
    assert_eq!(state(&site, &first), Some(DeliveryState::Succeeded));
    assert_eq!(state(&site, &second), Some(DeliveryState::Succeeded));
    let order: Vec<u64> = {
        let asked = script.asked.lock().unwrap();
        let number = |job: &stateful_functions::jobs::Job| {
            job.json::<serde_json::Value>().unwrap()["n"]
                .as_u64()
                .unwrap()
        };
        asked.iter().map(number).collect()
    };
    assert_eq!(order, [1, 3, 1, 2]);
}

/// A job that waited for its first tick was mistaken for one that waits for a stage which is gone, and was attempted at once.
#[tokio::test]
async fn a_changed_schedule_attempts_no_job_before_its_time() {
    let script = Script::default();
    let mut site = Site::new(Jobs::builder().destination(script.destination("crm")));
    let accepted = site.submit(paid(&json!({}))).await;
    let job = address(&accepted, 0);
    // What a start sends to each waiting job when the policy has changed.
    let changed = MessageBuilder::to(job.clone()).raw("statefun.deliveries/rules", "");
    site.harness.send(changed).unwrap();
    site.harness.run().await.unwrap();
    assert_eq!(site.steps(&job), ["acknowledged 0", "awaiting 0"]);
    site.advance(HOUR).await;
    assert_eq!(site.state(&job), Some(DeliveryState::Succeeded));
}

const SCORE: TypeName = TypeName::new("test/score");

/// Fails with its first attempt, answers with anything at the second, and never at the third.
async fn score(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let job = message.require(&JOB)?;
    let data: serde_json::Value = job.json()?;
    match (data["silent"].as_bool(), job.attempt) {
        (Some(true), _) => {}
        (_, 1) => {
            let failure = Failure::retry("busy", "not now");
            context.reply_as(&ANSWER, JobAnswer::failed(1, failure))?;
        }
        _ => _ = context.reply(true),
    }
    Ok(())
}

#[tokio::test]
async fn a_function_that_is_a_target_answers_with_the_outcome_of_the_attempt() {
    let target = Destination::new("score")
        .function(SCORE)
        .schedule(realtime());
    let jobs = Jobs::builder().destination(target);
    let mut site = Site::beside(jobs, [FunctionSpec::new(SCORE, score)]);
    let accepted = site.submit(paid(&json!({}))).await;
    let job = address(&accepted, 0);
    assert_eq!(site.state(&job), Some(DeliveryState::Awaiting));
    site.advance(HOUR).await;
    assert_eq!(
        site.steps(&job)[1..],
        [
            "executing 1",
            "failed 1",
            "awaiting 1",
            "executing 2",
            "succeeded 2"
        ]
    );

    let accepted = site.submit(paid(&json!({"silent": true}))).await;
    let job = address(&accepted, 0);
    assert_eq!(site.state(&job), Some(DeliveryState::Executing));
    site.advance(Duration::from_secs(29)).await;
    assert_eq!(site.state(&job), Some(DeliveryState::Executing));
    site.advance(Duration::from_secs(1)).await;
    let kept = site.kept(&job).unwrap();
    assert_eq!(kept.summary()["error"]["code"], "timeout");
    assert_eq!(site.steps(&job).last().unwrap(), "awaiting 1");
}
