//! The queue of a destination: its items are attempted when the destination works again, a bounded number at a time, and end when they expire.
//!
//! Items tell the destination's address that they wait, and then need no timer of their own. Probes, one at a time, test whether the destination
//! works again, and owners report successful deliveries.

use std::sync::Arc;

use prost::Message as _;

use super::blob::Blob;
use super::pages::{Pages, give_page};
use super::queue::{Capacity, OldEnds, PAGE, Queue, QueueValues};
use super::received::ToDestination;
use super::registry::DestinationRegistry;
use super::waking::Waking;
use super::wire::{Empty, PROBE, Probe, Report, Reported, WAKE, WATCH, WaitingItem, Wake};
use crate::clock::Clock;
use crate::sdk::types::protobuf_as;
use crate::sdk::{
    Address, BoxError, CancellationToken, Context, FunctionSpec, Message, MessageBuilder,
    StatefulFunction, TypeName, ValueSpec,
};
use crate::time::Timestamp;

const WAKING: ValueSpec<Waking> =
    ValueSpec::new("waking", protobuf_as("statefun.pipelines/waking"));
/// The newest items in the list of an earlier version.
const BACK: ValueSpec<Blob> = ValueSpec::new("back", PAGE);
/// Items on a page of an earlier version.
const OLD_PAGE_ITEMS: u64 = 500;

const CAPACITY: Capacity = Capacity {
    chunks: 12,
    chunk_items: 24,
    chunk_bytes: 16 * 1024,
    has_pages: true,
};
const PAGES: Pages = Pages('#');
/// Items of stages that no longer export are checked again with the next probe.
const MAX_STRANGERS: u64 = 100;

/// Function `<namespace>/destination.<pipeline>`, id = scheme, host and port; pages have a `#` and a number behind it.
pub(crate) struct DestinationFunction {
    list: Arc<QueueValues>,
    /// The functions of items that export, by the name under which they register.
    items: Vec<(String, TypeName)>,
    registry: Arc<DestinationRegistry>,
    clock: Arc<dyn Clock>,
}

impl DestinationFunction {
    pub(crate) fn spec(
        function: TypeName,
        items: Vec<(String, TypeName)>,
        registry: Arc<DestinationRegistry>,
        clock: Arc<dyn Clock>,
    ) -> FunctionSpec {
        let list = Arc::new(QueueValues::new(CAPACITY));
        let destination = Self {
            list: Arc::clone(&list),
            items,
            registry,
            clock,
        };
        let spec = FunctionSpec::new(function, destination);
        list.declare(spec.value(WAKING).value(BACK))
    }
}

impl StatefulFunction for DestinationFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        match ToDestination::read(&message)? {
            Some(ToDestination::Waiting(item)) => {
                self.change(context, |list, context| list.add(context, item))
            }
            Some(ToDestination::Report(report)) => {
                self.change(context, |list, context| list.hear(context, report))
            }
            Some(ToDestination::Probe(probe)) => {
                self.change(context, |list, context| list.probe(context, probe))
            }
            Some(ToDestination::Fetch) => Ok(give_page(context)?),
            Some(ToDestination::Page(page)) => match PAGES.keep(context, page)? {
                Some(page) => self.change(context, |list, context| list.page_came(context, page)),
                None => Ok(()),
            },
            None => {
                self.drop_foreign(context, &message);
                Ok(())
            }
        }
    }
}

impl DestinationFunction {
    fn change(
        &self,
        context: &mut Context,
        change: impl FnOnce(&mut List<'_>, &mut Context) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let mut list = List::load(self, context)?;
        change(&mut list, context)?;
        list.save(context)
    }

    fn drop_foreign(&self, context: &Context, message: &Message) {
        self.registry.foreign_message();
        let (value_type, from) = (message.value_type_name(), context.caller());
        let from = from.map_or_else(String::new, ToString::to_string);
        tracing::warn!(address = %context.address(), value_type, from, "a message that this function does not understand was dropped");
    }
}

/// The loaded list of one destination.
struct List<'f> {
    function: &'f DestinationFunction,
    queue: Queue<'f>,
    waking: Waking,
    before: Waking,
    now: Timestamp,
}

