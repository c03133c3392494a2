//! `storeAndForward: {enabled, policies, …}`, in EdgeX's form `StoreAndForward: {Enabled, RetryInterval, …}`: what becomes of records that cannot
//! be sent, and the policies that exports can name. One reader for both forms: a key may begin with a capital letter.

use std::num::{NonZeroU64, NonZeroUsize};

use super::super::change::OnPipelineChange;
use super::super::stages::{Exporter, StageKind};
use super::super::storing::Storing;
use super::{circuit, retry};
use crate::delivery::engine::Policy;
use crate::delivery::owner::{Circuit, DeadLetterLimits, KeepLimits, OnFull};
use crate::document::{At, Complaint, Key, Node, Value, scalar};

/// Where the settings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In a declared pipeline: it keeps records, and the policy of exports is `default`.
    Own,
    /// In a configuration of EdgeX: what an export says is what counts, and the policy is `edgex`.
    #[cfg_attr(
        not(feature = "edgex"),
        allow(dead_code, reason = "there are no sections of EdgeX")
    )]
    Edgex,
}

/// The settings of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Forwarding {
    form: Form,
    /// Whether records that cannot be sent are kept.
    pub(crate) is_enabled: bool,
    /// The policy of exports without one of their own; `None` for that of their kind.
    policy: Option<Policy>,
    /// The circuit that goes with it.
    circuit: Option<Option<Circuit>>,
    max_payload_bytes: Option<NonZeroUsize>,
    max_in_flight: Option<NonZeroUsize>,
    limits: KeepLimits,
    on_change: OnPipelineChange,
    /// By name, as they are written.
    policies: Vec<(String, Node)>,
    /// The settings have faults, which are reported: what they lack is not a fault of an export.
    is_broken: bool,
}

/// Keys that are settings of a policy, and not only of its export.
const OF_POLICY: &[&str] = &[
    "preset",
    "retryInterval",
    "maxRetryCount",
    "retry",
    "every",
    "backoff",
    "first",
    "factor",
    "max",
    "jitter",
    "attempts",
    "within",
    "maxAge",
    "retryAfter",
    "wake",
    "then",
    "classes",
    "statuses",
];

impl Forwarding {
    /// The settings where nothing is written.
    pub(crate) fn of(form: Form) -> Self {
        Self {
            form,
            is_enabled: true,
            policy: (form == Form::Edgex).then(Policy::edgex),
            circuit: None,
            max_payload_bytes: None,
            max_in_flight: None,
            limits: KeepLimits::default(),
            on_change: OnPipelineChange::default(),
            policies: Vec::new(),
            is_broken: false,
        }
    }

    /// In the place of settings with faults, for the check of what follows.
    pub(crate) fn broken(form: Form) -> Self {
        Self {
            is_broken: true,
            ..Self::of(form)
        }
    }

    pub(crate) fn read(at: &At<'_>, form: Form) -> Option<Self> {
        let mut settings = Self::of(form);
        settings.is_enabled = form == Form::Own;
        let fields = at.clone().fields()?.in_either_case();
        #[cfg(feature = "edgex")]
        let fields = match form {
            Form::Edgex => fields.ignoring_unknown(),
            Form::Own => fields,
        };
        let base = match form {
            Form::Own => Policy::default(),
            Form::Edgex => Policy::edgex(),
        };
        let policy = retry::read_among(&fields, base);
        let has_policy = OF_POLICY.iter().any(|key| fields.has(key));
        if has_policy || form == Form::Edgex {
            settings.policy.clone_from(&policy);
        }
        let has_preset = fields.has("preset");
        if has_preset {
            let is_edgex = retry::is_edgex(at.node);
            settings.circuit = Some((!is_edgex).then(Circuit::default));
        }
        let whole = [
            policy.is_some(),
            fields.set("enabled", &mut settings.is_enabled, |at| at.parsed(boolean)),
            fields.set("circuit", &mut settings.circuit, |at| {
                circuit::read(at).map(Some)
            }),
            fields.set("maxPayload", &mut settings.max_payload_bytes, |at| {
                at.parsed(bytes).map(Some)
            }),
            fields.set("maxInFlight", &mut settings.max_in_flight, |at| {
                at.read(scalar::count_of).map(Some)
            }),
            fields.set("maxItems", &mut settings.limits.max_items, |at| {
                at.read(scalar::count_of)
            }),
            fields.set("maxBytes", &mut settings.limits.max_bytes, many_bytes),
            fields.set("onFull", &mut settings.limits.on_full, |at| {
                at.parsed(on_full)
            }),
            fields.set(
                "deadLetters",
                &mut settings.limits.dead_letters,
                dead_letters,
            ),
            fields.set("onPipelineChange", &mut settings.on_change, |at| {
                at.parsed(on_change)
            }),
            fields.set("policies", &mut settings.policies, |at| policies(at, form)),
        ];
        fields.finish();
        (!whole.contains(&false)).then_some(settings)
    }

