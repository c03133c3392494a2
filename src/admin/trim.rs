//! Keeps pipelines within their limits: where the oldest are dropped, waiting records beyond the limit become dead letters, and dead letters
//! beyond theirs are purged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;

use super::kept::{Item, KeptFilter, list};
use super::page::Page;
use crate::delivery::engine::{DeliveryState, Reason};
use crate::delivery::owner::{FULL, Load, Stock};
use crate::delivery::{COMMAND, Command, REPLY, Verb};
use crate::pipeline::Destinations;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::AddressKey;
use crate::runtime::handle::RuntimeHandle;
use crate::runtime::intake::Incoming;
use crate::sdk::{BoxError, Message, MessageBuilder, TypeName};

/// Deliveries read, and told, at a time.
const CHUNK: usize = 200;
/// How long a delivery may take to answer.
const WITHIN: Duration = Duration::from_secs(30);
/// Dead letters with a maximum age are looked at no more often.
const LOOK_AT_MOST: Duration = Duration::from_secs(1);
/// And no less often.
const LOOK_AT_LEAST: Duration = Duration::from_secs(600);
/// How long a failure is waited out.
const PAUSE: Duration = Duration::from_secs(5);
/// Who does it, and the reason in the counts of what is purged.
const ACTOR: &str = "statefun";
const RETENTION: &str = "retention";

