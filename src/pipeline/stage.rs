//! Stages: a stage takes a record and decides how it continues.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::record::Record;
use super::rule::RuleError;
use super::size::{self, TooLarge};
use crate::delivery::engine::{Class, Failure};

/// How a record continues after a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The record goes to the next stage, as this stage left it.
    Continue,
    /// The pipeline is done with the record. This is a success.
    Stop,
    /// The stage failed. If it may succeed later, the record waits and is given to this stage again; otherwise
    /// it becomes a dead letter.
    Fail(Failure),
}

/// A stage of a pipeline that only computes.
///
/// Every `Fn(&mut Record) -> Answer` is one.
///
/// Implementers guarantee that a stage does not act on the outside, because it may run again for the same record; and that a stage that
/// returns [`Answer::Fail`] leaves the record unchanged, because the record is kept and given to it again. Callers guarantee that
/// a panic fails only that record.
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

/// A user's stage: a panic becomes a failure, and the record stays unchanged.
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

/// The answer of a stage that can never process this record.
pub(crate) fn refuse(err: impl fmt::Display) -> Answer {
    Answer::Fail(Failure::new(
        Class::Permanent,
        "stage_error",
        err.to_string(),
    ))
}

/// The answer of a stage whose rule cannot be computed for this record.
pub(crate) fn refuse_rule(err: RuleError) -> Answer {
    match err {
        RuleError::TooLarge(err) => Answer::Fail(err.into()),
        err => refuse(err),
    }
}

/// Applies a stage. If it makes a record of more than `most` bytes, it fails and the record stays unchanged.
pub(crate) fn apply_bounded(stage: &dyn Stage, record: &mut Record, most: usize) -> Answer {
    let before = record.clone();
    match stage.apply(record) {
        Answer::Continue if size::is_above(record, most) => {
            *record = before;
            Answer::Fail(TooLarge.into())
        }
        answer => answer,
    }
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

    #[test]
    fn a_stage_that_makes_too_much_fails_and_leaves_the_record_as_it_was() {
        let double = |record: &mut Record| {
            let twice = record.payload().repeat(2);
            record.set_payload(twice, "x/y");
            Answer::Continue
        };
        let mut record = Record::new("1234");
        assert_eq!(apply_bounded(&double, &mut record, 8), Answer::Continue);
        let Answer::Fail(failure) = apply_bounded(&double, &mut record, 15) else {
            panic!("expected a failure");
        };
        assert_eq!(
            (&*failure.code, failure.class),
            ("too_large", Class::Permanent)
        );
        assert_eq!(record.payload(), "12341234");
    }

    #[test]
    fn a_document_that_is_larger_written_than_read_is_measured_as_written() {
        let text = |record: &mut Record| {
            record.set_document("\u{1}".repeat(10).into());
            Answer::Continue
        };
        let mut record = Record::new("");
        assert_eq!(apply_bounded(&text, &mut record, 62), Answer::Continue);
        let failed = apply_bounded(&text, &mut Record::new(""), 61);
        assert!(matches!(failed, Answer::Fail(_)), "{failed:?}");
    }
}
