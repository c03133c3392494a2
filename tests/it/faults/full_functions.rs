//! Kind: one function's fan-out used up the room of all.
//!
//! A function that sent 100,000 messages to a slow one stopped the intake of all functions, because the limit of waiting messages was shared by
//! all. Now each function type has a share of it. Beyond the share, only messages to that type and to types that send to it are refused.

use stateful_functions::runtime::core::CoreSettings;

use crate::core::Rig;
use crate::support::reply::Reply;

/// Room for ten messages, four for each type.
fn rig() -> Rig {
    Rig::with(CoreSettings {
        max_backlog: 10,
        type_share_percent: 40,
        ..CoreSettings::default()
    })
}

/// `a/source` sends this many messages to `a/slow`.
fn fan_out(rig: &mut Rig, count: usize) {
    rig.arrive("a/source/x", "");
    let call = rig.call_of("a/source/x");
    let send = |reply: Reply, id: usize| reply.send(&format!("a/slow/{id}"), "");
    rig.answer(&call, (0..count).fold(Reply::new(), send));
    rig.sync();
    rig.seen();
}

#[test]
fn a_fan_out_beyond_all_room_leaves_the_room_of_others() {
    let mut rig = rig();
    fan_out(&mut rig, 50);
    assert_eq!(
        rig.core.backlog(),
        50,
        "between functions nothing is refused"
    );
    for number in 0..4 {
        rig.arrive("b/other/x", &number.to_string());
    }
    rig.sync();
    let accepted = ["accepted 2", "accepted 3", "accepted 4", "accepted 5"];
    assert_eq!(rig.seen(), accepted);
    rig.arrive("b/other/x", "one more than its own share");
    assert_eq!(
        rig.seen(),
        [
            "refused 6: Full { what: \"4 messages are waiting for b/other, which is the share of one function (RuntimeConfig::type_share_percent)\" }"
        ]
    );
    rig.arrive("b/third/x", "");
    rig.arrive("b/third/x", "");
    rig.arrive("b/fourth/x", "the room of all is used up");
    assert_eq!(
        rig.seen(),
        [
            "refused 9: Full { what: \"56 messages are waiting in the runtime, which is the limit (RuntimeConfig::max_backlog)\" }"
        ]
    );
}

#[test]
fn all_senders_to_a_full_function_wait_with_it_indirect_ones_too() {
    let mut rig = rig();
    rig.arrive("a/first/x", "");
    let call = rig.call();
    rig.answer(&call, Reply::new().send("a/source/y", ""));
    let call = rig.call();
    rig.answer(&call, Reply::new());
    fan_out(&mut rig, 4);
    for target in ["a/slow/1", "a/source/x", "a/first/x"] {
        rig.arrive(target, "");
        let told = rig.seen().concat();
        assert!(
            told.contains("4 messages are waiting for a/slow"),
            "{target}: {told}"
        );
    }
    rig.arrive("b/other/x", "");
    rig.sync();
    assert_eq!(rig.seen().len(), 1, "it has nothing to do with it");

    let call = rig.call_of("a/slow/0");
    rig.answer(&call, Reply::new());
    rig.drain();
    rig.arrive("a/first/x", "");
    rig.sync();
    assert_eq!(rig.seen().len(), 1, "there is room again");
    while rig.has_calls() {
        rig.drain();
    }
    assert!(rig.is_at_rest());
}

#[test]
fn messages_of_one_function_take_their_share_of_memory_and_leave_the_rest() {
    let mut rig = Rig::with(CoreSettings {
        max_memory_bytes: 4_000,
        type_share_percent: 50,
        ..CoreSettings::default()
    });
    rig.arrive("a/slow/x", "");
    for _ in 0..100 {
        rig.arrive("a/slow/x", &"long".repeat(20));
    }
    let slow = rig.core.counts().memory_bytes;
    assert!((1_500..2_500).contains(&slow), "{slow}");
    for _ in 0..5 {
        rig.arrive("b/other/x", &"long".repeat(20));
    }
    assert!(rig.core.counts().memory_bytes > slow + 500);
    while rig.has_calls() {
        rig.drain();
    }
    assert!(rig.is_at_rest());
}

#[test]
fn functions_are_listed_by_what_they_hold_most_first() {
    let mut rig = rig();
    fan_out(&mut rig, 6);
    rig.arrive("b/other/x", "");
    let loads = rig.core.loads(9);
    let told: Vec<_> = loads
        .iter()
        .map(|load| {
            (
                &*load.namespace,
                &*load.name,
                load.backlog,
                load.share,
                load.is_full(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("a", "slow", 6, 4, true), ("b", "other", 1, 4, false)]
    );
    assert_eq!(rig.core.loads(1).len(), 1);
}
