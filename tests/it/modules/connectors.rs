//! The kinds of Kafka and Kinesis, and format 3.0: how their fields are read.

use std::time::Duration;

use stateful_functions::module::{
    AwsCredentials, AwsRegion, DeliverySemantic, Egress, EgressTarget, Ingress, KafkaEgress,
    KafkaIngress, KafkaStart, KinesisEgress, KinesisIngress, KinesisStart, Module, OffsetReset,
};
use stateful_functions::runtime::Runtime;

use super::{load, parse};

fn kafka_ingress(module: &Module) -> &KafkaIngress {
    let Some(Ingress::Kafka(ingress)) = module.ingresses.first() else {
        panic!("a Kafka ingress: {:?}", module.ingresses);
    };
    ingress
}

fn kafka_egress(egress: &Egress) -> &KafkaEgress {
    let EgressTarget::Kafka(kafka) = &egress.target else {
        panic!("a Kafka egress: {egress:?}");
    };
    kafka
}

fn kinesis_ingress(module: &Module, n: usize) -> &KinesisIngress {
    let Some(Ingress::Kinesis(ingress)) = module.ingresses.get(n) else {
        panic!("a Kinesis ingress: {:?}", module.ingresses);
    };
    ingress
}

fn kinesis_egress(egress: &Egress) -> &KinesisEgress {
    let EgressTarget::Kinesis(kinesis) = &egress.target else {
        panic!("a Kinesis egress: {egress:?}");
    };
    kinesis
}

#[test]
fn sf_59_all_fields_of_the_kafka_kinds_are_read() {
    let module = load("kafka.yaml");
    let ingress = kafka_ingress(&module);
    assert_eq!(ingress.id.as_str(), "com.example/orders");
    assert_eq!(ingress.address, "one:9092,two:9092");
    assert_eq!(ingress.consumer_group_id, "shop");
    let [orders, returns] = ingress.topics.as_slice() else {
        panic!("two topics: {:?}", ingress.topics);
    };
    let targets: Vec<&str> = orders.targets.iter().map(|name| name.as_str()).collect();
    assert_eq!(
        (orders.source.as_str(), orders.value_type.as_str(), targets),
        (
            "orders",
            "com.example/Order",
            vec!["com.example/stock", "com.example/bill"]
        )
    );
    assert_eq!(returns.source, "returns");
    assert_eq!(ingress.auto_offset_reset, OffsetReset::Earliest);
    let KafkaStart::Offsets(offsets) = &ingress.startup_position else {
        panic!("offsets: {:?}", ingress.startup_position);
    };
    let offsets: Vec<(String, i64)> = offsets
        .iter()
        .map(|(at, offset)| (format!("{}/{}", at.topic, at.partition), *offset))
        .collect();
    assert_eq!(offsets, [("orders/0".into(), 91), ("orders/1".into(), 11)]);
    let properties: Vec<(&str, &str)> = ingress.properties.iter().collect();
    assert_eq!(
        properties,
        [
            ("max.poll.records", "100"),
            (
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"shop\" password=\"secret\";"
            )
        ]
    );
    assert!(!format!("{ingress:?}").contains("secret"));

    let [once, plain, lossy] = module.egresses.as_slice() else {
        panic!("three egresses: {:?}", module.egresses);
    };
    assert_eq!(
        kafka_egress(once).delivery_semantic,
        DeliverySemantic::ExactlyOnce {
            transaction_timeout: Duration::from_secs(900)
        }
    );
    assert_eq!(kafka_egress(once).properties.get("acks"), Some("all"));
    assert_eq!(kafka_egress(plain).address, "one:9092");
    assert_eq!(
        kafka_egress(plain).delivery_semantic,
        DeliverySemantic::AtLeastOnce
    );
    assert_eq!(
        kafka_egress(lossy).delivery_semantic,
        DeliverySemantic::None
    );
}

