//! Kind: unnoticed damage, as an operator sees it. Bytes of one row were changed in the `tables.redb` of a stopped runtime.
//!
//! The value silently changed; later, `state list`, `state export`, `deliveries list`, `dead-letters list` and
//! `queues` failed completely because of one row. Right is: its address is parked with location and remedy, lists show the row and continue,
//! everything else works, and the remedy helps without a restart.

use std::sync::Arc;
use std::time::Duration;

use ::http::Method;
use serde_json::Value;
use stateful_functions::clock::ManualClock;
use stateful_functions::runtime::Runtime;
use stateful_functions::storage::{LogSettings, open, verify};
use stateful_functions::testing::faulty::FaultyDisk;
use stateful_functions::{
    BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, Timestamp,
    TypeName, ValueSpec, types,
};

use super::cli::statefun;
use crate::runtime::{SAMPLES, Started, admin, text};
use crate::support::destination::{Destination, Reaction};
use crate::support::until::until;

const TABLES: &str = "tables.redb";
const NOTE: ValueSpec<String> = ValueSpec::new("note", types::STRING);
const KEEPER: TypeName = TypeName::new("shop/keeper");
const HOUR: Duration = Duration::from_secs(3_600);
const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Stores each message and answers with the previous one; on `later` it sends itself `fired` after an hour.
async fn keep(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let told = message.require(&types::STRING)?;
    let before = context.storage().get(&NOTE)?;
    if told == "later" {
        let own = context.address().clone();
        context.send_after(HOUR, MessageBuilder::to(own).value("fired"))?;
    }
    context.storage().set(&NOTE, told)?;
    if let Some(caller) = context.caller().cloned() {
        let before = before.unwrap_or_else(|| "nothing".to_owned());
        context.send(MessageBuilder::to(caller).value(before));
    }
    Ok(())
}

async fn start(disk: &FaultyDisk, now: Timestamp, module: &str) -> Started {
    let keeper = FunctionSpec::new(KEEPER, keep).value(NOTE);
    let builder = Runtime::builder()
        .disk(Arc::new(disk.clone()))
        .functions(StatefulFunctions::new().with(keeper).unwrap())
        .clock(Arc::new(ManualClock::new(now)))
        .admin(admin());
    Started::with(builder, &format!("{module}{SAMPLES}")).await
}

/// Moves everything into the tables of a closed folder.
fn to_tables(disk: &FaultyDisk) {
    let mut settings = LogSettings::default();
    (settings.overlay_bytes, settings.background) = (1, false);
    let (store, _syncer) = open(Arc::new(disk.clone()), settings).unwrap();
    assert!(store.checkpoint().unwrap());
}

/// Changes a byte of each place of the tables that holds `mark`.
fn spoil(disk: &FaultyDisk, mark: &str) {
    let bytes = disk.contents(TABLES).unwrap();
    let windows = bytes.windows(mark.len()).enumerate();
    let places = windows.filter(|(_, window)| *window == mark.as_bytes());
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{mark} is not in the tables");
    for at in places {
        disk.flip(TABLES, at + mark.len() / 2);
    }
}

trait Operator {
    async fn tell(&self, id: &str, what: &str) -> (u16, String);
    async fn ask(&self, method: Method, path: &str) -> (u16, String);

    async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.ask(Method::GET, path).await.1).unwrap()
    }
}

impl Operator for Started {
    /// What the keeper was told before.
    async fn tell(&self, id: &str, what: &str) -> (u16, String) {
        let headers = [("statefun-type", "io.statefun.types/string")];
        let path = format!("/call/shop/keeper/{id}");
        let answer = self.post(&path, &headers, what).await;
        (answer.status.as_u16(), text(&answer).to_owned())
    }

    async fn ask(&self, method: Method, path: &str) -> (u16, String) {
        let answer = self.request(method, "admin api", path, &[], "").await;
        (answer.status.as_u16(), text(&answer).to_owned())
    }
}

