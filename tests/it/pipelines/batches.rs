//! Batches: collected in state, sent by count or time.

use std::num::NonZeroU32;
use std::time::Duration;

use stateful_functions::pipeline::{Batch, BatchFormat, HttpExport, Pipeline};

use super::town::Town;
use crate::support::destination::Destination;

const SECOND: Duration = Duration::from_secs(1);

fn batching(destination: &Destination, batch: Batch) -> Town {
    let export = HttpExport::post(destination.url("/"));
    Town::new(Pipeline::builder("p").batch(batch).http_export(export))
}

fn by_count(count: u32) -> Batch {
    Batch::by_count(NonZeroU32::new(count).unwrap())
}

#[tokio::test]
async fn pl_12_with_a_count_of_three_seven_items_make_two_batches_and_one_waits() {
    let destination = Destination::start().await;
    let mut town = batching(&destination, by_count(3));
    for n in 1..=7 {
        town.send(&format!("d{n}"), &n.to_string()).await;
        let gone = destination.received().len();
        assert_eq!(gone, n / 3, "after item {n}");
    }
    assert_eq!(destination.bodies(), ["[1,2,3]", "[4,5,6]"]);
    assert_eq!(town.remembering().len(), 1);
    town.send("d8", "8").await;
    town.send("d9", "9").await;
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn a_batch_with_a_time_is_sent_that_long_after_its_first_item() {
    let destination = Destination::start().await;
    let mut town = batching(&destination, Batch::by_time(10 * SECOND));
    town.send("d1", "1").await;
    town.advance(6 * SECOND).await;
    town.send("d1", "2").await;
    town.advance(4 * SECOND - Duration::from_millis(1)).await;
    assert_eq!(destination.received().len(), 0);
    town.advance(Duration::from_millis(1)).await;
    assert_eq!(destination.bodies(), ["[1,2]"]);
    assert_eq!(town.remembering(), []);
    town.advance(60 * SECOND).await;
    assert_eq!(
        destination.received().len(),
        1,
        "an empty batch is never sent"
    );
}

#[tokio::test]
async fn with_count_and_time_the_first_decides_and_a_full_batch_leaves_no_timer() {
    let destination = Destination::start().await;
    let mut batch = by_count(2);
    batch.time = Some(10 * SECOND);
    let mut town = batching(&destination, batch);
    town.send("d1", "1").await;
    town.advance(9 * SECOND).await;
    town.send("d1", "2").await;
    assert_eq!(destination.bodies(), ["[1,2]"]);
    assert_eq!(town.pending(), 0);
    town.send("d1", "3").await;
    town.advance(9 * SECOND).await;
    assert_eq!(
        destination.received().len(),
        1,
        "the next batch has its own time"
    );
    town.advance(SECOND).await;
    assert_eq!(destination.bodies(), ["[1,2]", "[3]"]);
}

#[tokio::test]
async fn records_with_different_keys_are_collected_separately() {
    let destination = Destination::start().await;
    let mut batch = by_count(2);
    batch.key = Some("site".to_owned());
    let mut town = batching(&destination, batch);
    for (site, n) in [("a", 1), ("b", 2), ("b", 3), ("a", 4)] {
        town.send("d1", &format!(r#"{{"site":"{site}","n":{n}}}"#))
            .await;
    }
    assert_eq!(
        destination.bodies(),
        [
            r#"[{"site":"b","n":2},{"site":"b","n":3}]"#,
            r#"[{"site":"a","n":1},{"site":"a","n":4}]"#
        ]
    );
    town.send("d1", r#"{"n":5}"#).await;
    assert_eq!(town.stands(), "discarded permanent 1");
    assert_eq!(town.only().0.type_name().as_str(), "pipelines/p.batch");
}

#[tokio::test]
async fn many_items_keep_their_order_over_all_segments() {
    let destination = Destination::start().await;
    let mut batch = by_count(1_000);
    batch.format = BatchFormat::Ndjson;
    let mut town = batching(&destination, batch);
    for n in 0..1_000 {
        town.send("d1", &n.to_string()).await;
    }
    let expected: String = (0..1_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(destination.bodies(), [expected]);
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn a_batch_is_sent_early_at_one_mebibyte() {
    let destination = Destination::start().await;
    let mut batch = by_count(10_000);
    batch.format = BatchFormat::Concat;
    let mut town = batching(&destination, batch);
    let item = "x".repeat(100_000);
    for n in 1..=11 {
        town.send("d1", &item).await;
        assert_eq!(destination.received().len(), n / 11, "after item {n}");
    }
    assert_eq!(destination.received()[0].body.len(), 1_100_000);
}

#[tokio::test]
async fn a_batch_that_cannot_be_delivered_is_kept_as_one() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = batching(&destination, by_count(2));
    town.send("d1", "1").await;
    town.send("d1", "2").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    destination.come_up().await;
    town.advance(2 * SECOND).await;
    assert_eq!(destination.bodies(), ["[1,2]"]);
}
