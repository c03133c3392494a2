//! Commands of operators and functions to a delivery.

use super::super::command::{Command, REPLY, Reply, Verb};
use super::super::engine::{Actor, Input, Reason};
use super::function::{Applied, Owner};
use super::kept::{Kept, erase};
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
        if let Some(caller) = context.caller().cloned() {
            context.send(MessageBuilder::to(caller).value_as(&REPLY, reply)?);
        }
        Ok(())
    }

    async fn execute(&self, context: &mut Context, command: Command) -> Result<Reply, BoxError> {
        let Some(kept) = Kept::load(context)? else {
            return Ok(Reply::failed(
                "job.not_found",
                "nothing is kept at this address",
            ));
        };
        let before = kept.item.delivery.clone();
        let by = Actor::new(command.actor, command.reason);
        let input = match command.verb {
            Verb::Retry => Input::RetryNow { by, at: None },
            Verb::Cancel => Input::Cancel { by },
            Verb::Discard => Input::Discard {
                by,
                reason: Reason::Operator,
            },
            Verb::Purge if before.is_terminal() => {
                erase(context)?;
                return Ok(Reply::done(&before));
            }
            Verb::Purge => {
                let text = "only a delivery that was given up or cancelled can be purged";
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
