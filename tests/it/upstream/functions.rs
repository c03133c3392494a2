//! The functions that the real runtime calls, and the ways to serve them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stateful_functions::transport::http;
use stateful_functions::{
    Address, BoxError, CancellationToken, Context, EgressMessageBuilder, FunctionSpec,
    KafkaEgressMessage, KinesisEgressMessage, Message, MessageBuilder, StatefulFunctions, Type,
    TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;
use tokio::process::Child;

use crate::support::another_self;
use crate::support::served::served;

/// The egress that receives everything a test checks.
pub(super) const OUT: TypeName = TypeName::new("test/out");
pub(super) const KAFKA: TypeName = TypeName::new("test/kafka");
pub(super) const KINESIS: TypeName = TypeName::new("test/kinesis");
pub(super) const EGRESSES: [&str; 3] = ["test/out", "test/kafka", "test/kinesis"];

pub(super) const NOTE: Type<Note> = types::json("test/note");
pub(super) const BLOB: Type<Bytes> = types::bytes("test/blob");
/// Has the shelf shown.
pub(super) const SHOW: &str = "test/show";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) words: Vec<String>,
}

/// A value of each type.
const FLAG: ValueSpec<bool> = ValueSpec::new("flag", types::BOOL);
const NUMBER: ValueSpec<i32> = ValueSpec::new("number", types::INT);
const COUNT: ValueSpec<i64> = ValueSpec::new("count", types::LONG);
const RATIO: ValueSpec<f32> = ValueSpec::new("ratio", types::FLOAT);
const EXACT: ValueSpec<f64> = ValueSpec::new("exact", types::DOUBLE);
const TEXT: ValueSpec<String> = ValueSpec::new("text", types::STRING);
const NOTED: ValueSpec<Note> = ValueSpec::new("note", NOTE);
const STORED: ValueSpec<Bytes> = ValueSpec::new("blob", BLOB);

/// Keeps the last message of each type; [`SHOW`] sends those that there are to [`OUT`], and removes them.
async fn shelf(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let show = message.value_type_name() == SHOW;
    keep_or_show(context, &message, show, &FLAG)?;
    keep_or_show(context, &message, show, &NUMBER)?;
    keep_or_show(context, &message, show, &COUNT)?;
    keep_or_show(context, &message, show, &RATIO)?;
    keep_or_show(context, &message, show, &EXACT)?;
    keep_or_show(context, &message, show, &TEXT)?;
    keep_or_show(context, &message, show, &NOTED)?;
    keep_or_show(context, &message, show, &STORED)
}

fn keep_or_show<T>(
    context: &mut Context,
    message: &Message,
    show: bool,
    spec: &ValueSpec<T>,
) -> Result<(), BoxError> {
    let ty = spec.value_type();
    if message.is(ty) {
        context.storage().set(spec, message.require(ty)?)?;
    } else if show && let Some(value) = context.storage().get(spec)? {
        context.send_egress(EgressMessageBuilder::to(OUT).value_as(ty, value)?);
        context.storage().remove(spec)?;
    }
    Ok(())
}

pub(super) const SUM: ValueSpec<i32> = ValueSpec::new("sum", types::INT);

/// Adds up, and tells each sum with the id.
async fn counter(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let sum = context.storage().get(&SUM)?.unwrap_or(0) + message.require(&types::INT)?;
    context.storage().set(&SUM, sum)?;
    let told = format!("{} {sum}", context.address().id());
    context.send_egress(EgressMessageBuilder::to(OUT).value(told));
    Ok(())
}

pub(super) const ERRAND: Type<Vec<Step>> = types::json("test/errand");
pub(super) const TOLD: Type<Told> = types::json("test/told");

/// What a runner does, in order. Addresses are written `<namespace>/<type>/<id>`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Step {
    Tell(String),
    Send(String, Vec<Step>),
    After {
        ms: u64,
        token: Option<String>,
        to: String,
        errand: Vec<Step>,
    },
    Cancel(String),
    Kafka,
    Kinesis,
}

/// What a runner was told to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) text: String,
    pub(super) at: String,
    pub(super) caller: Option<String>,
    pub(super) time_ms: u128,
}