    /// What the pipeline keeps.
    pub(crate) fn storing(&self) -> Storing {
        Storing {
            is_enabled: self.is_enabled,
            limits: self.limits.clone(),
            on_change: self.on_change.clone(),
        }
    }

    /// Reads a stage of a declared pipeline, whose export may name a policy.
    pub(crate) fn read_stage(
        &self,
        settings: &At<'_>,
        read: impl FnOnce(At<'_>) -> Option<StageKind>,
    ) -> Option<StageKind> {
        let (resolved, is_known) = self.resolved(settings);
        let at = match &resolved {
            Some(node) => At::new(node, settings.path(), settings.findings()),
            None => settings.clone(),
        };
        let stage = read(at).filter(|_| is_known)?;
        Some(self.applied_to(stage, settings.node))
    }

    /// The settings of a stage with a policy in the place of its name, if they name one; and false if it is not known, which is reported.
    fn resolved(&self, settings: &At<'_>) -> (Option<Node>, bool) {
        let Value::Map(entries) = &settings.node.value else {
            return (None, true);
        };
        let is_retry = |(key, _): &&(Key, Node)| key.name.eq_ignore_ascii_case("retry");
        let Some((key, given)) = entries.iter().find(is_retry) else {
            return (None, true);
        };
        let Value::Text(name) = &given.value else {
            return (None, true);
        };
        let name = name.trim();
        let found = self.policies.iter().find(|(known, _)| known == name);
        let mut is_known = true;
        let policy = match (found, name) {
            (Some((_, policy)), _) => policy.clone(),
            (None, "default" | "edgex") => with_preset(given, name),
            (None, "") if self.form == Form::Edgex => return (None, true),
            (None, _) => {
                if !self.is_broken {
                    self.unknown(name, &settings.child(&key.name, given));
                }
                is_known = false;
                with_preset(given, "default")
            }
        };
        let mut node = settings.node.clone();
        if let Value::Map(entries) = &mut node.value {
            for (key, value) in entries {
                if key.name.eq_ignore_ascii_case("retry") {
                    *value = policy.clone();
                }
            }
        }
        (Some(node), is_known)
    }

    fn unknown(&self, name: &str, place: &At<'_>) {
        let known = self.policies.iter().map(|(known, _)| known.as_str());
        let known: Vec<&str> = ["edgex", "default"].into_iter().chain(known).collect();
        let text = format!("`{name}` is not a policy; known: {}", known.join(", "));
        let remedy = "add it under `policies` of the settings for store and forward";
        place.complain::<()>(Complaint::with_remedy(text, remedy));
    }

    /// The stage with these settings, as far as `own`, what is written for it, leaves them open.
    fn applied_to(&self, stage: StageKind, own: &Node) -> StageKind {
        let StageKind::Export(exporter) = stage else {
            return stage;
        };
        let has = |name: &str| {
            let Value::Map(entries) = &own.value else {
                return false;
            };
            let mut keys = entries.iter().map(|(key, _)| key.name.as_str());
            keys.any(|key| key.eq_ignore_ascii_case(name))
        };
        let mut exporter = Exporter::clone(&exporter);
        if let (false, Some(policy)) = (has("retry"), &self.policy) {
            exporter = exporter.with_policy(policy.clone());
            if let (false, Some(circuit)) = (has("circuit"), self.circuit) {
                exporter = exporter.with_circuit(circuit);
            }
        } else if let (false, Some(circuit)) = (has("circuit") || has("retry"), self.circuit) {
            exporter = exporter.with_circuit(circuit);
        }
        if let (false, Some(most)) = (has("maxInFlight"), self.max_in_flight) {
            exporter.max_in_flight = most;
        }
        let has_payload = has("maxPayload") || has("maxPayloadBytes");
        if let (false, Some(most)) = (has_payload, self.max_payload_bytes) {
            exporter.max_payload_bytes = most.get();
        }
        StageKind::Export(exporter.into())
    }
}

/// `{maxItems, maxBytes, maxAge}`: how many dead letters of one reason are kept.
fn dead_letters(at: &At<'_>) -> Option<DeadLetterLimits> {
    let mut limits = DeadLetterLimits::default();
    let fields = at.clone().fields()?.in_either_case();
    let whole = [
        fields.set("maxItems", &mut limits.max_items, |at| {
            at.read(scalar::count_of).map(Some)
        }),
        fields.set("maxBytes", &mut limits.max_bytes, |at| {
            many_bytes(at).map(Some)
        }),
        fields.set("maxAge", &mut limits.max_age, |at| match at.span()? {
            age if age.is_zero() => at.fault("must not be zero"),
            age => Some(Some(age)),
        }),
    ];
    fields.finish();
    (!whole.contains(&false)).then_some(limits)
}

fn many_bytes(at: &At<'_>) -> Option<NonZeroU64> {
    let bytes = at.parsed(bytes)?;
    Some(NonZeroU64::try_from(bytes).unwrap_or(NonZeroU64::MAX))
}

fn on_full(text: &str) -> Result<OnFull, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "block" => Ok(OnFull::Block),
        "drop_oldest" => Ok(OnFull::DropOldest),
        "drop_newest" => Ok(OnFull::DropNewest),
        _ => Err(format!(
            "`{text}` is not known; known: block, drop_newest, drop_oldest"
        )),
    }
}

