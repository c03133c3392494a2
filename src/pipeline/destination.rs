//! Waking: what waits for a destination is tried at once when the destination works again, a bounded number at a time.
//!
//! Items tell the destination's address that they wait, exports tell it that a record arrived. A first arrival wakes one item;
//! while woken items arrive ever more are woken at once, up to a hundred; one that fails ends it. The list is a queue of any
//! length: its ends are values here, what lies between is on pages, which are addresses of their own.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;

use super::blob::Blob;
use super::plan::Plan;
use super::wire::{Empty, FETCH, PAGE, REPORT, Reported, WAITING, WAKE, WaitingItem};
use crate::sdk::types::protobuf_as;
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction, TypeName,
    ValueSpec,
};
use crate::timestamp::Timestamp;

/// So many items are out at most.
const MAX_WINDOW: u32 = 100;
/// Items on a page.
const PAGE_ITEMS: u64 = 500;
/// Items that were woken and have not answered in this time never will.
const FORGET_AFTER: Duration = Duration::from_secs(300);

const WAKING: ValueSpec<Waking> = ValueSpec::new(
    "waking",
    protobuf_as(TypeName::new("statefun.pipelines/waking")),
);
/// The oldest items; on a page, all of its items.
const FRONT: ValueSpec<Blob> = ValueSpec::new("front", PAGE);
/// The newest items.
const BACK: ValueSpec<Blob> = ValueSpec::new("back", PAGE);

/// How far waking has come.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct Waking {
    /// How many items may be out.
    #[prost(uint32, tag = "1")]
    window: u32,
    /// How many are.
    #[prost(uint32, tag = "2")]
    out: u32,
    /// One failed: none is woken until all that are out have answered.
    #[prost(bool, tag = "3")]
    is_ending: bool,
    /// One arrived after the last that failed.
    #[prost(bool, tag = "4")]
    has_hope: bool,
    /// When an item was last woken.
    #[prost(uint64, tag = "5")]
    woken_at: u64,
    /// Where the first item of the front begins that was not woken.
    #[prost(uint64, tag = "6")]
    taken: u64,
    /// The page after the front.
    #[prost(uint64, tag = "7")]
    first_page: u64,
    /// The page that will be written next.
    #[prost(uint64, tag = "8")]
    next_page: u64,
    /// The page after the front is on its way here.
    #[prost(bool, tag = "9")]
    is_fetching: bool,
    /// Items at the back.
    #[prost(uint64, tag = "10")]
    back_items: u64,
}

/// Function `<namespace>/destination.<pipeline>`, id = scheme, host and port.
pub(crate) struct DestinationFunction {
    plan: Arc<Plan>,
}

impl DestinationFunction {
    pub(crate) fn spec(plan: &Arc<Plan>) -> FunctionSpec {
        let plan = Arc::clone(plan);
        FunctionSpec::new(plan.destination.clone(), Self { plan })
            .value(WAKING)
            .value(FRONT)
            .value(BACK)
    }
}

impl StatefulFunction for DestinationFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let is = |name: &TypeName| message.value_type_name() == name.as_str();
        let is_page = context.address().id().contains('#');
        if is(FETCH.name()) {
            return give_page(context);
        }
        if is(PAGE.name()) && is_page {
            return Ok(context.storage().set(&FRONT, message.require(&PAGE)?)?);
        }
        let mut waking = context.storage().get(&WAKING)?.unwrap_or_default();
        if is(WAITING.name()) {
            list(context, &mut waking, &message.require(&WAITING)?)?;
        } else if is(REPORT.name()) {
            let reported = message.require(&REPORT)?.reported();
            waking.hear(reported, self.plan.now());
            self.wake(context, &mut waking)?;
        } else if is(PAGE.name()) {
            waking.is_fetching = false;
            (waking.first_page, waking.taken) = (waking.first_page + 1, 0);
            context.storage().set(&FRONT, message.require(&PAGE)?)?;
            self.wake(context, &mut waking)?;
        } else {
            let value_type = message.value_type_name();
            tracing::warn!(address = %context.address(), value_type, "unknown message; ignored");
        }
        save(context, waking)
    }
}

