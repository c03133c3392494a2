//! Random tests by seeds: `STATEFUN_SEED` replays one, `STATEFUN_SEEDS` sets how many are run.

use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Plays `count` seeds, or those that the environment asks for, and names the one that fails.
pub(crate) fn for_each_seed(count: u64, play: impl Fn(u64)) {
    let seeds = match number("STATEFUN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STATEFUN_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        let played = catch_unwind(AssertUnwindSafe(|| play(seed)));
        assert!(
            played.is_ok(),
            "seed {seed} failed; STATEFUN_SEED={seed} replays it"
        );
    }
}