impl<'f> List<'f> {
    fn load(function: &'f DestinationFunction, context: &mut Context) -> Result<Self, BoxError> {
        let storage = context.storage();
        let mut waking = storage.get(&WAKING)?.unwrap_or_default();
        let before = waking.clone();
        let mut queue = Queue::load(&function.list, storage)?;
        let is_old = waking.old_next_page > 0 || waking.old_taken > 0 || waking.old_back_items > 0;
        if is_old || waking.old_is_fetching {
            let old = OldEnds {
                taken: std::mem::take(&mut waking.old_taken),
                first_page: std::mem::take(&mut waking.old_first_page),
                next_page: std::mem::take(&mut waking.old_next_page),
                is_fetching: std::mem::take(&mut waking.old_is_fetching),
                page_items: OLD_PAGE_ITEMS,
            };
            waking.old_back_items = 0;
            let back = storage.get(&BACK)?.unwrap_or_default();
            queue.adopt(storage, old, back)?;
            storage.remove(&BACK)?;
        }
        Ok(Self {
            function,
            queue,
            waking,
            before,
            now: function.clock.now(),
        })
    }

    /// Puts an item at the end of the list.
    fn add(&mut self, context: &mut Context, mut item: WaitingItem) -> Result<(), BoxError> {
        self.waking.ask_every(std::mem::take(&mut item.ask_every));
        self.watch(context, &item)?;
        self.push(context, &item)
    }

    /// The list ends expired items at its front. An item that expires before those ahead of it must do so itself.
    fn watch(&mut self, context: &mut Context, item: &WaitingItem) -> Result<(), BoxError> {
        if !item.is_held || item.expires == 0 {
            return Ok(());
        }
        let last = self.waking.last_expires;
        let is_first = !self.waking.must_ask() && self.waking.out == 0;
        if is_first || (last != 0 && last <= item.expires) {
            self.waking.last_expires = item.expires;
            return Ok(());
        }
        if let Some(caller) = context.caller().cloned() {
            context.send(MessageBuilder::to(caller).value_as(&WATCH, Empty {})?);
        }
        Ok(())
    }

    fn push(&mut self, context: &mut Context, item: &WaitingItem) -> Result<(), BoxError> {
        if item.is_held && item.expires == 0 {
            self.waking.last_expires = 0; // no item after it is ended by the list
        }
        self.waking.held += u64::from(item.is_held);
        let item = item.encode_to_vec();
        Ok(PAGES.push(context, &mut self.queue, &item)?)
    }

    fn page_came(&mut self, context: &mut Context, page: Blob) -> Result<(), BoxError> {
        self.queue.page_came(context.storage(), page)?;
        self.wake(context)
    }

    fn hear(&mut self, context: &mut Context, report: Report) -> Result<(), BoxError> {
        let caller = context.caller().cloned();
        let mut item = caller.and_then(|caller| self.waiting(&caller, report.expires));
        let reported = report.reported();
        // The next probe uses another item: one that is never accepted must not be the only probe.
        let is_failed_probe = reported == Reported::WokenWaits && self.waking.is_probing;
        let last = item.take_if(|_| is_failed_probe && !self.queue.is_empty());
        self.waking.hear(reported, item, self.now);
        if report.is_answered {
            self.waking.is_answered();
        }
        if let Some(last) = last {
            self.watch(context, &last)?;
            self.push(context, &last)?;
        }
        self.wake(context)
    }

    /// The waiting item at that address.
    fn waiting(&self, item: &Address, expires: u64) -> Option<WaitingItem> {
        let known = self.function.items.iter();
        let known = known.map(|(name, function)| (name.as_str(), function));
        let mut all = known.chain(
            item.type_name()
                .name()
                .rsplit_once('.')
                .map(|(_, name)| (name, item.type_name())),
        );
        let (name, _) = all.find(|(_, function)| *function == item.type_name())?;
        let mut waiting = WaitingItem::new(name.to_owned(), item.id());
        (waiting.expires, waiting.is_held) = (expires, true);
        Some(waiting)
    }

    fn probe(&mut self, context: &mut Context, probe: Probe) -> Result<(), BoxError> {
        if !self.waking.is_armed || self.waking.probe != probe.number {
            return Ok(());
        }
        self.waking.probe(self.now);
        self.wake(context)
    }

