//! Kind: text from outside printed raw. A destination answered 400 with escape sequences, and `statefun dead-letters list` cleared the operator's screen; a line
//! end in the answer looked like a line of the command's own.

use serde_json::Value;
use stateful_functions::admin::AdminConfig;
use stateful_functions::printable::is_unprintable;
use stateful_functions::runtime::Runtime;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::cli::{command, statefun};
use crate::runtime::{SAMPLES, Started};
use crate::support::destination::{Destination, Reaction};
use crate::support::until::until;

/// Clears the screen, fakes a line, sets the window's title, turns the text around; one of them in the form of eight bits.
const HOSTILE: &str = "no\u{1b}[2J\u{9b}31m\u{7}\u{7f}\u{202e}way\nall is well";

async fn refused_by_hostile() -> (Started, String) {
    let destination = Destination::start().await;
    let answer = Reaction::Answer(400, "content-type: text/plain\r\n", HOSTILE.into());
    destination.react(answer);
    let module = format!(
        "kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [{{http-export: {{url: '{}'}}}}]}}\n---\n{SAMPLES}",
        destination.url("/")
    );
    let mut admin = AdminConfig::default();
    admin.listen = "127.0.0.1:0".to_owned();
    let started = Started::with(Runtime::builder().admin(admin), &module).await;
    let json = [("content-type", "application/json")];
    let sent = started.post("/send/pipelines/p/a", &json, "{}").await;
    assert_eq!(sent.status, 202);
    destination.until(|received| received.len() == 1).await;
    let admin = started.url("admin api", "");
    (started, admin)
}

#[tokio::test]
async fn what_a_destination_answers_is_shown_on_one_line_with_its_control_characters_escaped() {
    let (_started, admin) = refused_by_hostile().await;
    let list = until("the dead letter", async || {
        let (_, out, _) = statefun(&["dead-letters", "list"], &admin).await;
        out.starts_with("pipelines/").then_some(out)
    })
    .await;
    assert_eq!(list.lines().count(), 1, "{list}");
    assert!(
        list.contains(r"no\u{1b}[2J\u{9b}31m\u{7}\u{7f}\u{202e}way"),
        "{list}"
    );
    let address = list.split_whitespace().next().unwrap();
    for args in [
        &["dead-letters", "list"][..],
        &["dead-letters", "show", address],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "show", address, "--json"],
        &["dead-letters", "export"],
        &["state", "list"],
    ] {
        let (code, out, err) = statefun(args, &admin).await;
        assert_eq!(code, 0, "{args:?}: {err}");
        let raw = |char| char != '\n' && is_unprintable(char);
        assert!(!out.contains(raw), "{args:?}: {out:?}");
    }
    let (_, shown, _) = statefun(&["dead-letters", "show", address, "--json"], &admin).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let message = shown["error"]["message"].as_str().unwrap();
    assert!(message.contains("way"), "{message}");
}

#[tokio::test]
async fn the_api_refuses_with_a_text_that_cannot_steer_the_terminal() {
    let (_started, admin) = refused_by_hostile().await;
    let args = [
        "deliveries",
        "list",
        "--why",
        "\u{1b}[2J\nstatefun: all is well",
    ];
    let (code, out, err) = statefun(&args, &admin).await;
    assert_eq!(
        (code, out.as_str(), err.lines().count()),
        (1, "", 1),
        "{err}"
    );
    assert!(err.contains(r"\u{1b}[2J\n"), "{err}");
}

#[tokio::test]
async fn the_sink_shows_what_it_was_sent_on_one_line() {
    for (args, escaped) in [
        (
            &["sink", "127.0.0.1:0"][..],
            r"no\u{1b}[2J\u{9b}31m\u{7}\u{7f}\u{202e}way\nall is well",
        ),
        (
            &["sink", "127.0.0.1:0", "--json"][..],
            r"no\u001b[2J\u009b31m\u0007\u007f\u202eway\nall is well",
        ),
    ] {
        let mut sink = command(args, "")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(sink.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        let address = first.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        let address = address
            .map(|part| part.trim_matches(':'))
            .find(|part| part.starts_with("127."))
            .unwrap();
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{HOSTILE}",
            HOSTILE.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes())
            .await
            .unwrap();
        let told = lines.next_line().await.unwrap().unwrap();
        assert!(told.contains(escaped), "{told:?}");
        assert!(!told.contains(is_unprintable), "{told:?}");
    }
}
