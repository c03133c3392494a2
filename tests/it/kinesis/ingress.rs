//! Where an ingress begins, what it does with records, and what it does when something is away.

use std::fmt::Write as _;

use stateful_functions::types;
use tempfile::TempDir;

use super::client::Client;
use super::front::{Front, error};
use super::server::shared;
use crate::support::scene::Scene;
use crate::support::until::until;

/// An ingress as a module file has it.
#[derive(Clone)]
pub(super) struct Ingress {
    pub(super) endpoint: String,
    pub(super) streams: Vec<String>,
    pub(super) start: &'static str,
    pub(super) credentials: &'static str,
    pub(super) properties: Vec<String>,
    pub(super) targets: &'static str,
}

impl Ingress {
    pub(super) fn of(client: &Client, stream: &str) -> Self {
        Self::at(client.server.address, stream)
    }

    pub(super) fn at(address: std::net::SocketAddr, stream: &str) -> Self {
        Self {
            endpoint: format!("http://{address}/"),
            streams: vec![stream.to_owned()],
            start: "{type: earliest}",
            credentials: "{type: basic, accessKeyId: a, secretAccessKey: b}",
            properties: vec![
                "{flink.shard.discovery.intervalmillis: 100}".to_owned(),
                "{flink.shard.getrecords.intervalmillis: 10}".to_owned(),
            ],
            targets: "[test/ledger]",
        }
    }