async fn runner(context: &mut Context, message: Message) -> Result<(), BoxError> {
    for step in message.require(&ERRAND)? {
        take(context, step)?;
    }
    Ok(())
}

fn take(context: &mut Context, step: Step) -> Result<(), BoxError> {
    match step {
        Step::Tell(text) => {
            let told = Told {
                text,
                at: context.address().to_string(),
                caller: context.caller().map(Address::to_string),
                time_ms: now_ms(),
            };
            context.send_egress(EgressMessageBuilder::to(OUT).value_as(&TOLD, told)?);
        }
        Step::Send(to, errand) => context.send(message(&to, &errand)?),
        Step::After {
            ms,
            token,
            to,
            errand,
        } => {
            let (delay, message) = (Duration::from_millis(ms), message(&to, &errand)?);
            match token {
                None => context.send_after(delay, message)?,
                Some(token) => {
                    let token = CancellationToken::new(token)?;
                    context.send_after_with_token(delay, token, message)?;
                }
            }
        }
        Step::Cancel(token) => context.cancel_delayed_message(&CancellationToken::new(token)?),
        Step::Kafka => context.send_egress(
            KafkaEgressMessage::to(KAFKA)
                .topic("topic")
                .key("key")
                .value([0, 255])?,
        ),
        Step::Kinesis => context.send_egress(
            KinesisEgressMessage::to(KINESIS)
                .stream("stream")
                .partition_key("partition")
                .explicit_hash_key("17")
                .value("value")?,
        ),
    }
    Ok(())
}

pub(super) fn now_ms() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
}

/// An errand for an address.
pub(super) fn message(to: &str, errand: &Vec<Step>) -> Result<Message, BoxError> {
    let (type_name, id) = to.rsplit_once('/').ok_or("no address")?;
    let to = Address::new(type_name.parse()?, id);
    Ok(MessageBuilder::to(to).value_as(&ERRAND, errand)?)
}

/// All of them. Runners are of three types, two of them with the same name.
pub(super) fn functions() -> StatefulFunctions {
    let shelf = FunctionSpec::new(TypeName::new("test/shelf"), shelf)
        .value(FLAG)
        .value(NUMBER)
        .value(COUNT)
        .value(RATIO)
        .value(EXACT)
        .value(TEXT)
        .value(NOTED)
        .value(STORED);
    let counter = FunctionSpec::new(TypeName::new("test/counter"), counter).value(SUM);
    let runners = ["test/runner", "test/other", "elsewhere/runner"];
    let functions = StatefulFunctions::new()
        .with(shelf)
        .unwrap()
        .with(counter)
        .unwrap();
    runners.into_iter().fold(functions, |functions, name| {
        functions
            .with(FunctionSpec::new(name.parse().unwrap(), runner))
            .unwrap()
    })
}

/// Serves functions until the test ends; the URL they are called with.
pub(super) async fn serve(functions: StatefulFunctions) -> String {
    format!("http://{}/", served(functions).await)
}

const PORT: &str = "FUNCTIONS_PORT";

/// Not a test: the functions as a process of their own.
#[test]
#[ignore = "started by other tests"]
fn process_over_http() {
    let Ok(port) = std::env::var(PORT) else {
        return;
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let port: u16 = port.parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        http::serve(listener, functions()).await.unwrap();
    });
}

/// Starts that process.
pub(super) fn process(port: u16) -> Child {
    another_self("upstream::functions::process_over_http")
        .env(PORT, port.to_string())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Not a test: the functions behind Lambda's interface.
#[cfg(feature = "lambda")]
#[test]
#[ignore = "started by other tests"]
fn process_on_lambda() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime
            .block_on(stateful_functions::transport::lambda::run(functions()))
            .unwrap();
    }
}

/// The URL of the functions on Lambda.
#[cfg(feature = "lambda")]
pub(super) async fn serve_on_lambda() -> String {
    let process = another_self("upstream::functions::process_on_lambda");
    crate::support::lambda_api::Lambda::start(process, 4)
        .await
        .behind_url()
        .await
}
