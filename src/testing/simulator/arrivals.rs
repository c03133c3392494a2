//! Messages reach the cores: from ingresses, and from one core to another.

use std::collections::BTreeSet;

use super::ensure;
use super::image::message_number;
use super::model::{AddressIndex, Id, Sender, Stage, Status, Turn};
use super::plan::{TYPES, pick};
use super::request::{gateway, message};
use super::world::World;
use crate::runtime::core::idempotency::{IdempotencyKey, Outcome, StoredAnswer};
use crate::runtime::core::keys::id_hash;
use crate::runtime::core::{Arrival, Input, Output, Refusal};
use crate::time::Timestamp;

/// How long idempotency keys count.
const KEPT: u64 = 60;

/// Whether there is room for a message from an ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    Perhaps,
    None,
}

impl World {
    pub(super) fn arrive(&mut self) -> Result<(), String> {
        if self.model.entries.len() >= self.plan.messages {
            return Ok(());
        }
        let target = pick(&mut self.random, self.plan.addresses.len());
        let core = self.owner(target);
        let sender = if self.random.chance(40) {
            Sender::Gateway
        } else {
            Sender::Ingress
        };
        let id = self.model.add(target, sender, None);
        let ticket = u64::try_from(id).unwrap_or_default();
        let key = self.random.chance(self.plan.keyed).then(|| {
            let row = format!("key {} of {target}", self.random.below(2));
            IdempotencyKey {
                row: row.into(),
                digest: u128::from(self.random.below(8) / 7),
                until: Timestamp::from_millis(self.now.as_millis() + KEPT),
            }
        });
        self.tell(|_| {
            format!("core {core}: message {id} from {sender:?} arrives at {target}, {key:?}")
        });
        let before = key.as_ref().and_then(|key| {
            let before = self.model.keys.get(&key.row)?;
            (before.until > self.now).then(|| before.clone())
        });
        let room = self.room(core, target);
        let out = self.feed(
            core,
            Input::Arrive(Arrival {
                ticket,
                target: self
                    .plan
                    .addresses
                    .get(target)
                    .cloned()
                    .ok_or("no such address")?,
                argument: message(id),
                gateway: (sender == Sender::Gateway).then(|| gateway(id)),
                key: key.clone(),
            }),
        );
        let refusal = out.iter().find_map(|output| match output {
            Output::Refused(refused, refusal) if *refused == ticket => Some(refusal.clone()),
            _ => None,
        });
        match (key, before, refusal) {
            (Some(key), Some(before), refusal) if before.digest != key.digest => {
                ensure(refusal == Some(Refusal::KeyReused), || {
                    format!("a key came with another body, and {refusal:?}")
                })?;
            }
            (Some(_), Some(before), None) => {
                self.model
                    .boot
                    .repeats
                    .insert(ticket, (before.outcome, self.step));
            }
            (key, None, None) => {
                ensure(room != Room::None, || {
                    format!("message {id} was accepted without room for it")
                })?;
                self.accept(core, id);
                if let Some(key) = key {
                    self.keep_key(id, key);
                }
            }
            (_, None, Some(Refusal::Full { .. })) => {
                ensure(room != Room::Enough, || {
                    format!("message {id} was refused with room for it")
                })?;
            }
            (_, _, refusal) => return Err(format!("message {id} was refused: {refusal:?}")),
        }
        self.follow(core, out)
    }

    /// Whether a core must have room for a message to `target`.
    fn room(&self, core: u8, target: AddressIndex) -> Room {
        let loads = self
            .cores
            .get(usize::from(core))
            .map_or(Vec::new(), |core| core.loads(usize::MAX));
        let used: u64 = loads.iter().map(|load| load.backlog.min(load.share)).sum();
        let is_full = |kind: usize| {
            let full = loads.iter().filter(|load| load.is_full());
            let names = TYPES.get(kind).map(|kind| (kind.0, kind.1));
            full.into_iter()
                .any(|load| names == Some((&*load.namespace, &*load.name)))
        };
        let kind = self.plan.kind(target);
        if used >= self.plan.settings.max_backlog || is_full(kind) {
            return Room::None;
        }
        // Types that send to a full type are refused; senders are known only since the start.
        let mut reached = BTreeSet::from([kind]);
        loop {
            let sent = self.model.entries.iter().filter_map(|entry| {
                let Sender::Function(sender) = entry.sender else {
                    return None;
                };
                let is_sent = reached.contains(&self.plan.kind(sender));
                is_sent.then(|| self.plan.kind(entry.target))
            });
            let more: Vec<usize> = sent.filter(|kind| !reached.contains(kind)).collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        if reached.into_iter().any(is_full) {
            Room::Perhaps
        } else {
            Room::Enough
        }
    }

    fn accept(&mut self, core: u8, id: Id) {
        let (step, boot) = (self.step, self.boot);
        let entry = self.model.entry_mut(id);
        entry.status = Status::Waiting;
        entry.made = step;
        entry.since = step;
        entry.turn = Turn {
            boot,
            core,
            order: (step, Stage::Send, Timestamp::default(), Some(id)),
        };
    }

    fn keep_key(&mut self, id: Id, key: IdempotencyKey) {
        let outcome = match self.model.entry(id).sender {
            Sender::Gateway => {
                self.model.gateways.insert(gateway(id), key.row.clone());
                Outcome::Pending(gateway(id))
            }
            _ => Outcome::Accepted,
        };
        self.model.entry_mut(id).key = Some((key.row.clone(), key.until));
        let target = self.model.entry(id).target;
        let target = self.plan.addresses.get(target).map_or("", |key| key.id());
        let answer = StoredAnswer {
            hash: id_hash(target),
            digest: key.digest,
            until: key.until,
            outcome,
        };
        self.model.keys.insert(key.row, answer);
    }

    pub(super) fn hand(&mut self, way: (u8, u8)) -> Result<(), String> {
        let Some(messages) = self.channels.get_mut(&way) else {
            return Ok(());
        };
        let message = messages.pop_front();
        if messages.is_empty() {
            self.channels.remove(&way);
        }
        let Some(message) = message else {
            return Ok(());
        };
        let id = message_number(&message.invocation)?;
        self.tell(|_| format!("core {}: message {id} comes from core {}", way.1, way.0));
        self.report.forwarded += 1;
        // As when much is on its way: then a batch need not be all that waits.
        let input = match self.plan.is_tight && self.random.chance(20) {
            true => Input::Stored(message.without_content()),
            false => Input::Deliver(message),
        };
        let out = self.feed(way.1, input);
        let step = self.step;
        self.model.entry_mut(id).since = step;
        self.follow(way.1, out)
    }
}
