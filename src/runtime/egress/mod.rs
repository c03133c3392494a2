//! The outboxes: egress records wait here until their sink has delivered them. At least once, in order.

mod outbox;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tracing::error;

use super::core::MessageId;
use super::core::keys::egress_prefix;
use super::endpoint::Failing;
use crate::sdk::TypeName;
use crate::storage::Position;

pub(crate) use self::outbox::SetAside;
pub(super) use self::outbox::{Outbox, OutboxRecord};

/// The condition of an egress.
#[derive(Debug, Clone)]
pub(crate) struct Delivering {
    pub(crate) name: TypeName,
    /// Waiting records.
    pub(crate) undelivered: u64,
    /// Records delivered since the start.
    pub(crate) delivered: u64,
    /// Failures since the start.
    pub(crate) failed: u64,
    /// Records that their target system refuses, and that are kept.
    pub(crate) set_aside: u64,
    /// The failed attempts of the current delivery, if it is failing.
    pub(crate) failing: Option<Failing>,
}

/// All outboxes of a runtime; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Egresses {
    by_prefix: Arc<HashMap<Bytes, (TypeName, Outbox)>>,
    limit: u64,
    /// Maximum records of functions of one type in one outbox.
    share: u64,
}

impl Egresses {
    /// Outboxes by the front of their rows. With `limit` undelivered records one of them is full; functions of one type may have `share`
    /// of them.
    pub(super) fn new(
        by_prefix: HashMap<Bytes, (TypeName, Outbox)>,
        limit: u64,
        share: u64,
    ) -> Self {
        Self {
            by_prefix: Arc::new(by_prefix),
            limit,
            share,
        }
    }

    /// Hands a durable record of a function of type `sender` to its egress.
    pub(super) fn push(
        &self,
        prefix: &Bytes,
        id: MessageId,
        record: Bytes,
        sender: &Bytes,
        position: Position,
    ) {
        match self.by_prefix.get(prefix) {
            Some((_, outbox)) => outbox.push(id, record, sender, position),
            // It stays in the store, and is delivered when a module binds the egress again.
            None => {
                error!("a record was sent to an egress that is not bound; it stays in the outbox")
            }
        }
    }

    /// The outbox of the egress `name`.
    pub(super) fn outbox(&self, name: &TypeName) -> Option<Outbox> {
        let prefix = egress_prefix(name.namespace(), name.name());
        let (_, outbox) = self.by_prefix.get(&prefix)?;
        Some(outbox.clone())
    }

    /// The condition of each egress, by name.
    pub(super) fn delivering(&self) -> Vec<Delivering> {
        let outboxes = self.by_prefix.values();
        let mut all: Vec<_> = outboxes
            .map(|(name, outbox)| Delivering {
                name: name.clone(),
                undelivered: outbox.undelivered(),
                delivered: outbox.condition().moved(),
                failed: outbox.condition().failed(),
                set_aside: outbox.set_aside_count(),
                failing: outbox.condition().failing(),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Whether some outbox has used up the share of one type at least: only then anything can be full.
    pub(super) fn has_full(&self) -> bool {
        let least = self.share.min(self.limit);
        let mut outboxes = self.by_prefix.values();
        outboxes.any(|(_, outbox)| outbox.undelivered() >= least)
    }

    /// What of an egress is full for functions of type `sender`, in words.
    pub(super) fn full_for(&self, egress: &[u8], sender: &[u8]) -> Option<String> {
        let (name, outbox) = self.by_prefix.get(egress)?;
        let all = outbox.undelivered();
        if all >= self.limit {
            return Some(format!(
                "{all} records of egress {name} are not delivered, which is the limit (RuntimeConfig::max_outbox)"
            ));
        }
        let own = outbox.undelivered_of(sender);
        (own >= self.share).then(|| {
            format!(
                "{own} records of egress {name} are not delivered, which is the share of one function (RuntimeConfig::type_share_percent)"
            )
        })
    }

    /// The egress whose outbox is as full as it may be.
    pub(super) fn full(&self) -> Option<(TypeName, u64)> {
        self.by_prefix.values().find_map(|(name, outbox)| {
            let undelivered = outbox.undelivered();
            (undelivered >= self.limit).then(|| (name.clone(), undelivered))
        })
    }
}
