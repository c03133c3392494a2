//! `retry: {preset, first, factor, …}`: when a failed export is tried again, and for how long.
//!
//! It is the document of a policy, without the settings that a pipeline decides itself, and with shorter forms for the waits: `every: 5m`
//! is `retry: {every: 5m}`, `first: 2s` is `backoff: {first: 2s}`. Keys may be written as in EdgeX, too (`MaxAge`), and EdgeX's own two are known.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::delivery::engine::{Class, Classes, Jitter, Policy, Retry, Statuses};
use crate::document::{At, Complaint, Fields, Node, Value, scalar};
use crate::json_words;
use crate::time::span;

/// Settings of an export that are easily mistaken for settings of `retry`.
const IN_EXPORT: &[(&str, &str)] = &[
    ("timeout", "beside `retry`"),
    ("connectTimeout", "beside `retry`"),
    ("orderKey", "beside `retry`"),
    ("circuit", "beside `retry`"),
    ("maxInFlight", "beside `retry`"),
];

/// The policy at `node`.
pub(crate) fn read(node: At<'_>) -> Option<Policy> {
    let fields = node.fields()?.in_either_case().elsewhere(IN_EXPORT);
    let policy = read_among(&fields, Policy::default());
    fields.finish();
    policy
}

/// The policy that some of `fields` describe; what they leave open is that of `base`, or of their `preset`.
pub(crate) fn read_among(fields: &Fields<'_>, base: Policy) -> Option<Policy> {
    let mut policy = base;
    let preset = fields.set("preset", &mut policy, preset);
    let whole = [
        preset,
        set_waits(fields, &mut policy.retry),
        fields.set("attempts", &mut policy.attempts, |node| {
            or_endless(node, attempts)
        }),
        fields.set("maxRetryCount", &mut policy.attempts, retries),
        fields.set("within", &mut policy.within, |node| {
            or_endless(node, At::span)
        }),
        fields.set("maxAge", &mut policy.max_age, |node| {
            or_endless(node, At::span)
        }),
        fields.set("retryAfter", &mut policy.retry_after, At::boolean),
        fields.set("wake", &mut policy.wake, At::boolean),
        fields.set("then", &mut policy.then, form),
        fields.set("classes", &mut policy.classes, classes),
        fields.set("statuses", &mut policy.statuses, statuses),
    ];
    if fields.has("attempts") && fields.has("maxRetryCount") {
        fields.fault(
            "maxRetryCount",
            "cannot be combined with `attempts`, which is one more: it counts the first attempt, too",
        );
        return None;
    }
    // Also when a field cannot be read: all faults are reported at once.
    let checked = policy.check();
    for fault in checked
        .as_ref()
        .err()
        .iter()
        .flat_map(|invalid| &invalid.faults)
    {
        let field = fault.field.trim_start_matches("retry.");
        fields.fault(field, fault.problem);
    }
    (checked.is_ok() && !whole.contains(&false)).then_some(policy)
}

/// Whether the policy written at `node` begins with EdgeX's, which tries every item at its own time.
pub(crate) fn is_edgex(node: &Node) -> bool {
    let preset = node.get("preset").or_else(|| node.get("Preset"));
    preset.is_some_and(|preset| matches!(&preset.value, Value::Text(name) if name == "edgex"))
}

fn preset(node: &At<'_>) -> Option<Policy> {
    node.parsed(|text| match text {
        "default" => Ok(Policy::default()),
        "edgex" => Ok(Policy::edgex()),
        other => Err(format!(
            "`{other}` is not a preset of exports; known: default, edgex"
        )),
    })
}

/// Reads the waits between attempts: `every`, or a backoff whose parts may be given separately. False if they have faults.
fn set_waits(fields: &Fields<'_>, retry: &mut Retry) -> bool {
    const PARTS: [&str; 4] = ["first", "factor", "max", "jitter"];
    let parts_given = PARTS.iter().any(|part| fields.has(part));
    let is_whole = fields.set("retry", retry, form);
    let has_others = |other: &str| parts_given || fields.has("retry") || fields.has(other);
    let every = fields.set("every", retry, |node| {
        if has_others("backoff") {
            return node.fault(
                "cannot be combined with `retry`, `backoff`, `first`, `factor`, `max` or `jitter`",
            );
        }
        node.span().map(Retry::Every)
    });
    let interval = fields.set("retryInterval", retry, |node| {
        if has_others("backoff") || fields.has("every") {
            return node.fault(
                "cannot be combined with another wait: `retry`, `every`, `backoff` or its parts",
            );
        }
        interval(node).map(Retry::Every)
    });
    let backoff = fields.set("backoff", retry, |node| {
        if parts_given || fields.has("retry") {
            return node
                .fault("cannot be combined with `retry`, `first`, `factor`, `max` or `jitter`");
        }
        let mut retry = Policy::default().retry;
        let parts = node.clone().fields()?.in_either_case();
        let whole = set_backoff(&parts, &mut retry);
        parts.finish();
        whole.then_some(retry)
    });
    let mut of_parts = retry.clone();
    let parts = set_backoff(fields, &mut of_parts);
    if parts_given {
        *retry = of_parts;
    }
    ![is_whole, every, interval, backoff, parts].contains(&false)
}

