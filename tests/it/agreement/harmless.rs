//! Scripts that no application fails of: one job runs them all.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use stateful_functions::protocol::reqreply::FromFunction;
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode::{
    AfterInvoke, AfterWrite, None as Never,
};

use super::host::{Host, OUT};
use super::script::{Entry, Script};
use crate::support::reply::Reply;
use crate::support::scripted::Step;

const SCRIPTS: &[Entry] = &[
    // Who is called, by whom, with what.
    ("callers", |s| {
        let (y, z) = (s.at("y"), s.at("other/x"));
        s.answers("x", [Step::reply(Reply::new().send(&y, "1").send(&z, "2"))]);
        s.answers("y", [Step::reply(Reply::new().send(&y, "3"))]);
        s.feed("x", "0");
        s.calls("y", 2);
        s.calls("other/x", 1);
    }),
    ("odd_addresses", |s| {
        let reply = Reply::new()
            .send("agree/odd_addresses/", "empty id")
            .send("agree/odd.addresses/ü \u{1F980}", "text");
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.answers_at("agree/odd_addresses/", []);
        s.answers_at("agree/odd.addresses/ü \u{1F980}", []);
        s.calls_at("agree/odd_addresses/", 1);
        s.calls_at("agree/odd.addresses/ü \u{1F980}", 1);
    }),
    ("odd_values", |s| {
        let y = s.at("y");
        let values: [Option<&[u8]>; 6] = [
            None,
            Some(b""),
            // Only a typename, without slash; a value that says it is none; an empty value; further fields.
            Some(b"\x0a\x03odd"),
            Some(b"\x0a\x03a/b\x1a\x01x"),
            Some(b"\x0a\x03a/b\x10\x01"),
            Some(b"\x0a\x03a/b\x10\x01\x1a\x01x\x22\x01y\x98\x06\x07"),
        ];
        let mut reply = Reply::new();
        for value in values {
            reply = reply.send_raw(&y, value);
        }
        s.answers("x", [Step::reply(reply)]);
        s.answers("y", [Step::reply(Reply::new()).held()]);
        s.feed("y", "known");
        s.calls("y", 1);
        s.release("y");
        s.answers(
            "y",
            [Step::reply(Reply::new()), Step::reply(Reply::new()).held()],
        );
        s.feed("y", "busy");
        s.calls("y", 2);
        s.feed("x", "");
        s.calls("x", 1);
        s.settle();
        s.release("y");
        s.calls("y", 3);
    }),
    ("forwarded_bytes", |s| {
        let y = s.at("y");
        let raw: &[u8] = b"\x0a\x03a/b\x10\x01\x1a\x01x\x22\x01y\x98\x06\x07";
        s.answers("x", [Step::reply(Reply::new().send_raw(&y, Some(raw)))]);
        s.feed("x", "");
        s.calls("y", 1);
    }),
    // Batches and order.
    ("backlog", |s| {
        known(s, "x");
        s.answers(
            "x",
            [Step::reply(Reply::new()), Step::reply(Reply::new()).held()],
        );
        s.feed("x", "1");
        s.calls("x", 2);
        for text in ["2", "3", "4", "5"] {
            s.feed("x", text);
        }
        s.settle();
        s.release("x");
        s.calls("x", 3);
    }),
    ("self_sends_behind_a_backlog", |s| {
        known(s, "x");
        let x = s.at("x");
        let sends = Reply::new().send(&x, "mine 1").send(&x, "mine 2");
        s.answers("x", [Step::reply(Reply::new()), Step::reply(sends).held()]);
        s.feed("x", "1");
        s.calls("x", 2);
        s.feed("x", "2");
        s.feed("x", "3");
        s.settle();
        s.release("x");
        s.calls("x", 4);
    }),
    ("more_than_max_batch", |s| {
        s.behind("few");
        let (y, z) = (s.at("y"), s.at("z"));
        known(s, "y");
        let mut reply = Reply::new();
        for text in ["1", "2", "3", "4", "5"] {
            reply = reply.send(&y, text);
        }
        s.answers(
            "y",
            [Step::reply(Reply::new()), Step::reply(Reply::new()).held()],
        );
        s.answers("x", [Step::reply(reply.send(&z, "behind them"))]);
        s.feed("y", "0");
        s.calls("y", 2);
        s.feed("x", "");
        // The real runtime takes nothing in from now on, so no marker can follow. What was sent last has arrived: so have the five before it.
        s.calls("z", 1);
        s.release("y");
        s.calls("y", 3);
    }),
    ("order_of_effects", |s| {
        let (y, z) = (s.at("y"), s.at("z"));
        let reply = Reply::new()
            .after(0, &y, "delayed 0")
            .after(1, &z, "end")
            .egress(OUT, "order one")
            .send(&y, "now 1")
            .send(&y, "now 2")
            .egress(OUT, "order two");
        known(s, "y");
        s.answers(
            "y",
            [Step::reply(Reply::new()), Step::reply(Reply::new()).held()],
        );
        s.answers("x", [Step::reply(reply)]);
        s.feed("y", "busy");
        s.calls("y", 2);
        s.feed("x", "");
        s.calls("z", 1);
        s.records(2);
        s.release("y");
        s.calls("y", 3);
    }),
    ("records", |s| {
        let mut reply = Reply::new();
        for text in ["records 1", "records 2", "records 3"] {
            reply = reply.egress(OUT, text);
        }
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.records(3);
    }),
    ("nothing_at_all", |s| {
        let empty = |body: &[u8]| Step::body("application/octet-stream", body);
        s.answers(
            "x",
            [empty(b""), empty(b"\xA2\x06\x00"), empty(b"\x08\x01")],
        );
        for count in 1..=4 {
            s.feed("x", "");
            s.calls("x", count);
        }
    }),
    // Delays and tokens.
    ("delays", |s| {
        let y = s.at("y");
        let reply = Reply::new()
            .after(200, &y, "third")
            .after(1, &y, "first")
            .after(100, &y, "second");
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.calls("y", 3);
    }),
    ("delay_of_many_years", |s| {
        let y = s.at("y");
        s.answers(
            "x",
            [Step::reply(Reply::new().after(
                i64::MAX / 1_000_000,
                &y,
                "never",
            ))],
        );
        s.feed("x", "");
        s.calls("x", 1);
    }),
    ("delayed_to_self", |s| {
        let x = s.at("x");
        s.answers("x", [Step::reply(Reply::new().after(5, &x, "later"))]);
        s.feed("x", "");
        s.calls("x", 2);
    }),
    ("cancel_and_arm_in_one_answer", |s| {
        let y = s.at("y");
        let reply = Reply::new()
            .armed(30, &y, "gone", "t")
            .cancel("t")
            .armed(30, &y, "stays", "t");
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.calls("y", 1);
    }),
    ("arm_and_cancel_in_one_answer", |s| {
        let y = s.at("y");
        let reply = Reply::new()
            .armed(30, &y, "gone", "t")
            .cancel("t")
            .after(60, &y, "end");
        s.answers("x", [Step::reply(reply)]);
        s.feed("x", "");
        s.calls("y", 1);
    }),
    ("cancel_of_another_type_with_the_id", |s| {
        let y = s.at("y");
        s.answers("x", [Step::reply(Reply::new().armed(400, &y, "gone", "t"))]);
        s.answers(
            "other/x",
            [Step::reply(Reply::new().cancel("t").after(500, &y, "end"))],
        );
        s.feed("x", "");
        s.calls("x", 1);
        s.settle();
        s.feed("other/x", "");
        s.calls("y", 1);
    }),
    ("cancel_of_another_id", |s| {
        let y = s.at("y");
        s.answers(
            "x",
            [Step::reply(Reply::new().armed(300, &y, "stays", "t"))],
        );
        s.answers(
            "z",
            [Step::reply(Reply::new().cancel("t").cancel("unknown"))],
        );
        s.feed("x", "");
        s.calls("x", 1);
        s.settle();
        s.feed("z", "");
        s.calls("y", 1);
    }),
    ("one_token_of_two_ids", |s| {
        let y = s.at("y");
        s.answers("x", [Step::reply(Reply::new().armed(1, &y, "of x", "t"))]);
        s.answers("z", [Step::reply(Reply::new().armed(1, &y, "of z", "t"))]);
        s.feed("x", "");
        s.calls("y", 1);
        s.feed("z", "");
        s.calls("y", 2);
    }),
    ("token_again_after_it_fired", |s| {
        let (x, y) = (s.at("x"), s.at("y"));
        s.answers("y", [Step::reply(Reply::new().send(&x, "again"))]);
        let arm = |text| Step::reply(Reply::new().armed(1, &y, text, "t"));
        s.answers("x", [arm("1"), arm("2")]);
        s.feed("x", "");
        s.calls("y", 2);
    }),
    ("token_again_after_it_was_cancelled", |s| {
        let y = s.at("y");
        let first = Reply::new().armed(60_000, &y, "gone", "t");
        let second = Reply::new().cancel("t");
        let third = Reply::new().armed(1, &y, "stays", "t");
        s.answers("x", [first, second, third].map(Step::reply));
        for count in 1..=3 {
            s.feed("x", "");
            s.calls("x", count);
        }
        s.calls("y", 1);
    }),
    ("cancel_of_what_has_fired", |s| {
        let y = s.at("y");
        known(s, "y");
        s.answers(
            "y",
            [Step::reply(Reply::new()), Step::reply(Reply::new()).held()],
        );
        s.answers(
            "x",
            [
                Step::reply(
                    Reply::new()
                        .armed(1, &y, "stays", "t")
                        .after(2, &s.at("z"), "fired"),
                ),
                Step::reply(Reply::new().cancel("t")),
            ],
        );
        s.feed("y", "busy");
        s.calls("y", 2);
        s.feed("x", "");
        s.calls("z", 1);
        s.feed("x", "");
        s.calls("x", 2);
        s.settle();
        s.release("y");
        s.calls("y", 3);
    }),
    // States.
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
    // What is taken for an answer, and what is asked for again.
    ("answers_that_count", |s| {
        let sends = |text| {
            FromFunction {
                response: Some(Reply::new().egress(OUT, text).0),
            }
            .encode_to_vec()
        };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&sends("counts gzip")).unwrap();
        let chunked = sends("counts chunked");
        let chunks = [
            format!(
                "HTTP/1.1 200 OK\r\n{TYPE}transfer-encoding: chunked\r\n\r\n{:x}\r\n",
                chunked.len()
            )
            .as_bytes(),
            &chunked,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        let closing = format!("{TYPE}connection: close\r\n");
        s.answers(
            "x",
            [
                Step::answer(
                    "200 OK",
                    &format!("{TYPE}content-encoding: gzip\r\n"),
                    &gzip.finish().unwrap(),
                ),
                Step::raw(chunks),
                Step::answer("200 OK", &closing, &sends("counts closed")).closing(),
                Step::answer("201 Created", TYPE, &sends("counts 201")),
                Step::answer("299 Odd", TYPE, &sends("counts 299")),
                Step::body("APPLICATION/octet-STREAM", &sends("counts case")),
            ],
        );
        for count in 1..=6 {
            s.feed("x", "");
            s.calls("x", count);
            s.records(count);
        }
    }),
    ("statuses", |s| {
        let refused = [
            "404 Not Found",
            "400 Bad Request",
            "500 Internal Server Error",
            "503 Service Unavailable",
            "429 Too Many Requests",
            "100",
            "999 Odd",
        ];
        let refused = refused.iter().filter(|status| **status != "100");
        faulty(s, refused.map(|status| Step::status(status)));
    }),
    ("redirects", |s| {
        let to = "location: /elsewhere\r\n";
        faulty(
            s,
            [
                "301 Moved Permanently",
                "302 Found",
                "303 See Other",
                "307 Temporary Redirect",
                "308 Permanent Redirect",
            ]
            .map(|status| Step::answer(status, to, b"")),
        );
    }),
    ("content_types", |s| {
        let types = [
            "application/octet-stream; charset=utf-8",
            "application/octet-stream;",
            "text/plain",
            "",
            "application/json",
        ];
        faulty(s, types.map(|content_type| Step::body(content_type, b"")));
    }),
    ("no_content", |s| {
        // 204 has no content type.
        faulty(s, [Step::raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())]);
    }),
    ("garbage", |s| {
        faulty(s, [Step::body("application/octet-stream", b"garbage")]);
    }),
    ("cut_values", |s| {
        let cut: Option<&[u8]> = Some(b"\x0a\x7f");
        let no_text: Option<&[u8]> = Some(b"\x0a\x02\xff\xff");
        let bytes = || Some(Bytes::from_static(b"\x0a\x7f"));
        let x = s.at("x");
        faulty(
            s,
            [
                Reply::new().send_raw(&x, cut),
                Reply::new().send_raw(&x, no_text),
                Reply::new().mutate(1, "v", bytes()),
                Reply::new().mutate(0, "v", bytes()),
                Reply::new().after(1, &x, "").with(|result| {
                    result.delayed_invocations[0].argument = bytes();
                }),
                Reply::new().egress(OUT, "").with(|result| {
                    result.outgoing_egresses[0].argument = bytes();
                }),
            ]
            .map(Step::reply),
        );
    }),
    ("cut_inside", |s| {
        faulty(
            s,
            [Step::body(
                "application/octet-stream",
                b"\xA2\x06\x02\x0A\x7F",
            )],
        );
    }),
    ("broken_connections", |s| {
        let half = format!("HTTP/1.1 200 OK\r\n{TYPE}content-length: 10\r\n\r\n12345");
        faulty(
            s,
            [
                Step::reset_after(""),
                Step::close_after(""),
                Step::reset_after("HTTP/1.1 200 OK\r\n"),
                Step::close_after("HTTP/1.1 200 OK\r\n"),
                Step::reset_after(&half),
                Step::close_after(&half),
                Step::close_after("this is not HTTP\r\n\r\n"),
            ],
        );
    }),
    ("oversize", |s| {
        let bytes = vec![0; (32 << 20) + 1];
        faulty(s, [Step::body("application/octet-stream", &bytes)]);
    }),
    ("okhttp_statuses", |s| {
        s.behind("okhttp");
        let retried = [
            "408 Request Timeout",
            "409 Conflict",
            "420 Odd",
            "429 Too Many Requests",
            "499 Odd",
            "500 Internal Server Error",
            "503 Service Unavailable",
            "599 Odd",
        ];
        faulty(s, retried.map(|status| Step::status(status).closing()));
    }),
    ("okhttp_broken_connections", |s| {
        s.behind("okhttp");
        faulty(
            s,
            [
                Step::close_after(""),
                Step::close_after("HTTP/1.1 200 OK\r\n"),
            ],
        );
    }),
    ("okhttp_answers_that_count", |s| {
        s.behind("okhttp");
        let sends = |text| {
            FromFunction {
                response: Some(Reply::new().egress(OUT, text).0),
            }
            .encode_to_vec()
        };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&sends("okhttp gzip")).unwrap();
        s.answers(
            "x",
            [
                Step::answer(
                    "200 OK",
                    &format!("{TYPE}content-encoding: gzip\r\n"),
                    &gzip.finish().unwrap(),
                ),
                Step::answer("201 Created", TYPE, &sends("okhttp 201")),
            ],
        );
        for count in 1..=2 {
            s.feed("x", "");
            s.calls("x", count);
            s.records(count);
        }
    }),
];

