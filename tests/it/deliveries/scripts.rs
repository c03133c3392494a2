//! Random scripts: what can happen to deliveries, in any order, with a process that ends anywhere.
//!
//! A failing script prints its seed. `DELIVERY_SEED=<seed> cargo test dl_08` runs that one alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stateful_functions::delivery::engine::{
    Delivery, DeliveryState, Failure, Input, Jitter, Journal, Order, Outcome, Policy, Reason,
    Retry, Start, Then,
};
use stateful_functions::delivery::owner::Woken;
use stateful_functions::random::Random;

use super::host::{Host, KillPoint, Seen};
use super::{actor, secs};

const SCRIPTS: u64 = 10_000;
const STEPS: u32 = 40;
const JOBS: usize = 4;
const BATCHES: u64 = 4;

#[test]
fn dl_08_jobs_keep_the_invariants_in_random_scripts() {
    let seen = run_all("jobs", jobs);
    assert!(seen.refused > 0);
    use DeliveryState::{
        Acknowledged, Awaiting, Cancelled, Discarded, Executing, Failed, Succeeded, Unknown,
    };
    for (before, after) in [
        (Acknowledged, Awaiting),
        (Acknowledged, Executing),
        (Awaiting, Executing),
        (Awaiting, Awaiting),
        (Awaiting, Cancelled),
        (Awaiting, Discarded),
        (Executing, Succeeded),
        (Executing, Failed),
        (Executing, Unknown),
        (Executing, Discarded),
        (Executing, Cancelled),
        (Failed, Awaiting),
        (Failed, Cancelled),
        (Unknown, Awaiting),
        (Unknown, Cancelled),
        (Discarded, Awaiting),
        (Cancelled, Awaiting),
    ] {
        let came = seen
            .moves
            .iter()
            .any(|(b, a, _)| (*b, *a) == (Some(before), after));
        assert!(came, "no script went from {before} to {after}");
    }
    for reason in [
        Reason::Scheduled,
        Reason::Turn,
        Reason::Retry,
        Reason::Blocked,
        Reason::Requeued,
        Reason::Exhausted,
        Reason::Elapsed,
        Reason::Expired,
        Reason::Permanent,
        Reason::Forced,
        Reason::Operator,
        Reason::TooLarge,
        Reason::NoOutcome,
    ] {
        assert!(
            seen.moves.iter().any(|(_, _, r)| *r == Some(reason)),
            "no script met `{reason}`"
        );
    }
    all_kill_points_and_late_inputs(&seen);
    for woken in [Woken::Arrived, Woken::Failed, Woken::Gone, Woken::Waits] {
        assert!(seen.answers.contains(&woken), "none answered {woken:?}");
    }
    assert!(seen.probes > 0 && seen.handed > 0);
}

#[test]
fn dl_08_a_stream_keeps_the_invariants_in_random_scripts() {
    let seen = run_all("streams", stream);
    for reason in [
        Reason::Skipped,
        Reason::Blocked,
        Reason::Exhausted,
        Reason::Expired,
    ] {
        assert!(
            seen.moves.iter().any(|(_, _, r)| *r == Some(reason)),
            "no script met `{reason}`"
        );
    }
}

fn all_kill_points_and_late_inputs(seen: &Seen) {
    use KillPoint::{AnswerReceived, BeforeCommit, Committed, Idle, TargetCalled};
    let all = [BeforeCommit, TargetCalled, AnswerReceived, Committed, Idle];
    assert!(
        all.iter().all(|point| seen.kills.contains(point)),
        "{:?}",
        seen.kills
    );
    assert!(
        ["due", "outcome", "deadline"]
            .iter()
            .all(|input| seen.stale.contains(input)),
        "{:?}",
        seen.stale
    );
}

fn run_all(name: &str, script: fn(u64) -> Seen) -> Seen {
    let mut all = Seen::default();
    let only = std::env::var("DELIVERY_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    let seeds = only.map_or(0..SCRIPTS, |seed| seed..seed + 1);
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| script(seed))) {
            Ok(seen) => {
                all.moves.extend(seen.moves);
                all.kills.extend(seen.kills);
                all.stale.extend(seen.stale);
                all.answers.extend(seen.answers);
                all.probes += seen.probes;
                all.handed += seen.handed;
                all.refused += seen.refused;
            }
            Err(_) => {
                panic!("script {seed} of {name} failed; run it alone with DELIVERY_SEED={seed}")
            }
        }
    }
    all
}