    pub(super) fn module(&self) -> String {
        let mut module = format!(
            "kind: io.statefun.kinesis.v1/ingress
spec:
  id: test/in
  awsRegion: {{type: specific, id: us-east-1}}
  awsCredentials: {}
  startupPosition: {}
  clientConfigProperties: [{{aws.endpoint: '{}'}}, {}]
  streams:
",
            self.credentials,
            self.start,
            self.endpoint,
            self.properties.join(", ")
        );
        for stream in &self.streams {
            let targets = self.targets;
            writeln!(
                module,
                "    - {{stream: {stream}, valueType: io.statefun.types/string, targets: {targets}}}"
            )
            .unwrap();
        }
        module
    }
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_startup_position_begins_where_it_says_and_counts_once() {
    let Some(server) = shared("kinesis startup positions") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("start", 1).await;
    for text in ["one", "two"] {
        client.text(&stream, "a", text).await;
    }
    let (folders, mut scenes) = ([folder(), folder(), folder()], Vec::new());
    for ((start, expected), data) in [
        ("{type: earliest}", &["one", "two", "three"][..]),
        ("{type: latest}", &["three"]),
        (
            "{type: date, date: '2020-01-01 00:00:00.000 +0000'}",
            &["one", "two", "three"],
        ),
    ]
    .into_iter()
    .zip(&folders)
    {
        let mut ingress = Ingress::of(&client, &stream);
        ingress.start = start;
        let scene = Scene::start(&ingress.module(), data.path()).await;
        // It has looked at the stream, and waits for what comes.
        scene.says("\"behind_ms\":0").await;
        scenes.push((scene, ingress, data, expected));
    }
    client.text(&stream, "a", "three").await;
    for (scene, mut ingress, data, expected) in scenes {
        scene.arrive(expected).await;
        scene.runtime.shutdown().await;
        // The next start continues at the stored position, whatever the module says.
        ingress.start = "{type: earliest}";
        let scene = Scene::start(&ingress.module(), data.path()).await;
        scene.says("\"behind_ms\":0").await;
        assert_eq!(scene.far_side.texts(), [""; 0]);
        scene.runtime.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_an_ingress_that_has_read_nothing_is_down_is_read_afterwards() {
    let Some(server) = shared("kinesis latest") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("latest", 1).await;
    let mut ingress = Ingress::of(&client, &stream);
    ingress.start = "{type: latest}";
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.says("\"behind_ms\":0").await;
    scene.runtime.shutdown().await;
    client.text(&stream, "a", "one").await;
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["one"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_gets_a_record_of_each_stream_and_the_partition_key_is_the_id() {
    let Some(server) = shared("kinesis targets") else {
        return;
    };
    let client = Client::of(server);
    let (one, two) = (client.stream("one", 1).await, client.stream("two", 2).await);
    client.text(&one, "a", "eins").await;
    client.text(&two, "ä b", "zwei").await;
    let mut ingress = Ingress::of(&client, &one);
    ingress.streams.push(two);
    ingress.targets = "[test/ledger, test/ledger]";
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["eins", "eins", "zwei", "zwei"]).await;
    let metric = "statefun_ingress_millisBehindLatest{ingress=\"test/in\",split=\"two-";
    until("the lag of a shard", async || {
        scene.ask("/metrics").await.contains(metric).then_some(())
    })
    .await;
    let address =
        stateful_functions::Address::new(stateful_functions::TypeName::new("test/ledger"), "ä b");
    let read = stateful_functions::MessageBuilder::to(address).value("read");
    let patience = std::time::Duration::from_secs(30);
    let answer = scene.runtime.call(&read, patience).await.unwrap();
    assert_eq!(answer.require(&types::STRING).unwrap(), "zwei\nzwei\n");
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_producer_has_aggregated_are_read_one_by_one() {
    let Some(server) = shared("kinesis aggregated records") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("aggregated", 1).await;
    // Two records of `a` as the Kinesis Producer Library packs them.
    let packed = aggregated("a", &["one", "two"]);
    client.write(&stream, "other", &packed).await;
    client.text(&stream, "a", "three").await;
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &stream).module(), data.path()).await;
    scene.arrive(&["one", "three", "two"]).await;
    scene.runtime.shutdown().await;
}

/// The magic bytes, the table of keys with one key, each record with the index of its key and its data, and their MD5.
fn aggregated(key: &str, texts: &[&str]) -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut message = vec![0x0a, key.len() as u8];
    message.extend(key.as_bytes());
    for text in texts {
        let value = types::STRING.encode(&(*text).to_owned()).unwrap();
        let record = [&[0x08, 0, 0x1a, value.len() as u8][..], &value].concat();
        message.extend([0x1a, record.len() as u8]);
        message.extend(record);
    }
    // Another implementation than ours.
    let script = "const b=[];process.stdin.on('data',d=>b.push(d)).on('end',()=>process.stdout.write(require('crypto').createHash('md5').update(Buffer.concat(b)).digest()))";
    let mut node = Command::new("node")
        .args(["-e", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut node.stdin.take().unwrap(), &message).unwrap();
    let digest = node.wait_with_output().unwrap().stdout;
    [&[0xf3, 0x89, 0x9a, 0xc2][..], &message, &digest].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_is_reported_delays_no_other_and_is_read_once_it_exists() {
    let Some(server) = shared("kinesis missing stream") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("there", 1).await;
    let late = client.name("late");
    let mut ingress = Ingress::of(&client, &stream);
    ingress.streams.push(late.clone());
    ingress.start = "{type: latest}";
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    let told = format!("the stream {late} does not exist");
    scene.says(&told).await;
    scene.says("\"behind_ms\":0").await;
    client.text(&stream, "a", "one").await;
    scene.arrive(&["one"]).await;
    // It is made while the runtime is away: all of it is new.
    scene.runtime.shutdown().await;
    client.make(&late, 1).await;
    client.text(&late, "a", "two").await;
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["two"]).await;
    scene.says("\"last_failure\":null").await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_shards_are_not_listed_delays_no_other_and_begins_where_the_others_do() {
    let Some(server) = shared("kinesis stream that does not answer") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    // They are asked for in the order of their names.
    let silent = client.stream("a-silent", 1).await;
    let stream = client.stream("b-there", 1).await;
    front.faults().silent = Some(silent.clone());
    let mut ingress = Ingress::at(front.address, &silent);
    ingress.streams.push(stream.clone());
    ingress.start = "{type: latest}";
    // A call may take an hour.
    let patience = "{RequestTimeout: 3600000}".to_owned();
    ingress.properties.push(patience);
    client.text(&silent, "a", "before").await;
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.says("\"behind_ms\":0").await;
    client.text(&stream, "a", "one").await;
    scene.arrive(&["one"]).await;
    scene.runtime.shutdown().await;
    // What is new in it is read after a restart, and nothing else.
    client.text(&silent, "a", "two").await;
    front.faults().silent = None;
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["two"]).await;
    scene.says("\"last_failure\":null").await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_and_created_again_is_read_from_its_first_record_on() {
    let Some(server) = shared("kinesis stream created again") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("again", 1).await;
    client.text(&stream, "a", "one").await;
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &stream).module(), data.path()).await;
    scene.arrive(&["one"]).await;
    client.make_again(&stream).await;
    client.text(&stream, "a", "two").await;
    scene.arrive(&["one", "two"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_at_the_start_and_later_is_waited_for() {
    let Some(server) = shared("kinesis away") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("away", 1).await;
    client.text(&stream, "a", "one").await;
    front.faults().is_away = true;
    let data = folder();
    let module = Ingress::at(front.address, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    scene.says("no answer from Kinesis").await;
    front.faults().is_away = false;
    scene.arrive(&["one"]).await;
    scene.says("\"last_failure\":null").await;
    front.faults().is_away = true;
    scene.says("no answer from Kinesis").await;
    client.text(&stream, "a", "two").await;
    front.faults().is_away = false;
    scene.arrive(&["one", "two"]).await;
    scene.says("\"last_failure\":null").await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_reported_when_it_lasts_and_loses_nothing() {
    let Some(server) = shared("kinesis throttled") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("throttled", 2).await;
    front.faults().throttled = 100;
    let data = folder();
    let module = Ingress::at(front.address, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    scene.says("ProvisionedThroughputExceededException").await;
    front.faults().throttled = 60;
    for (key, text) in [("a", "one"), ("b", "two"), ("c", "three")] {
        client.text(&stream, key, text).await;
    }
    scene.arrive(&["one", "two", "three"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_that_has_expired_is_replaced_by_one_at_the_position() {
    let Some(server) = shared("kinesis expired iterators") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("expires", 1).await;
    client.text(&stream, "a", "one").await;
    let data = folder();
    let module = Ingress::at(front.address, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    scene.arrive(&["one"]).await;
    let iterators = front.count("GetShardIterator");
    let expired = error("ExpiredIteratorException", "Iterator expired");
    front
        .faults()
        .answers
        .insert("GetRecords", [expired].into());
    until("another iterator", async || {
        (front.count("GetShardIterator") > iterators).then_some(())
    })
    .await;
    client.text(&stream, "a", "two").await;
    scene.arrive(&["one", "two"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_does_not_keep_an_ingress_from_reading() {
    let Some(server) = shared("kinesis clock") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("clock", 1).await;
    client.text(&stream, "a", "one").await;
    let skewed = error(
        "InvalidSignatureException",
        "Signature expired: 20150830T123600Z is now earlier than 20150830T124100Z",
    );
    front.faults().answers.insert("ListShards", [skewed].into());
    let data = folder();
    let module = Ingress::at(front.address, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    scene.arrive(&["one"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test]
async fn a_property_with_an_invalid_value_stops_the_start_and_is_named() {
    let mut ingress = Ingress::at("127.0.0.1:1".parse().unwrap(), "s");
    ingress.properties = vec!["{flink.shard.getrecords.maxrecordcount: many}".to_owned()];
    let data = folder();
    let Err(failure) = Scene::try_start(&ingress.module(), data.path()).await else {
        panic!("it started");
    };
    let told = failure.to_string();
    assert!(told.contains("module.yaml:7:"), "{told}");
    let property = "`spec.clientConfigProperties[1].flink.shard.getrecords.maxrecordcount`: expected a number from 1 to 10000, found `many`";
    assert!(told.contains(property), "{told}");
}