/// Reads the parts of a backoff. False if they have faults.
fn set_backoff(fields: &Fields<'_>, retry: &mut Retry) -> bool {
    let from_preset = match retry {
        Retry::Backoff { .. } => retry.clone(),
        _ => Policy::default().retry,
    };
    let Retry::Backoff {
        mut first,
        mut factor,
        mut max,
        mut jitter,
    } = from_preset
    else {
        return true;
    };
    // In place of a broken one, for the check of the other: nothing is shorter, nothing is longer.
    let span = |key, span: &mut Duration, stand_in| {
        let read = fields.set(key, span, At::span);
        if !read {
            *span = stand_in;
        }
        read
    };
    let whole = [
        span("first", &mut first, Duration::from_nanos(1)),
        span("max", &mut max, Duration::MAX),
        fields.set("factor", &mut factor, At::number),
        fields.set("jitter", &mut jitter, |node| {
            node.parsed(|text| match text {
                "full" => Ok(Jitter::Full),
                "none" => Ok(Jitter::None),
                other => Err(format!("`{other}` is not a jitter; known: full, none")),
            })
        }),
    ];
    *retry = Retry::Backoff {
        first,
        factor,
        max,
        jitter,
    };
    !whole.contains(&false)
}

/// EdgeX takes one second for what it cannot read, and for less than a second.
fn interval(at: &At<'_>) -> Option<Duration> {
    const LEAST: Duration = Duration::from_secs(1);
    let text = at.text()?;
    let why = match span::parse(text.trim()) {
        Ok(given) if given >= LEAST => return Some(given),
        Ok(_) => format!("`{text}` is less than a second"),
        Err(err) => err.to_string(),
    };
    at.warn(Complaint::with_remedy(
        format!("{why}; as in EdgeX, 1s is taken"),
        "write a duration such as `5m`",
    ));
    Some(LEAST)
}

#[expect(
    clippy::option_option,
    reason = "the inner one is the value: a limit or none"
)]
fn retries(at: &At<'_>) -> Option<Option<u32>> {
    let count = at.parsed(|text| {
        let count = text.trim().parse::<i64>();
        count.map_err(|_| format!("`{text}` is not a whole number"))
    })?;
    if count < 0 {
        at.warn("a negative number counts as 1, as in EdgeX; 0 means without end");
    }
    Some(Policy::edgex_with(Duration::ZERO, count).attempts)
}

/// `{404: permanent, 5xx: retry}`; a text of such pairs is possible, too: `404:permanent, 5xx:retry`.
fn statuses(at: &At<'_>) -> Option<Statuses> {
    let mut statuses = Statuses::default();
    let mut add = |at: &At<'_>, status: &str, class: &str| {
        let class = match class.trim() {
            "retry" => Class::Retry,
            "slow" => Class::Slow,
            "permanent" => Class::Permanent,
            other => {
                let text = "is not the class of a failure; known: retry, slow, permanent";
                return at.fault(format_args!("`{other}` {text}"));
            }
        };
        let added = statuses.add(status, class);
        added.map_or_else(|text| at.fault(text), Some)
    };
    let read: Vec<Option<()>> = match &at.node.value {
        Value::Text(text) => text
            .split(',')
            .map(|pair| match pair.split_once(':') {
                Some((status, class)) => add(at, status, class),
                None => at.fault(format_args!(
                    "`{pair}` is not a pair such as `404:permanent`"
                )),
            })
            .collect(),
        _ => at
            .entries("a mapping of statuses and classes, such as `404: permanent`")?
            .iter()
            .map(|(status, place)| add(place, status, &place.text()?))
            .collect(),
    };
    read.into_iter().collect::<Option<Vec<()>>>()?;
    Some(statuses)
}

