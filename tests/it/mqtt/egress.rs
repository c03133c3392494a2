//! What `statefun.mqtt.v1/egress` publishes.

use stateful_functions::runtime::Runtime;
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, KafkaEgressMessage, Message,
    MessageBuilder, StatefulFunctions, TypeName, types,
};

use super::broker::Broker;
use crate::support::scene::with;

const OUT: TypeName = TypeName::new("test/out");
const SENDER: TypeName = TypeName::new("test/sender");

/// Sends the text of a message: `<topic> <text>` with a topic of its own, all else without.
async fn send(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let text = message.require(&types::STRING)?;
    context.send_egress(match text.split_once(' ') {
        Some((topic, text)) => KafkaEgressMessage::to(OUT).topic(topic).value(text)?,
        None => EgressMessageBuilder::to(OUT).value(text),
    });
    Ok(())
}

async fn start(broker: &Broker, more: &str) -> Runtime {
    let url = broker.url();
    let module = format!(
        "kind: statefun.mqtt.v1/egress
spec: {{id: {OUT}, url: '{url}'{more}}}
"
    );
    let functions = StatefulFunctions::new().with(FunctionSpec::new(SENDER, send));
    let builder = Runtime::builder().functions(functions.unwrap());
    with(builder, &module).start().await.unwrap()
}

async fn tell(runtime: &Runtime, texts: &[&str]) {
    for text in texts {
        let message = MessageBuilder::to(Address::new(SENDER, "a")).value(*text);
        runtime.send(&message).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_to_the_topic_that_they_name_and_all_others_to_that_of_the_egress() {
    for qos in 0..3 {
        let Some(broker) = Broker::start("mqtt egress topics").await else {
            return;
        };
        broker.make_session("reader", "#", 2);
        let runtime = start(&broker, &format!(", topic: all, qos: {qos}")).await;
        tell(&runtime, &["one", "press/7 two", "three"]).await;
        let taken = broker.take("reader", "#", 3);
        assert_eq!(taken, ["all one", "press/7 two", "all three"], "qos {qos}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_records_are_there_for_later_subscribers() {
    let Some(broker) = Broker::start("mqtt egress retain").await else {
        return;
    };
    let runtime = start(&broker, ", topic: last, retain: true").await;
    tell(&runtime, &["one", "two"]).await;
    broker
        .logs("Received PUBLISH from statefun-egress-test-out", 2)
        .await;
    assert_eq!(broker.take("later", "last", 1), ["last two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_22_records_wait_for_a_broker_that_is_away_and_arrive_in_order() {
    let Some(broker) = Broker::start("mqtt egress, broker away").await else {
        return;
    };
    broker.make_session("reader", "out", 2);
    broker.stop();
    let runtime = start(&broker, ", topic: out").await;
    tell(&runtime, &["one", "two"]).await;
    broker.restart().await;
    assert_eq!(broker.take("reader", "out", 2), ["out one", "out two"]);
    broker.stop();
    tell(&runtime, &["three"]).await;
    broker.restart().await;
    assert_eq!(broker.take("reader", "out", 1), ["out three"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_can_never_be_published_are_set_aside_and_hold_up_nothing() {
    let Some(broker) = Broker::start("mqtt egress, set aside").await else {
        return;
    };
    broker.make_session("reader", "#", 2);
    let runtime = start(&broker, ", maxPayloadBytes: 5").await;
    tell(
        &runtime,
        &["no-topic", "a/# wildcard", "a too-long", "a fits"],
    )
    .await;
    assert_eq!(broker.take("reader", "#", 1), ["a fits"]);
}
