//! The partition core under seeded random schedules.
//!
//! `SIMULATION_SEED=7` runs that schedule alone and prints all of it when it fails; `SIMULATION_SCHEDULES=1000000` sets how many are run, from
//! `SIMULATION_FROM` on.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use stateful_functions::testing::simulator::{self, Report, Violation};

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs the schedules on all processors, up to the first that fails.
fn run(from: u64, schedules: u64) -> Result<Report, Violation> {
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let done = Mutex::new(Ok(Report::default()));
    let worker = || {
        let mut sum = Report::default();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + schedules {
                break;
            }
            match simulator::run(seed) {
                Ok(report) => sum = sum.and(report),
                Err(violation) => {
                    stop.store(true, Ordering::Relaxed);
                    *done.lock().unwrap() = Err(violation);
                    return;
                }
            }
        }
        let mut done = done.lock().unwrap();
        if let Ok(report) = &mut *done {
            *report = report.and(sum);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(worker);
        }
    });
    done.into_inner().unwrap()
}

#[test]
fn ten_thousand_random_schedules_keep_all_invariants() {
    let report = match setting("SIMULATION_SEED") {
        Some(seed) => simulator::run(seed),
        None => run(
            setting("SIMULATION_FROM").unwrap_or(0),
            setting("SIMULATION_SCHEDULES").unwrap_or(10_000),
        ),
    };
    match report {
        Ok(report) => println!("{report:#?}"),
        Err(violation) => panic!("{violation}"),
    }
}