fn on_change(text: &str) -> Result<OnPipelineChange, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "resume" => Ok(OnPipelineChange::Resume),
        "dead_letter" => Ok(OnPipelineChange::DeadLetter),
        _ => Err(format!("`{text}` is not known; known: dead_letter, resume")),
    }
}

/// The policies by their names, each checked.
fn policies(at: &At<'_>, form: Form) -> Option<Vec<(String, Node)>> {
    let entries = at.entries("a mapping of names and policies")?;
    let read = entries.iter().map(|(name, place)| {
        if matches!(*name, "default" | "edgex") {
            return place.fault("is the name of a preset; choose another name");
        }
        let node = match (form, &place.node.value) {
            (Form::Edgex, Value::Map(_)) => with_preset(place.node, "edgex"),
            _ => place.node.clone(),
        };
        retry::read(At::new(&node, place.path(), place.findings()))?;
        Some(((*name).to_owned(), node))
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// The policy with this preset, unless it has one.
fn with_preset(policy: &Node, preset: &str) -> Node {
    let location = policy.location.clone();
    let mut entries = match &policy.value {
        Value::Map(entries) => entries.clone(),
        _ => Vec::new(),
    };
    let mut keys = entries.iter().map(|(key, _)| key.name.as_str());
    if !keys.any(|key| key.eq_ignore_ascii_case("preset")) {
        let key = Key {
            location: location.clone(),
            name: "preset".to_owned(),
        };
        let value = Node::made(location.clone(), Value::Text(preset.to_owned()));
        entries.push((key, value));
    }
    Node::made(location, Value::Map(entries))
}

/// EdgeX's texts of booleans.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

/// A number of bytes: `16777216`, `16MiB`.
pub(crate) fn bytes(text: &str) -> Result<NonZeroUsize, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default().trim();
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let number = digits.parse::<usize>().ok();
    let number = number.and_then(|number| number.checked_mul(factor));
    number.and_then(NonZeroUsize::new).ok_or_else(|| {
        format!("`{text}` is not a size of at least 1 byte; write it as `16MiB` or `500000`")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value as Json, json};

    use super::super::super::own_stages::OwnStages;
    use super::super::PipelineConfig;
    use super::*;
    use crate::delivery::engine::{Class, Retry};
    use crate::document::Findings;

    fn exporters(spec: &Json) -> Result<Vec<Exporter>, Vec<String>> {
        let (tree, findings) = (Node::from_json(spec), Findings::default());
        let config = PipelineConfig::read(At::new(&tree, "", &findings), &OwnStages::default());
        let config = findings.into_result(config);
        let config =
            config.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let exporters = config.stages().iter().map(|stage| match &stage.kind {
            StageKind::Export(exporter) => Exporter::clone(exporter),
            other => panic!("{other:?}"),
        });
        Ok(exporters.collect())
    }

    fn spec(settings: &Json, exports: &[Json]) -> Json {
        let stages: Vec<Json> = exports
            .iter()
            .map(|export| {
                let mut export = export.clone();
                export["url"] = json!("http://h");
                json!({"http-export": export})
            })
            .collect();
        json!({"name": "p", "storeAndForward": settings, "stages": stages})
    }

    #[test]
    fn an_export_names_its_policy_and_others_have_that_of_the_pipeline() {
        let settings = json!({
            "every": "7s", "maxAge": "1h", "statuses": {"404": "permanent"},
            "policies": {"patient": {"first": "2s", "max": "1h"}, "strict": {"preset": "edgex", "attempts": 2}},
        });
        let exports = [
            json!({}),
            json!({"retry": "patient"}),
            json!({"retry": "strict"}),
            json!({"retry": "default"}),
            json!({"retry": {"every": "9s"}}),
        ];
        let exporters = exporters(&spec(&settings, &exports)).unwrap();
        let every = |secs| Retry::Every(Duration::from_secs(secs));
        assert_eq!(exporters[0].policy.retry, every(7));
        assert_eq!(exporters[0].policy.class_of(404), Some(Class::Permanent));
        let Retry::Backoff { first, .. } = exporters[1].policy.retry else {
            panic!("a backoff");
        };
        assert_eq!(first, Duration::from_secs(2));
        assert_eq!(exporters[2].policy.attempts, Some(2));
        assert_eq!(exporters[2].circuit, None);
        assert_eq!(exporters[3].policy.class_of(404), Some(Class::Slow));
        assert_eq!(exporters[4].policy.retry, every(9));
    }

    #[test]
    fn keys_may_be_written_as_in_edgex() {
        let settings = json!({
            "Enabled": "T", "RetryInterval": "7s", "MaxRetryCount": "4", "MaxPayload": "1KiB",
            "MaxInFlight": 3, "Circuit": {"Enabled": "true", "Failures": 2, "OpenFor": "3s"},
            "Policies": {"own": {"Backoff": {"First": "2s", "Jitter": "none"}, "Statuses": "409:permanent, 5xx:slow"}},
        });
        let exports = [json!({}), json!({"retry": "own"})];
        let exporters = exporters(&spec(&settings, &exports)).unwrap();
        assert_eq!(exporters[0].policy.attempts, Some(5));
        assert_eq!(exporters[0].max_in_flight.get(), 3);
        assert_eq!(
            exporters[0].circuit.map(|circuit| circuit.failures),
            Some(2)
        );
        let own = &exporters[1].policy;
        assert_eq!(own.class_of(409), Some(Class::Permanent));
        assert_eq!(own.class_of(503), Some(Class::Slow));
    }

    #[test]
    fn every_fault_has_its_key() {
        let settings = json!({
            "enabled": "perhaps", "maxPayload": "much", "maxInFlight": 0, "every": "1s", "Every": "2s",
            "policies": {"edgex": {}, "bad": {"statuses": {"200": "retry"}, "attempts": 0}},
            "nope": 1,
        });
        let faults = exporters(&spec(&settings, &[json!({"retry": "bad"})])).unwrap_err();
        for expected in [
            "storeAndForward.enabled: `perhaps` is neither true nor false",
            "storeAndForward.maxPayload: `much` is not a size",
            "storeAndForward.maxInFlight: must be at least 1",
            "storeAndForward.every: `every` is given twice",
            "storeAndForward.policies.edgex: is the name of a preset",
            "storeAndForward.policies.bad.statuses.200: `200` is outside 300 to 599",
            "storeAndForward.policies.bad.attempts: must be at least 1",
            "storeAndForward.nope: key `nope` is unknown",
        ] {
            let found = faults.iter().any(|fault| fault.starts_with(expected));
            assert!(found, "{expected} in {faults:#?}");
        }
        assert!(
            !faults.iter().any(|fault| fault.starts_with("stages")),
            "{faults:#?}"
        );
        let gone = exporters(&spec(
            &json!({"policies": {"own": {}}}),
            &[json!({"retry": "gone", "timeout": "x"})],
        ));
        let gone = gone.unwrap_err();
        let expected =
            "stages[0].http-export.retry: `gone` is not a policy; known: edgex, default, own";
        assert!(
            gone.len() == 2 && gone[0].starts_with(expected),
            "{gone:#?}"
        );
    }

    fn storing(settings: &Json) -> Storing {
        let spec = spec(settings, &[json!({})]);
        PipelineConfig::from_json(&spec).unwrap().storing().clone()
    }

    #[test]
    fn limits_of_what_is_kept_may_be_written_in_either_form_and_have_defaults() {
        let storing_of = storing(&json!({}));
        let KeepLimits {
            max_items,
            max_bytes,
            on_full,
            dead_letters,
        } = storing_of.limits;
        let found = (max_items.get(), max_bytes.get(), on_full);
        assert_eq!(found, (1_000_000, 1 << 30, OnFull::Block));
        assert_eq!(dead_letters, DeadLetterLimits::default(), "all are kept");
        assert!(storing_of.on_change.is_resume());
        let written = storing(&json!({
            "MaxItems": "500", "MaxBytes": "2MiB", "OnFull": "drop_oldest", "OnPipelineChange": "dead_letter",
            "DeadLetters": {"MaxItems": 10, "maxAge": "168h"},
        }));
        let limits = written.limits;
        let found = (
            limits.max_items.get(),
            limits.max_bytes.get(),
            limits.on_full,
        );
        assert_eq!(found, (500, 2 << 20, OnFull::DropOldest));
        let dead = limits.dead_letters;
        assert_eq!(dead.max_items.map(NonZeroU64::get), Some(10));
        assert_eq!(dead.max_age, Some(Duration::from_secs(168 * 3600)));
        assert!(matches!(written.on_change, OnPipelineChange::DeadLetter));
        let settings = json!({
            "maxItems": 0, "maxBytes": "much", "onFull": "explode", "onPipelineChange": "migrate",
            "deadLetters": {"maxAge": "0s", "items": 1},
        });
        let faults = exporters(&spec(&settings, &[json!({})])).unwrap_err();
        for expected in [
            "storeAndForward.maxItems: must be at least 1",
            "storeAndForward.maxBytes: `much` is not a size",
            "storeAndForward.onFull: `explode` is not known; known: block, drop_newest, drop_oldest",
            "storeAndForward.onPipelineChange: `migrate` is not known; known: dead_letter, resume",
            "storeAndForward.deadLetters.maxAge: must not be zero",
            "storeAndForward.deadLetters.items: key `items` is unknown",
        ] {
            let found = faults.iter().any(|fault| fault.starts_with(expected));
            assert!(found, "{expected} in {faults:#?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        let read = |text| bytes(text).map(NonZeroUsize::get);
        assert_eq!(read("16MiB"), Ok(16 << 20));
        assert_eq!(read(" 500 "), Ok(500));
        for text in ["", "0", "-1", "1MB", "MiB", "99999999999999999999"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
