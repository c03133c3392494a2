//! `FilterByProfileName`, `FilterByDeviceName`, `FilterBySourceName`, `FilterByResourceName`: let through what bears one of the names, or what does not.

use regex::Regex;
use serde_json::Value;

use super::super::extras::Form;
use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::super::stages::{Builtin, StageKind};
use super::parameters::{self, Parameters};
use super::{event, input};
use crate::document::Complaint;

/// What the names are names of.
#[derive(Debug, Clone, Copy)]
enum By {
    /// A field of the event.
    Field(&'static str),
    /// The resource of each reading.
    Resource,
}

#[derive(Debug)]
struct NameFilter {
    function: &'static str,
    by: By,
    names: Vec<Pattern>,
    drops_matches: bool,
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    Regex(Regex),
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

pub(super) fn by_profile(parameters: Parameters<'_>) -> Option<StageKind> {
    read(
        parameters,
        "FilterByProfileName",
        "ProfileNames",
        By::Field("profileName"),
    )
}

pub(super) fn by_device(parameters: Parameters<'_>) -> Option<StageKind> {
    read(
        parameters,
        "FilterByDeviceName",
        "DeviceNames",
        By::Field("deviceName"),
    )
}

pub(super) fn by_source(parameters: Parameters<'_>) -> Option<StageKind> {
    read(
        parameters,
        "FilterBySourceName",
        "SourceNames",
        By::Field("sourceName"),
    )
}

pub(super) fn by_resource(parameters: Parameters<'_>) -> Option<StageKind> {
    read(
        parameters,
        "FilterByResourceName",
        "ResourceNames",
        By::Resource,
    )
}

/// Version 1 called resources value descriptors.
pub(super) fn by_value_descriptor(parameters: Parameters<'_>) -> Option<StageKind> {
    read(
        parameters,
        "FilterByValueDescriptor",
        "ValueDescriptors",
        By::Resource,
    )
}

fn read(
    parameters: Parameters<'_>,
    function: &'static str,
    key: &'static str,
    by: By,
) -> Option<StageKind> {
    let drops_matches = parameters.boolean("FilterOut");
    let matching = parameters.parsed("Match", |text| {
        match text.trim().to_ascii_lowercase().as_str() {
            "regex" => Ok(Match::Regex),
            "full" => Ok(Match::Full),
            "exact" => Ok(Match::Exact),
            _ => Err(format!("`{text}` is not known; known: regex, full, exact")),
        }
    });
    let names = parameters.required(key).and_then(|text| {
        if matching.is_none() {
            warn_of_plain_names(&parameters, key, &text);
        }
        let matching = matching.unwrap_or(Match::Regex);
        let names: Result<Vec<Pattern>, String> = parameters::list(&text)
            .map(|name| matching.pattern(name))
            .collect();
        parameters.check(key, names)
    });
    let filter = names.map(|names| {
        StageKind::pure(NameFilter {
            function,
            by,
            names,
            drops_matches,
        })
    });
    parameters.finish(filter)
}

/// A plain name is an unanchored expression, too, which matches more than it seems to.
fn warn_of_plain_names(parameters: &Parameters<'_>, key: &'static str, text: &str) {
    let is_plain = |name: &&str| {
        name.chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    if let Some(name) = parameters::list(text).find(is_plain) {
        parameters.warn_at(
            key,
            Complaint::with_remedy(
                format!("`{name}` is a regular expression that also matches longer names, such as `{name}0`"),
                "set the parameter `Match` to `exact`, to `full` for expressions that match whole names, or to `regex` if this is meant",
            ),
        );
    }
}

#[derive(Debug, Clone, Copy)]
enum Match {
    Regex,
    Full,
    Exact,
}

impl Match {
    fn pattern(self, name: &str) -> Result<Pattern, String> {
        let expression = match self {
            Self::Exact => return Ok(Pattern::Exact(name.to_owned())),
            Self::Regex => Regex::new(name),
            // Checked by itself first: `a)|(b` must not become valid by its anchors.
            Self::Full => Regex::new(name).and_then(|_| Regex::new(&format!("^(?:{name})$"))),
        };
        expression.map(Pattern::Regex).map_err(|err| {
            let remedy = match name.contains(r"\Q") {
                true => r"; `\Q…\E` is Go's: write a `\` before each special character instead",
                false => "",
            };
            let err = err.to_string();
            let why = err.lines().last().unwrap_or_default();
            format!("`{name}` is not a regular expression: {why}{remedy}")
        })
    }
}

impl Builtin for NameFilter {}

impl Stage for NameFilter {
    fn apply(&self, record: &mut Record) -> Answer {
        let event = match input::event(self.function, "no Event Received", record) {
            Ok(event) => event,
            Err(text) => return refuse(text),
        };
        if self.names.is_empty() {
            return Answer::Continue;
        }
        let By::Field(key) = self.by else {
            return self.keep_readings(record);
        };
        match self.passes(event::text(event, key)) {
            true => Answer::Continue,
            false => Answer::Stop,
        }
    }
}

impl NameFilter {
    fn passes(&self, name: &str) -> bool {
        let has_match = self.names.iter().any(|pattern| pattern.matches(name));
        has_match != self.drops_matches
    }

    fn keep_readings(&self, record: &mut Record) -> Answer {
        let Ok(mut event) = record.take_document() else {
            return Answer::Stop; // read above
        };
        let form = Form::Event;
        let mut is_empty = true;
        if let Some(Value::Array(readings)) = event.get_mut("readings") {
            readings.retain(|reading| self.passes(event::text(reading, "resourceName")));
            is_empty = readings.is_empty();
        }
        record.set_object(form, event);
        if is_empty {
            Answer::Stop
        } else {
            Answer::Continue
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::extras::Form;
    use super::super::event::tests::{event, reading};
    use super::super::tests::{applied, faults, warnings};
    use super::*;

    fn answer(function: &str, parameters: Value) -> (Answer, Value) {
        let mut record = Record::new("");
        let mut given = event();
        given["tags"] = json!({"site": "north"});
        given["readings"] = json!([reading("resource1"), reading("resource2")]);
        record.set_object(Form::Event, given);
        let answer = applied(&json!({function: parameters}), &mut record);
        (answer, record.document().unwrap().clone())
    }

    #[test]
    fn pl_09_readings_of_other_resources_are_left_out_and_tags_stay() {
        let by = |parameters| answer("FilterByResourceName", parameters);
        let (kept, event) = by(json!({"ResourceNames": "resource1, ", "FilterOut": "false"}));
        assert_eq!(kept, Answer::Continue);
        assert_eq!(event["tags"], json!({"site": "north"}));
        assert_eq!(event["readings"].as_array().unwrap().len(), 1);
        assert!(event::check(event).is_ok());
        assert_eq!(by(json!({"ResourceNames": "resource3"})).0, Answer::Stop);
        let both = json!({"ResourceNames": "resource1,resource2", "FilterOut": "true"});
        assert_eq!(by(both).0, Answer::Stop);
        for out in ["true", "false"] {
            let (all, event) = by(json!({"ResourceNames": " , ", "FilterOut": out}));
            assert_eq!(all, Answer::Continue);
            assert_eq!(event["readings"].as_array().unwrap().len(), 2);
        }
        let descriptors = answer("FilterByValueDescriptor", json!({"ValueDescriptors": "1$"}));
        assert_eq!(descriptors.1["readings"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn events_pass_by_name_or_not() {
        for (function, key, name) in [
            ("FilterByProfileName", "ProfileNames", "P"),
            ("FilterByDeviceName", "DeviceNames", "D"),
            ("FilterBySourceName", "SourceNames", "S"),
        ] {
            for (names, out, expected) in [
                (name, "false", Answer::Continue),
                ("x", "false", Answer::Stop),
                (name, "1", Answer::Stop),
                ("x", "T", Answer::Continue),
                ("", "true", Answer::Continue),
                ("x,,.", "false", Answer::Continue),
            ] {
                let (answer, _) = answer(function, json!({key: names, "FilterOut": out}));
                assert_eq!(answer, expected, "{function} {names} {out}");
            }
        }
    }

    #[test]
    fn names_match_a_part_the_whole_or_exactly() {
        let by = |name: &str, matching: &str| {
            let parameters = json!({"ResourceNames": name, "Match": matching});
            let (answer, event) = answer("FilterByResourceName", parameters);
            match answer {
                Answer::Continue => event["readings"].as_array().unwrap().len(),
                _ => 0,
            }
        };
        assert_eq!(by("resource", "regex"), 2);
        assert_eq!(by("resource", "full"), 0);
        assert_eq!(by("resource.", "Full"), 2);
        assert_eq!(by("resource.", "exact"), 0);
        assert_eq!(by("resource2", "exact"), 1);
        assert_eq!(by("x|resource2", "full"), 1);
    }

    #[test]
    fn pl_10_anything_but_an_event_is_refused_with_the_name_of_the_filter() {
        for function in [
            ("FilterByProfileName", "ProfileNames"),
            ("FilterByDeviceName", "DeviceNames"),
            ("FilterBySourceName", "SourceNames"),
            ("FilterByResourceName", "ResourceNames"),
        ] {
            let stage = json!({function.0: {function.1: "x"}});
            for (payload, text) in [
                ("", "no Event Received"),
                ("text", "type received is not an Event"),
            ] {
                let mut record = Record::new(payload);
                let Answer::Fail(failure) = applied(&stage, &mut record) else {
                    panic!("{payload}");
                };
                assert_eq!(failure.message, format!("{}: {text}", function.0));
            }
        }
    }

    #[test]
    fn pl_18_filters_without_names_or_with_an_empty_flag_are_faults() {
        for (parameters, fault) in [
            (
                json!({}),
                "stages[0].FilterByDeviceName.DeviceNames: is required and missing",
            ),
            (
                json!({"DeviceNames": "", "FilterOut": ""}),
                "stages[0].FilterByDeviceName.FilterOut: `` is neither true nor false",
            ),
            (
                json!({"DeviceNames": "a(", "FilterOut": "false"}),
                "stages[0].FilterByDeviceName.DeviceNames: `a(` is not a regular expression",
            ),
            (
                json!({"DeviceNames": r"\Qa.b\E"}),
                "stages[0].FilterByDeviceName.DeviceNames: `\\Qa.b\\E` is not a regular expression",
            ),
            (
                json!({"DeviceNames": "a)|(b", "Match": "full"}),
                "stages[0].FilterByDeviceName.DeviceNames: `a)|(b` is not a regular expression",
            ),
            (
                json!({"DeviceNames": "a", "Match": "glob"}),
                "stages[0].FilterByDeviceName.Match: `glob` is not known; known: regex, full, exact",
            ),
        ] {
            let faults = faults(&json!({"FilterByDeviceName": parameters}));
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(fault), "{faults:?}");
        }
    }

    #[test]
    fn a_plain_name_gives_a_warning_unless_it_is_said_how_it_matches() {
        let of = |parameters: Value| warnings(&json!({"FilterByDeviceName": parameters}));
        assert!(of(json!({"DeviceNames": "device1"}))[0].contains("also matches longer names"));
        assert_eq!(
            of(json!({"DeviceNames": "device1", "Match": "exact"})),
            [""; 0]
        );
        assert_eq!(of(json!({"DeviceNames": "^device1$"})), [""; 0]);
    }

    #[test]
    fn r_25_a_bad_expression_is_a_fault_and_drops_no_event() {
        let stage = json!({"FilterByDeviceName": {"DeviceNames": "D(", "Match": "regex"}});
        let faults = faults(&stage);
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].starts_with("stages[0].FilterByDeviceName.DeviceNames: "),
            "{faults:?}"
        );
    }
}
