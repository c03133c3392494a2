//! From Kinesis to Kinesis under load, while the runtime is killed, the service throttles or is away and the stream is resharded: no effect is missing, the
//! state counts each record once, and each key's effects are in order.

use stateful_functions::random::Random;
use stateful_functions::transport::http::serve;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KinesisEgressMessage, Message, StatefulFunction,
    StatefulFunctions, TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;

use super::client::{Client, Reader};
use super::front::Front;
use super::server::{Server, shared};
use crate::support::installed::Installed;
use crate::support::numbered::{Effects, KEYS, Pace};
use crate::support::process::Process;
use crate::support::seeds::{for_each_seed, number};
use crate::support::until::until;

/// How often the runtime is killed.
const ROUNDS: u64 = 20;
/// How often the service is away.
const OUTAGES: u64 = 4;
/// Records that are written before their effects are seen.
const AHEAD: u64 = 300;
const COUNTED: ValueSpec<i64> = ValueSpec::new("counted", types::LONG);

/// Counts the messages of its address, and sends `<text> <count>` to a stream.
struct Count {
    out: String,
}

impl StatefulFunction for Count {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let text = message.require(&types::STRING)?;
        let counted = context.storage().get(&COUNTED)?.unwrap_or(0) + 1;
        context.storage().set(&COUNTED, counted)?;
        let key = context.address().id().to_owned();
        let record = KinesisEgressMessage::to(TypeName::new("test/out"));
        let record = record.stream(&*self.out).partition_key(key);
        context.send_egress(record.value(format!("{text} {counted}"))?);
        Ok(())
    }
}

