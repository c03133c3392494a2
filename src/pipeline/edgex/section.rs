//! The pipelines of an EdgeX configuration: its section `Writable.Pipeline`, or the whole of `Writable`, as it is.

use super::super::config::{Form, Forwarding, PipelineConfig, Route};
use super::super::own_stages::OwnStages;
use super::super::secrets::Secrets;
use super::super::stages::StageKind;
use super::decode::Target;
use super::insecure_secrets;
use super::order::Section;
use super::parameters::{self, list};
use super::unset::{is_unset, text};
use crate::document::{At, Complaint, nearest};

/// The id of the pipeline for all topics.
pub(crate) const DEFAULT_PIPELINE: &str = "default-pipeline";

/// The pipelines of the section at `at`: the first is the default pipeline, which is called `name`, and routes records to the others by
/// their topic. `None` if there are faults, which are reported.
pub(crate) fn read(
    at: &At<'_>,
    name: String,
    namespace: &str,
    secrets: Secrets,
    own: &OwnStages,
) -> Option<Vec<PipelineConfig>> {
    let entries = at.entries("the section `Writable.Pipeline` of an EdgeX configuration")?;
    let writable = entries.iter().find(|(key, _)| *key == "Pipeline");
    let Some((_, pipeline)) = writable else {
        let forwarding = Forwarding::of(Form::Edgex);
        return read_section(at, name, namespace, forwarding, secrets, own);
    };
    let mut forwarding = Some(Forwarding::of(Form::Edgex));
    let mut secrets = Some(secrets);
    for (key, place) in &entries {
        match *key {
            "Pipeline" => {}
            "StoreAndForward" => forwarding = Forwarding::read(place, Form::Edgex),
            "InsecureSecrets" => {
                secrets = secrets.and_then(|secrets| insecure_secrets::read(secrets, place));
            }
            "LogLevel" | "Telemetry" => place.warn(format!(
                "`{key}` has no effect here: log and metrics are those of the process"
            )),
            other => place.warn(format!("`{other}` has no effect here")),
        }
    }
    let pipelines = read_section(
        pipeline,
        name,
        namespace,
        forwarding
            .clone()
            .unwrap_or_else(|| Forwarding::broken(Form::Edgex)),
        secrets.clone().unwrap_or_default(),
        own,
    );
    let pipelines = forwarding.as_ref().and(secrets).and(pipelines);
    if let (Some(forwarding), Some(pipelines), Some((_, place))) = (
        &forwarding,
        &pipelines,
        entries.iter().find(|(key, _)| *key == "StoreAndForward"),
    ) {
        warn_of_half(forwarding, pipelines, place);
    }
    pipelines
}

/// A warning if only one of `StoreAndForward.Enabled` and `PersistOnError` is on.
fn warn_of_half(forwarding: &Forwarding, pipelines: &[PipelineConfig], at: &At<'_>) {
    let stages = || pipelines.iter().flat_map(PipelineConfig::stages);
    let mut exports = stages().filter_map(|stage| match &stage.kind {
        StageKind::Export(exporter) => Some((&stage.name, exporter.on_failure)),
        _ => None,
    });
    let persisting = exports.clone().find(|(_, kept)| kept.keeps());
    match (forwarding.is_enabled, persisting) {
        (false, Some((name, _))) => at.warn(Complaint::with_remedy(
            format!("`Enabled` is false: what `{name}` cannot send is lost, in spite of its `PersistOnError`"),
            "set `Enabled` to true",
        )),
        (true, None) if exports.next().is_some() => at.warn(Complaint::with_remedy(
            "`Enabled` is true, but no export keeps what it cannot send",
            "set `PersistOnError` of the export to true",
        )),
        _ => {}
    }
}

