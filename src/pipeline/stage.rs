//! What a stage is: it takes a record and says how it goes on.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::record::Record;
use crate::delivery::engine::{Class, Failure};

/// How a record goes on after a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To the next stage, as this stage left it. A stage that changed nothing passes its input on.
    Continue,
    /// Nowhere: the pipeline is done with it. This is a success.
    Stop,
    /// Nowhere yet: the stage could not do its work. A record that may succeed later waits and is given to this stage again; one
    /// that never will becomes a dead letter.
    Fail(Failure),
}

/// A step of a pipeline that only computes.
///
/// Every `Fn(&mut Record) -> Answer` is one.
///
/// What implementers keep: a stage does not act on anything outside, because it may run again for the same record; and one that
/// answers [`Answer::Fail`] leaves the record as it was, because that is what is kept and given to it again. What callers promise:
/// a stage that panics fails that record only.
///
/// ```
/// use stateful_functions::pipeline::{Answer, Record};
///
/// fn only_large(record: &mut Record) -> Answer {
///     if record.payload().len() > 100 { Answer::Continue } else { Answer::Stop }
/// }
/// ```
pub trait Stage: Send + Sync + 'static {
    /// Does the stage's work on `record`.
    fn apply(&self, record: &mut Record) -> Answer;
}

impl<F> Stage for F
where
    F: Fn(&mut Record) -> Answer + Send + Sync + 'static,
{
    fn apply(&self, record: &mut Record) -> Answer {
        self(record)
    }
}

/// Someone's own stage: a panic becomes a failure, and the record stays as it was.
pub(crate) struct Guarded<S>(pub(crate) S);

impl<S: Stage> Stage for Guarded<S> {
    fn apply(&self, record: &mut Record) -> Answer {
        let before = record.clone();
        catch_unwind(AssertUnwindSafe(|| self.0.apply(record))).unwrap_or_else(|panic| {
            *record = before;
            Answer::Fail(Failure::permanent(
                "stage_error",
                panic_text(panic.as_ref()),
            ))
        })
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the stage panicked: {}", text.unwrap_or("no text"))
}

/// The answer of a stage that cannot work on this record, now or later.
pub(crate) fn refuse(err: impl fmt::Display) -> Answer {
    Answer::Fail(Failure::new(
        Class::Permanent,
        "stage_error",
        err.to_string(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_panics_fails_and_leaves_the_record_as_it_was() {
        let stage = Guarded(|record: &mut Record| {
            record.set_payload("half done", "x/y");
            panic!("no more")
        });
        let mut record = Record::new("whole");
        let Answer::Fail(failure) = stage.apply(&mut record) else {
            panic!("expected a failure");
        };
        assert_eq!(failure.message, "the stage panicked: no more");
        assert_eq!(failure.class, Class::Permanent);
        assert_eq!(record.payload(), "whole");
    }
}
