//! The same module files read by the real parser and by ours: the verdicts agree, and our messages contain those of the real parser.

use crate::support::flink::{self, Cause, Verdict};

use super::cases::{self, Ours, Runs, ours};

pub(super) fn real(verdict: &Verdict) -> Runs {
    match (verdict.load.is_empty(), verdict.calls.is_empty()) {
        (false, _) => Runs::Fault,
        (true, false) => Runs::Lazy,
        (true, true) => Runs::Ok,
    }
}

/// Everything that is said when something fails.
fn texts(verdict: &Verdict) -> Vec<String> {
    let chains = std::iter::once(&verdict.load).chain(&verdict.calls);
    chains.flatten().filter_map(text).collect()
}

/// What a user would search for: the text of a cause without what Java's libraries add to it.
fn text(cause: &Cause) -> Option<String> {
    let of_library = [
        "MismatchedInputException",
        "InvalidFormatException",
        "InvalidDefinitionException",
        "ValueInstantiationException",
        "InputCoercionException",
        "NullPointerException",
        "NoSuchElementException",
        "ClassCastException",
        "URISyntaxException",
        "FileNotFoundException",
        "yaml.",
        "JsonParseException",
        "DateTime",
    ];
    let message = &cause.message;
    let by_accident = [
        // A key without a value, or a value of another kind than text.
        "Cannot invoke",
        "Cannot read field",
        "(was java.",
        "N/A",
        "No enum constant",
        "For input string",
        "Invalid type name string: [.",
        "Invalid type name string: {.",
        "Invalid type name string: . ",
        "Invalid autoOffsetResetPosition: [;",
        "Invalid autoOffsetResetPosition: {;",
        "Unknown module type ,",
    ];
    if of_library.iter().any(|class| cause.class.contains(class))
        || by_accident.iter().any(|start| message.starts_with(start))
        || message.is_empty()
        || message == "null"
    {
        return None;
    }
    let message = message.split(" (through reference chain").next()?;
    let message = message.split("\n at [Source").next()?;
    // Java names the file by a URL.
    let message = message.split(" file:").next()?;
    let message = message
        .strip_prefix("java.net.URISyntaxException: ")
        .unwrap_or(message);
    Some(message.trim().to_owned())
}

/// Why what was said here does not agree with the real verdict.
pub(super) fn disagreement(ours: &Ours, verdict: &Verdict) -> Option<String> {
    if !ours.agrees_with(real(verdict)) {
        return Some(format!(
            "{:?} there, {:?} here: {:?}, {:?}",
            real(verdict),
            ours.runs,
            texts(verdict),
            ours.said
        ));
    }
    if ours.runs == Runs::Ok {
        return None;
    }
    let missing: Vec<String> = texts(verdict)
        .into_iter()
        .filter(|text| !ours.said.iter().any(|said| said.contains(text)))
        .collect();
    (!missing.is_empty()).then(|| format!("not said here: {missing:?}; said: {:?}", ours.said))
}

#[tokio::test]
async fn sf_67_the_table_agrees_with_the_real_parser() {
    let cases = cases::all();
    let found: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let Some(verdicts) = flink::parse(&found, true).await else {
        return;
    };
    let mut wrong = Vec::new();
    for (case, verdict) in cases.iter().zip(&verdicts) {
        if real(verdict) != case.real {
            wrong.push(format!(
                "{}: {:?} is written, the real one says {:?}",
                case.name, case.real, verdict
            ));
        }
        if case.reason.is_none()
            && let Some(why) = disagreement(&ours(&case.text), verdict)
        {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn sf_67_a_module_that_loads_without_warnings_loads_on_the_real_runtime() {
    let cases: Vec<_> = cases::all()
        .into_iter()
        .filter(|case| ours(&case.text).is_silent())
        .collect();
    assert!(cases.len() > 20, "{}", cases.len());
    let found: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let Some(verdicts) = flink::parse(&found, true).await else {
        return;
    };
    for (case, verdict) in cases.iter().zip(&verdicts) {
        assert_eq!(real(verdict), Runs::Ok, "{}: {verdict:?}", case.name);
        // The module itself is fine: these miss functions, for a case is about one document, or AWS.
        let is_excused = |cause: &Cause| {
            cause.message == "There are no function providers defined."
                || cause.class.contains("SdkClientException")
                || cause
                    .message
                    .starts_with("Invalid AWS region set in config")
                || cause.message.contains("region must not be blank")
        };
        assert!(
            verdict.build.is_empty() || verdict.build.iter().any(is_excused),
            "{}: {verdict:?}",
            case.name
        );
    }
}

#[tokio::test]
async fn sf_60_the_real_parser_binds_the_same_of_format_3_0_as_of_documents() {
    let text = |name: &str| std::fs::read_to_string(super::data("good").join(name)).unwrap();
    let (old, new) = (text("legacy.yaml"), text("legacy_as_documents.yaml"));
    let Some(verdicts) = flink::parse(&[&old, &new], false).await else {
        return;
    };
    assert!(verdicts[0].binds.is_some(), "{verdicts:?}");
    assert_eq!(verdicts[0].binds, verdicts[1].binds);
    for verdict in &verdicts {
        assert_eq!(real(verdict), Runs::Ok, "{verdict:?}");
    }
}

#[tokio::test]
async fn sf_54_the_texts_for_a_module_without_parts_are_the_real_ones() {
    let endpoint = flink::endpoint("a/*", "http://x/");
    let Some(verdicts) = flink::parse(&[&endpoint, ""], false).await else {
        return;
    };
    let Some(empty) = flink::parse(&[""], true).await else {
        return;
    };
    for (verdict, expected) in [
        (&verdicts[0], "There are no ingress defined."),
        (&verdicts[1], "There are no ingress defined."),
        (&empty[0], "There are no function providers defined."),
    ] {
        let messages: Vec<&str> = (verdict.build.iter())
            .map(|cause| cause.message.as_str())
            .collect();
        assert!(messages.contains(&expected), "{messages:?}");
    }
    let said = super::said_about("m.yaml", "");
    for expected in [
        "There are no ingress defined.",
        "There are no function providers defined.",
    ] {
        let is_said = |line: &String| line.starts_with("flink ") && line.contains(expected);
        assert!(said.iter().any(is_said), "{said:?}");
    }
}
