//! Store and forward: what happens to a record that its destination does not accept.

use std::time::Duration;

use serde_json::json;
use stateful_functions::delivery::{Policy, Verb};
use stateful_functions::pipeline::{HttpExport, Pipeline, PipelineConfig};
use stateful_functions::{Address, MessageBuilder, TypeName};

use super::town::Town;
use crate::support::destination::{Destination, Reaction};

const SECOND: Duration = Duration::from_secs(1);

/// Declared, so that the declared form is what is tested.
fn export_with(destination: &Destination, settings: serde_json::Value) -> Town {
    let mut export = settings;
    export["url"] = json!(destination.url("/in"));
    let spec = json!({"name": "p", "stages": [{"name": "crm", "http-export": export}]});
    Town::new(Pipeline::declared(
        PipelineConfig::from_json(&spec).unwrap(),
    ))
}

fn every_second(destination: &Destination) -> Town {
    export_with(destination, json!({"retry": {"every": "1s"}}))
}

fn keys(destination: &Destination) -> Vec<String> {
    let received = destination.received();
    let key = |request: &crate::support::raw::RawMessage| {
        request.header("idempotency-key").unwrap().to_owned()
    };
    let mut keys: Vec<String> = received.iter().map(key).collect();
    keys.dedup();
    keys
}

#[tokio::test]
async fn a_refused_record_waits_and_is_sent_with_one_key_until_it_arrives() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = every_second(&destination);
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    let (address, kept) = town.only();
    assert_eq!(address.type_name().as_str(), "pipelines/p.crm");
    assert_eq!(kept.summary()["error"]["code"], "connect");
    assert_eq!(kept.summary()["target"], json!(destination.url("")));

    destination.come_up().await;
    destination.react(Reaction::status(503));
    town.advance(SECOND).await;
    assert_eq!(town.stands(), "awaiting retry 2");
    destination.react(Reaction::Reset);
    town.advance(SECOND).await;
    assert_eq!(town.stands(), "awaiting retry 3");
    destination.react(Reaction::status(200));
    town.advance(SECOND).await;

    assert_eq!(town.kept().len(), 0);
    assert_eq!(keys(&destination), [address.id()], "one key, the item's id");
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn r_10_a_destination_that_hangs_is_a_failed_attempt_when_the_time_is_over() {
    let destination = Destination::start().await;
    destination.react(Reaction::Hang);
    let mut town = export_with(&destination, json!({"timeout": "50ms"}));
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    assert_eq!(town.only().1.summary()["error"]["code"], "timeout");
}

#[tokio::test]
async fn pl_20_another_failed_attempt_is_counted_and_the_record_kept() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(500));
    let mut town = export_with(
        &destination,
        json!({"retry": {"every": "1s", "attempts": 11}, "circuit": false}),
    );
    town.send("d1", "one").await;
    town.advance(3 * SECOND).await;
    assert_eq!(town.stands(), "awaiting retry 4");
    town.advance(SECOND).await;
    assert_eq!(town.stands(), "awaiting retry 5");
}

#[tokio::test]
async fn pl_23_and_r_08_after_the_last_retry_the_record_is_a_dead_letter() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = export_with(
        &destination,
        json!({"retry": {"every": "3s", "attempts": 4}}),
    );
    town.send("d1", "one").await;
    town.advance(12 * SECOND).await;
    assert_eq!(town.stands(), "discarded exhausted 4");
    assert_eq!(town.pending(), 0);
    let letter = serde_json::to_value(town.only().1.dead_letter().unwrap()).unwrap();
    assert_eq!(letter["payload"], json!({"text": "one"}));
    assert_eq!(letter["attempts"], 4);
    assert_eq!(letter["first_error"]["code"], "connect");
}

#[tokio::test]
async fn pl_34_a_destination_that_asks_for_a_longer_wait_gets_it() {
    let destination = Destination::start().await;
    destination.react(Reaction::Answer(429, "retry-after: 7\r\n", Vec::new()));
    let mut town = every_second(&destination);
    town.send("d1", "one").await;
    let wait = town.next_due().unwrap().since(town.now());
    let longest = 7 * SECOND + 7 * SECOND / 10;
    assert!(
        (7 * SECOND..=longest).contains(&wait),
        "{wait:?}: not earlier, and not everybody at once"
    );
    town.advance(6 * SECOND).await;
    assert_eq!(town.stands(), "awaiting retry 1");
    destination.react(Reaction::status(204));
    town.advance(2 * SECOND).await;
    assert_eq!(town.kept().len(), 0);
}