impl DestinationFunction {
    /// Wakes as many as may be out.
    fn wake(&self, context: &mut Context, waking: &mut Waking) -> Result<(), BoxError> {
        if waking.is_ending {
            return Ok(());
        }
        while waking.out < waking.window {
            let Some(item) = next(context, waking)? else {
                break;
            };
            let Some(step) = self
                .plan
                .steps()
                .iter()
                .find(|step| step.name == item.stage)
            else {
                continue; // the stage is gone, and with it the function that would answer
            };
            let item = Address::new(step.function.clone(), item.id);
            context.send(MessageBuilder::to(item).value_as(&WAKE, &Empty {})?);
            waking.out += 1;
            waking.woken_at = self.plan.now().as_millis();
        }
        if waking.out == 0 && !waking.is_fetching {
            waking.window = 0; // nobody waits
        }
        Ok(())
    }
}

impl Waking {
    /// What follows from a report for how many may be out.
    fn hear(&mut self, reported: Reported, now: Timestamp) {
        match reported {
            Reported::Works => {
                if now.since(Timestamp::from_millis(self.woken_at)) > FORGET_AFTER {
                    (self.out, self.is_ending) = (0, false);
                }
                if self.out == 0 && !self.is_fetching {
                    self.window = 1;
                }
                return;
            }
            Reported::WokenArrived => {
                self.has_hope = true;
                self.window = (self.window + 1).min(MAX_WINDOW);
            }
            Reported::WokenFailed => (self.is_ending, self.has_hope) = (true, false),
            Reported::WokenIdle => {}
        }
        self.out = self.out.saturating_sub(1);
        if self.is_ending && self.out == 0 {
            self.is_ending = false;
            self.window = u32::from(self.has_hope);
        }
    }
}

/// Puts an item at the end of the list.
fn list(context: &mut Context, waking: &mut Waking, item: &WaitingItem) -> Result<(), BoxError> {
    let mut back = context.storage().get(&BACK)?.unwrap_or_default();
    back.push(&item.encode_to_vec());
    waking.back_items += 1;
    if waking.back_items >= PAGE_ITEMS {
        let page = page(context, waking.next_page);
        context.send(MessageBuilder::to(page).value_as(&PAGE, &back)?);
        context.storage().remove(&BACK)?;
        (waking.next_page, waking.back_items) = (waking.next_page + 1, 0);
    } else {
        context.storage().set(&BACK, back)?;
    }
    Ok(())
}

/// Takes the item at the front of the list. None when nobody waits, or when the front has to be fetched first.
fn next(context: &mut Context, waking: &mut Waking) -> Result<Option<WaitingItem>, BoxError> {
    if waking.is_fetching {
        return Ok(None);
    }
    let front = context.storage().get(&FRONT)?.unwrap_or_default();
    if let Some(item) = take(&front, waking)? {
        return Ok(Some(item));
    }
    waking.taken = 0;
    context.storage().remove(&FRONT)?;
    if waking.first_page < waking.next_page {
        let page = page(context, waking.first_page);
        context.send(MessageBuilder::to(page).value_as(&FETCH, &Empty {})?);
        waking.is_fetching = true;
        return Ok(None);
    }
    let Some(back) = context.storage().get(&BACK)? else {
        return Ok(None);
    };
    context.storage().remove(&BACK)?;
    waking.back_items = 0;
    let item = take(&back, waking)?;
    context.storage().set(&FRONT, back)?;
    Ok(item)
}

fn take(front: &Blob, waking: &mut Waking) -> Result<Option<WaitingItem>, BoxError> {
    let from = usize::try_from(waking.taken)?;
    let Some((item, next)) = front.item_at(from) else {
        return Ok(None);
    };
    waking.taken = next as u64;
    Ok(Some(WaitingItem::decode(item)?))
}

fn page(context: &Context, number: u64) -> Address {
    let (function, id) = (context.address().type_name(), context.address().id());
    Address::new(function.clone(), format!("{id}#{number}"))
}

/// Sends what is on this page to the list it belongs to.
fn give_page(context: &mut Context) -> Result<(), BoxError> {
    let Some(list) = context.caller().cloned() else {
        return Ok(());
    };
    let page = context.storage().get(&FRONT)?.unwrap_or_default();
    context.storage().remove(&FRONT)?;
    context.send(MessageBuilder::to(list).value_as(&PAGE, &page)?);
    Ok(())
}

/// Nothing is kept of a destination for which nobody waits; but page numbers are never used twice while one is on its way.
fn save(context: &mut Context, waking: Waking) -> Result<(), BoxError> {
    let storage = context.storage();
    let rests = waking.out == 0
        && waking.window == 0
        && !waking.is_fetching
        && waking.first_page == waking.next_page
        && waking.taken == 0
        && waking.back_items == 0;
    if rests {
        storage.remove(&WAKING)?;
    } else {
        storage.set(&WAKING, waking)?;
    }
    Ok(())
}
