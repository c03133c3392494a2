//! Module files as the playground and the documentation of StateFun have them run as they are, but for addresses.

use stateful_functions::runtime::Runtime;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, Message, StatefulFunctions, TypeName,
};

use super::broker::{Version, shared};
use super::client::{Client, Reader};
use crate::support::scene::with;
use crate::support::until::until;

const JSON: TypeName = TypeName::new("greeter.types/com.example.json");

/// Greets by the name that the JSON of a record has.
async fn greet(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let json = message.raw_value().ok_or("a record has a value")?;
    let json: serde_json::Value = serde_json::from_slice(&json)?;
    assert_eq!(message.value_type_name(), JSON.as_str());
    let name = json["name"].as_str().ok_or("no name")?;
    let greeting = KafkaEgressMessage::to(TypeName::new("example/greets"));
    let greeting = greeting.topic("greetings").key(name);
    context.send_egress(greeting.value(format!("Hello {name}"))?);
    Ok(())
}

fn functions(name: TypeName) -> StatefulFunctions {
    StatefulFunctions::new()
        .with(FunctionSpec::new(name, greet))
        .unwrap()
}

/// Runs a module whose ingress reads `topic`, and waits for a greeting.
async fn greets(client: &Client<'_>, function: &'static str, topic: &str, module: &str) {
    let address = client.broker.address();
    let module = module
        .replace("kafka:9092", &address)
        .replace("kafka-broker:9092", &address);
    let runtime = with(
        Runtime::builder().functions(functions(TypeName::new(function))),
        &module,
    );
    let runtime = runtime.start().await.unwrap();
    // By default an ingress begins with what comes after its start.
    let name = client.name("Alice");
    let value = format!("{{\"name\": \"{name}\"}}");
    let mut reader = Reader::of(client.broker, "greetings");
    until("a greeting", async || {
        client
            .write(topic, None, Some(&name), Some(value.as_bytes()))
            .await;
        reader.read();
        let mut read = reader.records.iter();
        read.any(|read| read.key.as_deref() == Some(&*name))
            .then_some(())
    })
    .await;
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_of_the_playgrounds_greeter_runs() {
    let Some(broker) = shared("kafka playground module", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    client.make("greetings", 4, &[]).await;
    let module = "\
kind: io.statefun.kafka.v1/ingress
spec:
  id: example/names
  address: kafka:9092
  consumerGroupId: my-group-id
  topics:
    - topic: names
      valueType: greeter.types/com.example.json
      targets:
        - example/person
---
kind: io.statefun.kafka.v1/egress
spec:
  id: example/greets
  address: kafka:9092
  deliverySemantic:
    type: exactly-once
    transactionTimeout: 15min
";
    greets(&client, "example/person", "names", module).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modules_of_the_documentation_run() {
    let Some(broker) = shared("kafka documentation modules", Version::V39) else {
        return;
    };
    let client = Client::of(broker);
    for topic in ["orders-of-users", "greetings"] {
        client.make(topic, 2, &[]).await;
    }
    let module = "\
kind: io.statefun.kafka.v1/ingress
spec:
  id: com.example/users
  address: kafka-broker:9092
  consumerGroupId: my-consumer-group
  startupPosition:
    type: earliest
  autoOffsetResetPosition: earliest
  topics:
    - topic: orders-of-users
      valueType: greeter.types/com.example.json
      targets:
        - com.example.fns/greeter
  properties:
    - max.poll.records: 100
    - session.timeout.ms: 30000
---
kind: io.statefun.kafka.v1/egress
spec:
  id: example/greets
  address: kafka-broker:9092
  deliverySemantic:
    type: exactly-once
    transactionTimeoutMillis: 100000
  properties:
    - transactional.id: documentation
    - acks: all
";
    greets(
        &client,
        "com.example.fns/greeter",
        "orders-of-users",
        module,
    )
    .await;
    // The same in the format of 3.0.
    let old = "\
version: \"3.0\"
module:
  meta:
    type: remote
  spec:
    ingresses:
      - ingress:
          meta:
            type: io.statefun.kafka/ingress
            id: com.example/users
          spec:
            address: kafka-broker:9092
            consumerGroupId: my-consumer-group
            topics:
              - topic: orders-of-users
                valueType: greeter.types/com.example.json
                targets:
                  - com.example.fns/greeter
    egresses:
      - egress:
          meta:
            type: io.statefun.kafka/egress
            id: example/greets
          spec:
            address: kafka-broker:9092
            deliverySemantic:
              type: at-least-once
";
    greets(&client, "com.example.fns/greeter", "orders-of-users", old).await;
}

#[test]
fn check_warns_of_properties_without_effect_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    let text = "\
kind: io.statefun.kafka.v1/ingress
spec:
  id: example/names
  address: kafka:9092
  consumerGroupId: my-group-id
  topics:
    - topic: names
      valueType: io.statefun.types/string
      targets:
        - statefun.samples/greeter
  properties:
    - max.poll.records: 100
    - session.timeout.ms: 30000
---
kind: io.statefun.kafka.v1/egress
spec:
  id: statefun.samples/out
  address: kafka:9092
  properties:
    - no.such.property: 1
---
kind: statefun.samples.v1/functions
spec: {}
";
    std::fs::write(&module, text).unwrap();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_statefun"));
    let checked = check.arg("check").arg(&module).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let told = String::from_utf8(checked.stdout).unwrap();
    let warnings: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("has no effect"))
        .collect();
    let [first, second] = warnings[..] else {
        panic!("{told}");
    };
    for (warning, line, property) in [
        (first, ":13:", "`session.timeout.ms`"),
        (second, ":20:", "`no.such.property`"),
    ] {
        let is_right = warning.contains(line) && warning.contains(property);
        assert!(is_right, "{warning}");
    }
}