#[tokio::test]
async fn pl_35_and_r_09_answers_are_retried_slowly_or_given_up_by_their_class() {
    for (status, stands, wait) in [
        (400, "discarded permanent 1", None),
        (404, "awaiting retry 1", Some(600)),
        (503, "awaiting retry 1", Some(1)),
    ] {
        let destination = Destination::start().await;
        destination.react(Reaction::Answer(status, "", b"because".to_vec()));
        let mut town = export_with(&destination, json!({"retry": {"jitter": "none"}}));
        town.send("d1", "one").await;
        assert_eq!(town.stands(), stands, "{status}");
        let due = town.next_due().map(|due| due.since(town.now()).as_secs());
        assert_eq!(due, wait, "{status}");
        let error = town.only().1.summary()["error"].clone();
        assert_eq!(error["status_code"], status);
        let text = format!("POST {}: {status} because", destination.url("/in"));
        assert_eq!(error["message"], text);
    }
}

#[tokio::test]
async fn with_classes_off_every_answer_is_retried() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let mut town = export_with(&destination, json!({"retry": {"preset": "edgex"}}));
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    assert_eq!(town.next_due().unwrap().since(town.now()), 300 * SECOND);
}

#[tokio::test]
async fn a_record_that_was_accepted_is_not_sent_again_because_its_answer_broke_off() {
    for broken in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"[..],
        b"HTTP/1.1 201 OK\r\ncontent-length: 99999999\r\n\r\n",
    ] {
        let destination = Destination::start().await;
        destination.react(Reaction::Raw(broken));
        let mut town = every_second(&destination);
        town.send("d1", "one").await;
        assert_eq!(town.kept().len(), 0);
        assert_eq!(destination.received().len(), 1);
    }
}

#[tokio::test]
async fn a_payload_over_the_limit_is_a_dead_letter_without_an_attempt_at_the_destination() {
    let destination = Destination::start().await;
    let mut town = export_with(&destination, json!({"maxPayloadBytes": 10}));
    town.send("d1", "0123456789").await;
    town.send("d1", "0123456789a").await;
    assert_eq!(town.stands(), "discarded too_large 1");
    assert_eq!(destination.bodies(), ["0123456789"]);
}

