//! Limits on waiting messages and on calls.

use stateful_functions::runtime::core::CoreSettings;

use super::{Reply, Rig};

#[test]
fn sf_50_an_address_at_its_limit_refuses_its_ingress_and_delays_no_other() {
    let mut rig = Rig::new();
    for text in ["1", "2", "3", "4"] {
        rig.arrive("a/limited/x", text);
    }
    rig.arrive("a/limited/y", "5");
    rig.sync();
    assert_eq!(
        rig.seen(),
        [
            "refused 4: Full { what: \"2 messages are waiting at this address, which is its limit (maxNumBatchRequests, RuntimeConfig::max_backlog_per_address)\" }",
            "accepted 1",
            "accepted 2",
            "accepted 3",
            "accepted 5"
        ]
    );
    let call = rig.call();
    rig.answer(&call, Reply::new());
    rig.arrive("a/limited/x", "6");
    rig.sync();
    assert_eq!(rig.seen(), ["accepted 6"]);
}

#[test]
fn sf_50_the_bound_over_all_addresses_refuses_ingresses_and_never_functions() {
    let mut rig = Rig::with(CoreSettings {
        max_backlog: 2,
        type_share_percent: 100,
        ..CoreSettings::default()
    });
    rig.arrive("x", "1");
    rig.arrive("y", "2");
    rig.arrive("z", "3");
    rig.arrive("c/none/z", "4");
    assert_eq!(
        rig.seen(),
        [
            "refused 3: Full { what: \"2 messages are waiting in the runtime, which is the limit (RuntimeConfig::max_backlog)\" }",
            "refused 4: UnknownFunction"
        ]
    );
    let call = rig.call();
    let many = Reply::new()
        .send("b/f/1", "")
        .send("b/f/2", "")
        .send("b/f/3", "");
    rig.answer(&call, many);
    assert_eq!(rig.core.backlog(), 4);
    while rig.has_calls() {
        rig.drain();
    }
    assert!(rig.is_at_rest());
    rig.arrive("z", "5");
    assert_eq!(rig.drain().len(), 1);
}

#[test]
fn r_28_no_more_calls_are_in_progress_than_allowed_and_the_others_queue() {
    let mut rig = Rig::with(CoreSettings {
        max_calls: 2,
        ..CoreSettings::default()
    });
    rig.learn_states();
    for id in ["1", "2", "3", "4"] {
        rig.arrive(id, "");
        rig.arrive(id, "");
    }
    assert_eq!(rig.core.in_flight(), 2);
    let mut called = Vec::new();
    while rig.has_calls() {
        let call = rig.call();
        called.push(call.target.clone());
        if called.len() == 1 {
            rig.fail(&call);
        } else {
            rig.answer(&call, Reply::new());
        }
        assert!(rig.core.in_flight() <= 2);
    }
    // Broke: "2" went on with its second message before "3" and "4" had their turn.
    let turns = ["1", "2", "3", "4", "2"];
    assert_eq!(called, turns.map(|id| format!("a/f/{id}")));
    rig.advance(1_000);
    rig.drain();
    assert!(rig.is_at_rest());
}
