//! Limits on what one answer may request. Beyond them the batch fails, so that no function uses the time of all others.

use super::failure::Failure;
use crate::protocol::reqreply::from_function::InvocationResponse;

/// Limits on what one answer of a function may request. An answer beyond a limit fails its batch with a message that names the limit, and
/// has no effect. StateFun has no such limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Values that the functions of one type may declare. Default 1,000.
    pub values: usize,
    /// Consecutive answers that request values instead of answering the batch. Default 100.
    pub rounds: u32,
    /// Messages. Default 100,000.
    pub messages: usize,
    /// Delayed messages. Default 100,000.
    pub delays: usize,
    /// Cancellations of delayed messages. Default 100,000.
    pub cancellations: usize,
    /// Egress records. Default 100,000.
    pub records: usize,
    /// Changes of values. Default 100,000.
    pub mutations: usize,
    /// Bytes of all rows that the answer writes. Default 64 MiB, which pipelines need; with a lower limit a runtime with pipelines does not start.
    pub bytes: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            values: 1_000,
            rounds: 100,
            messages: 100_000,
            delays: 100_000,
            cancellations: 100_000,
            records: 100_000,
            mutations: 100_000,
            bytes: 64 << 20,
        }
    }
}

impl AnswerLimits {
    /// Refuses a reply with too many entries of any kind, before processing it.
    pub(super) fn check(&self, reply: &InvocationResponse) -> Result<(), Failure> {
        let delayed = &reply.delayed_invocations;
        let cancellations = delayed
            .iter()
            .filter(|delayed| delayed.is_cancellation_request);
        let cancellations = cancellations.count();
        let counts = [
            (reply.outgoing_messages.len(), self.messages, "messages"),
            (delayed.len() - cancellations, self.delays, "delays"),
            (cancellations, self.cancellations, "cancellations"),
            (reply.outgoing_egresses.len(), self.records, "records"),
            (reply.state_mutations.len(), self.mutations, "mutations"),
        ];
        for (count, most, name) in counts {
            if count > most {
                return Err(beyond(&format!("{count} {}", worded(name)), most, name));
            }
        }
        Ok(())
    }

    /// Refuses a reply whose effects exceed the limit of bytes.
    pub(super) fn check_bytes(&self, bytes: usize) -> Result<(), Failure> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let what = format!(
            "more than {} bytes of messages, records and values",
            self.bytes
        );
        Err(beyond(&what, self.bytes, "bytes"))
    }

    /// Refuses an answer after which the functions of a type would have declared `count` values, if that is too many.
    pub(super) fn check_values(&self, count: usize) -> Result<(), Failure> {
        if count <= self.values {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the function asks for values, and its type would have {count} with them; at most {} may be declared (setting `answers.values`). Names that are made up at run time belong in one value, or in the id of another function",
            self.values
        )))
    }

    /// Refuses the answer of a function that keeps requesting values.
    pub(super) fn check_rounds(&self, rounds: u32) -> Result<(), Failure> {
        if rounds <= self.rounds {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the function has asked for further values {rounds} times instead of answering its batch; at most {} times are allowed (setting `answers.rounds`). An SDK asks for all values that it lacks in one answer",
            self.rounds
        )))
    }
}

/// The word for the things that a setting limits.
fn worded(setting: &str) -> &str {
    match setting {
        "delays" => "delayed messages",
        "records" => "egress records",
        "mutations" => "changes of values",
        other => other,
    }
}

fn beyond(what: &str, most: usize, setting: &str) -> Failure {
    Failure::new(format!(
        "the answer contains {what}, and at most {most} are applied at once (setting `answers.{setting}`); nothing of it was applied. Spread the work over several messages"
    ))
}
