//! The same module file and the same records on the real StateFun and here: what functions get and what stands in topics is equal, and so are
//! the records that are refused. Machines without the real StateFun skip it and say so.

use stateful_functions::runtime::Runtime;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, Message, StatefulFunctions, TypeName,
};

use super::broker::{Version, shared};
use super::client::{Client, Read, Reader};
use crate::support::flink::{Flink, Settings};
use crate::support::scene::{Scene, with};
use crate::support::served::served;
use crate::support::until::until;

const OUT: TypeName = TypeName::new("agree/out");

/// Tells what it gets, to the topic that the type of the value names behind a dot.
async fn tell(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let address = context.address().clone();
    let kind = message.value_type_name().to_owned();
    let (_, topic) = kind.rsplit_once('/').ok_or("no topic")?;
    let value = message.raw_value();
    let text = format!("{} {kind} {value:?}", address.type_name());
    let record = KafkaEgressMessage::to(OUT).topic(topic).key(address.id());
    context.send_egress(record.value(text)?);
    Ok(())
}

/// Serves the functions; their URL.
async fn functions() -> String {
    let mut functions = StatefulFunctions::new();
    for name in ["agree/one", "agree/two"] {
        let spec = FunctionSpec::new(name.parse().unwrap(), tell);
        functions = functions.with(spec).unwrap();
    }
    format!("http://{}/", served(functions).await)
}

fn module(address: &str, url: &str, topic: &str, out: &str, semantic: &str) -> String {
    format!(
        "kind: io.statefun.kafka.v1/ingress
spec:
  id: agree/in
  address: {address}
  consumerGroupId: {topic}
  startupPosition:
    type: earliest
  topics:
    - topic: {topic}
      valueType: agree/{out}
      targets:
        - agree/one
        - agree/two
  properties:
    - isolation.level: read_committed
---
kind: io.statefun.endpoints.v2/http
spec:
  functions: agree/*
  urlPathTemplate: {url}
---
kind: io.statefun.kafka.v1/egress
spec:
  id: agree/out
  address: {address}
  deliverySemantic: {semantic}
"
    )
}

/// Reads as many records as `count` in addition to those read before, and returns them sorted.
async fn more(reader: &mut Reader, count: usize) -> Vec<Read> {
    let before = reader.records.len();
    until(&format!("{count} more records"), async || {
        reader.read();
        (reader.records.len() >= before + count).then_some(())
    })
    .await;
    let mut read = reader.records[before..].to_vec();
    read.sort_by(|a, b| (&a.key, &a.value).cmp(&(&b.key, &b.value)));
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn statefun_and_this_runtime_make_the_same_of_the_same_records() {
    let Some(broker) = shared("kafka agreement", Version::V39) else {
        return;
    };
    let client = Client::of(broker);
    let url = functions().await;
    for semantic in [
        "{type: at-least-once}",
        "{type: exactly-once, transactionTimeout: 1min}",
    ] {
        let (topic, out) = (
            client.topic("agree-in", 2).await,
            client.topic("agreed", 1).await,
        );
        let records: [(&[u8], &[u8]); 5] = [
            (b"amy", b"plain"),
            (b"amy", b"\x00\xff"),
            (b"", b"empty key"),
            (b"bob", b""),
            (b"bad\xffkey", "ä".as_bytes()),
        ];
        for (key, value) in records {
            client.bytes(&topic, key, value).await;
        }
        let module = module(&broker.address(), &url, &topic, &out, semantic);
        let Some(flink) = Flink::start(&module, Settings::default()).await else {
            return;
        };
        let mut reader = Reader::of(broker, &out);
        let theirs = more(&mut reader, 2 * records.len()).await;
        flink.stop().await;
        let data = tempfile::tempdir().unwrap();
        let runtime = with(Runtime::builder().data(data.path()), &module);
        let runtime = runtime.start().await.unwrap();
        let ours = more(&mut reader, 2 * records.len()).await;
        runtime.shutdown().await;
        assert_eq!(ours, theirs, "{semantic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_key_or_value_ends_the_real_job_and_is_set_aside_here() {
    let Some(broker) = shared("kafka agreement on refused records", Version::V39) else {
        return;
    };
    let client = Client::of(broker);
    let url = functions().await;
    let no_key = "requires a UTF-8 key set for each record";
    for (key, value, theirs, ours) in [
        (None, Some(&b"v"[..]), no_key, no_key),
        (
            Some("k"),
            None,
            "NullPointerException",
            "the record has no value",
        ),
    ] {
        let (topic, out) = (
            client.topic("refuse-in", 1).await,
            client.topic("refused", 1).await,
        );
        client.write(&topic, None, key, value).await;
        let module = module(
            &broker.address(),
            &url,
            &topic,
            &out,
            "{type: at-least-once}",
        );
        let settings = Settings::default().without_restarts();
        let Some(flink) = Flink::start(&module, settings).await else {
            return;
        };
        let end = flink.ended().await;
        let told = format!("{:?}", end.causes);
        assert!(told.contains(theirs), "{told}");
        let data = tempfile::tempdir().unwrap();
        let scene = Scene::start(&module, data.path()).await;
        scene.says("\"set_aside\":1").await;
        let kept = scene.ask("/api/dead-letters").await;
        assert!(kept.contains(ours), "{kept}");
        scene.runtime.shutdown().await;
    }
}
