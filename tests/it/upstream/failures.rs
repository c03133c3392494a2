//! A function server that is killed, a job that fails, a runtime that is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stateful_functions::handler::RequestReplyHandler;
use stateful_functions::{Address, Message, MessageBuilder, TypeName, types};

use super::functions::{EGRESSES, functions, process, serve};
use crate::support::flink::{Flink, Record, Settings, endpoint};
use crate::support::front::front;
use crate::support::ports::free_port;

const COUNTER: TypeName = TypeName::new("test/counter");

fn one_more(id: &str) -> Message {
    MessageBuilder::to(Address::new(COUNTER, id)).value(1)
}

fn texts(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| record.get(&types::STRING))
        .collect()
}

#[tokio::test]
async fn sf_64_state_survives_failures_of_the_job_and_of_its_process() {
    let module = endpoint("test/*", &serve(functions()).await);
    let settings = Settings {
        own_process: true,
        ..Settings::capturing(EGRESSES)
    };
    let Some(mut flink) = Flink::start(&module, settings).await else {
        return;
    };
    for _ in 0..3 {
        flink.feed(&one_more("a"));
    }
    flink
        .records_until("three records", |records| records.len() == 3)
        .await;
    flink.fail_job("boom").await;
    flink.feed(&one_more("a"));
    flink
        .records_until("four records", |records| records.len() == 4)
        .await;
    flink.checkpoint().await;
    flink.kill().await;
    flink.feed(&one_more("a"));
    // The state of all ids is redistributed.
    flink.set(|settings| settings.parallelism = 2);
    flink.start_again(&module).await;
    flink.feed(&one_more("a"));
    let records = flink
        .records_until("six records", |records| records.len() == 6)
        .await;
    assert_eq!(texts(&records), ["a 1", "a 2", "a 3", "a 4", "a 5", "a 6"]);
    let starts = flink.events().starts;
    assert_eq!(starts[1].causes[0].message, "boom");
    assert_eq!((starts[2].restored, starts[2].position), (true, 4));
}

const ADDRESSES: usize = 5;
const ROUNDS: usize = 60;

#[tokio::test]
async fn sf_64_a_killed_function_server_is_called_again_when_it_is_back() {
    let port = free_port();
    let module = endpoint("test/*", &format!("http://127.0.0.1:{port}/"));
    let mut server = process(port);
    let Some(mut flink) = Flink::start(&module, Settings::capturing(EGRESSES)).await else {
        return;
    };
    for round in 0..ROUNDS {
        for id in 0..ADDRESSES {
            flink.feed(&one_more(&id.to_string()));
        }
        if round % 20 == 10 {
            flink
                .records_until("some are counted", |records| records.len() > round)
                .await;
            server.kill().await.unwrap();
        }
        if round % 20 == 15 {
            server = process(port);
        }
    }
    let records = flink
        .records_until("all are counted", |records| {
            records.len() == ADDRESSES * ROUNDS
        })
        .await;
    for id in 0..ADDRESSES {
        let (mut told, prefix) = (texts(&records), format!("{id} "));
        told.retain(|told| told.starts_with(&prefix));
        let expected: Vec<String> = (1..=ROUNDS).map(|sum| format!("{id} {sum}")).collect();
        assert_eq!(told, expected);
    }
    assert_eq!(flink.restarts(), 0, "the transport waits for the server");
}

#[tokio::test]
async fn sf_64_a_batch_that_fails_for_too_long_comes_again_after_a_restart() {
    let handler = Arc::new(RequestReplyHandler::new(functions()));
    let healed = Arc::new(AtomicBool::new(false));
    let works = healed.clone();
    let url = front(move |body| {
        let (handler, works) = (handler.clone(), works.load(Ordering::Relaxed));
        async move {
            if !works {
                return (500, "text/plain".to_owned(), b"not yet".to_vec());
            }
            let reply = handler.handle(body.into()).await.unwrap();
            (200, "application/octet-stream".to_owned(), reply.to_vec())
        }
    })
    .await;
    let transport = "transport: {type: io.statefun.transports.v1/async, call: 300 ms}";
    let module = format!("{}  {transport}\n", endpoint("test/*", &url));
    let Some(mut flink) = Flink::start(&module, Settings::capturing(EGRESSES)).await else {
        return;
    };
    for _ in 0..3 {
        flink.feed(&one_more("a"));
    }
    let starts = flink.restarted(2).await;
    let causes = &starts[1].causes;
    let text = "Failure forwarding a message to a remote function Address(test, counter, a)";
    assert!(
        causes.iter().any(|cause| cause.message == text),
        "{causes:?}"
    );
    healed.store(true, Ordering::Relaxed);
    let records = flink
        .records_until("all are counted", |records| records.len() == 3)
        .await;
    assert_eq!(texts(&records), ["a 1", "a 2", "a 3"]);
}