#[tokio::test]
async fn r_19_a_url_that_cannot_be_filled_in_is_a_dead_letter() {
    let destination = Destination::start().await;
    let export = HttpExport::post(destination.url("/{device}"));
    let mut town = Town::new(Pipeline::builder("p").http_export(export));
    town.send("d1", r#"{"device":"a b"}"#).await;
    town.send("d1", r#"{"nope":1}"#).await;
    assert!(destination.received()[0].head.starts_with("POST /a%20b "));
    assert_eq!(town.stands(), "discarded permanent 1");
    let error = town.only().1.summary()["error"].clone();
    assert_eq!(error["message"], "the record has no `device`");
}

#[tokio::test]
async fn r_09_a_record_that_waits_too_long_expires() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = export_with(
        &destination,
        json!({"retry": {"every": "1h", "maxAge": "90m"}}),
    );
    town.send("d1", "one").await;
    town.advance(Duration::from_secs(3600)).await;
    assert_eq!(town.stands(), "awaiting retry 2");
    town.advance(Duration::from_secs(1800)).await;
    assert_eq!(town.stands(), "discarded expired 2");
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn an_operator_cancels_discards_and_retries() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = every_second(&destination);
    town.send("d1", "one").await;
    let (address, _) = town.only();

    let reply = town.command(&address, Verb::Cancel).await;
    assert!(reply.ok);
    assert_eq!(town.stands(), "cancelled  1");
    assert_eq!(town.pending(), 0);
    let reply = town.command(&address, Verb::Discard).await;
    assert_eq!(reply.code.as_deref(), Some("job.bad_state"));

    assert!(town.command(&address, Verb::Retry).await.ok);
    assert_eq!(town.stands(), "awaiting requeued 1");
    town.advance(Duration::ZERO).await;
    assert_eq!(town.stands(), "awaiting retry 2");
    assert!(town.command(&address, Verb::Discard).await.ok);
    assert_eq!(town.stands(), "discarded operator 2");

    destination.come_up().await;
    assert!(town.command(&address, Verb::Retry).await.ok);
    town.advance(Duration::ZERO).await;
    assert_eq!(town.kept().len(), 0);
    assert_eq!(destination.bodies(), ["one"]);
    let reply = town.command(&address, Verb::Cancel).await;
    assert_eq!(reply.code.as_deref(), Some("job.not_found"));
}

#[tokio::test]
async fn a_dead_letter_is_edited_and_sent_again_under_its_id() {
    use stateful_functions::delivery::{EDIT, Edit, REPLY, Reply};
    use stateful_functions::{Address, MessageBuilder, TypeName};

    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let mut town = export_with(&destination, json!({}));
    town.send("d1", "wrong").await;
    let (address, _) = town.only();
    let operator = Address::new(TypeName::new("test/operator"), "alice");
    let send = async |town: &mut Town, edit: &Edit| {
        let message = MessageBuilder::to(address.clone()).value_as(&EDIT, edit);
        town.deliver(Some(operator.clone()), message.unwrap()).await;
        let reply: Reply = town.outside.pop().unwrap().require(&REPLY).unwrap();
        reply
    };
    let mut edit = Edit::new("alice", " ");
    edit.payload = serde_json::from_value(json!({"text": "right"})).unwrap();
    edit.content_type = Some("text/csv".to_owned());
    let refused = send(&mut town, &edit).await;
    assert_eq!(refused.code.as_deref(), Some("job.bad_state"), "no reason");

    destination.react(Reaction::status(200));
    edit.reason = "a typo".to_owned();
    let reply = send(&mut town, &edit).await;
    assert_eq!(
        (reply.ok, reply.state.unwrap().as_str()),
        (true, "awaiting")
    );
    let transitions = town.only().1.transitions();
    let edited = transitions.as_array().unwrap().last().unwrap();
    assert_eq!(edited["note"], "edited: a typo");
    let again = send(&mut town, &edit).await;
    assert_eq!(again.code.as_deref(), Some("job.bad_state"), "it waits");
    town.advance(Duration::ZERO).await;
    assert_eq!(destination.bodies(), ["wrong", "right"]);
    assert_eq!(keys(&destination), [address.id()]);
    let last = destination.received().pop().unwrap();
    assert_eq!(last.header("content-type"), Some("text/csv"));
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn an_operators_retry_of_a_waiting_record_is_an_attempt_at_once() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = every_second(&destination);
    town.send("d1", "one").await;
    let (address, _) = town.only();
    let reply = town.command(&address, Verb::Retry).await;
    assert_eq!((reply.ok, reply.attempt), (true, 2));
    let transitions = town.only().1.transitions();
    let steps = transitions.as_array().unwrap();
    let retried = steps.iter().find(|step| step["actor"] == "alice").unwrap();
    assert_eq!(retried["state_after"], "executing");
    assert_eq!(retried["note"], "looked into it");

    destination.come_up().await;
    let reply = town.command(&address, Verb::Retry).await;
    assert_eq!(reply.state.unwrap().as_str(), "succeeded");
    assert_eq!(town.kept().len(), 0);
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn a_command_without_actor_or_of_an_unknown_verb_is_refused() {
    use stateful_functions::delivery::{REPLY, Reply};
    use stateful_functions::{Address, MessageBuilder, TypeName};

    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = every_second(&destination);
    town.send("d1", "one").await;
    let (address, _) = town.only();
    for (body, code) in [
        (
            &br#"{"verb":"cancel","actor":"","reason":"x"}"#[..],
            "job.bad_state",
        ),
        (
            br#"{"verb":"explode","actor":"a","reason":"x"}"#,
            "job.bad_command",
        ),
    ] {
        let message = MessageBuilder::to(address.clone()).raw("statefun.deliveries/command", body);
        let operator = Address::new(TypeName::new("test/operator"), "alice");
        town.deliver(Some(operator), message).await;
        let reply: Reply = town.outside.pop().unwrap().require(&REPLY).unwrap();
        assert_eq!(reply.code.as_deref(), Some(code));
    }
    assert_eq!(town.stands(), "awaiting retry 1");
}

#[tokio::test]
async fn the_first_attempt_counts_among_those_of_the_policy() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let export = HttpExport::post(destination.url("/")).retry(Policy::default().max_retries(0));
    let mut town = Town::new(Pipeline::builder("p").http_export(export));
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "discarded exhausted 1");
}