#[test]
fn sf_59_a_kafka_ingress_has_its_defaults_and_accepts_properties_for_fields() {
    let module = parse(
        "kind: io.statefun.kafka.v1/ingress\nspec:\n  id: a/in\n  properties: [{bootstrap.servers: h:1}, {group.id: 7}, {auto.offset.reset: earliest}]\n  topics: [{topic: t, valueType: a/v, targets: []}]\n",
    )
    .unwrap();
    let ingress = kafka_ingress(&module);
    assert_eq!(
        (ingress.address.as_str(), ingress.consumer_group_id.as_str()),
        ("h:1", "7")
    );
    assert_eq!(ingress.auto_offset_reset, OffsetReset::Latest);
    assert_eq!(ingress.startup_position, KafkaStart::Latest);
}

#[test]
fn sf_59_startup_positions_are_read() {
    let start = |text: &str| {
        let text = format!(
            "kind: io.statefun.kafka.v1/ingress\nspec:\n  id: a/in\n  address: h\n  consumerGroupId: g\n  startupPosition: {text}\n  topics: [{{topic: t, valueType: a/v, targets: []}}]\n"
        );
        kafka_ingress(&parse(&text).unwrap())
            .startup_position
            .clone()
    };
    assert_eq!(start("{type: group-offsets}"), KafkaStart::GroupOffsets);
    assert_eq!(start("{type: earliest}"), KafkaStart::Earliest);
    let KafkaStart::Date(date) = start("{type: date, date: 2020-02-01 04:15:00.000 +0000}") else {
        panic!("a date");
    };
    assert_eq!(date.as_millis(), 1_580_530_500_000);
}

#[test]
fn sf_59_all_fields_and_defaults_of_the_kinesis_kinds_are_read() {
    let module = load("kinesis.yaml");
    let ingress = kinesis_ingress(&module, 0);
    assert_eq!(ingress.streams[0].source, "orders");
    assert_eq!(ingress.region, AwsRegion::Specific("us-west-1".into()));
    let AwsCredentials::Basic {
        access_key_id,
        secret_access_key,
    } = &ingress.credentials
    else {
        panic!("basic: {:?}", ingress.credentials);
    };
    assert_eq!(
        (access_key_id.as_str(), secret_access_key.expose()),
        ("key", "secret")
    );
    assert!(!format!("{ingress:?}").contains("secret\""));
    assert_eq!(ingress.startup_position, KinesisStart::Earliest);
    assert_eq!(ingress.client_properties.get("SocketTimeout"), Some("9999"));

    let plain = kinesis_ingress(&module, 1);
    assert_eq!(plain.region, AwsRegion::Default);
    assert_eq!(plain.credentials, AwsCredentials::Default);
    assert_eq!(plain.startup_position, KinesisStart::Latest);

    let [tuned, plain] = module.egresses.as_slice() else {
        panic!("two egresses: {:?}", module.egresses);
    };
    let tuned = kinesis_egress(tuned);
    assert_eq!(
        tuned.region,
        AwsRegion::CustomEndpoint {
            endpoint: "https://localhost:4567".into(),
            id: "us-east-1".into()
        }
    );
    assert_eq!(
        tuned.credentials,
        AwsCredentials::Profile {
            name: "shop".into(),
            path: Some("/aws/credentials".into())
        }
    );
    assert_eq!(tuned.max_outstanding_records.get(), 50);
    assert_eq!(kinesis_egress(plain).max_outstanding_records.get(), 1000);
}

/// What a module binds, without the places.
fn bound(module: &Module) -> String {
    let mut module = module.clone();
    let nowhere = stateful_functions::module::Location::file("");
    for endpoint in &mut module.endpoints {
        endpoint.location = nowhere.clone();
    }
    for ingress in &mut module.ingresses {
        match ingress {
            Ingress::Kafka(ingress) => ingress.location = nowhere.clone(),
            Ingress::Kinesis(ingress) => ingress.location = nowhere.clone(),
            other => panic!("{other:?}"),
        }
    }
    for egress in &mut module.egresses {
        egress.location = nowhere.clone();
    }
    format!(
        "{:#?}\n{:#?}\n{:#?}",
        module.endpoints, module.ingresses, module.egresses
    )
}

