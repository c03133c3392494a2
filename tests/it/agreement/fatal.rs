//! Scripts that end with a failure of the application, whose text must be the same.

use bytes::Bytes;
use stateful_functions::protocol::reqreply::Address;
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode::{
    AfterInvoke, AfterWrite,
};

use super::host::Host;
use super::script::{Entry, Script};
use crate::support::flink::Cause;
use crate::support::reply::Reply;
use crate::support::scripted::Step;

const SCRIPTS: &[Entry] = &[
    ("unbound_target", |s| {
        answers(s, Reply::new().send("none/f/x", ""))
    }),
    ("no_target", |s| {
        answers(
            s,
            Reply::new()
                .send("none/f/x", "")
                .with(|result| result.outgoing_messages[0].target = None),
        );
    }),
    ("empty_target", |s| {
        answers(
            s,
            Reply::new()
                .send("none/f/x", "")
                .with(|result| result.outgoing_messages[0].target = Some(Address::default())),
        );
    }),
    ("unbound_delayed_target", |s| {
        answers(s, Reply::new().after(1, "none/f/x", ""))
    }),
    ("unbound_egress", |s| {
        answers(s, Reply::new().egress("none/out", ""))
    }),
    ("negative_delay", |s| {
        let x = s.at("x");
        answers(s, Reply::new().after(-1, &x, ""));
    }),
    ("cancel_without_token", |s| {
        answers(s, Reply::new().cancel(""))
    }),
    ("token_twice_in_one_answer", |s| {
        let x = s.at("x");
        answers(
            s,
            Reply::new()
                .armed(60_000, &x, "1", "t")
                .armed(70_000, &x, "2", "t"),
        );
    }),
    ("token_twice_in_two_answers", |s| {
        let x = s.at("x");
        let arm = |reply: Reply| Step::reply(reply.armed(60_000, &x, "1", "t"));
        s.answers("x", [arm(Reply::new().send(&x, "")), arm(Reply::new())]);
        s.feed("x", "");
    }),
    ("token_of_two_types", |s| {
        let (x, other) = (s.at("x"), s.at("other/x"));
        s.answers(
            "x",
            [Step::reply(
                Reply::new().armed(60_000, &x, "1", "t").send(&other, ""),
            )],
        );
        s.answers(
            "other/x",
            [Step::reply(Reply::new().armed(70_000, &x, "2", "t"))],
        );
        s.feed("x", "");
    }),
    ("unregistered_state", |s| {
        answers(s, Reply::new().set("none", ""))
    }),
    ("unregistered_state_removed", |s| {
        answers(s, Reply::new().remove("none"))
    }),
    ("unregistered_state_of_unknown_mutation", |s| {
        answers(s, Reply::new().mutate(9, "none", None))
    }),
    ("unknown_mutation", |s| {
        after(s, Reply::needs(&["v"]), Reply::new().mutate(9, "v", None))
    }),
    ("other_typename", |s| {
        after(
            s,
            Reply::needs(&["v"]),
            Reply::new().mutate(1, "v", typed(b"\x0a\x03a/b\x10\x01")),
        )
    }),
    ("other_typename_in_declaration", |s| {
        after(s, Reply::needs(&["v"]), Reply::needs_type("v", "a/b"))
    }),
    ("no_typename_in_declaration", |s| {
        after(s, Reply::needs(&["v"]), Reply::needs_type("v", ""))
    }),
    ("malformed_typename", |s| {
        answers(s, Reply::needs_type("v", "a"))
    }),
    ("malformed_typename_of_slash", |s| {
        answers(s, Reply::needs_type("v", "/"))
    }),
    ("malformed_typename_of_three_parts", |s| {
        answers(s, Reply::needs_type("v", "a/b/c"))
    }),
    ("malformed_typename_of_two_slashes", |s| {
        answers(s, Reply::needs_type("v", "a//b"))
    }),
    ("malformed_typename_of_value", |s| {
        after(
            s,
            Reply::needs(&["v"]),
            Reply::new().mutate(1, "v", typed(b"\x0a\x01a\x10\x01")),
        )
    }),
    ("value_without_typename", |s| {
        after(
            s,
            Reply::needs(&["v"]),
            Reply::new().mutate(1, "v", typed(b"\x10\x01")),
        )
    }),
    ("no_value", |s| {
        after(s, Reply::needs(&["v"]), Reply::new().mutate(1, "v", None))
    }),
    ("no_time_to_live", |s| {
        answers(s, Reply::missing(&[("v", AfterWrite, 0)]))
    }),
    ("negative_time_to_live", |s| {
        answers(s, Reply::missing(&[("v", AfterWrite, -1)]))
    }),
    ("state_named_batch", |s| {
        after(s, Reply::needs(&["batch"]), Reply::new().set("batch", "1"))
    }),
    ("state_named_request_state", |s| {
        after(
            s,
            Reply::needs(&["request-state"]),
            Reply::new().set("request-state", "1"),
        )
    }),
    ("other_typename_after_a_restart", |s| {
        restarted(s, Reply::needs(&["v"]), Reply::needs_type("v", "a/b"))
    }),
    ("expiration_on_after_a_restart", |s| {
        restarted(
            s,
            Reply::needs(&["v"]),
            Reply::missing(&[("v", AfterWrite, 60_000)]),
        );
    }),
    ("expiration_off_after_a_restart", |s| {
        restarted(
            s,
            Reply::missing(&[("v", AfterInvoke, 60_000)]),
            Reply::needs(&["v"]),
        );
    }),
    ("token_of_before_a_restart", |s| {
        let x = s.at("x");
        let arm = || Reply::new().armed(60_000, &x, "", "t");
        s.answers("x", [s.last(arm()), arm()].map(Step::reply));
        s.feed("x", "1");
        s.calls("x", 1);
        s.checkpoint();
        s.restart();
        s.feed("x", "2");
    }),
    ("not_found_for_too_long", |s| {
        refused_for_long(s, "brief", &Step::status("404 Not Found"))
    }),
    ("no_type_for_too_long", |s| {
        refused_for_long(s, "brief", &Step::body("text/plain", b""))
    }),
    ("garbage_for_too_long", |s| {
        refused_for_long(s, "brief", &Step::body(TYPE, b"garbage"))
    }),
    ("no_answer_for_too_long", |s| {
        refused_for_long(s, "brief", &Step::hang())
    }),
    ("okhttp_not_found", |s| {
        refused(s, Step::status("404 Not Found"))
    }),
    ("okhttp_redirect_without_location", |s| {
        refused(s, Step::status("302 Found"))
    }),
    ("okhttp_redirect_of_a_post", |s| {
        refused(
            s,
            Step::answer("307 Temporary Redirect", "location: /\r\n", b""),
        )
    }),
    ("okhttp_other_type", |s| {
        refused(s, Step::body("text/plain", b""))
    }),
    ("okhttp_type_in_capitals", |s| {
        refused(s, Step::body("Application/Octet-Stream", b""))
    }),
    ("okhttp_type_with_charset", |s| {
        refused(
            s,
            Step::body("application/octet-stream; charset=utf-8", b""),
        )
    }),
    ("okhttp_no_type", |s| refused(s, Step::body("", b""))),
    ("okhttp_garbage", |s| {
        refused(s, Step::body(TYPE, b"garbage"))
    }),
    ("okhttp_cut_body", |s| {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {TYPE}\r\ncontent-length: 10\r\n\r\n12345");
        refused(s, Step::close_after(&head));
    }),
    ("okhttp_error_for_too_long", |s| {
        refused_for_long(s, "briefokhttp", &Step::status("500 Internal Server Error"))
    }),
    ("okhttp_no_answer_for_too_long", |s| {
        refused_for_long(s, "briefokhttp", &Step::hang())
    }),
];