    /// Wakes as many items as the window allows.
    fn wake(&mut self, context: &mut Context) -> Result<(), BoxError> {
        // No item is checked twice.
        let all = self.queue.len() + self.waking.returned.len() as u64;
        let (mut strangers, most) = (0, MAX_STRANGERS.min(all));
        while strangers < most {
            let Some(item) = self.next(context)? else {
                break;
            };
            let Some(function) = self.function_of(context, &item) else {
                // Its stage does not export any more, and may do so again later.
                self.push(context, &item)?;
                strangers += 1;
                continue;
            };
            let wake = Wake {
                is_probe: self.waking.is_probing,
            };
            let to = Address::new(function, item.id());
            context.send(MessageBuilder::to(to).value_as(&WAKE, wake)?);
            self.waking.woke(self.now);
        }
        if self.waking.out == 0 && !self.queue.is_fetching() {
            self.waking.window = 0; // nothing waits
        }
        Ok(())
    }

    /// Takes the next item, if it may be woken; `None` also if its page must be fetched first.
    fn next(&mut self, context: &mut Context) -> Result<Option<WaitingItem>, BoxError> {
        if let Some(first) = self.waking.returned.first() {
            let may = self.waking.may_wake(first.expires, self.now);
            return Ok(may.then(|| self.waking.returned.remove(0)));
        }
        if !self.waking.may_wake(0, self.now) {
            let Some(first) = self.queue.peek(context.storage())? else {
                return Ok(None);
            };
            let first = WaitingItem::decode(first)?;
            if !self.waking.may_wake(first.expires, self.now) {
                return Ok(None);
            }
        }
        let Some(item) = PAGES.take(context, &mut self.queue)? else {
            return Ok(None);
        };
        let item = WaitingItem::decode(item)?;
        let held = u64::from(item.is_held);
        self.waking.held = self.waking.held.saturating_sub(held);
        Ok(Some(item))
    }

    /// The function that keeps the item; `None` if the item must stay untouched, because its stage is gone or does not export,
    /// and it has not expired.
    fn function_of(&self, context: &Context, item: &WaitingItem) -> Option<TypeName> {
        let stage = item.stage.as_str();
        let mut known = self.function.items.iter();
        if let Some((_, function)) = known.find(|(name, _)| name == stage) {
            return Some(function.clone());
        }
        if item.expires == 0 || item.expires > self.now.as_millis() {
            return None;
        }
        let own = context.address().type_name();
        let pipeline = own.name().strip_prefix("destination.")?;
        let other = TypeName::from_parts(own.namespace(), &format!("{pipeline}.{stage}")).ok()?;
        self.function.registry.has_keeper(&other).then_some(other)
    }

    /// Arms the next probe while items wait. Without waiting items nothing is stored for the destination.
    fn save(mut self, context: &mut Context) -> Result<(), BoxError> {
        let waiting = self.queue.len() + self.waking.returned.len() as u64;
        let must_ask = self.waking.must_ask();
        if must_ask && !self.waking.is_armed {
            self.waking.is_armed = true;
            self.waking.probe += 1;
            let number = self.waking.probe;
            let message =
                MessageBuilder::to(context.address().clone()).value_as(&PROBE, Probe { number })?;
            let token = probe_token(context, number)?;
            context.send_after_with_token(self.waking.ask_after(self.now), token, message)?;
        }
        if !must_ask {
            self.waking.is_answered(); // later items need new probes
        }
        if !must_ask && std::mem::take(&mut self.waking.is_armed) {
            let token = probe_token(context, self.waking.probe)?;
            context.cancel_delayed_message(&token);
        }
        let name = Arc::from(context.address().id());
        let list = context.address().type_name().clone();
        self.function.registry.of(&name).set_waiting(&list, waiting);
        let rests = self.queue.is_empty() && !self.queue.is_fetching() && self.waking.rests();
        let storage = context.storage();
        self.queue.save(storage)?;
        if rests {
            if storage.get(&WAKING)?.is_some() {
                storage.remove(&WAKING)?;
            }
        } else if self.waking != self.before {
            storage.set(&WAKING, self.waking)?;
        }
        Ok(())
    }
}

/// The token of a probe. Each has its own, because two may be armed and cancelled at one address in one call.
fn probe_token(context: &Context, number: u64) -> Result<CancellationToken, BoxError> {
    let text = format!("{}/probe/{number}", context.address());
    Ok(CancellationToken::new(text)?)
}
