use serde_json::{Value, json};
use stateful_functions::delivery::engine::{
    Batch, Classes, Jitter, Order, Policy, Retry, Start, Then,
};

use super::secs;

fn written(policy: Policy) -> Value {
    serde_json::to_value(policy).unwrap()
}

#[test]
fn dl_01_presets_are_those_of_the_originals_field_by_field() {
    let edgex = json!({
        "retry": {"every": "5m0s"}, "start": "tried", "attempts": 11, "within": "endless", "maxAge": "endless",
        "then": "discard", "timeout": "30s", "order": "any", "batch": "single", "retryAfter": false,
        "classes": "off", "wake": true, "record": "with",
    });
    let blacksmith = json!({
        "retry": {"every": "1h0m0s"}, "start": "tick", "attempts": 73, "within": "endless", "maxAge": "endless",
        "then": "discard", "timeout": "30s", "order": "any", "batch": "due", "retryAfter": false,
        "classes": "off", "wake": false, "record": "with",
    });
    let firefly = json!({
        "retry": {"backoff": {"first": "250ms", "factor": 2.0, "max": "30s", "jitter": "none"}}, "start": "now",
        "attempts": "endless", "within": "5m0s", "maxAge": "endless", "then": {"block": {"every": "1m0s"}},
        "timeout": "2m0s", "order": "strict", "batch": {"upTo": {"size": 50, "linger": "500ms"}},
        "retryAfter": false, "classes": "off", "wake": false, "record": "with",
    });
    let default = json!({
        "retry": {"backoff": {"first": "1s", "factor": 2.0, "max": "10m0s", "jitter": "full"}}, "start": "now",
        "attempts": "endless", "within": "endless", "maxAge": "72h0m0s", "then": "discard", "timeout": "30s",
        "order": "key", "batch": "single", "retryAfter": true, "classes": "default", "wake": true, "record": "with",
    });
    assert_eq!(written(Policy::edgex()), edgex);
    assert_eq!(written(Policy::blacksmith()), blacksmith);
    assert_eq!(written(Policy::firefly()), firefly);
    assert_eq!(written(Policy::default()), default);
    for preset in [
        Policy::edgex(),
        Policy::blacksmith(),
        Policy::firefly(),
        Policy::default(),
    ] {
        preset.check().unwrap();
        assert_eq!(
            serde_json::from_value::<Policy>(written(preset.clone())).unwrap(),
            preset
        );
    }
}

#[test]
fn dl_01_presets_read_the_originals_numbers_as_they_did() {
    let attempts = |max_retries| Policy::edgex_with(secs(60), max_retries).attempts;
    assert_eq!([10, 0, -1].map(attempts), [Some(11), None, Some(2)]);
    let short = Policy::edgex_with(std::time::Duration::from_millis(500), 10);
    assert_eq!(short.retry, Retry::Every(secs(1)));
    assert_eq!(Policy::blacksmith().max_retries(0).attempts, Some(1));
}

#[test]
fn settings_override_only_the_fields_of_the_preset_that_they_name() {
    let read = |json: Value| serde_json::from_value::<Policy>(json).unwrap();
    assert_eq!(read(json!({})), Policy::default());
    assert_eq!(read(json!({"preset": "firefly"})), Policy::firefly());
    let policy = read(json!({
        "preset": "edgex", "retry": {"backoff": {"first": "2s"}}, "start": "now", "attempts": "endless",
        "within": "1h30m", "then": {"block": {"every": "1m"}}, "order": "key", "timeout": "1500ms",
        "batch": {"upTo": {"size": 5, "linger": "300ms"}}, "classes": "default", "retryAfter": true,
    }));
    let retry = Retry::Backoff {
        first: secs(2),
        factor: 2.0,
        max: secs(600),
        jitter: Jitter::Full,
    };
    assert_eq!((policy.retry, policy.start), (retry, Start::Now));
    assert_eq!(
        (policy.attempts, policy.within, policy.max_age),
        (None, Some(secs(5400)), None)
    );
    assert_eq!(
        (policy.then, policy.order),
        (Then::Block { every: secs(60) }, Order::Key)
    );
    assert_eq!(
        policy.batch,
        Batch::UpTo {
            size: 5,
            linger: std::time::Duration::from_millis(300)
        }
    );
    assert_eq!(
        (policy.classes, policy.retry_after),
        (Classes::Default, true)
    );
    let cron = read(json!({"preset": "blacksmith", "retry": {"cron": "0 3 * * *"}}));
    assert!(matches!(cron.retry, Retry::Cron(_)));
    assert_eq!(written(cron)["retry"], json!({"cron": "0 3 * * *"}));
}

