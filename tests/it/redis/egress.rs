//! What `statefun.redis.v1/egress` writes.

use std::process::{Command, Stdio};

use stateful_functions::runtime::Runtime;
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, KafkaEgressMessage, Message,
    MessageBuilder, StatefulFunctions, TypeName, types,
};

use super::server::Server;
use crate::support::scene::with;
use crate::support::until::until;

const OUT: TypeName = TypeName::new("test/out");
const SENDER: TypeName = TypeName::new("test/sender");

/// Sends the text of a message: `<stream> <key> <text>` with a stream and a key of its own, all else without.
async fn send(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let text = message.require(&types::STRING)?;
    let parts: Vec<&str> = text.splitn(3, ' ').collect();
    context.send_egress(match parts.as_slice() {
        [stream, key, text] => KafkaEgressMessage::to(OUT)
            .topic(*stream)
            .key(*key)
            .value(text)?,
        _ => EgressMessageBuilder::to(OUT).value(text),
    });
    Ok(())
}

async fn start(server: &Server, more: &str) -> Runtime {
    let url = server.url();
    let module =
        format!("kind: statefun.redis.v1/egress\nspec: {{id: {OUT}, url: '{url}'{more}}}\n");
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
async fn records_become_entries_of_the_stream_that_they_name_and_all_others_of_that_of_the_egress()
{
    let Some(server) = Server::start("redis egress streams").await else {
        return;
    };
    let runtime = start(&server, ", stream: all, maxLength: 1000").await;
    tell(&runtime, &["one", "press k two", "three"]).await;
    server.holds("all", 2).await;
    server.holds("press", 1).await;
    assert_eq!(server.values("all"), ["one", "three"]);
    let press = server.ask(&["XRANGE", "press", "-", "+"]);
    let lines: Vec<&str> = press.lines().skip(1).collect();
    assert_eq!(lines, ["key", "k", "value", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_trimmed_to_about_its_length() {
    let Some(server) = Server::start("redis egress, trimmed").await else {
        return;
    };
    let runtime = start(&server, ", stream: out, maxLength: 100").await;
    let texts: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    tell(&runtime, &texts).await;
    until("the last record", async || {
        server
            .values("out")
            .contains(&"399".to_owned())
            .then_some(())
    })
    .await;
    // Redis trims whole nodes of a hundred entries.
    assert!(server.values("out").len() <= 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_for_a_key_that_is_not_a_stream_are_set_aside_and_hold_up_nothing() {
    let Some(server) = Server::start("redis egress, wrong type").await else {
        return;
    };
    server.ask(&["SET", "text", "x"]);
    let runtime = start(&server, ", to: streams").await;
    tell(&runtime, &["out k 1", "text k 2", "out k 3", "no name"]).await;
    server.holds("out", 2).await;
    assert_eq!(server.ask(&["GET", "text"]), "x");
    assert_eq!(server.ask(&["XLEN", "out"]), "2");
    drop(runtime);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_published_to_a_channel() {
    let Some(server) = Server::start("redis egress channel").await else {
        return;
    };
    let path = server.folder.path().join("heard");
    let mut listener = Command::new("stdbuf")
        .args(["-oL", "redis-cli", "--raw", "-p", &server.port.to_string()])
        .args(["SUBSCRIBE", "news"])
        .stdout(std::fs::File::create(&path).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    until("the subscription", async || {
        let told = server.ask(&["PUBSUB", "NUMSUB", "news"]);
        told.ends_with('1').then_some(())
    })
    .await;
    let runtime = start(&server, ", channel: news").await;
    tell(&runtime, &["one", "two"]).await;
    until("both messages", async || {
        let heard = std::fs::read_to_string(&path).unwrap();
        heard.contains("one\nmessage\nnews\ntwo").then_some(())
    })
    .await;
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_wait_for_a_server_that_is_away_and_arrive_in_order() {
    let Some(server) = Server::start("redis egress, server away").await else {
        return;
    };
    server.stop();
    let runtime = start(&server, ", stream: out").await;
    tell(&runtime, &["one", "two"]).await;
    server.restart().await;
    server.holds("out", 2).await;
    server.stop();
    tell(&runtime, &["three"]).await;
    server.restart().await;
    server.holds("out", 3).await;
    assert_eq!(server.values("out"), ["one", "two", "three"]);
}
