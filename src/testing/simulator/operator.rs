//! What acts on the cores from outside: an operator, and an egress that takes records.

use super::model::AddressIndex;
use super::plan::{OUTBOX as EGRESS, pick};
use super::request::numbered;
use super::world::World;
use crate::runtime::core::keys::OUTBOX;
use crate::runtime::core::{AdminChange, Input};
use crate::storage::Write;

impl World {
    pub(super) fn set_state(&mut self) -> Result<(), String> {
        let index = pick(&mut self.random, self.plan.addresses.len());
        let (core, ticket) = (self.owner(index), self.ticket());
        let change = AdminChange::SetState {
            address: self
                .plan
                .addresses
                .get(index)
                .cloned()
                .ok_or("no such address")?,
            name: "note".into(),
            value: Some(numbered(
                "note",
                usize::try_from(ticket).unwrap_or_default(),
            )),
        };
        self.tell(|_| format!("core {core}: note {ticket} for {index}"));
        let is_busy = self.model.call_of(index).is_some();
        let out = self.feed(core, Input::Change(ticket, change));
        let step = self.step;
        if is_busy {
            self.model.boot.deferred.push((index, ticket));
        } else {
            self.model.change_note(index, ticket, step);
        }
        self.follow(core, out)
    }

    pub(super) fn resume(&mut self, index: AddressIndex) -> Result<(), String> {
        let (core, ticket) = (self.owner(index), self.ticket());
        let address = self
            .plan
            .addresses
            .get(index)
            .cloned()
            .ok_or("no such address")?;
        let (mut was_parked, mut waited) = (false, false);
        if !self.is_draining {
            was_parked = self.model.parked.remove(&index);
            waited = self.model.boot.backoffs.remove(&index).is_some();
        }
        self.model.boot.resumes.insert(ticket, was_parked || waited);
        if was_parked {
            self.model.boot.failures.remove(&index);
        }
        self.tell(|_| format!("core {core}: resume {index}"));
        let out = self.feed(core, Input::Change(ticket, AdminChange::Resume(address)));
        self.follow(core, out)
    }

    /// The egress has taken a record, and deletes its row.
    pub(super) fn take(&mut self) -> Result<(), String> {
        let out: Vec<_> = self
            .model
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.is_kept && record.is_out)
            .map(|(number, _)| number)
            .collect();
        let Some(number) = out.get(pick(&mut self.random, out.len())).copied() else {
            return Ok(());
        };
        let row = self
            .model
            .boot
            .rows
            .get(&number)
            .cloned()
            .unwrap_or_default();
        self.tell(|_| format!("egress {EGRESS:?} takes record {number}"));
        if let Some(record) = self.model.records.get_mut(number) {
            (record.is_kept, record.is_taken) = (false, true);
        }
        self.store.stage(vec![Write::delete(OUTBOX, row)]);
        Ok(())
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }
}
