//! Order per key: the units of one key are sent one after the other.
//!
//! Units come to the lane first, in order. As long as none of them has to be kept, the lane sends them itself, which is in order because an
//! address handles one message at a time. Once one has to be kept, those after it queue behind it at their own addresses, and each gets its
//! turn when the one before it has ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use serde::Deserialize;

use super::super::engine::{Input, Readiness};
use super::blob::Blob;
use super::decide::{Action, decide};
use super::function::{Owner, handed, no_room};
use super::item::Item;
use super::lane_head::{self, LaneHead};
use super::lane_runs::Runs;
use super::pages::{Pages, give_page};
use super::queue::{Capacity, Queue, QueueValues};
use super::received::ToLane;
use super::target::{Target, Undelivered};
use super::wire::{JOIN, TURN, Turn, WireLaneEntry};
use crate::sdk::types::{json, protobuf_as};
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, Type, ValueSpec,
};

const TURNS: ValueSpec<WireLaneEntry> =
    ValueSpec::new("turn", protobuf_as("statefun.deliveries/place"));
/// State of an earlier version: the delivery with the turn, and where the others are in separate values.
const LEAD: ValueSpec<OldLead> = ValueSpec::new("lead", json("statefun.pipelines/lead"));
const OLD_PLACES: Type<Blob> = protobuf_as("statefun.pipelines/places");
const OLD_SEGMENTS: usize = 11;

/// Maximum deliveries in a lane.
const MAX_PLACES: u64 = 10_000;
/// Delay before a delivery that found its lane full is submitted again.
const NO_ROOM: Duration = Duration::from_secs(1);

const CAPACITY: Capacity = Capacity {
    chunks: 8,
    chunk_items: 32,
    chunk_bytes: 16 * 1024,
    has_pages: true,
};

const PAGES: Pages = Pages('\u{1f}');

/// The lanes of one owner. The id is the order key.
pub(crate) struct Lane<T> {
    owner: Arc<Owner<T>>,
    values: Arc<LaneValues>,
    runs: Runs,
}

/// The values of a lane.
#[derive(Debug)]
pub(crate) struct LaneValues {
    queue: QueueValues,
    old_segments: Vec<ValueSpec<Blob>>,
}

impl LaneValues {
    fn new() -> Self {
        let segment = |at| {
            ValueSpec::try_new(format!("places_{at}"), OLD_PLACES)
                .expect("a name of letters and digits")
        };
        Self {
            queue: QueueValues::new(CAPACITY),
            old_segments: (0..OLD_SEGMENTS).map(segment).collect(),
        }
    }

    /// Declares the values.
    pub(crate) fn declare(&self, spec: FunctionSpec) -> FunctionSpec {
        let spec = self.queue.declare(spec.value(TURNS).value(LEAD));
        let segments = self.old_segments.iter().cloned();
        segments.fold(spec, FunctionSpec::value)
    }
}

#[derive(Debug, Clone, serde::Serialize, Deserialize)]
struct OldLead {
    turn: Option<lane_head::LaneEntry>,
    /// The segment with the next one, and the start of its line there.
    front: (usize, usize),
    /// The segment with the last one.
    back: (usize, usize),
}

impl<T: Target> Lane<T> {
    pub(crate) fn new(owner: &Arc<Owner<T>>) -> Self {
        Self {
            owner: Arc::clone(owner),
            values: Arc::new(LaneValues::new()),
            runs: Runs::default(),
        }
    }

    /// The values to declare.
    pub(crate) fn values(&self) -> Arc<LaneValues> {
        Arc::clone(&self.values)
    }