const TYPE: &str = "application/octet-stream";

/// The first answer is the last.
fn answers(s: &mut Script, reply: Reply) {
    s.answers("x", [Step::reply(reply)]);
    s.feed("x", "");
}

/// The second answer is the last; a third request would get the same.
fn after(s: &mut Script, first: Reply, second: Reply) {
    let second = Step::reply(second);
    s.answers("x", [Step::reply(first), second.clone(), second]);
    s.feed("x", "");
}

/// okhttp does not ask again.
fn refused(s: &mut Script, step: Step) {
    s.behind("okhttp");
    s.answers("x", [step]);
    s.feed("x", "");
}

/// Whatever is asked for, it is answered so until the budget is used up.
fn refused_for_long(s: &mut Script, namespace: &'static str, step: &Step) {
    s.behind(namespace);
    s.answers("x", std::iter::repeat_n(step.clone(), 1000));
    s.feed("x", "");
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a mutation takes")]
fn typed(bytes: &'static [u8]) -> Option<Bytes> {
    Some(Bytes::from_static(bytes))
}

/// A state with a value, declared otherwise after a restart.
fn restarted(s: &mut Script, first: Reply, second: Reply) {
    let replies = [
        first,
        s.last(Reply::new().set("v", "1")),
        second,
        Reply::new().set("v", "2"),
    ];
    s.answers("x", replies.map(Step::reply));
    s.feed("x", "1");
    s.calls("x", 2);
    s.checkpoint();
    s.restart();
    s.feed("x", "2");
}

/// What our failure must say, too: each cause but those that wrap others or come from below the real runtime.
fn keywords(causes: &[Cause]) -> Vec<String> {
    const WRAPPERS: [&str; 4] = [
        "Recovery is suppressed",
        "Error adding delayed message",
        "Error while getting state",
        "Caught exception while processing timer",
    ];
    let mut keywords = Vec::new();
    for Cause { class, message } in causes {
        let wraps = WRAPPERS.iter().any(|wrapper| message.starts_with(wrapper));
        let below = ["com.google.", "java.net.", "java.util."];
        if wraps || below.iter().any(|package| class.starts_with(package)) {
            continue;
        }
        let name = class.rsplit('.').next().unwrap().to_owned();
        let is_named = ["ClassCastException", "StateMigrationException"].contains(&&*name);
        if is_named || message.is_empty() {
            keywords.push(name);
            continue;
        }
        let mut message = &**message;
        while let Some((class, rest)) = message.split_once("Exception: ")
            && !class.contains(' ')
        {
            message = rest;
        }
        keywords.push(message.to_owned());
    }
    keywords
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.len() == 13 && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = text.split(' ').map(
        |word| match word.split_once(|c: char| !c.is_ascii_digit()) {
            None if is_time(word) => "…",
            Some((digits, "")) if is_time(digits) => "…",
            _ => word,
        },
    );
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn sf_66_applications_fail_with_the_same_text() {
    fail_alike(SCRIPTS).await;
}

/// Plays scripts whose application fails; the words must be the same.
pub(super) async fn fail_alike(scripts: &[Entry]) {
    let mut faults = String::new();
    for entry in scripts {
        let script = Script::of(*entry);
        let Some(mut real) = Host::real(|settings| settings.restarts = 0).await else {
            return;
        };
        real.begin(&script).await;
        let causes = real.real_failure(&script).await;
        let mut ours = Host::ours(&["--attempts", "1"]).await;
        ours.begin(&script).await;
        let told = without_times(&ours.our_failure(&script).await);
        let keywords = keywords(&causes);
        let is_told = |keyword: &String| told.contains(&without_times(keyword));
        if keywords.is_empty() || !keywords.iter().all(is_told) {
            faults += &format!(
                "\n{}\n   real {keywords:#?} of {causes:#?}\n   ours {told}",
                script.name
            );
        }
        // How often it is asked within a budget depends on time.
        let (real, ours) = (real.requests(&script), ours.requests(&script));
        if !script.name.ends_with("_for_too_long") && real != ours {
            faults += &format!("\n{}\n   real {real:#?}\n   ours {ours:#?}", script.name);
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// The table of waits is a lower bound of what passes between two attempts; the last wait is what is left of the budget.
#[tokio::test]
async fn sf_66_waits_between_attempts_grow_alike() {
    for (namespace, status, first) in [
        ("brief", "404 Not Found", 4),
        ("briefokhttp", "503 Odd", 10),
    ] {
        let write: fn(&mut Script) = match namespace {
            "brief" => |s| refused_for_long(s, "brief", &Step::status("404 Not Found")),
            _ => |s| refused_for_long(s, "briefokhttp", &Step::status("503 Odd")),
        };
        let script = Script::of(("waits", write));
        let Some(mut real) = Host::real(|settings| settings.restarts = 0).await else {
            return;
        };
        let mut ours = Host::ours(&["--attempts", "1"]).await;
        real.begin(&script).await;
        ours.begin(&script).await;
        real.real_failure(&script).await;
        ours.our_failure(&script).await;
        for (whose, host) in [("real", &real), ("ours", &ours)] {
            let times: Vec<_> = host
                .server
                .seen(script.addresses()[0])
                .iter()
                .map(|seen| seen.at)
                .collect();
            let waits: Vec<u128> = times
                .windows(2)
                .map(|two| (two[1] - two[0]).as_millis())
                .collect();
            let table = (0..).map(|number| (first << number) - 1);
            let (_, but_last) = waits.split_last().unwrap();
            let grow = but_last
                .iter()
                .zip(table)
                .all(|(wait, least)| *wait >= least);
            assert!(
                grow && (2..=8).contains(&waits.len()),
                "{whose} {status}: {waits:?}"
            );
        }
    }
}
