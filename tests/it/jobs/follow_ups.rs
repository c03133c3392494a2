//! Jobs that follow from the outcomes of others.

use std::time::Duration;

use serde_json::json;
use stateful_functions::delivery::Failure;
use stateful_functions::jobs::{Jobs, Schedule};

use super::site::{Script, Site, paid};

const HOUR: Duration = Duration::from_secs(3600);

fn at_once(retries: u32) -> Schedule {
    Schedule::realtime().max_retries(retries)
}

/// Destination `crm`, whose outcomes are followed by jobs for others.
fn site(script: &Script, retries: u32) -> Site {
    let crm = script
        .destination("crm")
        .schedule(at_once(retries))
        .on_succeeded(["welcome"])
        .on_failed(["watch"])
        .on_discarded(["alarm"]);
    let mut jobs = Jobs::builder().destination(crm);
    // They take every event, too, but the tests send theirs to `crm` only.
    for name in ["welcome", "watch", "alarm"] {
        jobs = jobs.destination(Script::default().destination(name).schedule(at_once(0)));
    }
    Site::new(jobs)
}

fn followers(site: &Site, id: &str) -> Vec<String> {
    let event = site.event(id).unwrap();
    let children = event.jobs.iter().filter(|job| job.parent_job_id.is_some());
    children.map(|job| job.destination.clone()).collect()
}

#[tokio::test]
async fn dl_17_each_failure_and_the_success_are_followed_by_their_jobs() {
    let script = Script::default();
    let mut site = site(&script, 2);
    script.fail([Failure::retry("down", "1"), Failure::retry("down", "2")]);
    let event = paid(&json!({})).targets(["crm"]);
    let accepted = site.submit(event).await;
    assert_eq!(followers(&site, &accepted.id), ["watch"]);
    site.advance(2 * HOUR).await;
    assert_eq!(
        followers(&site, &accepted.id),
        ["watch", "watch", "welcome"]
    );
    let event = site.event(&accepted.id).unwrap();
    let parents = event
        .jobs
        .iter()
        .filter_map(|job| job.parent_job_id.as_deref());
    assert!(parents.clone().all(|parent| parent == accepted.jobs[0].id));
    assert_eq!(site.addresses().len(), 4);
}

#[tokio::test]
async fn dl_17_the_last_failure_counts_as_given_up_only_and_once() {
    let script = Script::default();
    let mut site = site(&script, 1);
    script.fail([Failure::retry("down", "1"), Failure::retry("down", "2")]);
    let accepted = site.submit(paid(&json!({})).targets(["crm"])).await;
    site.advance(2 * HOUR).await;
    assert_eq!(followers(&site, &accepted.id), ["watch", "alarm"]);
}