/// Three keepers with a note each, of which the one of `bob` is damaged, and one that waits for its hour.
async fn damaged() -> FaultyDisk {
    let disk = FaultyDisk::default();
    let started = start(&disk, NOON, "").await;
    for (id, note) in [
        ("ann", "the note of ann"),
        ("bob", "the note of bob"),
        ("cid", "the note of cid"),
        ("tom", "later"),
    ] {
        assert_eq!(started.tell(id, note).await, (200, "nothing".to_owned()));
    }
    started.runtime.shutdown().await;
    to_tables(&disk);
    spoil(&disk, "the note of bob");
    disk
}

/// Names the row, its file, and what can be done.
fn is_told(text: &str) -> bool {
    ["note", "bob", "tables.redb is damaged", "restore a backup"]
        .iter()
        .all(|part| text.contains(part))
}

#[tokio::test]
async fn one_damaged_row_parks_its_address_and_no_other_until_it_is_removed() {
    let disk = damaged().await;
    let started = start(&disk, NOON + HOUR, "").await;
    // The delayed message is due, and comes.
    let fired = until("the delayed message", async || {
        let (_, state) = started
            .ask(Method::GET, "/api/state/shop/keeper/tom/note")
            .await;
        state.contains("fired").then_some(())
    });
    fired.await;
    let headers = [("statefun-type", "io.statefun.types/string")];
    let sent = started
        .post("/send/shop/keeper/bob", &headers, "a new note")
        .await;
    assert_eq!(sent.status, 202);
    let parked = until("bob is parked", async || {
        let queues = started.get("/api/queues").await;
        let all = queues["addresses"].as_array().unwrap().clone().into_iter();
        let parked: Vec<Value> = all.filter(|one| one["activity"] == "parked").collect();
        (!parked.is_empty()).then_some(parked)
    });
    let parked = parked.await;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!(parked[0]["address"], "shop/keeper/bob");
    let why = parked[0]["last_failure"].as_str().unwrap();
    assert!(is_told(why), "{why}");
    let (status, health) = started.ask(Method::GET, "/health").await;
    assert!(status == 503 && is_told(&health), "{health}");
    for id in ["ann", "cid"] {
        let told = started.tell(id, "another note").await;
        assert_eq!(told, (200, format!("the note of {id}")));
    }

    let (status, _) = started
        .ask(Method::DELETE, "/api/state/shop/keeper/bob/note")
        .await;
    assert_eq!(status, 204);
    let (status, told) = started
        .ask(Method::POST, "/api/queues/shop/keeper/bob/resume")
        .await;
    assert_eq!(status, 200, "{told}");
    let told = started.tell("bob", "the last note").await;
    assert_eq!(told, (200, "a new note".to_owned()));
    let list = started.get("/api/state?type=shop/keeper").await;
    assert!(!list.to_string().contains("damaged"), "{list}");
    started.runtime.shutdown().await;

    to_tables(&disk);
    verify(Arc::new(disk.clone())).unwrap();
    let started = start(&disk, NOON + HOUR, "").await;
    let told = started.tell("bob", "once more").await;
    assert_eq!(told, (200, "the last note".to_owned()));
    assert_eq!(started.ask(Method::GET, "/health").await.0, 200);
}

