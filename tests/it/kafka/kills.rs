//! From Kafka to Kafka under load, while the runtime, the function server and the broker are killed, and the broker is away for long: a reader of what is committed sees every
//! effect once, none missing, and each key's in its order.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::producer::{FutureProducer, FutureRecord};
use stateful_functions::random::Random;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use stateful_functions::transport::http::serve;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, Message, StatefulFunctions, TypeName,
    ValueSpec, types,
};
use tokio::net::TcpListener;

use super::broker::{Broker, Version, own};
use super::client::{Client, Reader};
use crate::support::installed::Installed;
use crate::support::numbered::{Effects, KEYS, Pace};
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::seeds::{for_each_seed, number};
use crate::support::until::until;

/// How often something is killed with each version of the broker.
const ROUNDS: u64 = 10;
/// How often the broker is away for longer than the limits of the clients.
const OUTAGES: u64 = 3;
/// Records that are written before their effects are seen.
const AHEAD: u64 = 1_500;
/// For an answer of the admin API.
const PATIENCE: Duration = Duration::from_secs(30);
/// Set in the process that serves the functions: where it listens.
const SERVES_AT: &str = "STATEFUN_KAFKA_FUNCTIONS";
const COUNTED: ValueSpec<i64> = ValueSpec::new("counted", types::LONG);

/// Counts the messages of its address, and sends `<text> <count>` to the topic whose name the id has behind a slash.
async fn count(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let text = message.require(&types::STRING)?;
    let counted = context.storage().get(&COUNTED)?.unwrap_or(0) + 1;
    context.storage().set(&COUNTED, counted)?;
    let id = context.address().id().to_owned();
    let (key, topic) = id.split_once('/').ok_or("an id names its topic")?;
    let record = KafkaEgressMessage::to(TypeName::new("test/out"))
        .topic(topic)
        .key(key);
    context.send_egress(record.value(format!("{text} {counted}"))?);
    Ok(())
}

/// Serves the functions, in a process of its own: a test starts this program with the variable.
#[tokio::test]
async fn functions_are_served_where_a_test_wants_them() {
    let Ok(address) = std::env::var(SERVES_AT) else {
        return;
    };
    let spec = FunctionSpec::new(TypeName::new("test/count"), count).value(COUNTED);
    let functions = StatefulFunctions::new().with(spec).unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    serve(listener, functions).await.unwrap();
}

/// A function server that can be killed.
struct Server {
    port: u16,
    child: Child,
}

impl Server {
    fn start() -> Self {
        let port = free_port();
        Self {
            port,
            child: Self::spawn(port),
        }
    }

