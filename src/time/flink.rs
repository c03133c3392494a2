//! Durations as Flink reads them, with its error messages: `30s`, `2 min`, `500` (milliseconds). The grammar of StateFun's own kinds.

use std::time::Duration;

/// The text is not a duration; the message is Flink's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoSpan {
    pub(crate) message: String,
    /// What to write instead, where that is not obvious.
    pub(crate) remedy: Option<&'static str>,
}

impl NoSpan {
    fn with_remedy(message: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            message: message.into(),
            remedy: Some(remedy),
        }
    }
}

impl<T: Into<String>> From<T> for NoSpan {
    fn from(message: T) -> Self {
        Self {
            message: message.into(),
            remedy: None,
        }
    }
}

/// The nanoseconds of a unit, and its names.
const UNITS: &[(&str, u64, &[&str])] = &[
    ("DAYS", 86_400_000_000_000, &["d", "day", "days"]),
    ("HOURS", 3_600_000_000_000, &["h", "hour", "hours"]),
    (
        "MINUTES",
        60_000_000_000,
        &["min", "m", "minute", "minutes"],
    ),
    (
        "SECONDS",
        1_000_000_000,
        &["s", "sec", "secs", "second", "seconds"],
    ),
    (
        "MILLISECONDS",
        1_000_000,
        &["ms", "milli", "millis", "millisecond", "milliseconds"],
    ),
    (
        "MICROSECONDS",
        1_000,
        &["µs", "micro", "micros", "microsecond", "microseconds"],
    ),
    (
        "NANOSECONDS",
        1,
        &["ns", "nano", "nanos", "nanosecond", "nanoseconds"],
    ),
];

/// Reads a whole number and a unit (upper or lower case), with or without blanks between them. Without a unit it is milliseconds.
pub(crate) fn parse(text: &str) -> Result<Duration, NoSpan> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("argument is an empty- or whitespace-only string".into());
    }
    let end = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (digits, label) = trimmed.split_at(end);
    if digits.is_empty() {
        return Err(NoSpan::with_remedy(
            format!("text does not start with a number: `{text}`"),
            "write it as `30s` or `2 min`",
        ));
    }
    let count: i64 = digits.parse().map_err(|_| {
        NoSpan::from(format!(
            "The value '{digits}' cannot be re represented as 64bit number (numeric overflow)."
        ))
    })?;
    let nanos = u128::from(count.unsigned_abs()) * u128::from(unit(label.trim())?);
    let secs = i64::try_from(nanos / 1_000_000_000)
        .map_err(|_| NoSpan::from(format!("long overflow: `{text}` is too long")))?;
    let rest = u32::try_from(nanos % 1_000_000_000).unwrap_or_default();
    Ok(Duration::new(secs.unsigned_abs(), rest))
}

fn unit(label: &str) -> Result<u64, NoSpan> {
    if label.is_empty() {
        return Ok(1_000_000);
    }
    // The Greek letter `μ`, which looks the same as the micro sign, is refused as in StateFun.
    let lower = label.to_lowercase();
    UNITS
        .iter()
        .find(|(_, _, labels)| labels.contains(&lower.as_str()))
        .map(|(_, nanos, _)| *nanos)
        .ok_or_else(|| unknown_unit(&lower))
}

fn unknown_unit(lower: &str) -> NoSpan {
    let known: Vec<String> = UNITS
        .iter()
        .map(|(name, _, labels)| format!("{name}: ({})", labels.join(" | ")))
        .collect();
    let message = format!(
        "Time interval unit label '{lower}' does not match any of the recognized units: {}",
        known.join(", ")
    );
    match lower {
        "us" | "μs" => NoSpan::with_remedy(
            message,
            "microseconds are written `µs`, with U+00B5, or `micros`",
        ),
        _ if lower.starts_with('.') => {
            NoSpan::with_remedy(message, "use a whole number of a smaller unit")
        }
        _ => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_56_every_label_parses_in_any_case_with_and_without_blanks() {
        for (_, nanos, labels) in UNITS {
            let expected = Duration::from_nanos(*nanos) * 3;
            for label in *labels {
                for text in [
                    format!("3{label}"),
                    format!(" 3 {label} "),
                    format!("3{}", label.to_ascii_uppercase()),
                ] {
                    assert_eq!(parse(&text).unwrap(), expected, "{text}");
                }
            }
        }
    }

    #[test]
    fn sf_56_a_bare_number_is_milliseconds() {
        assert_eq!(parse("1500").unwrap(), Duration::from_millis(1500));
        assert_eq!(parse("0").unwrap(), Duration::ZERO);
    }

    #[test]
    fn sf_56_us_and_fractions_and_signs_are_refused() {
        for (text, key_words) in [
            (
                "3us",
                "Time interval unit label 'us' does not match any of the recognized units: DAYS: (d | day | days)",
            ),
            ("1.5s", "Time interval unit label '.5s' does not match"),
            ("3 fortnights", "'fortnights'"),
            ("3 μs", "'μs'"),
            ("-1s", "text does not start with a number"),
            ("s", "text does not start with a number"),
            (" ", "argument is an empty- or whitespace-only string"),
            (
                "99999999999999999999s",
                "The value '99999999999999999999' cannot be re represented as 64bit number (numeric overflow).",
            ),
            ("9223372036854775807d", "long overflow"),
        ] {
            let complaint = parse(text).unwrap_err();
            assert!(
                complaint.message.contains(key_words),
                "{text}: {complaint:?}"
            );
        }
    }
}
