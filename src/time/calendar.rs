//! Dates of the Gregorian calendar, in UTC: RFC 3339 and HTTP's dates as text. `jiff` knows the calendar.

#[cfg(feature = "runtime")]
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::Timestamp;

/// `2026-02-03T04:05:06.789Z`; later times than the year 9999 are written as its last millisecond.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).ok();
    let time = millis
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}

/// `Tue Feb  3 04:05:06 UTC 2026`, as the program `date` of UNIX writes it.
#[cfg(feature = "runtime")]
pub(crate) fn unix_date(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).ok();
    let time = millis
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .unwrap_or(jiff::Timestamp::MAX);
    let time = Offset::UTC.to_datetime(time);
    time.strftime("%a %b %e %H:%M:%S UTC %Y").to_string()
}

/// Reads RFC 3339 with any offset; digits below a millisecond are dropped. `None` for other texts and times before 1970.
pub(crate) fn from_rfc3339(text: &str) -> Option<Timestamp> {
    point(text.parse().ok()?)
}

/// Reads the three forms of an HTTP date. `None` for other texts and times before 1970.
pub(crate) fn from_http_date(text: &str) -> Option<Timestamp> {
    const FORMS: [&str; 3] = [
        "%d %b %Y %H:%M:%S GMT", // Sun, 06 Nov 1994 08:49:37 GMT
        "%d-%b-%y %H:%M:%S GMT", // Sunday, 06-Nov-94 08:49:37 GMT
        "%b %e %H:%M:%S %Y",     // Sun Nov  6 08:49:37 1994
    ];
    // The day of the week is redundant.
    let (_, date) = text.split_once(' ')?;
    let time = FORMS
        .iter()
        .find_map(|form| DateTime::strptime(form, date).ok())?;
    point(Offset::UTC.to_timestamp(time).ok()?)
}

/// A day of the calendar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day {
    /// 1 to 12.
    pub(crate) month: u64,
    /// 1 to 31.
    pub(crate) day: u64,
    /// Sunday is 0.
    pub(crate) weekday: u64,
}

/// The day this many days after 1970-01-01; `None` after the year 9999.
pub(crate) fn day(days: u64) -> Option<Day> {
    let seconds = i64::try_from(days).ok()?.checked_mul(86_400)?;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    let date = Offset::UTC.to_datetime(time).date();
    let small = |number: i8| u64::from(number.unsigned_abs());
    Some(Day {
        month: small(date.month()),
        day: small(date.day()),
        weekday: small(date.weekday().to_sunday_zero_offset()),
    })
}

/// Seconds from 1970 to the first moment of a day; negative before. `None` when the calendar has no such day.
#[cfg(feature = "runtime")]
pub(crate) fn midnight(year: i16, month: i8, day: i8) -> Option<i64> {
    let midnight = Date::new(year, month, day).ok()?.at(0, 0, 0, 0);
    Some(Offset::UTC.to_timestamp(midnight).ok()?.as_second())
}

fn point(time: jiff::Timestamp) -> Option<Timestamp> {
    let millis = u64::try_from(time.as_millisecond()).ok()?;
    Some(Timestamp::from_millis(millis))
}

/// For `#[serde(with = "crate::time::calendar::serde_time")]`: RFC 3339.
pub(crate) mod serde_time {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::time::Timestamp;

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::rfc3339(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        super::from_rfc3339(&text)
            .ok_or_else(|| D::Error::custom(format!("invalid time `{text}`: write RFC 3339")))
    }
}

/// For `#[serde(default, with = "crate::time::calendar::serde_option_time")]`.
pub(crate) mod serde_option_time {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Timestamp;

    #[derive(Deserialize)]
    struct Time(#[serde(with = "super::serde_time")] Timestamp);

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serde_time::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<Time>::deserialize(from)?.map(|Time(time)| time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_written_and_read() {
        let time = Timestamp::from_millis(1_709_210_096_789);
        assert_eq!(rfc3339(time), "2024-02-29T12:34:56.789Z");
        assert_eq!(rfc3339(Timestamp::default()), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp::MAX), "9999-12-30T22:00:00.999Z");
        for text in [
            "2024-02-29T12:34:56.789Z",
            "2024-02-29T14:34:56.789123456+02:00",
            "2024-02-29t04:04:56.789-08:30",
        ] {
            assert_eq!(from_rfc3339(text), Some(time), "{text}");
        }
        for bad in [
            "",
            "2024-02-29",
            "2024-02-30T00:00:00Z",
            "2024-02-29T24:00:00Z",
            "2024-2-29T00:00:00Z",
            "1960-01-01T00:00:00Z",
        ] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_three_forms_of_an_http_date_are_one_time() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                from_http_date(text),
                Some(Timestamp::from_millis(784_111_777_000)),
                "{text}"
            );
        }
        assert_eq!(from_http_date("06 Nov 1994"), None);
        assert_eq!(from_http_date("Sun, 06 Now 1994 08:49:37 GMT"), None);
    }
}
