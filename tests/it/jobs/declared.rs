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