fn jobs(seed: u64) -> Seen {
    let mut random = Random::seeded(seed);
    let policy = job_policy(&mut random);
    let mut host = Host::new(policy, random);
    for _ in 0..STEPS {
        match host.random.below(100) {
            0..12 => submit(&mut host),
            12..25 => step_in(&mut host),
            25..30 => wake_some(&mut host),
            30..36 => host.repeat_one(),
            36..38 => host.restart(KillPoint::Idle),
            38..42 => pass_time(&mut host),
            42..60 => _ = host.fire_next(),
            _ => _ = host.handle_one(),
        }
    }
    come_to_rest(&mut host);
    host.check_end();
    host.seen
}

fn job_policy(random: &mut Random) -> Policy {
    let mut policy = any_policy(random);
    policy.order = if random.chance(60) {
        Order::Key
    } else {
        Order::Any
    };
    if policy.order == Order::Key && random.chance(25) {
        policy.then = Then::Block { every: secs(20) };
    }
    policy.start = match (random.below(3), &policy.retry) {
        (0, Retry::Every(_) | Retry::Cron(_)) => Start::Tick,
        (1, _) => Start::Tried,
        _ => Start::Now,
    };
    policy.record = [Journal::With, Journal::Before, Journal::Elsewhere]
        [usize::try_from(random.below(3)).unwrap()];
    policy.check().unwrap();
    policy
}

fn any_policy(random: &mut Random) -> Policy {
    let mut policy = Policy::default();
    let jitter = if random.chance(50) {
        Jitter::Full
    } else {
        Jitter::None
    };
    policy.retry = match random.below(3) {
        0 => Retry::Every(secs(1 + random.below(30))),
        1 => Retry::Cron("*/2 * * * *".parse().unwrap()),
        _ => Retry::Backoff {
            first: secs(1),
            factor: 2.0,
            max: secs(1 + random.below(60)),
            jitter,
        },
    };
    policy.attempts = random
        .chance(80)
        .then(|| 1 + u32::try_from(random.below(5)).unwrap());
    policy.within = random.chance(30).then(|| secs(1 + random.below(100)));
    policy.max_age = random.chance(40).then(|| secs(1 + random.below(300)));
    policy.timeout = secs(1 + random.below(40));
    policy.wake = random.chance(70);
    policy
}

fn submit(host: &mut Host) {
    if host.kept.len() == JOBS {
        return;
    }
    let key = host
        .random
        .chance(80)
        .then(|| format!("k{}", host.random.below(2)));
    let delivery = Delivery::job(format!("job-{}", host.kept.len()), "crm", key);
    let in_order = host.policy.order == Order::Key && delivery.key.is_some();
    let input = if host.policy.start == Start::Tried && !in_order {
        let failure = Failure::retry("http_503", "unavailable");
        Input::SubmitTried {
            started: host.now,
            failure,
        }
    } else {
        let due = host
            .random
            .chance(20)
            .then(|| host.now + secs(host.random.below(60)));
        Input::Submit { due }
    };
    host.add(delivery, input);
}

fn step_in(host: &mut Host) {
    let Some(at) = host.random_index(host.kept.len()) else {
        return;
    };
    let (id, kept) = host.kept.iter().nth(at).unwrap();
    if kept.item.delivery.state.is_none() {
        return;
    }
    let (id, by) = (id.clone(), actor());
    let input = match host.random.below(7) {
        0 => Input::Cancel { by },
        1 => Input::Discard {
            by,
            reason: Reason::Operator,
        },
        2 => Input::RetryNow { by, at: None },
        3 => Input::RetryNow {
            by,
            at: Some(host.now + secs(host.random.below(60))),
        },
        4 => Input::Pause,
        5 => Input::Rearm {
            failure: Failure::retry("http_503", ""),
        },
        _ => Input::Resume,
    };
    host.send(&id, input);
}

