//! Random scripts: events, failures, actors, restarts and time, in any order. What must always be true is looked at after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use stateful_functions::delivery::engine::{DeliveryState, Entry, Head, Reason};
use stateful_functions::delivery::{Failure, Policy, Verb};
use stateful_functions::jobs::{Action, Jobs, Schedule};
use stateful_functions::random::Random;

use super::site::{Script, Site, paid};
use crate::support::seeds::for_each_seed;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn site(script: &Script) -> Site {
    let jobs = Jobs::builder()
        .destination(
            script
                .destination("crm")
                .order_key("customer")
                .schedule(Schedule::realtime().retry(Policy::edgex_with(MINUTE, 3)))
                .on_failed(["watch"])
                .on_discarded(["watch"]),
        )
        .destination(
            script
                .destination("audit")
                .schedule(Schedule::every("10m").unwrap().max_retries(1))
                .action(Action::on("order.paid"))
                .action(Action::on("*").schedule(Schedule::realtime().max_retries(0))),
        )
        .destination(
            script
                .destination("watch")
                .schedule(Schedule::realtime().max_retries(0))
                .action(Action::on("*")),
        );
    Site::new(jobs)
}

/// What was true of each job after the step before.
#[derive(Default)]
struct Before(BTreeMap<String, (u64, Option<DeliveryState>)>);

impl Before {
    fn check(&mut self, site: &Site) {
        let mut executing_by_key = BTreeMap::new();
        for address in site.addresses() {
            let kept = site.kept(&address).unwrap();
            let delivery = kept.delivery();
            let entries: Vec<Entry> = serde_json::from_value(kept.transitions()).unwrap();
            let mut head = Head::default();
            for (next, entry) in (0..).zip(&entries) {
                let Entry::One(step) = entry else { return };
                assert_eq!(step.seq, next, "I2: dense from 0");
                let before = head.state;
                assert_eq!(step.state_before, before, "I2");
                if before.is_some_and(DeliveryState::is_terminal) {
                    assert!(step.actor.is_some() && step.note.is_some(), "I4");
                }
                head.apply(step);
            }
            assert_eq!(head, Head::from(delivery), "I1: the head is the fold");
            assert!(delivery.spent <= delivery.attempt, "I3");
            let rests = delivery.is_terminal() || delivery.state == Some(DeliveryState::Awaiting);
            assert!(rests, "{:?} never rests", delivery.state);
            let has_timer = delivery.armed.is_some();
            let must = !delivery.is_terminal() && !delivery.waits_for_turn();
            assert_eq!(has_timer, must, "I8: {:?}", delivery.state);
            if delivery.state == Some(DeliveryState::Discarded) {
                assert!(delivery.reason.is_some_and(Reason::is_give_up), "I13");
            }
            if let Some(key) = delivery.key.as_ref().filter(|_| !delivery.is_terminal()) {
                let first = !delivery.waits_for_turn();
                let count = executing_by_key.entry(key.clone()).or_insert(0);
                *count += u32::from(first);
                assert!(*count <= 1, "I5: one job of a key is tried at a time");
            }
            let known = (delivery.seq, delivery.state);
            if let Some((seq, _)) = self.0.insert(address.to_string(), known) {
                assert!(seq <= delivery.seq, "nothing is taken back");
            }
        }
    }
}

async fn play(seed: u64) {
    let mut random = Random::seeded(seed);
    let script = Script::default();
    let mut site = site(&script);
    let (mut before, mut events) = (Before::default(), Vec::new());
    for _ in 0..60 {
        match random.below(8) {
            0 | 1 => {
                let event = paid(&json!({"customer": random.below(3)}));
                events.push(site.submit(event).await);
            }
            2 => script.fail([Failure::retry("down", "it is down")]),
            3 => script.fail([Failure::permanent("no", "never")]),
            4 => script.fail([Failure::retry("gone", "it is gone").with_discard()]),
            5 => {
                let all = site.addresses();
                let at = usize::try_from(random.below(all.len().max(1) as u64)).unwrap();
                if let Some(address) = all.get(at) {
                    let verbs = [Verb::Cancel, Verb::Retry, Verb::Discard];
                    let verb = verbs[usize::try_from(random.below(3)).unwrap()];
                    site.command(address, verb).await;
                }
            }
            6 => site.harness.restart(),
            _ => site.advance(Duration::from_secs(random.below(900))).await,
        }
        site.harness.run().await.unwrap();
        before.check(&site);
    }
    // I13: everything ends. I10: what follows does so once.
    site.advance(10 * HOUR).await;
    before.check(&site);
    let mut addresses = BTreeSet::new();
    for accepted in &events {
        let event = site.event(&accepted.id).unwrap();
        let ids: BTreeSet<_> = event.jobs.iter().map(|job| &job.id).collect();
        assert_eq!(ids.len(), event.jobs.len(), "I10");
        addresses.extend(event.jobs.iter().map(|job| job.address.clone()));
        let crm = &event.jobs[0];
        let steps = event
            .jobs
            .iter()
            .filter(|job| job.parent_job_id.as_ref() == Some(&crm.id));
        let at = site
            .addresses()
            .into_iter()
            .find(|address| address.id() == crm.id);
        let all: Vec<Entry> =
            serde_json::from_value(site.kept(&at.unwrap()).unwrap().transitions()).unwrap();
        let ended = all.iter().filter(|entry| {
            matches!(entry, Entry::One(step) if matches!(step.state_after, DeliveryState::Failed | DeliveryState::Discarded))
        });
        assert!(steps.count() <= ended.count(), "I10");
    }
    let kept: BTreeSet<_> = site.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(
        kept, addresses,
        "I13: each job of an event is there, and no other"
    );
    for address in site.addresses() {
        assert!(
            site.delivery(&address).is_terminal(),
            "{address} has not ended"
        );
    }
}

#[test]
fn dl_08_what_must_be_true_of_jobs_is_true_after_every_step_of_random_scripts() {
    for_each_seed(20, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(play(seed));
    });
}
