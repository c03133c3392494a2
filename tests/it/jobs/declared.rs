//! The declared form: faults have their place and what to do.

use serde_json::{Value, json};
use stateful_functions::jobs::JobsConfig;

fn faults(spec: &Value) -> Vec<String> {
    let faults = JobsConfig::from_json(spec).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn all_faults_of_a_document_are_reported_at_once_with_their_places() {
    let told = faults(&json!({
        "destinations": [
            {"name": "crm", "http": {"url": "https://h/", "retry": {"attempts": 3}}},
            {"name": "audit", "function": "score"},
            {"name": "mail", "egress": "a/b", "function": "c/d", "schedule": {"interval": "soon"}},
            {"name": "none", "schedul": {}},
        ],
    }));
    let places = [
        "destinations[0].http.retry",
        "destinations[1].function",
        "destinations[2]",
        "destinations[2].schedule.interval",
        "destinations[3]",
        "destinations[3].schedul",
    ];
    for place in places {
        let found = told
            .iter()
            .any(|text| text.starts_with(&format!("{place}: ")));
        assert!(found, "{place} is not in {told:#?}");
    }
    assert_eq!(told.len(), places.len(), "{told:#?}");
}

#[test]
fn faults_between_destinations_are_reported_where_they_are() {
    let told = faults(&json!({
        "destinations": [
            {"name": "crm", "egress": "a/b", "onFailed": ["alarm"]},
            {"name": "crm", "egress": "a/b", "actions": [{"event": "a.b"}, {"event": "a:b"}]},
            {"name": "a.b", "egress": "a/b", "onSucceeded": ["crm"]},
        ],
    }));
    for part in [
        "destinations[0].onFailed: there is no destination `alarm`",
        "destinations[1].name: destination `crm` is declared twice",
        "destinations[1].actions[1].event: `a:b` has a second action",
        "destinations[2].name: `a.b` is not a name",
    ] {
        let found = told.iter().any(|text| text.contains(part));
        assert!(found, "{part} is not in {told:#?}");
    }
}

/// Kind: declared work without an end. `onSucceeded: [a]` of `a` made a new job of each event every few milliseconds until the disk was full.
#[test]
fn follow_ups_that_lead_back_and_names_that_occur_twice_are_refused() {
    let told = faults(&json!({
        "destinations": [
            {"name": "a", "egress": "x/y", "onSucceeded": ["a"]},
            {"name": "b", "egress": "x/y", "onDiscarded": ["c", "c"]},
            {"name": "c", "egress": "x/y", "actions": [{"event": "*", "onFailed": ["b"]}]},
        ],
    }));
    let expected = [
        "destinations[1].onDiscarded: destination `c` is named twice",
        "destinations[0].onSucceeded: the follow-ups lead from `a`, `a`: each job would make another one",
        "destinations[1].onDiscarded: the follow-ups lead from `b`, `c`, `b`: each job would make another one",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn a_longer_ring_is_refused_and_jobs_of_different_events_are_none() {
    let told = faults(&json!({
        "destinations": [
            {"name": "entry", "egress": "x/y", "onDiscarded": ["a"]},
            {"name": "a", "egress": "x/y", "onSucceeded": ["end"], "onDiscarded": ["b"]},
            {"name": "b", "egress": "x/y", "onFailed": ["c", "end"]},
            {"name": "c", "egress": "x/y", "onSucceeded": ["a"]},
            {"name": "end", "egress": "x/y"},
        ],
    }));
    let expected =
        "destinations[1].onDiscarded: the follow-ups lead from `a`, `b`, `c`, `a`: each job";
    assert!(
        told.len() == 1 && told[0].starts_with(expected),
        "{told:#?}"
    );

    let back_at = |event: &str| {
        json!({
            "destinations": [
                {"name": "a", "egress": "x/y", "actions": [{"event": "paid", "onDiscarded": ["b"]}, {"event": "sent"}]},
                {"name": "b", "egress": "x/y", "actions": [{"event": event, "onDiscarded": ["a"]}, {"event": "*"}]},
            ],
        })
    };
    assert!(JobsConfig::from_json(&back_at("sent")).is_ok());
    assert_eq!(faults(&back_at("paid")).len(), 1);
}
