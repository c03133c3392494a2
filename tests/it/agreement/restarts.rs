//! Scripts in which the application fails and starts again, or is stopped and restarted with its stored data: one job for each.

use super::harmless::compare;
use super::host::{Host, OUT};
use super::script::{Entry, Script};
use crate::support::reply::Reply;
use crate::support::scripted::Step;

const SCRIPTS: &[Entry] = &[
    ("handshake_again", |s| {
        visited(s, [Reply::needs(&["v"]), Reply::new()]);
        s.restart();
        s.feed("x", "2");
        s.calls("x", 4);
        s.feed("y", "3");
        s.calls("y", 1);
    }),
    ("other_states_after_a_restart", |s| {
        visited(
            s,
            [
                Reply::needs(&["w"]),
                Reply::new().set("w", "2"),
                Reply::needs(&["v"]),
            ],
        );
        s.restart();
        s.feed("x", "2");
        s.calls("x", 4);
        s.feed("x", "3");
        s.calls("x", 6);
    }),
    ("delayed_over_a_restart", |s| {
        let y = s.at("y");
        let arm = Reply::new()
            .armed(1_500, &y, "stays", "t")
            .armed(1_500, &y, "gone", "u")
            .after(2_000, &y, "end");
        let arm = s.last(arm);
        s.answers("x", [arm, Reply::new().cancel("u")].map(Step::reply));
        s.answers("y", [Step::reply(Reply::new())]);
        s.feed("x", "1");
        s.calls("x", 1);
        s.checkpoint();
        s.restart();
        s.feed("x", "2");
        s.calls("x", 2);
        s.calls("y", 2);
    }),
    ("in_flight_over_a_restart", |s| {
        visited_and(
            s,
            [
                Step::hang(),
                Step::reply(Reply::needs(&["v"])),
                Step::reply(Reply::new().egress(OUT, "once only")),
            ],
        );
        s.feed("x", "2");
        s.calls("x", 3);
        s.checkpoint();
        s.restart();
        s.calls("x", 5);
        s.records(1);
    }),
    ("answer_that_cannot_be_applied", |s| {
        let y = s.at("y");
        let bad = Reply::new()
            .send(&y, "never")
            .egress(OUT, "never seen")
            .set("v", "never")
            .set("none", "");
        let good = Reply::new().send(&y, "once").egress(OUT, "seen once");
        visited(s, [bad, Reply::needs(&["v"]), good]);
        s.feed("x", "2");
        s.calls("x", 5);
        s.calls("y", 1);
        s.records(1);
    }),
    ("answer_that_fails_twice", |s| {
        let bad = || Reply::new().cancel("");
        visited(
            s,
            [
                bad(),
                Reply::needs(&["v"]),
                bad(),
                Reply::needs(&["v"]),
                Reply::new(),
            ],
        );
        s.feed("x", "2");
        s.calls("x", 7);
    }),
];

/// An address with a value, all of which outlives a failure; what it answers then.
fn visited<const N: usize>(s: &mut Script, replies: [Reply; N]) {
    visited_and(s, replies.map(Step::reply));
}

fn visited_and(s: &mut Script, steps: impl IntoIterator<Item = Step>) {
    let kept = s.last(Reply::new().set("v", "1"));
    let first = [Reply::needs(&["v"]), kept].map(Step::reply);
    s.answers("x", first.into_iter().chain(steps));
    s.feed("x", "1");
    s.calls("x", 2);
    s.checkpoint();
}

#[tokio::test(flavor = "multi_thread")]
async fn sf_66_functions_see_the_same_over_failures_and_restarts() {
    let (mut real, mut ours) = (Vec::new(), Vec::new());
    for entry in SCRIPTS {
        let script = Script::of(*entry);
        let Some(mut host) = Host::real(|_| {}).await else {
            return;
        };
        real.push((script.name.clone(), host.play(&script).await));
        ours.push((
            script.name.clone(),
            Host::ours(&[]).await.play(&script).await,
        ));
    }
    compare(&real, &ours);
}