#[test]
fn sf_60_a_file_in_format_3_0_binds_what_its_documents_would() {
    let (old, new) = (load("legacy.yaml"), load("legacy_as_documents.yaml"));
    assert_eq!(bound(&old), bound(&new));
    assert_eq!((old.endpoints.len(), old.ingresses.len()), (2, 2));
    assert_eq!(old.egresses.len(), 2);
    assert_eq!(old.without_connector.len(), new.without_connector.len());
}

#[test]
fn sf_62_placeholders_are_replaced_in_format_3_0_also_in_ids() {
    let text = "version: \"3.0\"\nmodule:\n  meta: {type: remote}\n  spec:\n    egresses:\n      - egress: {meta: {type: io.statefun.kafka/egress, id: \"a/out-$N\"}, spec: {address: \"h:$N\"}}\n";
    let module = parse(&text.replace("$N", "${PORT}")).unwrap();
    let egress = &module.egresses[0];
    assert_eq!(egress.id.as_str(), "a/out-8090");
    assert_eq!(kafka_egress(egress).address, "h:8090");
    let paths: Vec<&str> = module
        .not_for_flink
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert!(
        paths.contains(&"module.spec.egresses[0].egress.spec.address"),
        "{paths:?}"
    );
}

#[test]
fn sf_63_a_target_that_no_document_binds_is_reported() {
    let ingress = "kind: io.statefun.kafka.v1/ingress\nspec:\n  id: a/in\n  address: h\n  consumerGroupId: g\n  topics:\n    - {topic: t, valueType: a/v, targets: [a/f, b/g, c/h]}\n";
    let endpoint = |functions: &str| {
        format!(
            "---\nkind: io.statefun.endpoints.v2/http\nspec: {{functions: {functions}, urlPathTemplate: http://x/}}\n"
        )
    };
    let text = format!("{ingress}{}{}", endpoint("a/f"), endpoint("c/*"));
    let warnings: Vec<String> = parse(&text)
        .unwrap()
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        warnings,
        [
            "m.yaml:7:49: `spec.topics[0].targets[1]`: no document binds b/g (add an endpoint for b/g or for b/*)"
        ]
    );
}

#[test]
#[cfg_attr(feature = "kafka", ignore = "this build has the connector")]
fn a_module_that_needs_a_connector_is_valid_and_cannot_be_run() {
    let module = load("kafka.yaml");
    let refused = Runtime::builder().module(&module).unwrap_err().to_string();
    for expected in [
        "kafka.yaml:11:7: `spec.id`: io.statefun.kafka.v1/ingress com.example/orders needs a connector that this build does not have (build with the feature `kafka`, feed its functions through a statefun.http.v1/ingress instead, or run the module on StateFun)",
        "io.statefun.kafka.v1/egress com.example/once needs a connector that this build does not have (build with the feature `kafka`, give its id to a statefun.stdout.v1/egress or statefun.file.v1/egress, which shows its records, or run the module on StateFun)",
    ] {
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
#[cfg_attr(feature = "kinesis", ignore = "this build has the connector")]
fn sf_59_a_module_for_kinesis_is_valid_and_cannot_be_run_without_the_connector() {
    let module = load("kinesis.yaml");
    let refused = Runtime::builder().module(&module).unwrap_err().to_string();
    for expected in [
        "kinesis.yaml:7:7: `spec.id`: io.statefun.kinesis.v1/ingress com.example/orders needs a connector that this build does not have (build with the feature `kinesis`, feed its functions through a statefun.http.v1/ingress instead, or run the module on StateFun)",
        "io.statefun.kinesis.v1/egress com.example/out needs a connector that this build does not have (build with the feature `kinesis`, give its id to a statefun.stdout.v1/egress or statefun.file.v1/egress, which shows its records, or run the module on StateFun)",
    ] {
        assert!(refused.contains(expected), "{refused}");
    }
}
