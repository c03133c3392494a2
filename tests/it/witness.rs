//! Our bytes against those of the official Python and Go SDKs, in both directions (`tests/data/witness/README.md`).

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use stateful_functions::handler::RequestReplyHandler;
use stateful_functions::protocol::reqreply::from_function::Response;
use stateful_functions::protocol::reqreply::{Address as WireAddress, FromFunction, ToFunction};
use stateful_functions::{
    Address, BoxError, CancellationToken, Context, EgressMessageBuilder, FunctionSpec,
    KafkaEgressMessage, KinesisEgressMessage, Message, MessageBuilder, StatefulFunction,
    StatefulFunctions, Type, TypeName, ValueSpec, types,
};

const ALL: TypeName = TypeName::new("witness/all");
const OTHER: TypeName = TypeName::new("witness/other");
const KAFKA: TypeName = TypeName::new("witness/kafka");
const VISIT: Type<Visit> = types::json("witness/visit");

const COUNT: ValueSpec<i64> = ValueSpec::new("count", types::LONG);
const NOTE: ValueSpec<String> =
    ValueSpec::new("note", types::STRING).expire_after_write(Duration::from_millis(1500));
const FLAG: ValueSpec<bool> =
    ValueSpec::new("flag", types::BOOL).expire_after_call(Duration::from_secs(60));
const REST: ValueSpec<f64> = ValueSpec::new("rest", types::DOUBLE);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Visit {
    name: String,
    n: i32,
}

/// What one SDK wrote.
struct Witness {
    name: &'static str,
    lines: HashMap<&'static str, Bytes>,
}

impl Witness {
    fn python() -> Self {
        Self::read("Python", include_str!("../data/witness/python.txt"))
    }

    fn go() -> Self {
        Self::read("Go", include_str!("../data/witness/go.txt"))
    }

    fn read(name: &'static str, text: &'static str) -> Self {
        let line = |line: &'static str| {
            let (name, hex) = line.split_once(' ').unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name, (0..hex.len()).step_by(2).map(byte).collect())
        };
        let lines = text.lines().map(line).collect();
        Self { name, lines }
    }

    fn bytes(&self, name: &str) -> Bytes {
        self.lines[name].clone()
    }

    fn agrees<T: PartialEq + Debug>(&self, line: &str, ty: &Type<T>, value: &T) {
        let theirs = self.bytes(line);
        assert_eq!(ty.encode(value).unwrap(), theirs, "{}: {line}", self.name);
        assert_eq!(&ty.decode(&theirs).unwrap(), value, "{}: {line}", self.name);
    }
}

#[test]
fn sf_02_built_in_types_have_the_bytes_of_the_official_sdks() {
    for witness in [Witness::python(), Witness::go()] {
        witness.agrees("bool_true", &types::BOOL, &true);
        witness.agrees("bool_false", &types::BOOL, &false);
        witness.agrees("int_zero", &types::INT, &0);
        witness.agrees("int_minus_one", &types::INT, &-1);
        witness.agrees("int_min", &types::INT, &i32::MIN);
        witness.agrees("int_max", &types::INT, &i32::MAX);
        witness.agrees("long_zero", &types::LONG, &0);
        witness.agrees("long_minus_two", &types::LONG, &-2);
        witness.agrees("long_min", &types::LONG, &i64::MIN);
        witness.agrees("long_max", &types::LONG, &i64::MAX);
        witness.agrees("float_zero", &types::FLOAT, &0.0);
        witness.agrees("float_one", &types::FLOAT, &1.0);
        witness.agrees("float_infinity", &types::FLOAT, &f32::INFINITY);
        witness.agrees("double_zero", &types::DOUBLE, &0.0);
        witness.agrees("double_one", &types::DOUBLE, &1.0);
        witness.agrees("double_infinity", &types::DOUBLE, &f64::INFINITY);
        witness.agrees("string_empty", &types::STRING, &String::new());
        witness.agrees("string_hi", &types::STRING, &"hi".to_owned());
        witness.agrees("string_umlaut", &types::STRING, &"Zoë 🦀".to_owned());
    }
}

