//! What users of other Kafka clients and of Flink's connector have reported as lost, doubled or stuck for ever, tried here.

use rdkafka::producer::{FutureProducer, FutureRecord};
use stateful_functions::types;

use super::broker::{Version, own, shared};
use super::client::Client;
use super::egress::{functions, module, order, started};
use super::ingress::{Ingress, folder};
use crate::support::scene::Scene;
use crate::support::until::until;

/// A consumer with assigned partitions that sometimes reads nothing more after a restart of the broker (rust-rdkafka 597, librdkafka 5153).
#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_reads_on_after_each_of_several_restarts_of_the_broker() {
    let Some(broker) = own("kafka restarts", Version::V39) else {
        return;
    };
    let client = Client::of(&broker);
    let topic = client.topic("restarts", 3).await;
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &topic).module(), data.path()).await;
    let mut expected: Vec<String> = Vec::new();
    for round in 0..5 {
        for partition in 0..3 {
            let text = format!("{round}-{partition}");
            client.text(&topic, partition, "a", &text).await;
            expected.push(text);
        }
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        scene.arrive(&expected).await;
        broker.kill();
        tokio::task::block_in_place(|| broker.restart());
    }
    scene.runtime.shutdown().await;
}

/// A reader without a codec stops at the first compressed batch (rust-rdkafka: `Local: Not implemented`).
#[tokio::test(flavor = "multi_thread")]
async fn records_with_every_compression_are_read_and_written() {
    let Some(broker) = shared("kafka compression", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let codecs = ["gzip", "snappy", "lz4", "zstd"];
    let topic = client.topic("compressed", 1).await;
    for codec in codecs {
        let mut settings = broker.client();
        settings.set("compression.type", codec);
        let producer: FutureProducer = settings.create().unwrap();
        let value = types::STRING.encode(&codec.repeat(2_000)).unwrap();
        let record = FutureRecord::to(&topic).key("a").payload(&*value);
        let sent = producer.send_result(record).unwrap();
        sent.await.unwrap().unwrap();
    }
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &topic).module(), data.path()).await;
    let texts = codecs.map(|codec| codec.repeat(2_000));
    scene.arrive(&texts.each_ref().map(String::as_str)).await;
    scene.runtime.shutdown().await;
    for codec in codecs {
        let topic = client.topic("compressed-out", 1).await;
        let properties = format!("{{compression.type: {codec}}}");
        let (scene, _data) = started(&module(broker, "{type: at-least-once}", &properties)).await;
        let text = codec.repeat(2_000);
        order(&scene.runtime, &format!("{topic} a {text}")).await;
        assert_eq!(client.read(&topic, 1).await[0].value, text, "{codec}");
        scene.runtime.shutdown().await;
    }
}

/// A record larger than the bytes of a fetch blocks its partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_larger_than_a_fetch_does_not_block_its_partition() {
    let Some(broker) = shared("kafka large records", Version::V39) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("large", 1).await;
    let large = "x".repeat(600_000);
    client.text(&topic, 0, "a", &large).await;
    client.text(&topic, 0, "a", "after").await;
    let mut ingress = Ingress::of(&client, &topic);
    for property in [
        "{max.partition.fetch.bytes: 1000}",
        "{fetch.max.bytes: 1000}",
    ] {
        ingress.properties.push(property.to_owned());
    }
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&[&*large, "after"]).await;
    scene.runtime.shutdown().await;
}

