//! Values of all types, as messages, as state and at egresses; the handshake; expiration.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::handler::RequestReplyHandler;
use stateful_functions::protocol::reqreply::from_function::Response;
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use stateful_functions::protocol::reqreply::to_function::{InvocationBatchRequest, Request};
use stateful_functions::protocol::reqreply::{FromFunction, ToFunction};
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    StatefulFunctions, TypeName, ValueSpec, types,
};

use super::functions::{BLOB, EGRESSES, NOTE, Note, OUT, SHOW, functions, serve};
use crate::support::flink::{Flink, Settings, endpoint};
use crate::support::front::front;
use crate::support::until::until;

const SHELF: TypeName = TypeName::new("test/shelf");

#[tokio::test]
async fn sf_64_values_of_all_types_come_back_as_they_were() {
    values_come_back(&serve(functions()).await).await;
}

#[cfg(feature = "lambda")]
#[tokio::test]
async fn sf_64_values_of_all_types_come_back_from_lambda() {
    values_come_back(&super::functions::serve_on_lambda().await).await;
}

async fn values_come_back(url: &str) {
    let module = endpoint("test/*", url);
    let Some(mut flink) = Flink::start(&module, Settings::capturing(EGRESSES)).await else {
        return;
    };
    let mut kept = Vec::new();
    for id in ["ordinary", ""] {
        let shelf = Address::new(SHELF, id);
        let mut messages = if id.is_empty() {
            edges(&shelf)
        } else {
            ordinary(&shelf)
        };
        for message in &messages {
            flink.feed(message);
        }
        flink.feed_raw(&shelf, SHOW, None);
        // What was shown is removed: there is nothing to show, and then one value.
        flink.feed_raw(&shelf, SHOW, None);
        messages.push(MessageBuilder::to(shelf.clone()).value(true));
        flink.feed(&messages[messages.len() - 1]);
        flink.feed_raw(&shelf, SHOW, None);
        kept.extend(messages);
        let shown = flink
            .records_until("all are shown", |records| records.len() >= kept.len())
            .await;
        assert_eq!(shown.len(), kept.len());
        for (record, message) in shown.iter().zip(&kept) {
            assert_eq!(record.typename, message.value_type_name());
            assert_eq!(record.has_value, message.has_value());
            let sent = message.raw_value();
            assert_eq!(Some(&*record.value), sent.as_deref(), "{}", record.typename);
        }
    }
}

fn ordinary(shelf: &Address) -> Vec<Message> {
    let to = || MessageBuilder::to(shelf.clone());
    let note = Note {
        words: vec!["ä".to_owned(), String::new()],
    };
    vec![
        to().value(true),
        to().value(-1_i32),
        to().value(i64::MIN),
        to().value(f32::from_bits(0x7FC0_1234)),
        to().value(0.1_f64),
        to().value("hällo"),
        to().value_as(&NOTE, note).unwrap(),
        to().value_as(&BLOB, Bytes::from_static(&[0, 255])).unwrap(),
    ]
}

/// Values of few or no bytes.
fn edges(shelf: &Address) -> Vec<Message> {
    let to = || MessageBuilder::to(shelf.clone());
    vec![
        to().value(false),
        to().value(0_i32),
        to().value(0_i64),
        to().value(-0.0_f32),
        to().value(-0.0_f64),
        to().value(""),
        to().value_as(&NOTE, Note { words: Vec::new() }).unwrap(),
        to().value_as(&BLOB, Bytes::new()).unwrap(),
    ]
}

/// What the functions were asked and what they answered, and the URL they are served at.
async fn watched(functions: StatefulFunctions) -> (Exchanges, String) {
    let handler = Arc::new(RequestReplyHandler::new(functions));
    let exchanges = Exchanges::default();
    let watching = exchanges.clone();
    let url = front(move |body| {
        let (handler, watching) = (handler.clone(), watching.clone());
        async move {
            let reply = handler.handle(body.clone().into()).await.unwrap();
            let Some(Request::Invocation(request)) = ToFunction::decode(&*body).unwrap().request
            else {
                panic!("no invocation")
            };
            let response = FromFunction::decode(&*reply).unwrap().response.unwrap();
            watching.lock().unwrap().push((request, response));
            (200, "application/octet-stream".to_owned(), reply.to_vec())
        }
    })
    .await;
    (exchanges, url)
}

type Exchanges = Arc<Mutex<Vec<(InvocationBatchRequest, Response)>>>;

