//! The first offsets of partitions that have no position.

use std::collections::BTreeMap;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::ANSWER;
use super::consumer::Consumer;
use super::split::Split;
use super::topics::{Reach, reaches};
use crate::module::{KafkaStart, OffsetReset, TopicPartition};
use crate::sdk::BoxError;

/// The offset of the first record to read in each of `splits`.
///
/// # Errors
/// If the cluster does not answer.
pub(super) fn begin(
    consumer: &Consumer,
    splits: &[Split],
    start: &KafkaStart,
    reset: OffsetReset,
) -> Result<BTreeMap<Split, i64>, BoxError> {
    let reaches = reaches(consumer, splits.iter())?;
    let asked = match start {
        KafkaStart::GroupOffsets => committed(consumer, splits)?,
        KafkaStart::Offsets(named) => {
            let mut asked = committed(consumer, splits)?;
            asked.extend(splits.iter().filter_map(|split| {
                let partition = u32::try_from(split.partition).ok()?;
                let topic = split.topic.clone();
                let offset = named.get(&TopicPartition { topic, partition })?;
                Some((split.clone(), *offset))
            }));
            asked
        }
        KafkaStart::Date(date) => at(consumer, splits, i64::try_from(date.as_millis())?)?,
        KafkaStart::Earliest | KafkaStart::Latest => BTreeMap::new(),
    };
    let chosen = reaches.into_iter().map(|(split, reach)| {
        let next = choose(start, asked.get(&split).copied(), reach, reset);
        (split, next)
    });
    Ok(chosen.collect())
}

/// The offset found, or its substitute.
fn choose(start: &KafkaStart, asked: Option<i64>, reach: Reach, reset: OffsetReset) -> i64 {
    match (start, asked) {
        (_, Some(asked)) => asked,
        (KafkaStart::Earliest, None) => reach.oldest,
        // All records are older than the date.
        (KafkaStart::Latest | KafkaStart::Date(_), None) => reach.end,
        (KafkaStart::GroupOffsets | KafkaStart::Offsets(_), None) => again(reach, reset),
    }
}

/// The offset at which to continue when the position is out of range.
pub(super) const fn again(reach: Reach, reset: OffsetReset) -> i64 {
    match reset {
        OffsetReset::Earliest => reach.oldest,
        OffsetReset::Latest => reach.end,
    }
}

/// The committed offsets of the consumer group.
fn committed(consumer: &Consumer, splits: &[Split]) -> Result<BTreeMap<Split, i64>, BoxError> {
    let asked = list(splits, Offset::Invalid)?;
    let answer = consumer.committed_offsets(asked, ANSWER);
    let answer = answer.map_err(|failure| consumer.explain(&failure))?;
    offsets(&answer)
}

/// The offsets of the first records that are not older than `millis`.
fn at(
    consumer: &Consumer,
    splits: &[Split],
    millis: i64,
) -> Result<BTreeMap<Split, i64>, BoxError> {
    let asked = list(splits, Offset::Offset(millis))?;
    let answer = consumer.offsets_for_times(asked, ANSWER);
    let answer = answer.map_err(|failure| consumer.explain(&failure))?;
    offsets(&answer)
}

pub(super) fn list(splits: &[Split], offset: Offset) -> Result<TopicPartitionList, BoxError> {
    let mut list = TopicPartitionList::new();
    for split in splits {
        list.add_partition_offset(&split.topic, split.partition, offset)?;
    }
    Ok(list)
}

/// The offsets in the answer.
fn offsets(answer: &TopicPartitionList) -> Result<BTreeMap<Split, i64>, BoxError> {
    let mut offsets = BTreeMap::new();
    for element in answer.elements() {
        let split = Split::new(element.topic(), element.partition());
        element
            .error()
            .map_err(|failure| format!("{split}: {failure}"))?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(split, offset);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn what_is_not_known_stands_where_statefun_puts_it() {
        let reach = Reach { oldest: 3, end: 9 };
        let date = KafkaStart::Date(Timestamp::from_millis(1));
        let named = KafkaStart::Offsets(BTreeMap::new());
        for (start, asked, earliest, latest) in [
            (&KafkaStart::Earliest, None, 3, 3),
            (&KafkaStart::Latest, None, 9, 9),
            (&date, Some(5), 5, 5),
            (&date, None, 9, 9),
            (&KafkaStart::GroupOffsets, Some(5), 5, 5),
            (&KafkaStart::GroupOffsets, None, 3, 9),
            (&named, None, 3, 9),
        ] {
            let chosen = |reset| choose(start, asked, reach, reset);
            assert_eq!(
                chosen(OffsetReset::Earliest),
                earliest,
                "{start:?} {asked:?}"
            );
            assert_eq!(chosen(OffsetReset::Latest), latest, "{start:?} {asked:?}");
        }
    }
}
