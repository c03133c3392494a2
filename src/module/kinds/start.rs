//! Where an ingress begins without a stored position: the common part of Kafka and Kinesis.

use crate::document::{Complaint, Fields, Node};
use crate::time::{Timestamp, calendar};

use super::super::coerce;

const PATTERN: &str = "yyyy-MM-dd HH:mm:ss.SSS Z";

/// The mapping at `startupPosition` and its type.
pub(super) fn read<'a>(fields: &Fields<'a>) -> Option<(Fields<'a>, String)> {
    let start = coerce::mapping_at(fields, "startupPosition")?;
    let kind = coerce::text_of_any(&start, "type")?;
    Some((start, kind))
}

/// Reports an unknown type.
pub(super) fn unknown(fields: &Fields<'_>, kind: &str, valid: &str) {
    let text = format!("Invalid startup position type: {kind}; valid values are [{valid}]");
    fields.fault("type", text);
}

/// The point in time at `date`.
pub(super) fn date(fields: &Fields<'_>) -> Option<Timestamp> {
    fields.needed("date", date_of)
}

fn date_of(node: &Node) -> Result<Timestamp, Complaint> {
    let text = coerce::as_text(node);
    let invalid = || {
        Complaint::with_remedy(
            format!(
                "Unable to parse date string for startup position: {text}; the date should conform to the pattern {PATTERN}"
            ),
            "such as 2024-02-01 04:15:00.000 +0000",
        )
    };
    let millis = millis_of(&text).ok_or_else(invalid)?;
    match u64::try_from(millis) {
        Ok(millis) => Ok(Timestamp::from_millis(millis)),
        Err(_) => Err(format!("`{text}` is before 1970").into()),
    }
}

/// Milliseconds since 1970. As in Java, a day beyond the end of its month is the last one, and 24:00 is the start of the next day.
fn millis_of(text: &str) -> Option<i64> {
    let (year, rest) = number(text, 4, '-')?;
    let (month, rest) = number(rest, 2, '-')?;
    let (day, rest) = number(rest, 2, ' ')?;
    let (hour, rest) = number(rest, 2, ':')?;
    let (minute, rest) = number(rest, 2, ':')?;
    let (second, rest) = number(rest, 2, '.')?;
    let (millis, rest) = number(rest, 3, ' ')?;
    let offset = offset(rest)?;
    let is_midnight = (hour, minute, second, millis) == (24, 0, 0, 0);
    let is_time = (hour < 24 || is_midnight) && minute < 60 && second < 60;
    if year == 0 || !(1..=31).contains(&day) || !is_time {
        return None;
    }
    let midnight = |day| calendar::midnight(i16::try_from(year).ok()?, small(month)?, small(day)?);
    let midnight = (28..=day).rev().chain([day]).find_map(midnight)?;
    let seconds = i64::from(hour * 3600 + minute * 60 + second) - offset;
    Some((midnight + seconds) * 1000 + i64::from(millis))
}

fn small(number: u32) -> Option<i8> {
    i8::try_from(number).ok()
}

/// Reads this number of digits, and returns the text after the character that follows them.
fn number(text: &str, digits: usize, then: char) -> Option<(u32, &str)> {
    let (number, rest) = (text.get(..digits)?, text.get(digits..)?);
    let number = all_digits(number)?;
    Some((number, rest.strip_prefix(then)?))
}

fn all_digits(text: &str) -> Option<u32> {
    let is_number = text.chars().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Seconds east of Greenwich, from `+0130`.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let digits = text.get(1..).filter(|digits| digits.len() == 4)?;
    let (hours, minutes) = (all_digits(digits.get(..2)?)?, all_digits(digits.get(2..)?)?);
    let seconds = hours * 3600 + minutes * 60;
    (minutes < 60 && seconds <= 18 * 3600).then_some(sign * i64::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of Java's formatter.
    #[test]
    fn dates_are_read_as_by_statefun() {
        for (text, expected) in [
            ("1970-01-01 00:00:00.000 +0000", Some(0)),
            ("1970-01-01 01:30:00.001 +0130", Some(1)),
            ("1970-01-01 00:00:00.000 -0000", Some(0)),
            ("2020-02-01 04:15:00.000 +0000", Some(1_580_530_500_000)),
            ("2020-01-01 23:59:59.000 -1800", Some(1_577_987_999_000)),
            // The last day of the month.
            ("2020-02-31 00:00:00.000 +0000", Some(1_582_934_400_000)),
            ("2021-02-29 00:00:00.000 +0000", Some(1_614_470_400_000)),
            ("2020-01-01 24:00:00.000 +0000", Some(1_577_923_200_000)),
            ("2020-01-01 24:00:01.000 +0000", None),
            ("2020-02-32 04:15:00.000 +0000", None),
            ("2020-13-01 04:15:00.000 +0000", None),
            ("2020-00-01 04:15:00.000 +0000", None),
            ("2020-01-00 04:15:00.000 +0000", None),
            ("2020-01-01 23:60:00.000 +0000", None),
            ("2020-01-01 23:59:60.000 +0000", None),
            ("0000-01-01 23:59:59.000 +0000", None),
            ("20201-01-01 23:59:59.000 +0000", None),
            ("2020-1-01 23:59:59.000 +0000", None),
            (" 2020-01-01 23:59:59.000 +0000", None),
            ("2020-02-01 04:15:00.00 Z", None),
            ("2020-02-01 04:15:00.000 Z", None),
            ("2020-02-01 04:15:00.000 +01:00", None),
            ("2020-01-01 23:59:59.000 -1801", None),
            ("2020-01-01 23:59:59.000 -0060", None),
            ("2020-01-01 23:59:59.000 +01", None),
            ("2020-01-01T23:59:59.000 +0100", None),
            ("null", None),
        ] {
            assert_eq!(millis_of(text), expected, "{text}");
        }
    }
}
