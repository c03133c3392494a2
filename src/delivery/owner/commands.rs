//! Commands of operators and functions to a delivery.

use super::super::command::{Command, REPLY, Reply, Verb};
use super::super::edit::Edit;
use super::super::engine::{Actor, Input, Reason};
use super::function::{Applied, Owner, no_room_left};
use super::kept::Kept;
use super::target::Target;
use crate::sdk::{BoxError, Context, MessageBuilder, SdkError};

impl<T: Target> Owner<T> {
    pub(super) async fn command(
        &self,
        context: &mut Context,
        command: Result<Command, SdkError>,
    ) -> Result<(), BoxError> {
        let reply = match command {
            Ok(command) => self.execute(context, command).await?,
            Err(err) => Reply::failed("job.bad_command", err.to_string()),
        };
        answer(context, reply)
    }

    /// Changes a delivery that was given up or cancelled, and requeues it.
    pub(super) async fn edit(
        &self,
        context: &mut Context,
        edit: Result<Edit, SdkError>,
    ) -> Result<(), BoxError> {
        let reply = match edit {
            Ok(edit) => self.change(context, edit).await?,
            Err(err) => Reply::failed("job.bad_command", err.to_string()),
        };
        answer(context, reply)
    }

    async fn change(&self, context: &mut Context, edit: Edit) -> Result<Reply, BoxError> {
        let Some(mut kept) = Kept::load(context)? else {
            let text = "nothing is kept at this address";
            return Ok(Reply::failed("job.not_found", text));
        };
        let before = kept.item.delivery.clone();
        if !before.is_terminal() {
            let text =
                "only a delivery that was given up or cancelled can be edited: discard it first";
            return Ok(Reply {
                ok: false,
                code: Some("job.bad_state".to_owned()),
                message: Some(text.to_owned()),
                ..Reply::done(&before)
            });
        }
        let unit = kept.unit(context, &self.target);
        let unit = unit.map_err(|err| format!("it cannot be read: {err}"));
        match unit.and_then(|unit| self.target.edited(unit, &edit)) {
            Ok(unit) => kept.unit = Some(self.target.encode(&unit)),
            Err(text) => return Ok(Reply::failed("job.bad_command", text)),
        }
        let note = match edit.reason.trim() {
            "" => String::new(), // refused, as everywhere
            reason => format!("edited: {reason}"),
        };
        let by = Actor::new(edit.actor, note);
        let input = Input::RetryNow { by, at: None };
        Ok(match self.put(context, kept, input, false).await? {
            Applied::Done(delivery) => Reply::done(&delivery),
            Applied::Refused(refused) => Reply::refused(&refused, &before),
        })
    }

    /// Gives up a delivery that waits, because more is kept than there may be.
    pub(super) async fn displaced(&self, context: &mut Context) -> Result<(), BoxError> {
        let reply = match Kept::load(context)? {
            None => Reply::failed("job.not_found", "nothing is kept at this address"),
            Some(kept) => {
                let before = kept.item.delivery.clone();
                match self.put(context, kept, no_room_left(), false).await? {
                    Applied::Done(delivery) => Reply::done(&delivery),
                    Applied::Refused(refused) => Reply::refused(&refused, &before),
                }
            }
        };
        answer(context, reply)
    }

    /// Keeps the unit as one of this version: an operator wants it delivered here.
    fn renew(&self, context: &mut Context, kept: &mut Kept) {
        if !self.target.may_move() {
            return;
        }
        // One that cannot be read is found out by the attempt.
        if let Ok(unit) = kept.unit(context, &self.target) {
            kept.unit = Some(self.target.encode(&unit));
        }
    }

    async fn execute(&self, context: &mut Context, command: Command) -> Result<Reply, BoxError> {
        let Some(mut kept) = Kept::load(context)? else {
            return Ok(Reply::failed(
                "job.not_found",
                "nothing is kept at this address",
            ));
        };
        let before = kept.item.delivery.clone();
        if command.verb == Verb::Retry && before.reason == Some(Reason::StageGone) {
            self.renew(context, &mut kept);
        }
        let by = Actor::new(command.actor, command.reason);
        let input = match command.verb {
            Verb::Retry => Input::RetryNow { by, at: None },
            Verb::Cancel => Input::Cancel { by },
            Verb::Discard => Input::Discard {
                by,
                reason: Reason::Operator,
            },
            Verb::Purge if before.is_terminal() => {
                self.remove(context, &kept)?;
                return Ok(Reply::done(&before));
            }
            Verb::Purge => {
                let text = "only a delivery that has ended can be purged";
                return Ok(Reply {
                    ok: false,
                    code: Some("job.bad_state".to_owned()),
                    message: Some(text.to_owned()),
                    ..Reply::done(&before)
                });
            }
        };
        Ok(match self.put(context, kept, input, false).await? {
            Applied::Done(delivery) => Reply::done(&delivery),
            Applied::Refused(refused) => Reply::refused(&refused, &before),
        })
    }
}

/// Answers whoever gave the command.
fn answer(context: &mut Context, reply: Reply) -> Result<(), BoxError> {
    if let Some(caller) = context.caller().cloned() {
        context.send(MessageBuilder::to(caller).value_as(&REPLY, reply)?);
    }
    Ok(())
}
