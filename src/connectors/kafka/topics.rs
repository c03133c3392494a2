//! The partitions of the cluster, and their ranges of offsets.

use std::collections::BTreeMap;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::client::ANSWER;
use super::consumer::Consumer;
use super::split::Split;
use crate::sdk::BoxError;

/// The offsets of a partition: of its oldest record, and after its newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) oldest: i64,
    pub(super) end: i64,
}

/// The partitions of each topic; a missing topic has none.
///
/// # Errors
/// If the cluster does not answer, or denies access to a topic.
pub(super) fn partitions(
    consumer: &Consumer,
    topics: &[String],
) -> Result<BTreeMap<String, Vec<i32>>, BoxError> {
    let mut found = BTreeMap::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER);
        let metadata = metadata.map_err(|failure| consumer.explain(&failure))?;
        let of_topic = metadata.topics().iter().find(|found| found.name() == topic);
        let error = of_topic.and_then(|found| found.error());
        let partitions = match error.map(RDKafkaErrorCode::from) {
            None => of_topic.map_or_else(Vec::new, |found| {
                found.partitions().iter().map(|one| one.id()).collect()
            }),
            // The last error occurs while a topic is being created.
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

/// The range of each partition.
///
/// # Errors
/// If the cluster does not answer.
pub(super) fn reaches<'a>(
    consumer: &Consumer,
    splits: impl Iterator<Item = &'a Split>,
) -> Result<BTreeMap<Split, Reach>, BoxError> {
    let mut reaches = BTreeMap::new();
    for split in splits {
        let reach = consumer.fetch_watermarks(&split.topic, split.partition, ANSWER);
        let (oldest, end) = reach.map_err(|failure| {
            let why = consumer.explain(&failure);
            format!("{split}: {why}")
        })?;
        reaches.insert(split.clone(), Reach { oldest, end });
    }
    Ok(reaches)
}