fn installed(front: &Front, functions: &str, into: &str, trouble: Trouble) -> Installed {
    let aws = format!(
        "awsRegion: {{type: specific, id: us-east-1}}
  awsCredentials: {{type: basic, accessKeyId: a, secretAccessKey: b}}
  clientConfigProperties: [{{aws.endpoint: 'http://{}/'}}, {{flink.shard.getrecords.intervalmillis: 20}}{}]",
        front.address,
        trouble.properties()
    );
    Installed::with(&format!(
        "kind: io.statefun.kinesis.v1/ingress
spec:
  id: test/in
  {aws}
  startupPosition: {{type: earliest}}
  streams: [{{stream: {into}, valueType: io.statefun.types/string, targets: [test/count]}}]
---
kind: io.statefun.endpoints.v2/http
spec: {{functions: test/*, urlPathTemplate: 'http://{functions}/'}}
---
kind: io.statefun.kinesis.v1/egress
spec:
  id: test/out
  {aws}
"
    ))
}

/// What happens while records pass through.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The runtime is killed, and the stream is resharded.
    Kills,
    /// The service is away for longer than the limits of all calls.
    Outages,
}

impl Trouble {
    const fn properties(self) -> &'static str {
        match self {
            Self::Kills => "",
            Self::Outages => ", {RequestTimeout: 1000}",
        }
    }

    fn rounds(self) -> u64 {
        let asked = number("STATEFUN_KINESIS_ROUNDS");
        match self {
            Self::Kills => asked.unwrap_or(ROUNDS),
            Self::Outages => asked.unwrap_or(OUTAGES),
        }
    }

    async fn happens(self, stage: &Stage<'_>, process: &mut Process, random: &mut Random) {
        let Stage {
            client,
            front,
            installed,
            into,
        } = stage;
        match self {
            Self::Kills => {
                let open = client.shards(into).await;
                let open = open.iter().filter(|shard| shard.is_open).count();
                match random.below(6) {
                    0 if open < 6 => client.split(into, 0).await,
                    1 if open > 1 => client.merge(into).await,
                    _ => {}
                }
                process.kill();
                *process = installed.run();
            }
            Self::Outages => {
                let before = {
                    let mut faults = front.faults();
                    match random.below(2) {
                        0 => faults.is_away = true,
                        _ => faults.is_silent = true,
                    }
                    faults.unanswered
                };
                let fail = async |more: u64| {
                    until("calls without an answer", async || {
                        (front.faults().unanswered >= before + more).then_some(())
                    })
                    .await;
                };
                fail(4).await;
                if random.chance(60) {
                    // It starts though nobody answers.
                    process.kill();
                    *process = installed.run();
                    fail(8).await;
                }
                let mut faults = front.faults();
                (faults.is_away, faults.is_silent) = (false, false);
            }
        }
    }
}

/// Where it happens.
struct Stage<'a> {
    client: &'a Client,
    front: &'a Front,
    installed: &'a Installed,
    into: &'a str,
}

/// Writes numbered records without end, each key's in order. Returns how many.
async fn write(pace: &Pace, client: &Client, into: &str) -> u64 {
    let mut number = 0;
    while !pace.ends() {
        let key = format!("key-{}", number % KEYS);
        client.text(into, &key, &number.to_string()).await;
        number += 1;
        pace.waits(number).await;
    }
    number
}

#[test]
fn twenty_kills_of_the_runtime_lose_nothing_and_count_nothing_twice() {
    for_each_seed(1, |seed| {
        let Some(server) = shared("kinesis to kinesis under kills") else {
            return;
        };
        let executor = tokio::runtime::Runtime::new().unwrap();
        executor.block_on(play(server, Trouble::Kills, seed));
    });
}

#[test]
fn outages_of_any_length_lose_nothing_count_nothing_twice_and_need_nobody() {
    for_each_seed(1, |seed| {
        let Some(server) = shared("kinesis to kinesis under outages") else {
            return;
        };
        let executor = tokio::runtime::Runtime::new().unwrap();
        executor.block_on(play(server, Trouble::Outages, seed));
    });
}

async fn play(server: &'static Server, trouble: Trouble, seed: u64) {
    let mut random = Random::seeded(seed);
    let (client, front) = (Client::of(server), Front::start(server).await);
    let (into, out) = (client.stream("in", 2).await, client.stream("out", 3).await);
    {
        let mut faults = front.faults();
        faults.throttled = 5;
        faults.refused = 10;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let installed = installed(&front, &address, &into, trouble);
    let stage = Stage {
        client: &client,
        front: &front,
        installed: &installed,
        into: &into,
    };
    let count = Count { out: out.clone() };
    let spec = FunctionSpec::new(TypeName::new("test/count"), count).value(COUNTED);
    let functions = StatefulFunctions::new().with(spec).unwrap();
    tokio::spawn(async move { serve(listener, functions).await });
    let pace = Pace::new(AHEAD);
    let mut reader = Reader::of(&client, &out);
    let rounds = async {
        let mut process = installed.run();
        for round in 0..trouble.rounds() {
            // At a moment of its own in each round, when something has arrived since the last one.
            let enough = reader.records.len() + 1 + usize::try_from(random.below(60)).unwrap();
            until(
                &format!("effects in round {round} of seed {seed}"),
                async || {
                    reader.read().await;
                    pace.saw(reader.records.len());
                    (reader.records.len() >= enough).then_some(())
                },
            )
            .await;
            trouble.happens(&stage, &mut process, &mut random).await;
        }
        pace.end();
        process
    };
    let (written, mut process) = tokio::join!(write(&pace, &client, &into), rounds);
    until(
        &format!("all {written} effects of seed {seed}"),
        async || {
            reader.read().await;
            (effects(&reader).count() as u64 == written).then_some(())
        },
    )
    .await;
    assert_eq!(process.terminate(), Some(0));
    effects(&reader).assert_complete(written);
}

/// The effects, where each came first: after a kill some come again.
fn effects(reader: &Reader<'_>) -> Effects {
    let mut effects = Effects::default();
    for read in &reader.records {
        effects.add(&read.key, &read.text());
    }
    effects.first_of_each()
}