/// A startup date behind the newest record, for which the cluster has no offset (a null pointer in Flink's connector).
#[tokio::test(flavor = "multi_thread")]
async fn a_startup_date_after_all_records_begins_with_the_next_one() {
    let Some(broker) = shared("kafka startup date", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("date", 2).await;
    client.text(&topic, 0, "a", "old").await;
    let mut ingress = Ingress::of(&client, &topic);
    ingress.start = "{type: date, date: '2099-01-01 00:00:00.000 +0000'}";
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.says(&format!("{topic}/1")).await;
    client.text(&topic, 0, "a", "new").await;
    client.text(&topic, 1, "a", "other").await;
    scene.arrive(&["new", "other"]).await;
    scene.runtime.shutdown().await;
}

/// Aborted records, and transactions without end, of another producer.
#[tokio::test(flavor = "multi_thread")]
async fn aborted_records_are_not_read_with_read_committed_and_do_not_stop_the_partition() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let Some(broker) = shared("kafka aborted records", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("aborted", 1).await;
    let name = client.name("aborts");
    let write = |text: &str, commits: bool| {
        let mut settings = broker.client();
        settings.set("transactional.id", &name);
        let producer: BaseProducer = settings.create().unwrap();
        let patience = std::time::Duration::from_secs(30);
        producer.init_transactions(patience).unwrap();
        producer.begin_transaction().unwrap();
        let value = types::STRING.encode(&text.to_owned()).unwrap();
        let record = BaseRecord::to(&topic).key("a").payload(&*value);
        producer.send(record).unwrap();
        producer.flush(patience).unwrap();
        match commits {
            true => producer.commit_transaction(patience).unwrap(),
            false => producer.abort_transaction(patience).unwrap(),
        }
    };
    tokio::task::block_in_place(|| {
        write("one", true);
        write("two", false);
        write("three", true);
    });
    let mut ingress = Ingress::of(&client, &topic);
    let committed = "{isolation.level: read_committed}".to_owned();
    ingress.properties.push(committed);
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["one", "three"]).await;
    scene.runtime.shutdown().await;
    tokio::task::block_in_place(|| write("four", true));
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["four"]).await;
    scene.runtime.shutdown().await;
}

/// A topic that is deleted and made again has fewer records than the stored offset says.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_and_made_again_is_read_by_the_reset_position() {
    let Some(broker) = shared("kafka topic made again", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("again", 1).await;
    for text in ["one", "two"] {
        client.text(&topic, 0, "a", text).await;
    }
    let mut ingress = Ingress::of(&client, &topic);
    ingress.reset = "earliest";
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["one", "two"]).await;
    scene.runtime.shutdown().await;
    client.delete(&topic).await;
    client.make(&topic, 1, &[]).await;
    client.text(&topic, 0, "a", "three").await;
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["three"]).await;
    scene.says("\"position\":\"1\"").await;
    scene.runtime.shutdown().await;
}

/// A producer whose topic is deleted and made again numbers its records on, which the new partition refuses (out of order sequence).
#[tokio::test(flavor = "multi_thread")]
async fn an_egress_goes_on_with_a_topic_that_was_deleted_and_made_again() {
    let Some(broker) = own("kafka egress topic made again", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    for (at, semantic) in [
        "{type: at-least-once}",
        "{type: exactly-once, transactionTimeout: 1min}",
    ]
    .into_iter()
    .enumerate()
    {
        let topic = client.topic("egress-again", 1).await;
        let id = format!("{{transactional.id: again-{at}}}");
        let (scene, _data) = started(&module(&broker, semantic, &id)).await;
        for number in 0..3 {
            order(&scene.runtime, &format!("{topic} a {number}")).await;
        }
        client.read(&topic, 3).await;
        scene.says("\"outbox\":0").await;
        client.delete(&topic).await;
        client.make(&topic, 1, &[]).await;
        for number in 3..6 {
            order(&scene.runtime, &format!("{topic} a {number}")).await;
        }
        let read = client.read(&topic, 3).await;
        let values: Vec<&str> = read.iter().map(|read| &*read.value).collect();
        assert_eq!(values, ["3", "4", "5"], "{semantic}");
        scene.says("\"outbox\":0").await;
        scene.says("\"set_aside\":0").await;
        scene.runtime.shutdown().await;
    }
}

/// A producer that is idle for longer than the brokers remember it can never send again (redpanda 15766, librdkafka: unknown producer id).
#[tokio::test(flavor = "multi_thread")]
async fn an_egress_goes_on_when_the_broker_has_forgotten_its_producer() {
    let Some(broker) = own("kafka forgotten producer", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let topic = client.topic("forgotten", 1).await;
    let semantic = "{type: exactly-once, transactionTimeout: 1min}";
    let module = module(&broker, semantic, "{transactional.id: forgotten}");
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start_with(functions(), &module, data.path()).await;
    order(&scene.runtime, &format!("{topic} a one")).await;
    client.read(&topic, 1).await;
    scene.says("\"outbox\":0").await;
    // The record and the mark of its transaction, and with them what the partition knows of its producers, are deleted.
    client.forget(&topic, 0, 2).await;
    broker.kill();
    tokio::task::block_in_place(|| broker.restart());
    order(&scene.runtime, &format!("{topic} a two")).await;
    until("the record", async || {
        let read = client.read(&topic, 1).await;
        (read.last()?.value == "two").then_some(())
    })
    .await;
    scene.says("\"outbox\":0").await;
    scene.runtime.shutdown().await;
}
