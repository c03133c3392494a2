//! Commands: somebody steps in.

use super::super::item;
use super::StageFunction;
use super::later::Cause;
use crate::delivery::engine::{Actor, Input, Reason};
use crate::delivery::{COMMAND, Command, REPLY, Reply, Verb};
use crate::sdk::{BoxError, Context, Message, MessageBuilder};

impl StageFunction {
    pub(super) async fn command(
        &self,
        context: &mut Context,
        message: &Message,
    ) -> Result<(), BoxError> {
        let reply = match message.require(&COMMAND) {
            Ok(command) => self.obey(context, command).await?,
            Err(err) => Reply::failed("job.bad_command", err.to_string()),
        };
        if let Some(caller) = context.caller().cloned() {
            context.send(MessageBuilder::to(caller).value_as(&REPLY, &reply)?);
        }
        Ok(())
    }

    pub(super) async fn obey(
        &self,
        context: &mut Context,
        command: Command,
    ) -> Result<Reply, BoxError> {
        let Some(mut item) = self.load(context)? else {
            return Ok(Reply::failed(
                "job.not_found",
                "nothing is kept at this address",
            ));
        };
        let before = item.head.delivery.clone();
        let by = Actor::new(command.actor, command.reason);
        let input = match command.verb {
            Verb::Retry if item.can_be_tried_now() => {
                let tried = self.try_again(context, item, Cause::Retry(by)).await?;
                return Ok(match tried {
                    Ok(delivery) => Reply::done(&delivery),
                    Err(refused) => Reply::refused(&refused, &before),
                });
            }
            Verb::Retry => Input::RetryNow { by, at: None },
            Verb::Cancel => Input::Cancel { by },
            Verb::Discard => Input::Discard {
                by,
                reason: Reason::Operator,
            },
            Verb::Purge if item.head.delivery.is_terminal() => {
                item::erase(context)?;
                return Ok(Reply::done(&before));
            }
            Verb::Purge => {
                let text = "only what was given up or called off can be purged";
                return Ok(Reply {
                    ok: false,
                    code: Some("job.bad_state".to_owned()),
                    message: Some(text.to_owned()),
                    ..Reply::done(&before)
                });
            }
        };
        if let Err(refused) = item.step(context, input, self.plan.now())? {
            return Ok(Reply::refused(&refused, &before));
        }
        let reply = Reply::done(&item.head.delivery);
        item.save(context)?;
        Ok(reply)
    }
}
