//! Topics and filters of MQTT: `+` is one whole level, and `#` at the end all levels from there on.

use std::fmt;

/// A valid filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicFilter(Vec<Level>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Named(String),
    One,
    Rest,
}

/// A text that is not a filter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFilter {
    #[error("a topic filter must not be empty")]
    Empty,
    #[error("`{0}` has `#` before its last level; write `+` for one level")]
    Inner(String),
    #[error("`{0}` has a wildcard that is not a whole level")]
    Partial(String),
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, level) in self.0.iter().enumerate() {
            let slash = if at == 0 { "" } else { "/" };
            let level = match level {
                Level::Named(name) => name,
                Level::One => "+",
                Level::Rest => "#",
            };
            write!(f, "{slash}{level}")?;
        }
        Ok(())
    }
}

impl TopicFilter {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidFilter> {
        if text.is_empty() {
            return Err(InvalidFilter::Empty);
        }
        let mut levels = Vec::new();
        for level in text.split('/') {
            if levels.last() == Some(&Level::Rest) {
                return Err(InvalidFilter::Inner(text.to_owned()));
            }
            levels.push(match level {
                "+" => Level::One,
                "#" => Level::Rest,
                part if part.contains(['+', '#']) => {
                    return Err(InvalidFilter::Partial(text.to_owned()));
                }
                name => Level::Named(name.to_owned()),
            });
        }
        Ok(Self(levels))
    }

    /// Whether `topic` matches. A wildcard at the first level does not match `$…`.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        let is_wild = !matches!(self.0.first(), Some(Level::Named(_)));
        if is_wild && topic.starts_with('$') {
            return false;
        }
        let mut topic = topic.split('/');
        for level in &self.0 {
            let next = topic.next();
            match level {
                // Its parent matches, too, and then there is no next level.
                Level::Rest => return true,
                Level::One if next.is_some() => {}
                Level::Named(name) if next == Some(name) => {}
                _ => return false,
            }
        }
        topic.next().is_none()
    }
}

/// For the ingress of MQTT.
#[cfg(feature = "runtime")]
impl TopicFilter {
    /// Whether some topic matches both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (mut one, mut other) = (self.0.iter(), other.0.iter());
        loop {
            match (one.next(), other.next()) {
                (Some(Level::Rest), _) | (_, Some(Level::Rest)) | (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(Level::Named(one)), Some(Level::Named(other))) if one != other => {
                    return false;
                }
                (Some(_), Some(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, topic: &str) -> bool {
        TopicFilter::parse(filter).unwrap().matches(topic)
    }

    #[test]
    fn pl_07_filters_match_whole_levels() {
        let filters = [
            "edgex/events/+/D1/#",
            "edgex/events/P1/#",
            "edgex/events/P1/D1/S1",
        ];
        for (topic, expected) in [
            ("edgex/events/P1/D1/S1", 3),
            ("edgex/events/P1/D1/S2", 2),
            ("edgex/events/P2/D1/S2", 1),
            ("edgex/events/P2/D2/S2", 0),
        ] {
            let run = filters.iter().filter(|filter| matches(filter, topic));
            assert_eq!(run.count(), expected, "{topic}");
        }
        assert!(matches("edgex/events/+/D", "edgex/events/P/D"));
        assert!(!matches("edgex/events/+/D", "edgex/events/P/D/S"));
        assert!(!matches("a/+/c", "a/b/cde") && !matches("a/+/c", "a/c"));
        assert!(matches("a/b/#", "a/b"));
        assert!(matches("#", "") && matches("#", "a/b"));
        assert!(
            !matches("#", "$SYS/x") && !matches("+/x", "$SYS/x") && matches("$SYS/#", "$SYS/x")
        );
    }

    #[cfg(feature = "runtime")]
    #[test]
    fn filters_overlap_if_a_topic_matches_both() {
        let overlap = |one: &str, other: &str| {
            let filter = |text| TopicFilter::parse(text).unwrap();
            filter(one).overlaps(&filter(other))
        };
        for (one, other) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/#", "a"),
            ("#", "x/y/z"),
            ("+/b", "a/+"),
        ] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("a", "b"),
            ("a/+", "a"),
            ("a/b", "a/b/c"),
            ("a/+/c", "a/b/d"),
        ] {
            assert!(
                !overlap(one, other) && !overlap(other, one),
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_text_that_is_not_a_filter_is_refused() {
        assert_eq!(TopicFilter::parse(""), Err(InvalidFilter::Empty));
        let inner = TopicFilter::parse("a/#/b").unwrap_err().to_string();
        assert!(inner.contains("write `+`"), "{inner}");
        assert!(TopicFilter::parse("a+").is_err());
        assert!(TopicFilter::parse("a/b#").is_err());
    }
}