#[test]
fn dl_07_an_invalid_policy_is_refused_with_the_name_of_the_field() {
    let cases = [
        (json!({"attempts": 0}), "attempts"),
        (json!({"retry": {"every": "0s"}}), "retry.every"),
        (
            json!({"retry": {"backoff": {"first": "0s"}}}),
            "retry.first",
        ),
        (json!({"retry": {"backoff": {"max": "0s"}}}), "retry.max"),
        (json!({"retry": {"backoff": {"first": "1h"}}}), "retry.max"),
        (
            json!({"retry": {"backoff": {"factor": 0.5}}}),
            "retry.factor",
        ),
        (json!({"within": "0s"}), "within"),
        (json!({"maxAge": "0s"}), "maxAge"),
        (json!({"timeout": "0s"}), "timeout"),
        (
            json!({"then": {"block": {"every": "0s"}}}),
            "then.block.every",
        ),
        (
            json!({"then": {"block": {"every": "1m"}}, "order": "any"}),
            "then",
        ),
        (json!({"then": "skip"}), "then"),
        (
            json!({"preset": "firefly", "retry": {"cron": "@hourly"}}),
            "retry.cron",
        ),
        (
            json!({"preset": "firefly", "retry": {"every": "1m"}, "start": "tick"}),
            "start",
        ),
        (json!({"start": "tick"}), "start"),
        (
            json!({"batch": {"upTo": {"size": 0, "linger": "1s"}}}),
            "batch.upTo.size",
        ),
        (
            json!({"batch": {"upTo": {"size": 1, "linger": "0s"}}}),
            "batch.upTo.linger",
        ),
    ];
    for (form, field) in cases {
        let text = serde_json::from_value::<Policy>(form.clone())
            .unwrap_err()
            .to_string();
        assert!(text.contains(&format!("`{field}`")), "{form}: {text}");
    }
}

#[test]
fn dl_07_all_faults_come_at_once() {
    let mut policy = Policy::firefly();
    policy.attempts = Some(0);
    policy.timeout = secs(0);
    policy.order = Order::Any;
    let fields: Vec<&str> = policy
        .check()
        .unwrap_err()
        .faults
        .iter()
        .map(|fault| fault.field)
        .collect();
    assert_eq!(fields, ["attempts", "timeout", "then"]);
}

#[test]
fn unknown_settings_and_bad_texts_are_named() {
    for (form, part) in [
        (json!({"retries": 3}), "`retries`"),
        (json!({"preset": "kafka"}), "`kafka`"),
        (json!({"timeout": "30"}), "`30`"),
        (json!({"maxAge": "3w"}), "`3w`"),
        (json!({"attempts": -1}), "`attempts`"),
        (json!({"attempts": "never"}), "`attempts`"),
        (json!({"retry": {"cron": "61 * * * *"}}), "minute `61`"),
        (json!({"retry": {"backoff": {"firts": "1s"}}}), "`firts`"),
    ] {
        let text = serde_json::from_value::<Policy>(form.clone())
            .unwrap_err()
            .to_string();
        assert!(text.contains(part), "{form}: {text}");
    }
}

#[cfg(feature = "runtime")]
#[test]
fn yaml_reads_as_json_does() {
    let yaml = "
preset: edgex
retry: {backoff: {first: 2s, max: 1m}}
attempts: endless
within: 1h30m
then: {block: {every: 1m}}
order: key
batch: {upTo: {size: 5, linger: 300ms}}
retryAfter: true
";
    let policy: Policy = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!((policy.attempts, policy.order), (None, Order::Key));
    assert_eq!(policy.then, Then::Block { every: secs(60) });
    let twenty: Policy = serde_saphyr::from_str("attempts: 20\nretry: {every: 5m}").unwrap();
    assert_eq!(
        (twenty.attempts, twenty.retry),
        (Some(20), Retry::Every(secs(300)))
    );
    let fault = serde_saphyr::from_str::<Policy>("attempts: 0")
        .unwrap_err()
        .to_string();
    assert!(fault.contains("`attempts` is 0"), "{fault}");
}
