//! States: how they are declared, set, and expire.

use bytes::Bytes;
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode::{
    AfterInvoke, AfterWrite, None as Never,
};

use super::super::script::{Entry, Script};
use super::known;
use crate::support::reply::Reply;
use crate::support::scripted::Step;

pub(super) const SCRIPTS: &[Entry] = &[
    ("states", |s| {
        s.answers(
            "x",
            [
                needs(&["seen", "last"]),
                Step::reply(Reply::new().set("seen", "1")),
            ],
        );
        s.feed("x", "a");
        s.calls("x", 2);
        s.feed("x", "b");
        s.feed("y", "c");
        s.feed("other/x", "d");
        s.calls("x", 3);
        s.calls("y", 1);
        s.calls("other/x", 1);
    }),
    ("more_states_with_time", |s| {
        let both = Reply::new().set("one", "1").set("two", "2");
        s.answers(
            "x",
            [
                needs(&["one"]),
                needs(&["two"]),
                Step::reply(both),
                needs(&["three", "one"]),
            ],
        );
        s.feed("x", "a");
        s.calls("x", 3);
        s.feed("x", "b");
        s.calls("x", 5);
        s.feed("y", "c");
        s.calls("y", 1);
    }),
    ("missing_nothing", |s| {
        s.answers(
            "x",
            [needs(&[]), needs(&["one"]), needs(&["one"]), needs(&[])],
        );
        s.feed("x", "a");
        s.calls("x", 5);
    }),
    ("handshake_with_a_backlog", |s| {
        known(s, "z");
        s.answers(
            "x",
            [
                needs(&["one"]).held(),
                Step::reply(Reply::new().set("one", "1")),
            ],
        );
        s.feed("x", "a");
        s.calls("x", 1);
        s.feed("x", "b");
        s.settle();
        s.release("x");
        s.calls("x", 3);
    }),
    ("values", |s| {
        let text = |has: &[u8]| Some(Bytes::from([b"\x0a\x09test/text", has].concat()));
        stateful(
            s,
            &[
                Reply::new().set("v", "1"),
                Reply::new().remove("v"),
                Reply::new().remove("v"),
                Reply::new().mutate(1, "v", text(b"")),
                Reply::new().mutate(1, "v", text(b"\x10\x00\x1a\x01x")),
                Reply::new().mutate(1, "v", text(b"\x10\x01")),
                Reply::new().set("v", "1").remove("v"),
                Reply::new().remove("v").set("v", "2"),
                Reply::new().set("v", "3").set("v", "4").set("w", "5"),
                Reply::new().mutate(0, "v", text(b"\x10\x01\x1a\x01x")),
                Reply::new().mutate(0, "w", Some(Bytes::from_static(b"\x0a\x03odd"))),
            ],
        );
    }),
    ("typename_with_a_slash_at_its_end", |s| {
        let typed = |name: &[u8]| Some(Bytes::from([name, b"\x10\x01\x1a\x01x"].concat()));
        s.answers(
            "x",
            [
                Step::reply(Reply::needs_type("v", "a/b//")),
                Step::reply(Reply::new().mutate(1, "v", typed(b"\x0a\x03a/b"))),
                Step::reply(Reply::new().mutate(1, "v", typed(b"\x0a\x04a/b/"))),
                Step::reply(Reply::needs_type("v", "a/b")),
            ],
        );
        for (text, count) in [("1", 2), ("2", 3), ("3", 5)] {
            s.feed("x", text);
            s.calls("x", count);
        }
    }),
    ("typename_without_namespace", |s| {
        let typed = Some(Bytes::from_static(b"\x0a\x02/b\x10\x01\x1a\x01x"));
        s.answers(
            "x",
            [
                Step::reply(Reply::needs_type("v", "/b")),
                Step::reply(Reply::new().mutate(1, "v", typed)),
            ],
        );
        s.feed("x", "1");
        s.calls("x", 2);
        s.feed("x", "2");
        s.calls("x", 3);
    }),
    ("state_without_typename", |s| {
        let typed = Some(Bytes::from_static(
            b"\x0a\x17io.statefun.types/unset\x10\x01\x1a\x01x",
        ));
        s.answers(
            "x",
            [
                Step::reply(Reply::needs_type("v", "")),
                Step::reply(Reply::new().mutate(1, "v", typed)),
            ],
        );
        s.feed("x", "1");
        s.calls("x", 2);
        s.feed("x", "2");
        s.calls("x", 3);
    }),
    ("value_without_typename", |s| {
        s.answers(
            "x",
            [
                Step::reply(Reply::needs_type("v", "")),
                Step::reply(Reply::new().mutate(1, "v", Some(Bytes::from_static(b"\x1a\x01x")))),
                Step::reply(Reply::new().mutate(1, "v", None)),
            ],
        );
        for (text, count) in [("1", 2), ("2", 3), ("3", 4)] {
            s.feed("x", text);
            s.calls("x", count);
        }
    }),
    ("odd_names_of_states", |s| {
        s.answers(
            "x",
            [
                needs(&["", "a b", "ü", "x/y"]),
                Step::reply(Reply::new().set("", "1").set("ü", "2")),
            ],
        );
        s.feed("x", "1");
        s.calls("x", 2);
        s.feed("x", "2");
        s.calls("x", 3);
    }),
    ("expirations", |s| {
        let specs = [
            ("write", AfterWrite, 150),
            ("invoke", AfterInvoke, 60_000),
            ("never", Never, 0),
            ("never_too", Never, -5),
        ];
        let all = |text| {
            specs
                .iter()
                .fold(Reply::new(), |reply, spec| reply.set(spec.0, text))
        };
        let (x, z) = (s.at("x"), s.at("z"));
        s.answers(
            "x",
            [
                Step::reply(Reply::missing(&specs)),
                Step::reply(all("1")),
                Step::reply(Reply::new().after(400, &x, "later")),
                Step::reply(Reply::new().send(&z, "")),
                Step::reply(Reply::missing(&[("write", Never, 0)])),
            ],
        );
        s.feed("x", "1");
        s.calls("x", 2);
        s.feed("x", "2");
        s.calls("x", 4);
        s.feed("x", "3");
        s.calls("x", 6);
    }),
    ("unknown_expiration", |s| {
        let reply = Reply::needs(&["v"]).with_missing(|spec| {
            let expiration = spec.expiration_spec.get_or_insert_default();
            (expiration.mode, expiration.expire_after_millis) = (7, 5);
        });
        s.answers(
            "x",
            [Step::reply(reply), Step::reply(Reply::new().set("v", "1"))],
        );
        s.feed("x", "1");
        s.calls("x", 2);
        s.feed("x", "2");
        s.calls("x", 3);
    }),
];

/// Each of these answers is one to a message of its own, at an address with states `v` and `w`.
fn stateful(s: &mut Script, replies: &[Reply]) {
    let steps = replies.iter().cloned().map(Step::reply);
    s.answers("x", [needs(&["v", "w"])].into_iter().chain(steps));
    for number in 0..=replies.len() {
        s.feed("x", "");
        s.calls("x", number + 2);
    }
}

fn needs(names: &[&str]) -> Step {
    Step::reply(Reply::needs(names))
}