/// Random answers, pauses and commands: in the end every record has arrived, was cancelled or is a dead letter, no timer is left, and
/// no token was ever armed twice (the test context refuses that).
#[tokio::test]
async fn every_record_ends_for_random_outages_and_commands() {
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex};

    use stateful_functions::random::Random;

    const VERBS: [Verb; 4] = [Verb::Retry, Verb::Cancel, Verb::Discard, Verb::Purge];
    for seed in 0..8 {
        let destination = Destination::start().await;
        let (taken, random) = (Arc::new(Mutex::new(HashSet::new())), Random::seeded(seed));
        let (note, random) = (Arc::clone(&taken), Mutex::new(random));
        destination.react_with(move |request| match random.lock().unwrap().below(100) {
            0..30 => {
                let n: u32 = String::from_utf8_lossy(&request.body).parse().unwrap();
                note.lock().unwrap().insert(n);
                Reaction::status(200)
            }
            30..35 => Reaction::status(400),
            35..40 => Reaction::Reset,
            40..50 => Reaction::status(404),
            _ => Reaction::status(503),
        });
        let mut town = export_with(&destination, json!({"retry": {"max": "5s", "attempts": 8}}));
        let mut random = Random::seeded(seed + 1_000);
        let mut purged = 0;
        for n in 0..80 {
            town.send("d1", &n.to_string()).await;
            if random.chance(30) {
                town.advance(Duration::from_millis(random.below(2_000)))
                    .await;
            }
            let addresses: Vec<_> = town.kept().into_keys().collect();
            if random.chance(20) && !addresses.is_empty() {
                let at = usize::try_from(random.below(addresses.len() as u64)).unwrap();
                let verb = VERBS[usize::try_from(random.below(4)).unwrap()];
                let reply = town.command(&addresses[at], verb).await;
                purged += usize::from(verb == Verb::Purge && reply.ok);
            }
        }
        town.advance(24 * 3600 * SECOND).await;
        let kept = town.kept();
        assert!(
            kept.values().all(|kept| kept.delivery().is_terminal()),
            "seed {seed}"
        );
        let arrived = taken.lock().unwrap().len();
        assert_eq!(arrived + kept.len() + purged, 80, "seed {seed}");
        assert_eq!(town.pending(), 0, "seed {seed}");
    }
}

/// Two exports after each other, the first as `on_failure` says.
fn two_exports(first: &Destination, last: &Destination, on_failure: &str) -> Town {
    let retry = json!({"every": "1s"});
    let spec = json!({"name": "p", "stages": [
        {"name": "first", "http-export": {"url": first.url("/"), "retry": retry, "onFailure": on_failure, "returnInput": true}},
        {"name": "last", "http-export": {"url": last.url("/"), "retry": retry}},
    ]});
    Town::new(Pipeline::declared(
        PipelineConfig::from_json(&spec).unwrap(),
    ))
}

#[tokio::test]
async fn an_isolated_export_waits_by_itself_and_the_next_stage_gets_the_record_at_once_and_once() {
    let (first, last) = (Destination::start().await, Destination::start().await);
    first.react(Reaction::status(503));
    let mut town = two_exports(&first, &last, "isolate");
    town.send("d1", "one").await;
    assert_eq!(last.bodies(), ["one"]);
    let (address, _) = town.only();
    assert_eq!(address.type_name().as_str(), "pipelines/p.first");
    first.react(Reaction::status(200));
    town.advance(SECOND).await;
    assert_eq!(town.kept().len(), 0);
    assert_eq!(last.bodies(), ["one"], "it does not go on a second time");
    assert_eq!(first.bodies(), ["one", "one"]);
    // Each destination has its own retries.
    last.react(Reaction::status(503));
    town.send("d2", "two").await;
    assert_eq!(first.bodies().last().unwrap(), "two");
    let (address, _) = town.only();
    assert_eq!(address.type_name().as_str(), "pipelines/p.last");
}

#[tokio::test]
async fn the_caller_of_a_pipeline_does_not_wait_for_its_isolated_exports() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let export = json!({"url": destination.url("/"), "onFailure": "isolate"});
    let spec = json!({"name": "p", "stages": [{"http-export": export}, {"SetResponseData": {}}]});
    let mut town = Town::new(Pipeline::declared(
        PipelineConfig::from_json(&spec).unwrap(),
    ));
    let caller = Address::new(TypeName::new("test/caller"), "c");
    let to = Address::new(TypeName::new("pipelines/p"), "d1");
    let message = MessageBuilder::to(to).value("hello");
    town.deliver(Some(caller.clone()), message).await;
    assert_eq!(town.outside.len(), 1, "one answer, and at once");
    assert_eq!(town.outside[0].target(), &caller);
    assert_eq!(town.stands(), "awaiting retry 1");
}
