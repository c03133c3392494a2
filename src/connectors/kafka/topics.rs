//! What the cluster has: partitions, and how far they reach.

use std::collections::BTreeMap;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::client::ANSWER;
use super::consumer::Consumer;
use super::split::Split;
use crate::sdk::BoxError;

/// The offsets of a partition: of its oldest record, and behind its newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) oldest: i64,
    pub(super) end: i64,
}

/// The partitions of each topic; none of one that is not there.
///
/// # Errors
/// When the cluster does not answer, or does not let us see a topic.
pub(super) fn partitions(
    consumer: &Consumer,
    topics: &[String],
) -> Result<BTreeMap<String, Vec<i32>>, BoxError> {
    let mut found = BTreeMap::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER);
        let metadata = metadata.map_err(|failure| consumer.context().explain(&failure))?;
        let of_topic = metadata.topics().iter().find(|found| found.name() == topic);
        let error = of_topic.and_then(|found| found.error());
        let partitions = match error.map(RDKafkaErrorCode::from) {
            None => of_topic.map_or_else(Vec::new, |found| {
                found.partitions().iter().map(|one| one.id()).collect()
            }),
            // The last one is said while a topic is made.
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::LeaderNotAvailable,
            ) => Vec::new(),
            Some(error) => return Err(format!("topic {topic}: {error}").into()),
        };
        found.insert(topic.clone(), partitions);
    }
    Ok(found)
}

/// How far each partition reaches.
///
/// # Errors
/// When the cluster does not answer.
pub(super) fn reaches<'a>(
    consumer: &Consumer,
    splits: impl Iterator<Item = &'a Split>,
) -> Result<BTreeMap<Split, Reach>, BoxError> {
    let mut reaches = BTreeMap::new();
    for split in splits {
        let reach = consumer.fetch_watermarks(&split.topic, split.partition, ANSWER);
        let (oldest, end) = reach.map_err(|failure| {
            let why = consumer.context().explain(&failure);
            format!("{split}: {why}")
        })?;
        reaches.insert(split.clone(), Reach { oldest, end });
    }
    Ok(reaches)
}
