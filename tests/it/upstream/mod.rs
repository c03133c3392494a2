//! Our functions behind the real runtime.

use stateful_functions::transport::http;
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    StatefulFunctions, TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;

use crate::support::flink::{Flink, Settings, endpoint};

const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);

async fn count(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + message.require(&types::INT)?;
    context.storage().set(&SEEN, seen)?;
    context.send_egress(EgressMessageBuilder::to(TypeName::new("test/out")).value(seen));
    Ok(())
}

/// Serves functions until the test ends; the URL they are called with.
async fn serve(functions: StatefulFunctions) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { http::serve(listener, functions).await });
    url
}

#[tokio::test]
async fn sf_64_state_survives_failures_of_the_job_and_of_its_process() {
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(TypeName::new("test/counter"), count).value(SEEN))
        .unwrap();
    let module = endpoint("test/*", &serve(functions).await);
    let settings = Settings {
        own_process: true,
        ..Settings::capturing(["test/out"])
    };
    let Some(mut flink) = Flink::start(&module, settings).await else {
        return;
    };
    let counter = Address::new(TypeName::new("test/counter"), "a");
    for number in [1, 2, 3] {
        flink.feed(&MessageBuilder::to(counter.clone()).value(number));
    }
    flink
        .records_until("three records", |records| records.len() == 3)
        .await;
    flink.fail_job("boom").await;
    flink.feed(&MessageBuilder::to(counter.clone()).value(4));
    flink
        .records_until("four records", |records| records.len() == 4)
        .await;
    flink.checkpoint().await;
    flink.kill().await;
    flink.feed(&MessageBuilder::to(counter.clone()).value(5));
    flink.start_again(&module).await;
    flink.feed(&MessageBuilder::to(counter).value(6));
    let records = flink
        .records_until("six records", |records| records.len() == 6)
        .await;
    let sums: Vec<i32> = records
        .iter()
        .map(|record| record.get(&types::INT))
        .collect();
    assert_eq!(sums, [1, 3, 6, 10, 15, 21]);
    let starts = flink.events().starts;
    assert_eq!(starts[1].causes[0].message, "boom");
    assert_eq!((starts[2].restored, starts[2].position), (true, 4));
}