    /// Handles a new unit of the lane's key, which is kept under `id` if necessary.
    pub(crate) async fn arrive(
        &self,
        context: &mut Context,
        unit: T::Unit,
        id: String,
    ) -> Result<(), BoxError> {
        let mut line = self.load(context)?;
        let (lane, started) = (context.address().id().to_owned(), self.owner.now());
        let mut item = self.owner.fresh(id, Some(lane.clone()));
        if !line.is_empty() {
            return self.queue(context, line, item, unit);
        }
        if !self
            .runs
            .may_begin(&lane, started, self.owner.policy.timeout)
        {
            return self.queue(context, line, item, unit);
        }
        let mut unit = Some(unit);
        let input = Input::SubmitInTurn;
        let ran = self.owner.run(&mut item, &mut unit, input, false).await?;
        self.runs.ended(&lane, started, self.owner.now());
        // Effects on the item follow at its own address.
        if ran.actions.contains(&Action::Works) {
            self.owner.tell_success(context, ran.way.as_ref())?;
        }
        if let Some((unit, taken)) = ran.taken {
            return self.owner.target.follow(context, unit, taken);
        }
        if item.delivery.in_lane {
            line.lane_head.give(Some(entry_of(&item)));
        }
        line.save(context)?;
        if let Some(unit) = &mut unit {
            self.tell_undelivered(context, &item, unit);
        }
        self.hand_over(context, item, unit.as_ref())
    }

    fn tell_undelivered(&self, context: &mut Context, item: &Item, unit: &mut T::Unit) {
        let undelivered = Undelivered::of(item, self.owner.drops_new(item));
        self.owner.target.undelivered(context, unit, &undelivered);
    }

    /// Queues a unit behind others, at its own address.
    fn queue(
        &self,
        context: &mut Context,
        mut line: Line<'_>,
        mut item: Item,
        mut unit: T::Unit,
    ) -> Result<(), BoxError> {
        let now = self.owner.now();
        let mut put = |input| decide(&mut item, input, Readiness::Ready, now, &self.owner.policy);
        put(Input::Submit { due: None })?;
        let is_full = line.len() >= MAX_PLACES;
        if is_full {
            put(no_room())?;
        }
        // The item must be there when its turn comes.
        let entry = entry_of(&item);
        self.tell_undelivered(context, &item, &mut unit);
        self.hand_over(context, item, Some(&unit))?;
        if !is_full {
            line.join(context, entry)?;
        }
        self.end(context, line)
    }

    fn hand_over(
        &self,
        context: &mut Context,
        item: Item,
        unit: Option<&T::Unit>,
    ) -> Result<(), BoxError> {
        let unit = unit.map_or_else(Bytes::new, |unit| self.owner.target.encode(unit));
        context.send(handed(&self.owner.names.item, item, unit)?);
        Ok(())
    }