pub(super) const TYPE: &str = "content-type: application/octet-stream\r\n";

/// The type of an address has answered, so that no later call of it holds up the real runtime.
fn known(s: &mut Script, at: &str) {
    s.feed(at, "known");
    s.calls(at, 1);
    s.settle();
}

/// Each of these answers is one to the same message; the last one takes it.
fn faulty(s: &mut Script, steps: impl IntoIterator<Item = Step>) {
    let steps: Vec<Step> = steps.into_iter().collect();
    let count = steps.len() + 1;
    s.answers("x", steps);
    s.feed("x", "1");
    s.calls("x", count);
    s.feed("x", "2");
    s.calls("x", count + 1);
}

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

/// Plays all scripts on a runtime, one after the other.
async fn play(host: &mut Host) -> Vec<(String, Vec<String>)> {
    let mut played = Vec::new();
    for entry in SCRIPTS {
        let script = Script::of(*entry);
        let lines = host.play(&script).await;
        played.push((script.name, lines));
    }
    played
}

#[tokio::test]
async fn sf_66_functions_see_the_same() {
    let Some(mut real) = Host::real(|settings| settings.restarts = 0).await else {
        return;
    };
    let real = play(&mut real).await;
    let ours = play(&mut Host::ours(&["--attempts", "1"]).await).await;
    compare(&real, &ours);
}

/// All scripts that went otherwise are shown, with the lines that differ.
pub(super) fn compare(real: &[(String, Vec<String>)], ours: &[(String, Vec<String>)]) {
    let mut faults = String::new();
    for ((name, real), (_, ours)) in real.iter().zip(ours) {
        if real == ours {
            continue;
        }
        faults += &format!("\n`{name}` differs\n");
        for number in 0..real.len().max(ours.len()) {
            let line = |lines: &[String]| lines.get(number).cloned().unwrap_or_default();
            let (real, ours) = (line(real), line(ours));
            if real == ours {
                faults += &format!("   both {real}\n");
            } else {
                faults += &format!("   real {real}\n   ours {ours}\n");
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
