//! The share of each function type in the limits of a core. If a type has used up its share, ingresses refuse messages for it and for types
//! that send to it, but not for others.

use super::indices::{Slot, TypeId};
use super::keys::AddressKey;
use super::mailboxes::Vacant;
use super::{Core, FunctionBinding, Refusal};

/// What the functions of one type use of a core's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeLoad {
    /// The namespace of the type.
    pub namespace: String,
    /// The name of the type.
    pub name: String,
    /// Messages that wait or are in flight.
    pub backlog: u64,
    /// Bytes of messages in memory.
    pub memory_bytes: usize,
    /// Maximum messages of the type before ingresses are refused.
    pub share: u64,
}

impl TypeLoad {
    /// Whether the type has used up its share.
    pub const fn is_full(&self) -> bool {
        self.backlog >= self.share
    }
}

impl Core {
    /// The usage of each function type with messages, the largest first, at most `limit` types.
    pub fn loads(&self, limit: usize) -> Vec<TypeLoad> {
        let share = self.settings.share_of(self.settings.max_backlog);
        let mut loads: Vec<TypeLoad> = self
            .types
            .iter()
            .map(|(id, function_type)| (function_type.names(), self.mailboxes.of_type(id)))
            .filter(|(_, counts)| counts.backlog > 0)
            .map(|((namespace, name), counts)| TypeLoad {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                backlog: counts.backlog,
                memory_bytes: counts.memory_bytes,
                share,
            })
            .collect();
        loads.sort_by(|a, b| {
            (b.backlog, &a.namespace, &a.name).cmp(&(a.backlog, &b.namespace, &b.name))
        });
        loads.truncate(limit);
        loads
    }

    /// Whether an ingress may add a message for `target`, whose mailbox is or will be at `place`.
    pub(super) fn check_quotas(
        &mut self,
        target: &AddressKey,
        place: Result<Slot, Vacant>,
    ) -> Result<(), Refusal> {
        let bound = self.types.bound(target, &*self.bindings);
        let (type_id, binding) = bound.ok_or(Refusal::UnknownFunction)?;
        if self.mailboxes.within_quotas() >= self.settings.max_backlog {
            let what = format!(
                "{} messages are waiting in the runtime, which is the limit (RuntimeConfig::max_backlog)",
                self.backlog()
            );
            return Err(Refusal::Full { what });
        }
        self.check_address_quota(place, binding)?;
        self.check_type_quota(type_id)?;
        self.check_watch(type_id)
    }

    fn check_address_quota(
        &self,
        place: Result<Slot, Vacant>,
        binding: FunctionBinding,
    ) -> Result<(), Refusal> {
        let waiting = place.map_or(0, |slot| self.mailboxes.of(slot).queued());
        if binding.max_backlog > 0 && waiting >= binding.max_backlog {
            let what = format!(
                "{waiting} messages are waiting at this address, which is its limit (maxNumBatchRequests, RuntimeConfig::max_backlog_per_address)"
            );
            return Err(Refusal::Full { what });
        }
        Ok(())
    }

    /// Refuses messages for a type that has used up its share, or that sends to such a type or to a full egress.
    fn check_type_quota(&self, type_id: TypeId) -> Result<(), Refusal> {
        if self.mailboxes.has_full_types() {
            let full = self
                .types
                .downstream(type_id, |id| self.mailboxes.is_full(id));
            if let Some(full) = full {
                let (namespace, name) = self.types.get(full).names();
                let what = format!(
                    "{} messages are waiting for {namespace}/{name}, which is the share of one function (RuntimeConfig::type_share_percent)",
                    self.mailboxes.of_type(full).backlog
                );
                return Err(Refusal::Full { what });
            }
        }
        if !self.bindings.has_full_egresses() {
            return Ok(());
        }
        let full_of = |id: TypeId| {
            let function_type = self.types.get(id);
            let mut egresses = function_type.egresses.iter();
            egresses.find_map(|egress| self.bindings.full_egress(egress, &function_type.prefix))
        };
        let full = self
            .types
            .downstream(type_id, |id| full_of(id).is_some())
            .and_then(full_of);
        full.map_or(Ok(()), |what| Err(Refusal::Full { what }))
    }

    /// Refuses messages for a function that keeps as much as it may, or that sends to such a function.
    fn check_watch(&self, type_id: TypeId) -> Result<(), Refusal> {
        let Some(watch) = self.bindings.watch().filter(|watch| watch.has_full()) else {
            return Ok(());
        };
        let full_of = |id: TypeId| {
            let (namespace, name) = self.types.get(id).names();
            watch.full(namespace, name)
        };
        let full = self.types.downstream(type_id, |id| full_of(id).is_some());
        full.and_then(full_of)
            .map_or(Ok(()), |what| Err(Refusal::Full { what }))
    }

    /// Whether messages of this type stay in the store, if possible.
    pub(super) fn memory_is_full(&self, type_id: TypeId) -> bool {
        let most = self.settings.max_memory_bytes;
        let share = self
            .settings
            .share_of(u64::try_from(most).unwrap_or(u64::MAX));
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        self.mailboxes.counts().memory_bytes + self.on_its_way >= most
            || self.mailboxes.of_type(type_id).memory_bytes >= share
    }
}
