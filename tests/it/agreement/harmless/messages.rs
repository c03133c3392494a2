//! Who is called, by whom, with what, and in which batches and order.

use super::super::host::OUT;
use super::super::script::Entry;
use super::known;
use crate::support::reply::Reply;
use crate::support::scripted::Step;

pub(super) const SCRIPTS: &[Entry] = &[
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
];
