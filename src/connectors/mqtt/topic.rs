//! Topics: which filter matches, and which id is addressed.

use crate::module::MqttId;

/// Whether a topic matches a filter (MQTT 3.1.1, section 4.7): `+` is one level, `#` any number of them and the level above. Wildcards
/// at the beginning do not match topics that begin with `$`.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// The id that a publication to `topic` is addressed to.
pub(super) fn addressed(id: MqttId, topic: &str) -> &str {
    match id {
        MqttId::Level(level) => {
            let found = level
                .checked_sub(1)
                .and_then(|level| topic.split('/').nth(level));
            found.unwrap_or(topic)
        }
        _ => topic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_one_level_and_a_hash_is_all_that_follow_and_the_level_above() {
        for (filter, topic) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/+", "a/"),
            ("+/+", "/a"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("#", "a/b"),
            ("$SYS/#", "$SYS/uptime"),
            ("edgex/events/+/D1/#", "edgex/events/P1/D1/S1"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("a/b", "a/bc"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("a/b/#", "a/b2"),
            ("#", "$SYS/uptime"),
            ("+/uptime", "$SYS/uptime"),
            ("A/b", "a/b"),
            ("a/b/c", "a/b"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn the_id_is_the_topic_or_one_of_its_levels() {
        let topic = "edge/press-7/temperature";
        assert_eq!(addressed(MqttId::Topic, topic), topic);
        assert_eq!(addressed(MqttId::Level(2), topic), "press-7");
        assert_eq!(addressed(MqttId::Level(9), topic), topic);
    }
}
