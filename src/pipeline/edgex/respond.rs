//! `SetResponseData`, and `MarkAsPushed`, which has no effect any more.

use super::super::record::Record;
use super::super::stage::{Answer, Stage};
use super::super::stages::{Builtin, StageKind};
use super::parameters::Parameters;

#[derive(Debug)]
struct SetResponseData {
    content_type: Option<String>,
}

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let content_type = parameters.text("ResponseContentType");
    let content_type = content_type.filter(|text| !text.trim().is_empty());
    let content_type = content_type.and_then(|text| {
        let is_plain = !text.contains(char::is_control);
        let checked = is_plain
            .then_some(text)
            .ok_or("has a line end or another control character");
        parameters.check("ResponseContentType", checked)
    });
    parameters.finish(Some(StageKind::pure(SetResponseData { content_type })))
}

impl Builtin for SetResponseData {
    fn answers(&self) -> bool {
        true
    }
}

impl Stage for SetResponseData {
    fn apply(&self, record: &mut Record) -> Answer {
        record.set_response(record.payload());
        if let Some(content_type) = &self.content_type {
            record.set_response_content_type(content_type.as_str());
        }
        Answer::Continue
    }
}

#[derive(Debug)]
struct MarkAsPushed;

pub(super) fn mark_as_pushed(parameters: Parameters<'_>) -> Option<StageKind> {
    parameters.warn("`MarkAsPushed` has no effect: core data has no such call since version 2");
    parameters.finish(Some(StageKind::pure(MarkAsPushed)))
}

impl Builtin for MarkAsPushed {}

impl Stage for MarkAsPushed {
    fn apply(&self, _record: &mut Record) -> Answer {
        Answer::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{applied, warnings};
    use super::*;

    fn responded(parameters: Value) -> Record {
        let mut record = Record::new("data");
        record.set_response_content_type("application/xml");
        let answer = applied(&json!({"SetResponseData": parameters}), &mut record);
        assert_eq!(answer, Answer::Continue);
        assert_eq!(record.payload(), "data");
        assert_eq!(record.response().unwrap(), "data");
        record
    }

    #[test]
    fn pl_18_the_response_is_the_data_with_the_type_given_or_that_of_the_stage_before() {
        assert_eq!(
            responded(json!({"ResponseContentType": "text/csv"})).response_content_type(),
            "text/csv"
        );
        for parameters in [
            json!({}),
            Value::Null,
            json!({"ResponseContentType": ""}),
            json!({"x": "y"}),
        ] {
            assert_eq!(
                responded(parameters).response_content_type(),
                "application/xml"
            );
        }
    }

    #[test]
    fn a_content_type_that_no_response_can_have_is_a_fault() {
        let stage = json!({"SetResponseData": {"ResponseContentType": "text/csv\nx: y"}});
        let told = super::super::tests::faults(&stage).join("\n");
        assert!(told.contains("line end"), "{told}");
    }

    #[test]
    fn marking_as_pushed_does_nothing_and_says_so() {
        let stage = json!({"MarkAsPushed": {}});
        assert_eq!(applied(&stage, &mut Record::new("x")), Answer::Continue);
        assert!(warnings(&stage)[0].contains("has no effect"));
    }
}