#[tokio::test]
async fn sf_64_the_handshake_comes_once_per_type_and_again_after_a_restart() {
    let (exchanges, url) = watched(functions()).await;
    let module = endpoint("test/*", &url);
    let Some(mut flink) = Flink::start(&module, Settings::capturing(EGRESSES)).await else {
        return;
    };
    let sums =
        |id: &str| MessageBuilder::to(Address::new(TypeName::new("test/counter"), id)).value(1);
    for (count, id) in [(1, "a"), (2, "b")] {
        flink.feed(&sums(id));
        flink
            .records_until("it is counted", |records| records.len() == count)
            .await;
    }
    flink.checkpoint().await;
    flink.fail_job("again").await;
    flink.feed(&sums("a"));
    flink
        .records_until("it is counted", |records| records.len() == 3)
        .await;
    let exchanges = exchanges.lock().unwrap().clone();
    let shape: Vec<_> = exchanges
        .iter()
        .map(|(request, response)| {
            let attached = request
                .state
                .first()
                .map(|value| value.state_value.is_some());
            let asked_for = matches!(response, Response::IncompleteInvocationContext(_));
            (
                request.target.as_ref().unwrap().id.as_str(),
                attached,
                asked_for,
            )
        })
        .collect();
    let first = [("a", None, true), ("a", Some(false), false)];
    let after_the_failure = [("a", None, true), ("a", Some(true), false)];
    assert!(shape.starts_with(&first), "nothing is known: {shape:?}");
    assert!(shape.ends_with(&after_the_failure), "forgotten: {shape:?}");
    assert!(
        shape.contains(&("b", Some(false), false)),
        "known for every id: {shape:?}"
    );
    // Flink may restart a job of its own accord, too, for instance when a checkpoint fails on a busy machine.
    let starts = flink.restarts() + 1;
    let asked = shape.iter().filter(|(.., asked_for)| *asked_for).count();
    assert!((2..=starts).contains(&asked), "{starts} starts: {shape:?}");
    for (_, attached, asked_for) in &shape {
        assert_eq!(attached.is_none(), *asked_for, "{shape:?}");
    }
}

const PLAIN: ValueSpec<bool> = ValueSpec::new("plain", types::BOOL);
const WRITE_TTL: Duration = Duration::from_millis(800);
const CALL_TTL: Duration = Duration::from_secs(2);
const WRITTEN: ValueSpec<bool> =
    ValueSpec::new("written", types::BOOL).expire_after_write(WRITE_TTL);
const CALLED: ValueSpec<bool> = ValueSpec::new("called", types::BOOL).expire_after_call(CALL_TTL);

/// Sets all values if it gets one, and tells which of them it finds.
async fn mortal(context: &mut Context, message: Message) -> Result<(), BoxError> {
    if message.has_value() {
        for spec in [&PLAIN, &WRITTEN, &CALLED] {
            context.storage().set(spec, true)?;
        }
    }
    let mut found = vec![context.address().id().to_owned()];
    for spec in [&PLAIN, &WRITTEN, &CALLED] {
        found.extend(context.storage().get(spec)?.map(|_| spec.name().to_owned()));
    }
    context.send_egress(EgressMessageBuilder::to(OUT).value(found.join(" ")));
    Ok(())
}

#[tokio::test]
async fn sf_64_values_expire_after_their_last_write_or_call() {
    let name = TypeName::new("test/mortal");
    let spec = FunctionSpec::new(name.clone(), mortal)
        .value(PLAIN)
        .value(WRITTEN)
        .value(CALLED);
    let (exchanges, url) = watched(StatefulFunctions::new().with(spec).unwrap()).await;
    let module = endpoint("test/*", &url);
    let Some(mut flink) = Flink::start(&module, Settings::capturing(EGRESSES)).await else {
        return;
    };
    let [called, left] = ["called", "left"].map(|id| Address::new(name.clone(), id));
    for address in [&called, &left] {
        flink.feed(&MessageBuilder::to(address.clone()).value(true));
    }
    let mut told = flink
        .records_until("both are set", |records| records.len() == 2)
        .await;
    let set = Instant::now();
    let mut last_call = set;
    let mut longest_pause = Duration::ZERO;
    // As long as it is called, only what was not written again vanishes.
    while set.elapsed() < CALL_TTL + WRITE_TTL
        || told.last().unwrap().get(&types::STRING).contains("written")
    {
        longest_pause = longest_pause.max(last_call.elapsed());
        last_call = Instant::now();
        flink.feed_raw(&called, SHOW, None);
        let count = told.len() + 1;
        told = flink
            .records_until("it tells", |records| records.len() == count)
            .await;
        until("a moment is over", async || {
            (last_call.elapsed() > WRITE_TTL / 10).then_some(())
        })
        .await;
    }
    let last = told.last().unwrap().get(&types::STRING);
    if longest_pause < CALL_TTL / 2 {
        assert_eq!(last, "called plain called");
    }
    flink.feed_raw(&left, SHOW, None);
    let count = told.len() + 1;
    let told = flink
        .records_until("it tells", |records| records.len() == count)
        .await;
    assert_eq!(told.last().unwrap().get(&types::STRING), "left plain");
    let asked_for = exchanges.lock().unwrap()[0].1.clone();
    let Response::IncompleteInvocationContext(asked_for) = asked_for else {
        panic!("{asked_for:?}")
    };
    let specs = asked_for.missing_values.iter();
    let specs = specs.map(|spec| spec.expiration_spec.unwrap_or_default());
    let modes: Vec<_> = specs
        .map(|spec| (spec.mode(), spec.expire_after_millis))
        .collect();
    let expected = [
        (ExpireMode::None, 0),
        (ExpireMode::AfterWrite, 800),
        (ExpireMode::AfterInvoke, 2000),
    ];
    assert_eq!(modes, expected);
}