#[tokio::test]
async fn a_damaged_value_is_named_in_lists_and_exports_which_go_on() {
    let disk = damaged().await;
    let started = start(&disk, NOON, "").await;
    let url = started.url("admin api", "");

    let (code, out, err) = statefun(&["state", "list", "shop/keeper"], &url).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("1 item is damaged"), "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(lines[0].ends_with("\"the note of ann\""), "{out}");
    assert!(lines[1].starts_with("shop/keeper/bob  damaged: "), "{out}");
    assert!(is_told(lines[1]), "{out}");
    assert!(lines[3].ends_with("\"later\""), "{out}");

    let args = ["state", "list", "shop/keeper", "--limit", "2", "--json"];
    let (code, out, err) = statefun(&args, &url).await;
    assert_eq!(code, 1);
    let items: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((items.len(), err.contains("--after ")), (2, true), "{err}");
    assert_eq!(
        (&items[1]["name"], &items[0]["value"]),
        (&"note".into(), &"the note of ann".into())
    );
    assert!(is_told(items[1]["damaged"].as_str().unwrap()), "{items:?}");

    let (code, export, _) = statefun(&["state", "export", "shop/keeper"], &url).await;
    assert_eq!((code, export.lines().count()), (1, 4), "{export}");
    let (_, streamed) = started
        .ask(Method::GET, "/api/state/export?type=shop/keeper")
        .await;
    assert_eq!(streamed.lines().count(), 4, "{streamed}");
    let named: Vec<&str> = export.lines().filter(|line| is_told(line)).collect();
    assert_eq!(named.len(), 1, "{export}");
    let imported = started
        .request(Method::POST, "admin api", "/api/state/import", &[], &export)
        .await;
    assert_eq!(imported.status, 400);
    let why = "line 2: value `note` of shop/keeper/bob was damaged when it was exported";
    assert!(text(&imported).contains(why), "{}", text(&imported));

    let other = ["state", "list", "shop/keeper", "--name", "other"];
    let (code, out, err) = statefun(&other, &url).await;
    assert_eq!((code, out.as_str()), (0, "no values\n"), "{err}");
}

#[tokio::test]
async fn r_12_a_damaged_delivery_is_named_in_lists_and_exports_which_go_on() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let module = format!(
        "kind: statefun.pipelines.v1/pipeline\nspec:\n  name: orders\n  stages:\n    - http-export: {{url: {}}}\n---\n",
        destination.url("/hook")
    );
    let disk = FaultyDisk::default();
    let started = start(&disk, NOON, &module).await;
    for order in ["the order of ann", "the order of bob"] {
        let headers = [("content-type", "text/plain")];
        let sent = started.post("/send/pipelines/orders/x", &headers, order);
        assert_eq!(sent.await.status, 202);
    }
    let given_up = until("two dead letters", async || {
        let list = started.get("/api/dead-letters").await;
        (list["items"].as_array().unwrap().len() == 2).then_some(())
    });
    given_up.await;
    started.runtime.shutdown().await;
    to_tables(&disk);
    spoil(&disk, "the order of bob");

    let started = start(&disk, NOON, &module).await;
    let url = started.url("admin api", "");
    for args in [
        &["deliveries", "list", "--ended"][..],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "export"],
        &[
            "dead-letters",
            "redrive",
            "--all",
            "--dry-run",
            "--reason",
            "back",
            "--actor",
            "me",
        ],
    ] {
        let (code, out, err) = statefun(args, &url).await;
        assert_eq!(code, 1, "{args:?}: {err}");
        assert!(err.contains("1 item is damaged"), "{args:?}: {err}");
        assert!(out.contains("tables.redb is damaged"), "{args:?}: {out}");
        let sound = ["discarded", "1 would be sent again"];
        assert!(
            sound.iter().any(|sound| out.contains(sound)),
            "{args:?}: {out}"
        );
    }
    let list = started.get("/api/deliveries").await;
    let mut items = list["items"].as_array().unwrap().iter();
    let damaged = items.find(|item| item["damaged"].is_string()).unwrap();
    let part = |field: &str| damaged[field].as_str().unwrap().to_owned();
    let path = format!("/api/state/{}/{}", part("address"), part("name"));
    assert_eq!(started.ask(Method::DELETE, &path).await.0, 204);
    let (code, out, err) = statefun(&["deliveries", "list", "--ended"], &url).await;
    assert_eq!((code, out.lines().count()), (0, 1), "{err}");
}