    /// Handles a message of the lane. False if the message is not one.
    pub(crate) fn handle(
        &self,
        context: &mut Context,
        message: &Message,
    ) -> Result<bool, BoxError> {
        match ToLane::read(message)? {
            Some(ToLane::Join(entry)) => self.join(context, entry)?,
            Some(ToLane::Leave(entry)) => self.leave(context, &entry)?,
            Some(ToLane::Fetch) => give_page(context)?,
            Some(ToLane::Page(page)) => {
                if let Some(page) = PAGES.keep(context, page)? {
                    self.page_came(context, page)?;
                }
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    fn leave(&self, context: &mut Context, entry: &WireLaneEntry) -> Result<(), BoxError> {
        let mut line = self.load(context)?;
        if line.lane_head.leave(&entry.id, entry.seq) {
            line.give_next(context)?;
        }
        self.end(context, line)
    }

    fn page_came(&self, context: &mut Context, page: Blob) -> Result<(), BoxError> {
        let mut line = self.load(context)?;
        line.queue.page_came(context.storage(), page)?;
        if line.lane_head.turn().is_none() {
            line.give_next(context)?;
        }
        self.end(context, line)
    }

    /// Adds a requeued delivery behind all others.
    fn join(&self, context: &mut Context, entry: WireLaneEntry) -> Result<(), BoxError> {
        let mut line = self.load(context)?;
        if line.len() >= MAX_PLACES {
            let again = MessageBuilder::to(context.address().clone()).value_as(&JOIN, entry)?;
            return Ok(context.send_after(NO_ROOM, again)?);
        }
        line.join(context, entry.into())?;
        self.end(context, line)
    }

    /// Writes the lane, and tells the delivery that has got the turn.
    fn end(&self, context: &mut Context, line: Line<'_>) -> Result<(), BoxError> {
        if let Some(entry) = &line.given {
            let item = Address::new(self.owner.names.item.clone(), entry.id.as_str());
            let turn = Turn { seq: entry.seq };
            context.send(MessageBuilder::to(item).value_as(&TURN, turn)?);
        }
        line.save(context)
    }

    fn load(&self, context: &mut Context) -> Result<Line<'_>, BoxError> {
        let storage = context.storage();
        let turn = storage.get(&TURNS)?;
        let mut line = Line {
            lane_head: LaneHead::stored(turn.map(lane_head::LaneEntry::from)),
            queue: Queue::load(&self.values.queue, storage)?,
            given: None,
        };
        if let Some(lead) = storage.get(&LEAD)? {
            self.adopt(context, &mut line, lead)?;
        }
        Ok(line)
    }

    /// Migrates the state of an earlier version: lines of JSON, in segments that are used cyclically.
    fn adopt(
        &self,
        context: &mut Context,
        line: &mut Line<'_>,
        lead: OldLead,
    ) -> Result<(), BoxError> {
        line.lane_head = LaneHead::stored(lead.turn);
        let ((mut at, mut from), (back, _)) = (lead.front, lead.back);
        for _ in 0..OLD_SEGMENTS {
            let Some(segment) = self.values.old_segments.get(at) else {
                break;
            };
            let lines = context.storage().get(segment)?.unwrap_or_default().bytes;
            let rest = lines.get(from..).unwrap_or_default();
            for text in rest
                .split(|byte| *byte == b'\n')
                .filter(|text| !text.is_empty())
            {
                let (id, seq) = serde_json::from_slice(text)
                    .map_err(|err| format!("segment {at} of the lane is damaged: {err}"))?;
                line.push(context, &WireLaneEntry { id, seq })?;
            }
            if at == back {
                break;
            }
            (at, from) = ((at + 1) % OLD_SEGMENTS, 0);
        }
        context.storage().remove(&LEAD)?;
        for segment in &self.values.old_segments {
            if context.storage().get(segment)?.is_some() {
                context.storage().remove(segment)?;
            }
        }
        Ok(())
    }
}

fn entry_of(item: &Item) -> lane_head::LaneEntry {
    lane_head::LaneEntry {
        id: item.delivery.id.clone(),
        seq: item.delivery.seq,
    }
}

/// A loaded lane.
struct Line<'v> {
    lane_head: LaneHead,
    queue: Queue<'v>,
    /// The delivery that has got the turn.
    given: Option<lane_head::LaneEntry>,
}

impl Line<'_> {
    const fn len(&self) -> u64 {
        self.queue.len() + self.lane_head.turn().is_some() as u64
    }

    const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn join(&mut self, context: &mut Context, entry: lane_head::LaneEntry) -> Result<(), BoxError> {
        if self.is_empty() {
            self.given = Some(entry.clone());
            self.lane_head.give(Some(entry));
            return Ok(());
        }
        self.push(context, &entry.into())
    }

    fn push(&mut self, context: &mut Context, entry: &WireLaneEntry) -> Result<(), BoxError> {
        let entry = entry.encode_to_vec();
        Ok(PAGES.push(context, &mut self.queue, &entry)?)
    }

    fn give_next(&mut self, context: &mut Context) -> Result<(), BoxError> {
        let next = match PAGES.take(context, &mut self.queue)? {
            Some(entry) => Some(lane_head::LaneEntry::from(WireLaneEntry::decode(entry)?)),
            None => None,
        };
        self.given.clone_from(&next);
        self.lane_head.give(next);
        Ok(())
    }

    fn save(self, context: &mut Context) -> Result<(), BoxError> {
        let storage = context.storage();
        self.queue.save(storage)?;
        let (before, turn) = (storage.get(&TURNS)?, self.lane_head.turn().cloned());
        match (before, turn.map(WireLaneEntry::from)) {
            (Some(_), None) => storage.remove(&TURNS)?,
            (before, Some(turn)) if before.as_ref() != Some(&turn) => storage.set(&TURNS, turn)?,
            _ => {}
        }
        Ok(())
    }
}