#[test]
fn sf_02_minus_zero_has_the_bytes_of_the_go_sdk() {
    let go = Witness::go();
    go.agrees("float_minus_zero", &types::FLOAT, &-0.0);
    go.agrees("double_minus_zero", &types::DOUBLE, &-0.0);
    let back = types::DOUBLE
        .decode(&go.bytes("double_minus_zero"))
        .unwrap();
    assert!(back.is_sign_negative());
}

#[test]
fn sf_19_json_of_the_official_sdks_is_readable() {
    let visit = Visit {
        name: "Zoë".to_owned(),
        n: 1,
    };
    for witness in [Witness::python(), Witness::go()] {
        let theirs = witness.bytes("json_visit");
        assert_eq!(VISIT.decode(&theirs).unwrap(), visit, "{}", witness.name);
    }
    let go = Witness::go().bytes("json_visit");
    assert_eq!(VISIT.encode(&visit).unwrap(), go[..go.len() - 1]);
}

/// An `Address` that knows its full name, as `prost_build::Config::enable_type_names` generates it.
#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    r#type: String,
    #[prost(string, tag = "3")]
    id: String,
}

impl prost::Name for Named {
    const NAME: &'static str = "Address";
    const PACKAGE: &'static str = "io.statefun.sdk.reqreply";
}

#[test]
fn sf_19_protobuf_types_have_the_name_and_bytes_of_the_official_sdks() {
    let address = Named {
        namespace: "a".to_owned(),
        r#type: "b".to_owned(),
        id: "c".to_owned(),
    };
    for witness in [Witness::python(), Witness::go()] {
        let ours = types::protobuf::<Named>();
        assert_eq!(ours.name().as_str(), witness.bytes("protobuf_name"));
        witness.agrees("protobuf_address", &ours, &address);
    }
    let own = types::protobuf_as::<Named>("example/address");
    assert_eq!(own.name().as_str(), "example/address");
}

#[test]
fn sf_01_requests_and_replies_of_the_official_sdks_round_trip() {
    for witness in [Witness::python(), Witness::go()] {
        for line in ["request", "request_without_state", "request_idle"] {
            let theirs = witness.bytes(line);
            let read = ToFunction::decode(theirs.clone()).unwrap();
            assert_eq!(read.encode_to_vec(), theirs, "{}: {line}", witness.name);
        }
        for line in ["reply", "reply_incomplete"] {
            let theirs = witness.bytes(line);
            let read = FromFunction::decode(theirs.clone()).unwrap();
            assert_eq!(read.encode_to_vec(), theirs, "{}: {line}", witness.name);
        }
    }
    assert_eq!(
        Witness::python().bytes("request"),
        Witness::go().bytes("request")
    );
}

/// The function of the scenario; the bytes of its JSON value are the witness's.
struct Scenario {
    json: Bytes,
}

impl StatefulFunction for Scenario {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let to = |id: &str| MessageBuilder::to(Address::new(OTHER, id));
        let count = context.storage().get(&COUNT)?.unwrap_or(0);
        if message.is(&types::STRING) {
            assert_eq!(message.require(&types::STRING)?, "run");
            context.storage().set(&COUNT, count + 1)?;
            let empty = context.storage().get(&NOTE)?.as_deref() == Some("");
            let half = context.storage().get(&REST)? == Some(2.5);
            context.storage().set(&FLAG, empty && half)?;
            context.storage().remove(&NOTE)?;

            context.send(to("o1").value(42));
            context.send(to("o2").raw("witness/visit", &self.json));
            context.send_after(Duration::from_millis(1500), to("o3").value("later"))?;
            context.send_after(Duration::ZERO, to("o3").value(""))?;
            context.cancel_delayed_message(&CancellationToken::new("tok-0")?);
            let itself = MessageBuilder::to(context.address().clone()).value(-5_i64);
            let token = CancellationToken::new("tok-1")?;
            context.send_after_with_token(Duration::from_secs(60), token, itself)?;

            context.send_egress(EgressMessageBuilder::to(TypeName::new("witness/out")).value(2.5));
            let kafka = || KafkaEgressMessage::to(KAFKA).topic("t");
            context.send_egress(kafka().key("k").value("välue")?);
            context.send_egress(kafka().value_as(&types::BOOL, true)?);
            context.send_egress(kafka().value(7_i32.to_be_bytes())?);
            let kinesis = KinesisEgressMessage::to(TypeName::new("witness/kinesis"))
                .stream("s")
                .partition_key("p")
                .explicit_hash_key("9")
                .value([0, 255])?;
            context.send_egress(kinesis);
        } else if let Some(more) = message
            .is(&types::INT)
            .then(|| message.require(&types::INT))
        {
            assert_eq!(context.caller(), None);
            context.storage().set(&COUNT, count + i64::from(more?))?;
            context.send(to("o4").value(1.5_f32));
        } else {
            assert_eq!(message.raw_value(), None);
            let caller = context.caller().ok_or("a caller")?.clone();
            context.send(MessageBuilder::to(caller).value(true));
        }
        Ok(())
    }
}

