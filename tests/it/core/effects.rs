//! The effects of a reply, and when the outside sees them.

use super::{Reply, Rig};

#[test]
fn sf_49_nothing_is_seen_outside_before_its_commit_is_on_disk() {
    let mut rig = Rig::new();
    rig.ask("x", "1", "caller");
    let call = rig.call();
    rig.answer(
        &call,
        Reply::new()
            .send("statefun.http/gateway/caller", "hello")
            .egress("out/log", "line"),
    );
    assert_eq!(rig.seen(), [""; 0]);
    rig.sync();
    assert_eq!(
        rig.seen(),
        ["accepted 1", "caller <- hello", "egress <- line"]
    );
}

#[test]
fn sf_37_a_reply_with_one_thing_wrong_leaves_no_trace() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["seen"]));
    let call = rig.call();
    rig.answer(&call, Reply::new().armed(50, "x", "armed before", "old"));
    rig.arrive("x", "2");
    let call = rig.call();
    let before = rig.rows();
    let valid = Reply::new()
        .send("y", "sent")
        .armed(5, "y", "armed", "new")
        .cancel("old")
        .egress("out/log", "line")
        .set("seen", "value");
    rig.answer(&call, valid.set("undeclared", "value"));
    assert_eq!(rig.rows(), before);
    rig.sync();
    assert_eq!(
        rig.seen()
            .iter()
            .filter(|line| line.contains("egress"))
            .count(),
        0
    );
    rig.advance(50);
    assert!(
        rig.calls.is_empty(),
        "the timer that was armed before waits behind the failed batch"
    );
    rig.advance(950);
    assert_eq!(rig.call_of("a/f/x").batch, ["2"]);
}

#[test]
fn sf_44_an_impossible_request_fails_only_its_address_with_the_text_of_statefun() {
    let bad: [(Reply, &str); 11] = [
        (
            Reply::new().send("c/f/x", ""),
            "Cannot find a provider for type FunctionType(c, f)",
        ),
        (
            Reply::new().egress("out/none", ""),
            "Unknown egress EgressKey(out, none, class org.apache.flink.statefun.sdk.reqreply.generated.TypedValue)",
        ),
        (
            Reply::new().after(-1, "y", ""),
            "a delayed message has the negative delay -1 ms (IllegalArgumentException on Flink)",
        ),
        (
            Reply::new().cancel(""),
            "Can not handle a cancellation request without a cancellation token.",
        ),
        (
            Reply::new().set("none", ""),
            "Accessing a non-existing function state: none. This can happen if you forgot to declare this state using the language SDKs.",
        ),
        (
            Reply::new().mutate(9, "seen", None),
            "Received an UNRECOGNIZED PersistedValueMutation type. This may be caused by a mismatch or incompatibility with the remote function SDK version and the Stateful Functions version. (type 9)",
        ),
        (
            Reply::missing(&[("seen", super::ExpireMode::AfterWrite, 0)]),
            "TTL is expected to be positive.",
        ),
        (
            Reply::needs_type("other", "text"),
            "Invalid type name string: text. Must be of format <namespace>/<name>.",
        ),
        (
            Reply::needs_type("seen", ""),
            "An error occurred for state [seen].: Previous type was: TypeName(test, text), new type is: TypeName(io.statefun.types, unset)",
        ),
        (
            Reply::needs(&["batch"]),
            "state name `batch` of the function collides with the runtime's own state (ClassCastException on Flink); choose another",
        ),
        (
            Reply::new().mutate(
                1,
                "seen",
                Some(bytes::Bytes::from_static(b"\x0a\x03x/y\x10\x01")),
            ),
            "An error occurred for state [seen].: Previous type was: TypeName(test, text), new type is: TypeName(x, y)",
        ),
    ];
    let mut rig = Rig::new();
    rig.arrive("known", "");
    let call = rig.call();
    rig.answer(&call, Reply::needs(&["seen"]));
    rig.drain();
    rig.sync();
    rig.seen();
    for (number, (reply, text)) in bad.into_iter().enumerate() {
        let id = format!("bad-{number}");
        rig.arrive(&id, "");
        let call = rig.call();
        rig.answer(&call, reply);
        assert_eq!(
            rig.seen(),
            [format!("a/f/{id} failed (1, Some(1000)): {text}")]
        );
    }
    rig.arrive("good", "");
    assert_eq!(rig.drain().len(), 1);
}

#[test]
fn sf_47_an_answer_to_an_abandoned_call_has_no_effect() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let late = rig.call();
    rig.fail(&late);
    let before = rig.rows();
    rig.answer(&late, Reply::new().send("y", "late"));
    assert_eq!(rig.rows(), before);
    rig.advance(1_000);
    let again = rig.call();
    rig.answer(&late, Reply::new().send("y", "late"));
    assert_eq!(rig.rows(), before);
    rig.answer(&again, Reply::new());
    rig.answer(&again, Reply::new().send("y", "twice"));
    assert!(!rig.has_calls() && rig.is_at_rest());
}

#[test]
fn an_egress_that_is_a_function_gets_a_message_at_the_senders_id() {
    let mut rig = Rig::new();
    rig.arrive("x", "1");
    let call = rig.call();
    rig.answer(
        &call,
        Reply::new().egress("out/sent", "line").send("y", "first"),
    );
    let delivery = rig.call_of("a/delivery/x");
    assert_eq!(delivery.batch, ["line"]);
    assert_eq!(delivery.callers, [Some("a/f/x".to_owned())]);
    let counters = rig.core.counters().find(|counted| counted.1 == "f");
    let counters = counters.unwrap().2;
    assert_eq!((counters.out_local, counters.out_egress), (1, 1));
}

#[test]
fn sf_52_counters_count_and_nothing_is_held_at_rest_also_after_a_crash() {
    let mut rig = Rig::new();
    for id in ["x", "y", "x"] {
        rig.arrive(id, "");
    }
    rig.sync();
    rig.crash();
    assert_eq!(rig.core.backlog(), 3);
    rig.drain();
    assert!(rig.is_at_rest());
    let (namespace, name, counters) = rig.core.counters().next().unwrap();
    assert_eq!((namespace, name), ("a", "f"));
    assert_eq!((counters.incoming, counters.invocations), (3, 2));
}
