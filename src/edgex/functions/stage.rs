//! A function as a stage of a pipeline.

use std::sync::Arc;

use super::super::services::Services;
use super::context::AppContext;
use super::data::{AppData, Outcome};
use crate::delivery::engine::Failure;
use crate::pipeline::{Answer, Record, Stage};

/// A function of an application, which only computes: EdgeX's `AppFunction`.
///
/// Every `Fn(&mut AppContext<'_>, AppData) -> Outcome` is one. A panic fails only its record.
pub trait AppFunction: Send + Sync + 'static {
    /// Does the function's work on `data`.
    fn apply(&self, context: &mut AppContext<'_>, data: AppData) -> Outcome;
}

impl<F> AppFunction for F
where
    F: Fn(&mut AppContext<'_>, AppData) -> Outcome + Send + Sync + 'static,
{
    fn apply(&self, context: &mut AppContext<'_>, data: AppData) -> Outcome {
        self(context, data)
    }
}

/// Runs a function on records. Cheap to clone.
#[derive(Clone)]
pub(in crate::edgex) struct FunctionStage {
    pub(in crate::edgex) function: Arc<dyn AppFunction>,
    pub(in crate::edgex) services: Services,
}

impl Stage for FunctionStage {
    fn apply(&self, record: &mut Record) -> Answer {
        let data = match AppData::of(record) {
            Ok(data) => data,
            Err(text) => return Answer::Fail(Failure::permanent("stage_error", text)),
        };
        let published = record.publications();
        let mut context = AppContext::new(record, &self.services);
        let outcome = self.function.apply(&mut context, data);
        let retry_data = context.into_retry_data();
        match outcome {
            Outcome::Continue(data) => {
                data.put(record);
                Answer::Continue
            }
            Outcome::Pass => Answer::Continue,
            Outcome::Stop => Answer::Stop,
            Outcome::Fail(error) => {
                record.unpublish(published);
                let Some(retry_data) = retry_data else {
                    return Answer::Fail(Failure::permanent("stage_error", error));
                };
                AppData::Bytes(retry_data).put(record);
                Answer::Fail(Failure::retry("stage_error", error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::delivery::engine::Class;

    fn applied(function: impl AppFunction, record: &mut Record) -> Answer {
        let stage = FunctionStage {
            function: Arc::new(function),
            services: Services::default(),
        };
        stage.apply(record)
    }

    fn event() -> Record {
        let mut record = Record::new("");
        AppData::Event(json!({"deviceName": "D"})).put(&mut record);
        record
    }

    #[test]
    fn the_next_function_gets_the_value_or_what_this_one_got() {
        let mut record = event();
        let upper = |_: &mut AppContext<'_>, data: AppData| {
            let device = data.as_event().map(|event| event["deviceName"].to_string());
            Outcome::next(device.unwrap_or_default())
        };
        assert_eq!(applied(upper, &mut record), Answer::Continue);
        assert_eq!(record.payload(), "\"D\"");
        let mut record = event();
        let pass = |_: &mut AppContext<'_>, _: AppData| Outcome::Pass;
        assert_eq!(applied(pass, &mut record), Answer::Continue);
        assert!(AppData::of(&mut record).unwrap().as_event().is_some());
        let stop = |_: &mut AppContext<'_>, _: AppData| Outcome::Stop;
        assert_eq!(applied(stop, &mut record), Answer::Stop);
    }

    #[test]
    fn a_failed_function_gets_its_retry_data_again_and_without_it_nothing() {
        let class = |answer: Answer| match answer {
            Answer::Fail(failure) => failure.class,
            other => panic!("{other:?}"),
        };
        let with = |context: &mut AppContext<'_>, _: AppData| {
            context.set_retry_data("later");
            context.add_value("tried", "once");
            Outcome::fail("not now")
        };
        let mut record = event();
        assert_eq!(class(applied(with, &mut record)), Class::Retry);
        assert_eq!(record.payload(), "later");
        assert_eq!(record.value("tried"), Some("once"));
        let without = |_: &mut AppContext<'_>, _: AppData| Outcome::fail("never");
        let mut record = event();
        assert_eq!(class(applied(without, &mut record)), Class::Permanent);
        assert!(AppData::of(&mut record).unwrap().as_event().is_some());
    }
}