#[expect(
    clippy::option_option,
    reason = "the inner one is the value: a limit or none"
)]
fn or_endless<'a, T>(node: &At<'a>, read: impl FnOnce(&At<'a>) -> Option<T>) -> Option<Option<T>> {
    match &node.node.value {
        Value::Text(text) if text == "endless" => Some(None),
        _ => read(node).map(Some),
    }
}

fn attempts(node: &At<'_>) -> Option<u32> {
    let count: NonZeroU32 = node.read(scalar::count_of)?;
    Some(count.get())
}

/// The value in a policy's own document.
fn form<T: serde::de::DeserializeOwned>(node: &At<'_>) -> Option<T> {
    serde_json::from_value(node.node.to_json())
        .map_or_else(|err| node.fault(json_words::explained(&err)), Some)
}

fn classes(node: &At<'_>) -> Option<Classes> {
    node.parsed(|text| match text {
        "default" => Ok(Classes::Default),
        "off" => Ok(Classes::Off),
        other => Err(format!(
            "`{other}` is not a table of classes; known: default, off"
        )),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::document::{Findings, Node};

    fn policy(document: &Value) -> Result<Policy, Vec<String>> {
        let (tree, faults) = (Node::from_json(document), Findings::default());
        let read = read(At::new(&tree, "", &faults));
        faults
            .into_result(read)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_not_given_comes_from_the_preset() {
        assert_eq!(policy(&json!({})).unwrap(), Policy::default());
        assert_eq!(
            policy(&json!({"preset": "edgex"})).unwrap(),
            Policy::edgex()
        );
        let tuned = policy(&json!({"first": "2s", "jitter": "none", "attempts": 4})).unwrap();
        assert_eq!(tuned.attempts, Some(4));
        let Retry::Backoff {
            first, max, jitter, ..
        } = tuned.retry
        else {
            panic!("a backoff");
        };
        assert_eq!(
            (first, max),
            (Duration::from_secs(2), Duration::from_secs(600))
        );
        assert_eq!(jitter, Jitter::None);
        let fixed = policy(&json!({"every": "5s", "attempts": "endless", "maxAge": "endless"}));
        let fixed = fixed.unwrap();
        assert_eq!(fixed.retry, Retry::Every(Duration::from_secs(5)));
        assert_eq!((fixed.attempts, fixed.max_age), (None, None));
    }

    #[test]
    fn the_waits_may_stand_as_in_a_policys_own_document() {
        let long = json!({"retry": {"backoff": {"first": "2s", "jitter": "none"}}, "then": {"block": {"every": "1m"}}});
        let short = json!({"first": "2s", "jitter": "none"});
        assert_eq!(policy(&long).unwrap().retry, policy(&short).unwrap().retry);
        assert_eq!(
            policy(&json!({"retry": {"evry": "2s"}})).unwrap_err().len(),
            1
        );
        assert_eq!(
            policy(&json!({"retry": {"every": "2s"}, "every": "3s"}))
                .unwrap_err()
                .len(),
            1
        );
    }

    #[test]
    fn every_fault_has_its_key() {
        let faults = policy(&json!({"preset": "x", "first": "0s", "attempts": 0, "retries": 3}));
        let faults = faults.unwrap_err();
        for key in [
            "preset: ",
            "first: ",
            "attempts: ",
            "retries: key `retries` is unknown",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(key)),
                "{key} in {faults:?}"
            );
        }
        let faults = policy(&json!({"first": "10s", "max": "1s"})).unwrap_err();
        assert_eq!(faults, ["max: is shorter than retry.first"]);
        let faults =
            policy(&json!({"first": "2s", "max": "1s", "factor": 0.5, "attempts": 0})).unwrap_err();
        for key in ["max: ", "factor: ", "attempts: "] {
            let of_key = faults.iter().filter(|fault| fault.starts_with(key));
            assert_eq!(of_key.count(), 1, "{key} in {faults:?}");
        }
        for (first, max, broken) in [("soon", "1ms", "first: "), ("1h", "soon", "max: ")] {
            let faults = policy(&json!({"first": first, "max": max})).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].starts_with(broken),
                "{faults:?}"
            );
        }
        assert_eq!(
            policy(&json!({"every": "1s", "factor": 2}))
                .unwrap_err()
                .len(),
            1
        );
    }
}
