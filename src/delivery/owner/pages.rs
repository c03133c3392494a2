//! Pages of a queue: when its chunks are full, they are kept at an address of their own, `<id><mark><number>`, and fetched when their turn comes.

use bytes::Bytes;

use super::blob::Blob;
use super::queue::{FRONT, PAGE, Queue, Taken};
use super::wire::{Empty, FETCH};
use crate::sdk::{Address, Context, MessageBuilder, SdkError};

/// The pages of the queues of one function. The mark separates the id of a queue and the number of its page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages(pub(super) char);

impl Pages {
    /// Adds an item at the end of this address's queue.
    pub(super) fn push(
        self,
        context: &mut Context,
        queue: &mut Queue<'_>,
        item: &[u8],
    ) -> Result<(), SdkError> {
        if let Some((number, page)) = queue.push(context.storage(), item)? {
            let to = self.address(context, number);
            context.send(MessageBuilder::to(to).value_as(&PAGE, page)?);
        }
        Ok(())
    }

    /// Takes the oldest item of this address's queue; `None` also if its page must come first.
    pub(super) fn take(
        self,
        context: &mut Context,
        queue: &mut Queue<'_>,
    ) -> Result<Option<Bytes>, SdkError> {
        match queue.take(context.storage())? {
            Taken::Item(item) => Ok(Some(item)),
            Taken::Fetch(number) => {
                let page = self.address(context, number);
                context.send(MessageBuilder::to(page).value_as(&FETCH, Empty {})?);
                Ok(None)
            }
            Taken::Fetching | Taken::Empty => Ok(None),
        }
    }

    /// Keeps the content of this address, if it is a page of the queue that sent the message. Otherwise the page has come back to its queue,
    /// and is returned.
    pub(super) fn keep(self, context: &mut Context, page: Blob) -> Result<Option<Blob>, SdkError> {
        if !self.is_one(context) {
            return Ok(Some(page));
        }
        context.storage().set(&FRONT, page)?;
        Ok(None)
    }

    fn address(self, context: &Context, number: u64) -> Address {
        let (function, id) = (context.address().type_name(), context.address().id());
        Address::new(function.clone(), format!("{id}{}{number}", self.0))
    }

    /// Whether this address is a page of the queue that sent the message.
    fn is_one(self, context: &Context) -> bool {
        let Some(caller) = context.caller() else {
            return false;
        };
        let number = context.address().id().strip_prefix(caller.id());
        let number = number.and_then(|rest| rest.strip_prefix(self.0));
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    }
}

/// Sends the content of this page to its queue.
pub(super) fn give_page(context: &mut Context) -> Result<(), SdkError> {
    let Some(queue) = context.caller().cloned() else {
        return Ok(());
    };
    let page = context.storage().get(&FRONT)?.unwrap_or_default();
    context.storage().remove(&FRONT)?;
    context.send(MessageBuilder::to(queue).value_as(&PAGE, page)?);
    Ok(())
}