/// The destination wakes some of those who wait, or asks one whether it works.
fn wake_some(host: &mut Host) {
    let (probe, many) = (host.random.chance(40), host.random.below(3));
    for _ in 0..=many {
        host.wake_next(probe);
    }
}

/// Time passes without timers being fired: they stay due.
fn pass_time(host: &mut Host) {
    host.now = host.now + secs(host.random.below(120));
}

/// The target works, there are no commands, and time passes until nothing is left to do.
fn come_to_rest(host: &mut Host) {
    host.healthy = true;
    for (id, kept) in &host.kept {
        let id = id.clone();
        if kept.item.delivery.state.is_some() {
            host.inbox.push_back(super::host::Message::Input {
                id,
                input: Input::Resume,
            });
        }
    }
    for _ in 0..2_000 {
        if !host.handle_one() && !host.fire_next() && !host.wake_next(false) {
            return;
        }
    }
    panic!("it never comes to rest");
}

fn stream(seed: u64) -> Seen {
    let mut random = Random::seeded(seed);
    let policy = stream_policy(&mut random);
    let mut stream = Stream {
        host: Host::new(policy, random),
        epoch: 1,
        running: true,
    };
    for _ in 0..STEPS {
        stream.go_on();
        match stream.host.random.below(100) {
            0..6 => stream.stop(),
            6..16 => stream.start(),
            16..20 => wake_some(&mut stream.host),
            20..26 => stream.host.repeat_one(),
            26..28 => stream.host.restart(KillPoint::Idle),
            28..31 => pass_time(&mut stream.host),
            31..34 => step_in(&mut stream.host),
            34..55 => _ = stream.host.fire_next(),
            _ => _ = stream.host.handle_one(),
        }
    }
    stream.finish();
    stream.host.check_end();
    stream.host.seen
}

fn stream_policy(random: &mut Random) -> Policy {
    let mut policy = any_policy(random);
    policy.order = Order::Strict;
    if matches!(policy.retry, Retry::Cron(_)) {
        policy.retry = Policy::firefly().retry;
    }
    policy.then = match random.below(3) {
        0 => Then::Skip,
        1 => Then::Block { every: secs(20) },
        _ => Then::Discard,
    };
    policy.record = if random.chance(50) {
        Journal::With
    } else {
        Journal::Elsewhere
    };
    policy.check().unwrap();
    policy
}

/// A cursor with one delivery at a time.
struct Stream {
    host: Host,
    epoch: u64,
    running: bool,
}

impl Stream {
    fn batch(&self) -> Option<&Delivery> {
        let id = format!("s/{}", self.host.position + 1);
        Some(&self.host.kept.get(&id)?.item.delivery)
    }

    /// Submits the batch behind the position, unless it is on its way.
    fn go_on(&mut self) {
        let on_its_way = self.batch().is_some_and(|batch| batch.epoch == self.epoch);
        if !self.running || on_its_way || self.host.position == BATCHES {
            return;
        }
        let next = (self.host.position + 1).to_string();
        let delivery = Delivery::batch(format!("s/{next}"), "webhook", next, self.epoch);
        self.host.add(delivery, Input::Submit { due: None });
    }

    fn stop(&mut self) {
        let Some(batch) = self.batch().filter(|batch| batch.state.is_some()) else {
            return;
        };
        let (id, epoch, n) = (batch.id.clone(), batch.epoch, batch.attempt);
        let calls = batch.state == Some(DeliveryState::Executing);
        self.running = false;
        self.host.send(&id, Input::Cancel { by: actor() });
        if calls && self.host.random.chance(50) {
            let outcome = Outcome::Cancelled;
            self.host.send(&id, Input::Outcome { epoch, n, outcome });
        }
    }

    /// A new activation, once the batch of the last one has ended.
    fn start(&mut self) {
        if self.batch().is_none_or(Delivery::is_terminal) {
            self.epoch += 1;
            self.running = true;
        }
    }

    fn finish(&mut self) {
        loop {
            come_to_rest(&mut self.host);
            self.start();
            self.go_on();
            if self.host.inbox.is_empty() {
                break;
            }
        }
        assert_eq!(
            self.host.position, BATCHES,
            "I6: all batches are behind the position"
        );
    }
}
