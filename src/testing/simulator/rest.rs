//! The end of a schedule: everything pending is completed, and nothing is left over.

use super::audit;
use super::ensure;
use super::world::World;
use crate::runtime::core::{Core, Counts};

/// A world that has not come to rest after this many rounds is stuck.
const ROUNDS: u64 = 1_000;

impl World {
    /// Nothing new begins; everything pending must be completed.
    pub(super) fn come_to_rest(&mut self) -> Result<(), String> {
        self.is_calm = true;
        self.tell(|_| "calm".into());
        for core in 0..self.cores() {
            self.tick(core)?;
        }
        for _ in 0..ROUNDS {
            let step = self.step;
            self.calm_round()?;
            if self.step != step {
                continue;
            }
            let deadlines = self.cores.iter().filter_map(Core::next_deadline);
            let Some(next) = deadlines.min() else {
                self.audit()?;
                return self.check_rest();
            };
            self.now = next.max(self.now);
            for core in 0..self.cores() {
                self.tick(core)?;
            }
        }
        Err("it does not come to rest".into())
    }

    /// Everything that can happen without time passing, in some order.
    fn calm_round(&mut self) -> Result<(), String> {
        while let Some(way) = self.channels.keys().next().copied() {
            self.hand(way)?;
        }
        while !self.model.boot.calls.is_empty() {
            self.answer(None)?;
        }
        self.sync()?;
        for core in 0..self.cores() {
            let told = self.told.get(usize::from(core)).copied();
            if told < Some(self.syncs.len()) {
                self.tell_durable(core, self.syncs.len())?;
            }
        }
        while let Some(index) = self.model.parked.first().copied() {
            self.resume(index)?;
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), String> {
        audit::at_rest(&self.model)?;
        for (index, core) in self.cores.iter().enumerate() {
            let counts = core.counts();
            ensure(counts == Counts::default(), || {
                format!("at rest core {index} counts {counts:?}")
            })?;
            ensure(core.addresses() == 0 && core.in_flight() == 0, || {
                format!(
                    "at rest core {index} remembers {} addresses",
                    core.addresses()
                )
            })?;
        }
        Ok(())
    }
}