    fn spawn(port: u16) -> Child {
        let mut program = Command::new(std::env::current_exe().unwrap());
        let name = "kafka::kills::functions_are_served_where_a_test_wants_them";
        program.args(["--exact", name, "--nocapture"]);
        program.env(SERVES_AT, format!("127.0.0.1:{port}"));
        program
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = Self::spawn(self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes numbered records without end, each key's in order. Returns how many.
async fn write(pace: &Pace, broker: &Broker, into: &str, out: &str) -> u64 {
    let mut settings = broker.client();
    settings
        .set("enable.idempotence", "true")
        .set("linger.ms", "2");
    let producer: FutureProducer = settings.create().unwrap();
    let mut number = 0;
    while !pace.ends() {
        let mut sent = Vec::new();
        for _ in 0..KEYS * 4 {
            let key = format!("key-{}/{out}", number % KEYS);
            let text = types::STRING.encode(&number.to_string()).unwrap();
            let record = FutureRecord::to(into).key(&key).payload(&*text);
            sent.push(producer.send_result(record).unwrap());
            number += 1;
        }
        for sent in sent {
            sent.await.unwrap().unwrap();
        }
        pace.waits(number).await;
    }
    number
}

fn installed(broker: &Broker, functions: u16, into: &str, trouble: Trouble) -> Installed {
    let address = broker.address();
    let (reading, writing, timeout) = trouble.limits();
    Installed::with(&format!(
        "kind: io.statefun.kafka.v1/ingress
spec:
  id: test/in
  address: {address}
  consumerGroupId: {into}
  startupPosition: {{type: earliest}}
  properties: [{reading}]
  topics: [{{topic: {into}, valueType: io.statefun.types/string, targets: [test/count]}}]
---
kind: io.statefun.endpoints.v2/http
spec: {{functions: test/*, urlPathTemplate: 'http://127.0.0.1:{functions}/'}}
---
kind: io.statefun.kafka.v1/egress
spec:
  id: test/out
  address: {address}
  deliverySemantic: {{type: exactly-once, transactionTimeout: {timeout}}}
  properties: [{{transactional.id: {into}}}{writing}]
"
    ))
}

/// What happens while records pass through.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The runtime, the function server or the broker is killed and started again at once.
    Kills,
    /// The broker is away for longer than every limit of the clients: what would be hours with their defaults.
    Outages,
}

impl Trouble {
    /// Properties of the ingress and of the egress, and its transaction timeout.
    const fn limits(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Kills => ("", "", "1min"),
            Self::Outages => (
                "{request.timeout.ms: 500}, {flink.partition-discovery.interval-millis: 100}",
                ", {delivery.timeout.ms: 1000}, {request.timeout.ms: 500}",
                "1s",
            ),
        }
    }

    fn rounds(self) -> u64 {
        let asked = number("STATEFUN_KAFKA_ROUNDS");
        match self {
            Self::Kills => asked.unwrap_or(ROUNDS),
            Self::Outages => asked.unwrap_or(OUTAGES),
        }
    }

    async fn happens(
        self,
        broker: &Broker,
        installed: &Installed,
        (process, server): (&mut Process, &mut Server),
        random: &mut Random,
    ) {
        match (self, random.below(100)) {
            (Self::Kills, 0..55) => {
                process.kill();
                *process = installed.run();
            }
            (Self::Kills, 55..80) => {
                server.kill();
                server.restart();
            }
            (Self::Kills, _) => tokio::task::block_in_place(|| {
                broker.kill();
                broker.restart();
            }),
            (Self::Outages, chance) => {
                broker.kill();
                fails(process, 5).await;
                if chance < 60 {
                    // It starts though nobody answers.
                    process.kill();
                    *process = installed.run();
                    fails(process, 2).await;
                }
                tokio::task::block_in_place(|| broker.restart());
            }
        }
    }
}

/// Waits until the ingress has failed that many times more.
async fn fails(process: &Process, times: u64) {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let url = format!("{}/metrics", process.url("admin api"));
    let failures = async || {
        let request = HttpRequest::new(http::Method::GET, url.parse().unwrap());
        let answer = client.send(request, PATIENCE).await.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let name = "statefun_ingress_numRecordsInErrors_total{ingress=\"test/in\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let before = failures().await;
    until("failures of the ingress", async || {
        (failures().await >= before + times).then_some(())
    })
    .await;
}

fn kills_lose_nothing_and_double_nothing(version: Version) {
    for_each_seed(1, |seed| {
        let Some(broker) = own("kafka to kafka under kills", version) else {
            return;
        };
        let executor = tokio::runtime::Runtime::new().unwrap();
        executor.block_on(play(&broker, Trouble::Kills, seed));
    });
}

#[test]
fn kills_of_runtime_functions_and_broker_3_9_lose_nothing_and_double_nothing() {
    kills_lose_nothing_and_double_nothing(Version::V39);
}

#[test]
fn kills_of_runtime_functions_and_broker_4_1_lose_nothing_and_double_nothing() {
    kills_lose_nothing_and_double_nothing(Version::V41);
}

#[test]
fn outages_longer_than_all_limits_lose_nothing_double_nothing_and_need_nobody() {
    for_each_seed(1, |seed| {
        let Some(broker) = own("kafka to kafka under outages", Version::V41) else {
            return;
        };
        let executor = tokio::runtime::Runtime::new().unwrap();
        executor.block_on(play(&broker, Trouble::Outages, seed));
    });
}

async fn play(broker: &Broker, trouble: Trouble, seed: u64) {
    let mut random = Random::seeded(seed);
    let client = Client::of(broker);
    let (into, out) = (client.topic("in", 3).await, client.topic("out", 3).await);
    let mut server = Server::start();
    let installed = installed(broker, server.port, &into, trouble);
    let pace = Pace::new(AHEAD);
    let rounds = async {
        let mut process = installed.run();
        let mut reader = Reader::of(broker, &out);
        for round in 0..trouble.rounds() {
            // At a moment of its own in each round, when something has arrived since the last one.
            let enough = reader.records.len() + 1 + usize::try_from(random.below(300)).unwrap();
            until(
                &format!("effects in round {round} of seed {seed}"),
                async || {
                    reader.read();
                    pace.saw(reader.records.len());
                    (reader.records.len() >= enough).then_some(())
                },
            )
            .await;
            let both = (&mut process, &mut server);
            trouble.happens(broker, &installed, both, &mut random).await;
        }
        pace.end();
        process
    };
    let (written, mut process) = tokio::join!(write(&pace, broker, &into, &out), rounds);
    let count = usize::try_from(written).unwrap();
    let mut reader = Reader::of(broker, &out);
    until(&format!("all {count} effects of seed {seed}"), async || {
        reader.read();
        (reader.records.len() >= count).then_some(())
    })
    .await;
    assert_eq!(process.terminate(), Some(0));
    // Nobody writes any more: what came twice is there.
    for _ in 0..5 {
        reader.read();
    }
    let mut effects = Effects::default();
    for read in &reader.records {
        effects.add(read.key.as_deref().unwrap(), &read.value);
    }
    effects.assert_complete(written);
}
