//! Scripts about declared values: which declarations survive a failure, and for which ids they are valid after a restart.
//!
//! On the real runtime a stored declaration is valid for all ids of its type, whether they have a value or not, and cannot be undone;
//! one whose batch failed is forgotten. `--strict` does the same; without it only an id with a value of another type fails.

use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode::AfterWrite;

use super::fatal::fail_alike;
use super::harmless::compare;
use super::host::Host;
use super::script::{Entry, Script};
use crate::support::reply::Reply;
use crate::support::scripted::Step;

const HARMLESS: &[Entry] = &[
    ("other_type_after_a_batch_that_failed", |s| {
        s.answers("other/y", [Step::reply(s.last(Reply::new()))]);
        s.feed("other/y", "1");
        s.calls("other/y", 1);
        s.checkpoint();
        let replies = [
            Reply::needs(&["v"]),
            Reply::new().cancel(""),
            Reply::needs_type("v", "a/b"),
            Reply::new(),
        ];
        s.answers("x", replies.map(Step::reply));
        s.feed("x", "1");
        s.calls("x", 4);
    }),
    ("shorter_expiration_after_a_failure", |s| {
        let replies = [
            Reply::missing(&[("v", AfterWrite, 600_000)]),
            s.last(Reply::new().set("v", "1")),
            Reply::new().cancel(""),
            Reply::missing(&[("v", AfterWrite, 1)]),
            Reply::new(),
        ];
        s.answers("x", replies.map(Step::reply));
        s.feed("x", "1");
        s.calls("x", 2);
        s.checkpoint();
        s.feed("x", "2");
        s.calls("x", 5);
    }),
    ("shorter_expiration_named_again_while_running", |s| {
        let replies = [
            Reply::missing(&[("v", AfterWrite, 600_000)]),
            Reply::new().set("v", "1"),
            Reply::missing(&[("v", AfterWrite, 1), ("w", AfterWrite, 1)]),
            Reply::new(),
            Reply::new(),
        ];
        s.answers("x", replies.map(Step::reply));
        s.feed("x", "1");
        s.calls("x", 2);
        s.feed("x", "2");
        s.calls("x", 4);
        s.feed("x", "3");
        s.calls("x", 5);
    }),
];

const FATAL: &[Entry] = &[
    ("other_typename_for_another_id_after_a_restart", |s| {
        restarted(s, Reply::new().set("v", "1"), "y", other_type());
    }),
    ("other_typename_without_a_value_after_a_restart", |s| {
        restarted(s, Reply::new(), "x", other_type());
    }),
    ("other_typename_of_a_removed_value_after_a_restart", |s| {
        let removed = Reply::new().set("v", "1").remove("v");
        restarted(s, removed, "x", other_type());
    }),
    ("expiration_on_without_a_value_after_a_restart", |s| {
        let expires = Reply::missing(&[("v", AfterWrite, 60_000)]);
        restarted(s, Reply::new(), "x", expires);
    }),
];

fn other_type() -> Reply {
    Reply::needs_type("v", "a/b")
}

/// `x` declares `v`, and `first` is applied; after a restart `second` declares it otherwise.
fn restarted(s: &mut Script, first: Reply, second: &str, otherwise: Reply) {
    let mut replies = vec![Reply::needs(&["v"]), s.last(first)];
    if second == "x" {
        replies.push(otherwise);
    } else {
        s.answers(second, [Step::reply(otherwise)]);
    }
    s.answers("x", replies.into_iter().map(Step::reply));
    s.feed("x", "1");
    s.calls("x", 2);
    s.checkpoint();
    s.restart();
    s.feed(second, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn sf_40_declarations_outlive_failures_alike() {
    let (mut real, mut ours) = (Vec::new(), Vec::new());
    for entry in HARMLESS {
        let script = Script::of(*entry);
        let Some(mut host) = Host::real(|_| {}).await else {
            return;
        };
        real.push((script.name.clone(), host.play(&script).await));
        let played = Host::ours(&[]).await.play(&script).await;
        ours.push((script.name.clone(), played));
    }
    compare(&real, &ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn sf_40_a_stored_declaration_counts_for_all_ids_after_a_restart() {
    fail_alike(FATAL).await;
}