/// Keeps what the functions `keepers` of one pipeline keep within its limits, as long as the runtime runs and the pipeline stays the same.
pub(crate) async fn trim(
    runtime: RuntimeHandle,
    destinations: Destinations,
    pipeline: TypeName,
    keepers: Vec<TypeName>,
) {
    let stock = destinations
        .registry
        .stock_at(pipeline.namespace(), pipeline.name());
    let Some(stock) = stock else {
        return;
    };
    let mut trimmer = Trimmer {
        runtime,
        destinations,
        stock,
        stages: keepers.into_iter().map(Stage::new).collect(),
    };
    // Settings that change while the runtime runs begin another one.
    let keeper = trimmer.stock.take_over();
    while trimmer.stock.is_kept_by(keeper) {
        let age = trimmer.stock.dead_letters().max_age;
        let look = age.map_or(LOOK_AT_LEAST, |age| {
            (age / 20).clamp(LOOK_AT_MOST, LOOK_AT_LEAST)
        });
        // Without a signal it is the age of dead letters that counts.
        let _ = tokio::time::timeout(look, trimmer.stock.over()).await;
        if let Err(error) = trimmer.pass().await {
            tracing::warn!(%pipeline, error, "what the pipeline keeps cannot be brought within its limits; will be tried again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

struct Trimmer {
    runtime: RuntimeHandle,
    destinations: Destinations,
    stock: Arc<Stock>,
    stages: Vec<Stage>,
}

/// A function that keeps deliveries.
struct Stage {
    function: TypeName,
    /// Everything up to this key is gone or a dead letter, unless it was added since.
    passed: Option<Bytes>,
}

impl Stage {
    const fn new(function: TypeName) -> Self {
        Self {
            function,
            passed: None,
        }
    }
}

impl Trimmer {
    async fn pass(&mut self) -> Result<(), BoxError> {
        self.drop_oldest().await?;
        loop {
            let mut purged = 0;
            for (reason, surplus) in self.stock.dead_surplus() {
                purged += self.purge_surplus(reason, surplus).await?;
            }
            if purged == 0 {
                return self.purge_old().await;
            }
        }
    }

    /// Makes dead letters of the oldest waiting deliveries, until the rest is within the limits.
    async fn drop_oldest(&mut self) -> Result<(), BoxError> {
        loop {
            let surplus = self.stock.surplus();
            if surplus.is_nothing() {
                return Ok(());
            }
            let mut oldest = Vec::new();
            for at in 0..self.stages.len() {
                oldest.extend(self.oldest_of(at).await?);
            }
            if oldest.is_empty() {
                return Ok(()); // what is counted is on its way out
            }
            oldest.sort_by_key(|item| item.kept().delivery().submitted_at);
            let beyond = beyond(oldest, surplus);
            self.tell_all(&beyond, |to| {
                MessageBuilder::to(to.to_address()).value_as(&FULL, Bytes::new())
            })
            .await?;
        }
    }

    /// The oldest waiting deliveries of one stage; their ids begin with the time.
    async fn oldest_of(&mut self, at: usize) -> Result<Vec<Item>, BoxError> {
        let Some(Stage { function, passed }) = self.stages.get_mut(at) else {
            return Ok(Vec::new());
        };
        let filter = KeptFilter {
            states: vec![DeliveryState::Awaiting],
            type_name: Some(function.clone()),
            ..KeptFilter::default()
        };
        loop {
            let page = page(&self.runtime, &filter, passed.clone()).await?;
            let items: Vec<Item> = page.items.into_iter().flatten().collect();
            let is_from_start = passed.is_none();
            match (items.is_empty(), page.next) {
                (false, _) => return Ok(items),
                (true, Some(next)) => *passed = Some(next),
                (true, None) if is_from_start => return Ok(items),
                // Ids that are not of this time are anywhere.
                (true, None) => *passed = None,
            }
        }
    }

    /// Purges the first dead letters of a reason. Returns how many.
    async fn purge_surplus(&self, reason: Reason, surplus: Load) -> Result<usize, BoxError> {
        let (mut surplus, mut purged) = (surplus, 0);
        for Stage { function, .. } in &self.stages {
            let filter = given_up(function, Some(reason));
            let mut after = None;
            loop {
                let page = page(&self.runtime, &filter, after).await?;
                let items: Vec<Item> = page.items.into_iter().flatten().collect();
                let beyond = beyond(items, surplus);
                surplus.items = surplus.items.saturating_sub(beyond.len() as u64);
                let bytes: u64 = beyond.iter().map(bytes_of).sum();
                surplus.bytes = surplus.bytes.saturating_sub(bytes);
                purged += self.purge(&beyond).await?;
                after = page.next;
                if after.is_none() || surplus.is_nothing() {
                    break;
                }
            }
            if surplus.is_nothing() {
                break;
            }
        }
        Ok(purged)
    }

    /// Purges the dead letters that are older than they may be.
    async fn purge_old(&self) -> Result<(), BoxError> {
        let Some(age) = self.stock.dead_letters().max_age else {
            return Ok(());
        };
        let now = self.runtime.now();
        for Stage { function, .. } in &self.stages {
            let filter = given_up(function, None);
            let mut after = None;
            loop {
                let page = page(&self.runtime, &filter, after).await?;
                let items = page.items.into_iter().flatten();
                let is_old = |item: &Item| {
                    let given_up = item.kept().delivery().last_at;
                    given_up.is_some_and(|at| now.since(at) >= age)
                };
                let old: Vec<Item> = items.filter(is_old).collect();
                self.purge(&old).await?;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn purge(&self, items: &[Item]) -> Result<usize, BoxError> {
        let purged = self.tell_all(items, |to| {
            let command = Command {
                verb: Verb::Purge,
                actor: ACTOR.to_owned(),
                reason: RETENTION.to_owned(),
            };
            MessageBuilder::to(to.to_address()).value_as(&COMMAND, command)
        });
        let purged = purged.await?;
        for _ in 0..purged {
            self.destinations.registry.unit_dropped(RETENTION);
        }
        Ok(purged)
    }

    /// Sends a message to each, and waits for the answers. Returns how many did it.
    async fn tell_all(
        &self,
        items: &[Item],
        message: impl Fn(&AddressKey) -> Result<Message, crate::sdk::SdkError>,
    ) -> Result<usize, BoxError> {
        let asked = items.iter().map(|item| async {
            let incoming = Incoming {
                target: item.address.clone(),
                argument: message(&item.address)?.typed().raw().clone(),
                key: None,
            };
            let answer = self.runtime.call(incoming, WITHIN).await?;
            let answer = TypedValue::decode(answer)?;
            Ok::<_, BoxError>(REPLY.decode(&answer.value)?.ok)
        });
        let answers: Result<Vec<bool>, BoxError> = join_all(asked).await.into_iter().collect();
        Ok(answers?.into_iter().filter(|is_done| *is_done).count())
    }
}

/// The first of `items` that are beyond a limit.
fn beyond(items: Vec<Item>, surplus: Load) -> Vec<Item> {
    let (mut taken, mut bytes) = (0, 0);
    let is_beyond = |item: &Item| {
        let is_beyond = taken < surplus.items || bytes < surplus.bytes;
        (taken, bytes) = (taken + 1, bytes + bytes_of(item));
        is_beyond
    };
    items.into_iter().take_while(is_beyond).collect()
}

/// At least as many bytes as are counted for it, so that never too much is dropped; the rest follows with the next page.
fn bytes_of(item: &Item) -> u64 {
    const BESIDES: u64 = 2_048;
    item.kept().unit_bytes() + BESIDES
}

fn given_up(function: &TypeName, reason: Option<Reason>) -> KeptFilter {
    KeptFilter {
        states: vec![DeliveryState::Discarded],
        type_name: Some(function.clone()),
        reason,
        ..KeptFilter::default()
    }
}

async fn page(
    runtime: &RuntimeHandle,
    filter: &KeptFilter,
    after: Option<Bytes>,
) -> Result<Page<Item>, BoxError> {
    let filter = filter.clone();
    let page = runtime.read(move |rows| list(rows, &filter, after.as_deref(), CHUNK, false));
    Ok(page.await?)
}
