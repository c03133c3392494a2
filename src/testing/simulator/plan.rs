//! What a seed decides before its schedule begins: the number of cores, addresses and messages, the window sizes, and how often things happen.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::random::Random;
use crate::retry::Backoff;
use crate::runtime::core::{
    AddressKey, Bindings, CoreSettings, EgressBinding, FailurePolicy, FunctionBinding, OnError,
    Windows,
};
use crate::sdk::TypeName;

/// Function types: namespace, name, whether it is called with durable messages only.
pub(super) const TYPES: [(&str, &str, bool); 5] = [
    ("a", "plain", false),
    ("a", "other", false),
    ("b", "plain", false),
    ("a", "outside", true),
    ("b", "delivery", false),
];
/// The type that stands for an egress.
pub(super) const DELIVERY: usize = 4;
/// The egress with an outbox.
pub(super) const OUTBOX: (&str, &str) = ("out", "log");
/// The egress that is a function.
pub(super) const DELIVERED: (&str, &str) = ("out", "delivery");
/// They belong to different cores however many there are.
const IDS: [&str; 6] = ["", "9", "6", "1", "0", "amy"];

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Arrive,
    Hand,
    Answer,
    GiveUp,
    LateAnswer,
    Sync,
    Tell,
    Clock,
    Tick,
    Sweep,
    SetState,
    Resume,
    Take,
    Stop,
    Crash,
}

const ACTIONS: [(Action, u64); 15] = [
    (Action::Arrive, 16),
    (Action::Hand, 30),
    (Action::Answer, 60),
    (Action::GiveUp, 3),
    (Action::LateAnswer, 3),
    (Action::Sync, 8),
    (Action::Tell, 12),
    (Action::Clock, 12),
    (Action::Tick, 3),
    (Action::Sweep, 2),
    (Action::SetState, 2),
    (Action::Resume, 2),
    (Action::Take, 4),
    (Action::Stop, 1),
    (Action::Crash, 1),
];

/// The plan of one schedule.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: u64,
    /// Maximum number of messages.
    pub(super) messages: usize,
    pub(super) max_cores: u64,
    pub(super) addresses: Vec<AddressKey>,
    pub(super) ids: usize,
    /// `index` and `cores` are filled in at each start.
    pub(super) settings: CoreSettings,
    /// Memory holds less than the schedule needs, so that many messages are in the store only.
    pub(super) is_tight: bool,
    /// The clock also steps back. Values that expire and idempotency keys are left out then.
    pub(super) steps_back: bool,
    /// Percent of the replies that ask for something impossible.
    pub(super) bad_replies: u64,
    /// Percent of the calls that fail.
    pub(super) failing_calls: u64,
    /// Percent of the messages that come with an idempotency key.
    pub(super) keyed: u64,
    weights: [u64; ACTIONS.len()],
}

impl Plan {
    pub(super) fn of(random: &mut Random) -> Self {
        let steps_back = random.chance(10);
        let is_tight = random.chance(60);
        let ids = 1 + pick(random, IDS.len()).max(pick(random, IDS.len()));
        let addresses = TYPES.iter().flat_map(|(namespace, name, _)| {
            let ids = IDS.iter().take(ids);
            ids.map(|id| AddressKey::new(namespace, name, id))
        });
        let weights = ACTIONS.map(|(_, weight)| match random.below(6) {
            0 => weight.div_ceil(4),
            1 => weight * 3,
            _ => weight,
        });
        Self {
            steps: 20 + random.below(130),
            messages: 10 + pick(random, 80),
            max_cores: 1 + random.below(4),
            addresses: addresses.collect(),
            ids,
            settings: settings(random, is_tight),
            is_tight,
            steps_back,
            bad_replies: random.below(25),
            failing_calls: random.below(25),
            keyed: if steps_back { 0 } else { random.below(50) },
            weights,
        }
    }

    pub(super) fn action(&self, random: &mut Random) -> Action {
        let mut left = random.below(self.weights.iter().sum());
        for ((action, _), weight) in ACTIONS.iter().zip(self.weights) {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return *action,
            }
        }
        Action::Tick
    }

    /// The index of this address.
    pub(super) fn index(&self, address: &AddressKey) -> Option<usize> {
        self.addresses.iter().position(|known| known == address)
    }

    /// The index of the address with type `kind` and the id of `index`.
    pub(super) fn beside(&self, index: usize, kind: usize) -> usize {
        kind * self.ids + index % self.ids
    }

    /// Index of the type in [`TYPES`].
    pub(super) fn kind(&self, index: usize) -> usize {
        index / self.ids
    }

    pub(super) fn is_after_durable(&self, index: usize) -> bool {
        TYPES
            .get(self.kind(index))
            .is_some_and(|(_, _, after_durable)| *after_durable)
    }
}

fn settings(random: &mut Random, is_tight: bool) -> CoreSettings {
    let mut settings = CoreSettings {
        failure: FailurePolicy {
            backoff: Backoff {
                first: Duration::from_millis(10),
                factor: 2.0,
                max: Duration::from_millis(40),
            },
            attempts: if random.chance(30) {
                NonZeroU32::new(1 + u32::try_from(random.below(3)).unwrap_or(0))
            } else {
                None
            },
            on_error: OnError::Park,
            statefun_words: false,
        },
        ..CoreSettings::default()
    };
    if random.chance(10) {
        settings.max_backlog = 1 + random.below(10);
        settings.type_share_percent = if random.chance(50) { 30 } else { 100 };
    }
    if is_tight {
        let mut some = |most: u64| 1 + pick(random, usize::try_from(most).unwrap_or(1));
        settings.windows = Windows {
            messages: some(4),
            bytes: if some(2) == 1 { some(150) } else { 8 << 20 },
            timers: some(4),
            fired_at_once: some(3),
            page: some(4),
        };
        settings.max_memory_bytes = if some(2) == 1 { some(600) } else { 64 << 20 };
        settings.max_active = some(12);
        if some(2) == 1 {
            settings.max_calls = some(4);
        }
    }
    settings
}

/// A number below `bound`, for picking from a list.
pub(super) fn pick(random: &mut Random, bound: usize) -> usize {
    let below = random.below(u64::try_from(bound).unwrap_or(u64::MAX));
    usize::try_from(below).unwrap_or_default()
}

/// The functions and egresses of every schedule.
#[derive(Debug)]
pub(super) struct Bound;

impl Bindings for Bound {
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding> {
        TYPES
            .iter()
            .find(|kind| (kind.0, kind.1) == (namespace, name))
            .map(|kind| FunctionBinding {
                after_durable: kind.2,
                max_backlog: 0,
            })
    }

    fn egress(&self, namespace: &str, name: &str) -> Option<EgressBinding> {
        match (namespace, name) {
            OUTBOX => Some(EgressBinding::Outbox),
            DELIVERED => Some(EgressBinding::Function(TypeName::new("b/delivery"))),
            _ => None,
        }
    }
}