fn read_section(
    at: &At<'_>,
    name: String,
    namespace: &str,
    forwarding: Forwarding,
    secrets: Secrets,
    own: &OwnStages,
) -> Option<Vec<PipelineConfig>> {
    let entries = at.entries("the section `Pipeline` of an EdgeX configuration")?;
    let known = [
        "TargetType",
        "UseTargetTypeOfByteArray",
        "ExecutionOrder",
        "PerTopicPipelines",
        "Functions",
    ];
    for (key, place) in entries.iter().filter(|(key, _)| !known.contains(key)) {
        let remedy = nearest(key, known).map_or_else(
            || format!("known keys: {}", known.join(", ")),
            |meant| format!("did you mean `{meant}`?"),
        );
        let text = format!("key `{key}` is unknown and ignored");
        place.warn(Complaint::with_remedy(text, remedy));
    }
    let get = |key: &str| {
        entries
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, at)| at)
    };
    let functions = match get("Functions") {
        Some(place) if !is_unset(place) => place.entries("a mapping of functions"),
        _ => Some(Vec::new()),
    };
    let target = target_of(get("TargetType"), get("UseTargetTypeOfByteArray"));
    let section = Section {
        namespace: namespace.to_owned(),
        target: target.unwrap_or(Target::Event),
        functions: functions?,
        forwarding,
        secrets,
        own,
    };
    let order = get("ExecutionOrder");
    let text = order.map(text).unwrap_or(Some(String::new()));
    let per_topic = match get("PerTopicPipelines") {
        Some(place) if !is_unset(place) => place.entries("a mapping of pipelines")?,
        _ => Vec::new(),
    };
    let is_blank = text
        .as_deref()
        .is_some_and(|text| list(text).next().is_none());
    if is_blank && per_topic.is_empty() {
        let place = order.unwrap_or(at);
        return place.fault(
            "no pipeline: `ExecutionOrder` names no function, and there are no `PerTopicPipelines`",
        );
    }
    let default = match (is_blank, order, text) {
        (false, Some(place), Some(text)) => section.stages(place, &name, &text),
        (true, ..) => Some(Vec::new()),
        _ => None,
    };
    let mut ids = vec![DEFAULT_PIPELINE.to_owned(), name.clone()];
    let topics: Vec<_> = per_topic
        .iter()
        .map(|(_, place)| section.topic_pipeline(place, &mut ids))
        .collect();
    let topics: Option<Vec<(Route, PipelineConfig)>> = topics.into_iter().collect();
    let (routes, others): (Vec<_>, Vec<_>) = topics?.into_iter().unzip();
    let default = section.pipeline(name, default?).with_routes(routes);
    target.map(|_| std::iter::once(default).chain(others).collect())
}