fn handler(json: Bytes) -> RequestReplyHandler {
    let all = FunctionSpec::new(ALL, Scenario { json })
        .value(COUNT)
        .value(NOTE)
        .value(FLAG)
        .value(REST);
    let idle = async |_: &mut Context, _: Message| Ok(());
    let functions = StatefulFunctions::new()
        .with(all)
        .unwrap()
        .with(FunctionSpec::new(TypeName::new("witness/idle"), idle))
        .unwrap();
    functions.into()
}

/// With values in the order of their names: Go lists them at random.
fn sorted(reply: Bytes) -> FromFunction {
    let mut reply = FromFunction::decode(reply).unwrap();
    match reply.response.as_mut().unwrap() {
        Response::InvocationResult(result) => {
            result
                .state_mutations
                .sort_by(|a, b| a.state_name.cmp(&b.state_name));
        }
        Response::IncompleteInvocationContext(missing) => {
            missing
                .missing_values
                .sort_by(|a, b| a.state_name.cmp(&b.state_name));
            for value in &mut missing.missing_values {
                // Python and Go write a message with mode NONE, Java and JavaScript none; so do we.
                value.expiration_spec = value.expiration_spec.filter(|spec| spec.mode != 0);
            }
        }
    }
    reply
}

#[tokio::test]
async fn sf_01_the_same_function_gives_the_same_reply_as_in_the_official_sdks() {
    for witness in [Witness::python(), Witness::go()] {
        let handler = handler(witness.bytes("json_visit"));
        let ours = handler.handle(witness.bytes("request")).await.unwrap();
        let theirs = witness.bytes("reply");
        assert_eq!(ours.len(), theirs.len(), "{}", witness.name);
        assert_eq!(sorted(ours), sorted(theirs), "{}", witness.name);
    }
}

#[tokio::test]
async fn sf_01_the_reply_is_that_of_the_python_sdk_byte_for_byte() {
    let python = Witness::python();
    let ours = handler(python.bytes("json_visit"))
        .handle(python.bytes("request"))
        .await
        .unwrap();
    assert_eq!(ours, python.bytes("reply"));
}

#[tokio::test]
async fn sf_01_missing_values_are_asked_for_as_the_official_sdks_do() {
    for witness in [Witness::python(), Witness::go()] {
        let request = witness.bytes("request_without_state");
        let ours = handler(Bytes::new()).handle(request).await.unwrap();
        assert_eq!(
            sorted(ours),
            sorted(witness.bytes("reply_incomplete")),
            "{}",
            witness.name
        );
    }
}

#[tokio::test]
async fn sf_05_a_batch_without_effects_is_answered_as_the_go_sdk_does() {
    let go = Witness::go();
    let ours = handler(Bytes::new())
        .handle(go.bytes("request_idle"))
        .await
        .unwrap();
    assert_eq!(ours, go.bytes("reply_idle"));
    assert_eq!(ours[..], [0xA2, 0x06, 0x00]);
    assert!(Witness::python().bytes("reply_idle").is_empty());
}

#[test]
fn callers_and_targets_of_the_request_are_those_of_the_text() {
    let request = ToFunction::decode(Witness::go().bytes("request")).unwrap();
    let stateful_functions::protocol::reqreply::to_function::Request::Invocation(batch) =
        request.request.unwrap();
    assert_eq!(batch.target.unwrap().id, "id-ä");
    let caller = batch.invocations[0].caller.clone().unwrap();
    assert_eq!(WireAddress::decode(caller).unwrap().r#type, "caller");
    assert_eq!(batch.invocations[1].caller, None);
}
