//! Many messages at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message as _;
use stateful_functions::handler::RequestReplyHandler;
use stateful_functions::protocol::reqreply::ToFunction;
use stateful_functions::protocol::reqreply::to_function::Request;
use stateful_functions::{Address, MessageBuilder, TypeName, types};
use tokio::sync::Semaphore;

use super::functions::{EGRESSES, functions};
use crate::support::flink::{Flink, Settings, endpoint};
use crate::support::front::front;

const MESSAGES: usize = 5000;

#[tokio::test]
async fn sf_64_thousands_of_messages_that_wait_for_one_call_are_the_next_batch() {
    let handler = Arc::new(RequestReplyHandler::new(functions()));
    let (sizes, calls) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(AtomicUsize::new(0)),
    );
    let gate = Arc::new(Semaphore::new(0));
    let (watching, closed) = (sizes.clone(), gate.clone());
    let url = front(move |body| {
        let (handler, watching, closed) = (handler.clone(), watching.clone(), closed.clone());
        // The first call is the handshake, the second one the first message.
        let waits = calls.fetch_add(1, Ordering::Relaxed) == 1;
        async move {
            let Some(Request::Invocation(batch)) = ToFunction::decode(&*body).unwrap().request
            else {
                panic!("no invocation")
            };
            watching.lock().unwrap().push(batch.invocations.len());
            if waits {
                closed.acquire().await.unwrap().forget();
            }
            let reply = handler.handle(body.into()).await.unwrap();
            (200, "application/octet-stream".to_owned(), reply.to_vec())
        }
    })
    .await;
    let module = format!("{}  maxNumBatchRequests: 10000\n", endpoint("test/*", &url));
    let Some(mut flink) = Flink::start(&module, Settings::capturing(EGRESSES)).await else {
        return;
    };
    let counter = Address::new(TypeName::new("test/counter"), "a");
    for _ in 0..MESSAGES {
        flink.feed(&MessageBuilder::to(counter.clone()).value(1));
    }
    // A checkpoint is complete only when all messages before it have come to the function's backlog.
    flink.checkpoint().await;
    gate.add_permits(1);
    let records = flink
        .records_until("all are counted", |records| records.len() == MESSAGES)
        .await;
    assert_eq!(
        records.last().unwrap().get(&types::STRING),
        format!("a {MESSAGES}")
    );
    assert_eq!(*sizes.lock().unwrap(), [1, 1, MESSAGES - 1]);
}