/// The target type; version 1 had a flag for bytes.
fn target_of(target: Option<&At<'_>>, raw: Option<&At<'_>>) -> Option<Target> {
    let target = target.map_or(Some(Target::Event), |at| {
        Target::named(&text(at)?).map_or_else(|err| at.fault(err), Some)
    });
    let is_raw = raw.map_or(Some(false), |at| {
        parameters::boolean(&text(at)?).map_or_else(|err| at.fault(err), Some)
    });
    match is_raw? {
        true => Some(Target::Raw),
        false => target,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::document::{Findings, Node};

    fn section_of(spec: &Json) -> (Option<Vec<PipelineConfig>>, Findings) {
        let tree = Node::from_json(spec);
        let findings = Findings::default();
        let at = At::new(&tree, "edgex", &findings);
        let read = read(
            &at,
            "p".to_owned(),
            "pipelines",
            Secrets::default(),
            &OwnStages::default(),
        );
        (read, findings)
    }

    fn stages(spec: &Json) -> Vec<Vec<String>> {
        let (read, findings) = section_of(spec);
        let configs = findings.into_result(read).unwrap();
        let names = |config: &PipelineConfig| {
            let stages = config.stages().iter().map(|stage| stage.name.clone());
            stages.collect()
        };
        configs.iter().map(names).collect()
    }

    fn faults(spec: &Json) -> Vec<String> {
        let (read, findings) = section_of(spec);
        let faults = findings.into_result(read).unwrap_err();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pl_18_names_begin_with_those_of_functions_and_repeated_ones_are_numbered() {
        let section = json!({
            "ExecutionOrder": "AddTags, AddTagsExtra, , HTTPExport2, AddTags",
            "Functions": {
                "AddTags": {"Parameters": {"tags": "a:b"}}, "AddTagsExtra": {"Parameters": {"Tags": ""}},
                "HTTPExport2": {"Parameters": {"Method": "post", "MimeType": "", "Url": "http://h"}},
                "Unused": {"Parameters": {"Rule": "{"}},
            },
        });
        assert_eq!(
            stages(&section),
            [[
                "decode",
                "AddTags",
                "AddTagsExtra",
                "HTTPExport2",
                "AddTags#2"
            ]]
        );
        for (name, fault) in [
            (
                "Bogus",
                "edgex.Functions.Bogus: `Bogus` is not a built-in function",
            ),
            (
                "NextHTTPExport",
                "edgex.Functions.NextHTTPExport: `NextHTTPExport` is not a built-in function",
            ),
        ] {
            let section = json!({"ExecutionOrder": name, "Functions": {name: {}}});
            assert!(
                faults(&section)[0].starts_with(fault),
                "{:?}",
                faults(&section)
            );
        }
    }

    #[test]
    fn topics_lead_to_pipelines_beside_the_default_one() {
        let section = json!({
            "TargetType": "raW", "ExecutionOrder": "",
            "PerTopicPipelines": {
                "a": {"Id": "floats", "Topics": "events/+/Float/#, x", "ExecutionOrder": "SetResponseData"},
                "b": {"Id": "ints", "Topics": "#", "ExecutionOrder": "SetResponseData"},
            },
            "Functions": {"SetResponseData": null},
        });
        let (read, findings) = section_of(&section);
        let configs = findings.into_result(read).unwrap();
        let names: Vec<_> = configs.iter().map(PipelineConfig::name).collect();
        assert_eq!(names, ["p", "floats", "ints"]);
        let to: Vec<_> = configs[0].routes().iter().map(|route| &*route.to).collect();
        assert_eq!(to, ["floats", "ints"]);
        assert!(configs[0].stages().is_empty());
    }

    #[test]
    fn pl_08_all_faults_are_reported_at_once_each_with_its_path() {
        let section = json!({
            "TargetType": "meric", "ExecutionOrder": "FilterByDeviceName, Nope, MQTTExport",
            "PerTopicPipelines": {
                "a": {"Id": "x", "Topics": "a/#/b", "ExecutionOrder": "FilterByDeviceName"},
                "b": {"Id": "x", "Topics": " , ", "ExecutionOrder": ""},
                "c": {"Id": "default-pipeline", "Topics": "y", "ExecutionOrder": "Nope"},
                "d": {},
            },
            "Functions": {"FilterByDeviceName": {"Parameters": {"FilterOut": ""}}, "MQTTExport": {}},
        });
        let faults = faults(&section);
        for expected in [
            "edgex.TargetType: `meric` is not a supported target type",
            "edgex.ExecutionOrder: function `Nope` is not in `Functions`",
            "edgex.Functions.MQTTExport.BrokerAddress: is required and missing",
            "edgex.Functions.FilterByDeviceName.Parameters.FilterOut: `` is neither true nor false",
            "edgex.Functions.FilterByDeviceName.Parameters.DeviceNames: is required and missing",
            "edgex.PerTopicPipelines.a.Topics: `a/#/b` has `#` before its last level; write `+` for one level",
            "edgex.PerTopicPipelines.b.Id: the id `x` is in use",
            "edgex.PerTopicPipelines.b.Topics: names no topic",
            "edgex.PerTopicPipelines.b.ExecutionOrder: names no function",
            "edgex.PerTopicPipelines.c.Id: the id `default-pipeline` is in use",
            "edgex.PerTopicPipelines.c.ExecutionOrder: function `Nope` is not in `Functions`",
            "edgex.PerTopicPipelines.d.Id: is required and missing",
            "edgex.PerTopicPipelines.d.Topics: is required and missing",
            "edgex.PerTopicPipelines.d.ExecutionOrder: is required and missing",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(expected)),
                "{expected} in {faults:#?}"
            );
        }
        let nothing = json!({"ExecutionOrder": " , ", "Functions": {}});
        assert!(self::faults(&nothing)[0].starts_with("edgex.ExecutionOrder: no pipeline"));
    }

    #[test]
    fn the_whole_writable_section_is_taken_with_its_secrets_and_retries() {
        let writable = json!({
            "LogLevel": "DEBUG",
            "Pipeline": {
                "UseTargetTypeOfByteArray": "true", "ExecutionOrder": "HTTPExport",
                "Functions": {"HTTPExport": {"Parameters": {
                    "Method": "put", "Url": "http://h", "MimeType": "a/b", "PersistOnError": "true"}}},
            },
            "StoreAndForward": {"Enabled": true, "RetryInterval": "7s", "MaxRetryCount": 4},
            "InsecureSecrets": {"one": {"SecretName": "s", "SecretData": {"k": "v"}}, "two": {"Path": "t", "Secrets": {"k": "w"}}},
        });
        let (read, findings) = section_of(&writable);
        let configs = findings.into_result(read).unwrap();
        let StageKind::Export(exporter) = &configs[0].stages()[1].kind else {
            panic!("an export");
        };
        assert_eq!(exporter.policy.attempts, Some(5));
        let find = |name| configs[0].secrets().find(name, "k").unwrap();
        assert_eq!(
            (find("s").as_deref(), find("t").as_deref()),
            (Some("v"), Some("w"))
        );
    }

    #[test]
    fn pl_22_an_interval_that_cannot_be_taken_is_a_second_with_a_warning() {
        for interval in ["500ms", "junk", "0"] {
            let tree = Node::from_json(&json!({"Enabled": "true", "RetryInterval": interval}));
            let findings = Findings::default();
            let at = At::new(&tree, "", &findings);
            assert!(Forwarding::read(&at, Form::Edgex).is_some());
            let (faults, warnings, _) = findings.into_parts();
            assert_eq!((faults.len(), warnings.len()), (0, 1), "{interval}");
            assert!(warnings[0].to_string().contains("1s is taken"));
        }
    }
}
