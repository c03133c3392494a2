//! Messages to others and to oneself, at once and later, cancelled ones, and records at egresses.

use stateful_functions::types;

use super::functions::{
    EGRESSES, KAFKA, KINESIS, Step, TOLD, Told, functions, message, now_ms, serve,
};
use crate::support::flink::{Flink, Record, Settings, endpoint};

fn tell(text: &str) -> Step {
    Step::Tell(text.to_owned())
}

fn send(to: &str, errand: Vec<Step>) -> Step {
    Step::Send(to.to_owned(), errand)
}

fn after(ms: u64, token: Option<&str>, to: &str, errand: Vec<Step>) -> Step {
    let (token, to) = (token.map(str::to_owned), to.to_owned());
    Step::After {
        ms,
        token,
        to,
        errand,
    }
}

fn cancel(token: &str) -> Step {
    Step::Cancel(token.to_owned())
}

/// The runners, reachable at `url`.
async fn start(url: &str) -> Option<Flink> {
    let module = endpoint("test/*", url) + &endpoint("elsewhere/runner", url);
    Flink::start(&module, Settings::capturing(EGRESSES)).await
}

/// What was told, once `count` texts were.
async fn told(flink: &Flink, count: usize) -> Vec<Told> {
    let records = flink
        .records_until("all records have arrived", |records| records.len() >= count)
        .await;
    records.iter().map(|record| record.get(&TOLD)).collect()
}

fn texts(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.text.as_str()).collect()
}

#[tokio::test]
async fn sf_64_messages_reach_others_and_oneself_in_order() {
    messages_in_order(&serve(functions()).await).await;
}

#[cfg(feature = "lambda")]
#[tokio::test]
async fn sf_64_messages_reach_others_from_lambda() {
    messages_in_order(&super::functions::serve_on_lambda().await).await;
}

async fn messages_in_order(url: &str) {
    let Some(mut flink) = start(url).await else {
        return;
    };
    let here = "test/runner/a";
    let errand = vec![
        after(0, None, here, vec![tell("5 delayed by nothing")]),
        send(here, vec![tell("2 to oneself")]),
        send(
            here,
            vec![
                tell("3 to oneself again"),
                send(
                    "elsewhere/runner/a",
                    vec![tell("6 far"), send("test/other/", vec![tell("7 farther")])],
                ),
            ],
        ),
        tell("1 at once"),
        send(here, vec![tell("4 once more")]),
    ];
    flink.feed(&message(here, &errand).unwrap());
    let mut told = told(&flink, 7).await;
    // What goes to different addresses has no order among itself.
    let at_a: Vec<&Told> = told.iter().filter(|told| told.at == here).collect();
    assert_eq!(
        at_a.iter().map(|told| &told.text[..1]).collect::<String>(),
        "12345"
    );
    told.sort_by(|one, other| one.text.cmp(&other.text));
    let callers: Vec<_> = told
        .iter()
        .map(|told| (told.at.as_str(), told.caller.as_deref()))
        .collect();
    let oneself = (here, Some(here));
    let expected = [
        (here, None),
        oneself,
        oneself,
        oneself,
        oneself,
        ("elsewhere/runner/a", Some(here)),
        ("test/other/", Some("elsewhere/runner/a")),
    ];
    assert_eq!(callers, expected);
}

#[tokio::test]
async fn sf_64_delayed_messages_come_later_and_cancelled_ones_never() {
    delays_and_cancels(&serve(functions()).await).await;
}

#[cfg(feature = "lambda")]
#[tokio::test]
async fn sf_64_delayed_messages_come_from_lambda() {
    delays_and_cancels(&super::functions::serve_on_lambda().await).await;
}

async fn delays_and_cancels(url: &str) {
    let Some(mut flink) = start(url).await else {
        return;
    };
    let here = "test/runner/a";
    let never = || vec![tell("never")];
    let armed = now_ms();
    let errand = vec![
        cancel("unknown"),
        after(600, Some("by oneself"), here, never()),
        after(600, Some("by another type"), here, never()),
        after(600, Some("by another id"), here, vec![tell("2 kept")]),
        after(600, Some("again"), here, never()),
        cancel("again"),
        after(
            300,
            Some("again"),
            here,
            vec![
                tell("1 armed again"),
                after(600, Some("again"), here, vec![tell("3 after it came")]),
            ],
        ),
        send(here, vec![cancel("by oneself")]),
        send("test/other/a", vec![cancel("by another type")]),
        send(&here.replace("/a", "/b"), vec![cancel("by another id")]),
    ];
    flink.feed(&message(here, &errand).unwrap());
    let told = told(&flink, 3).await;
    assert_eq!(texts(&told), ["1 armed again", "2 kept", "3 after it came"]);
    for (told, delay) in told.iter().zip([300, 600, 900]) {
        assert_eq!(told.caller.as_deref(), Some(here), "{}", told.text);
        assert!(told.time_ms >= armed + delay, "{} came early", told.text);
    }
}

#[tokio::test]
async fn sf_64_delayed_messages_survive_a_restart_with_their_time() {
    let Some(mut flink) = start(&serve(functions()).await).await else {
        return;
    };
    let here = "test/runner/a";
    let never = after(
        1500,
        Some("cancelled after the restart"),
        here,
        vec![tell("never")],
    );
    let armed = now_ms();
    let errand = vec![
        tell("armed"),
        never,
        after(1000, None, here, vec![tell("late")]),
        after(2000, None, here, vec![tell("last")]),
    ];
    flink.feed(&message(here, &errand).unwrap());
    told(&flink, 1).await;
    flink.checkpoint().await;
    flink.fail_job("with messages that wait").await;
    flink.feed(&message(here, &vec![cancel("cancelled after the restart")]).unwrap());
    let told = told(&flink, 3).await;
    assert_eq!(texts(&told), ["armed", "late", "last"]);
    assert!(
        told[1].time_ms >= armed + 1000 && told[2].time_ms >= armed + 2000,
        "{told:?}"
    );
}

#[tokio::test]
async fn sf_64_kafka_and_kinesis_records_arrive_as_the_egresses_read_them() {
    let Some(mut flink) = start(&serve(functions()).await).await else {
        return;
    };
    flink.feed(&message("test/runner/a", &vec![Step::Kafka, Step::Kinesis]).unwrap());
    let records = flink
        .records_until("both are there", |records| records.len() == 2)
        .await;
    let at = |egress: &str| -> &Record {
        records
            .iter()
            .find(|record| record.egress == egress)
            .unwrap()
    };
    let kafka = at(KAFKA.as_str()).get(&types::KAFKA_RECORD);
    assert_eq!(
        (&*kafka.topic, &*kafka.key, &*kafka.value_bytes),
        ("topic", "key", &[0, 255][..])
    );
    let kinesis = at(KINESIS.as_str()).get(&types::KINESIS_RECORD);
    assert_eq!(
        (&*kinesis.stream, &*kinesis.partition_key),
        ("stream", "partition")
    );
    assert_eq!(
        (&*kinesis.explicit_hash_key, &*kinesis.value_bytes),
        ("17", &b"value"[..])
    );
    assert!(records.iter().all(|record| record.has_value));
}
