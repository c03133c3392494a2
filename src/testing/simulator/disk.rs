//! Syncs, stops and crashes: what is durable, and what a start finds.

use std::sync::Arc;

use super::audit;
use super::image::Image;
use super::plan::{Action, Bound};
use super::world::World;
use crate::runtime::core::{Core, CoreSettings, Input};

impl World {
    pub(super) fn start(&mut self) {
        self.boot += 1;
        let fewer = self.random.below(2) * self.random.below(self.plan.max_cores);
        let cores = u8::try_from(self.plan.max_cores - fewer).unwrap_or(1);
        let settings = self.plan.settings;
        let core = |index| {
            let settings = CoreSettings {
                index,
                cores,
                ..settings
            };
            Core::new(settings, Arc::new(Bound), self.store.clone())
        };
        self.cores = (0..cores).map(core).collect();
        self.channels.clear();
        self.late.clear();
        self.syncs = vec![self.store.durable()];
        self.told = vec![1; self.cores.len()];
        self.synced = self.step;
        self.tell(|world| format!("start {} with {cores} cores", world.boot));
    }

    pub(super) fn sync(&mut self) -> Result<(), String> {
        let position = self.syncer.sync().map_err(|error| error.to_string())?;
        if self.syncs.last() < Some(&position) {
            self.syncs.push(position);
        }
        self.synced = self.step;
        self.tell(|_| format!("synced up to {position}"));
        Ok(())
    }

    /// Tells a core of the first `count` syncs.
    pub(super) fn tell_durable(&mut self, core: u8, count: usize) -> Result<(), String> {
        let Some(position) = self.syncs.get(count.saturating_sub(1)).copied() else {
            return Ok(());
        };
        if let Some(told) = self.told.get_mut(usize::from(core)) {
            *told = count;
        }
        self.tell(|_| format!("core {core}: durable up to {position}"));
        let out = self.feed(core, Input::Durable(position));
        self.follow(core, out)
    }

    /// The cores begin nothing new, finish some calls in progress, and stop.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        self.is_draining = true;
        for core in 0..self.cores() {
            self.tell(|_| format!("core {core}: drain"));
            let out = self.feed(core, Input::Drain);
            self.follow(core, out)?;
        }
        for _ in 0..self.random.below(20) {
            let action = self.plan.action(&mut self.random);
            if !matches!(action, Action::Stop | Action::Crash) {
                self.act(action)?;
            }
        }
        self.is_draining = false;
        self.crash()
    }

    /// All cores are gone, and with them any part of the end that was not synced.
    pub(super) fn crash(&mut self) -> Result<(), String> {
        self.report.crashes += 1;
        let mut end = self.store.durable();
        let staged = self.store.stage(Vec::new());
        let unsynced = staged.as_u64() - end.as_u64();
        for _ in 0..self.random.below(unsynced + 1) {
            end = end.next();
        }
        self.tell(|_| format!("crash: of {staged} lists {end} are left"));
        (self.store, self.syncer) = self.memory.open_up_to(end);
        let image = Image::read(&self.store, &self.plan)?;
        audit::cut(&image, &self.model, self.synced, self.now)?;
        audit::adopt(image, &mut self.model)?;
        self.start();
        Ok(())
    }
}
