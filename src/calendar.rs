//! Dates of the Gregorian calendar, in UTC: RFC 3339 and HTTP's dates as text, and the fields that cron rules ask for.

use crate::timestamp::Timestamp;

const DAY_MILLIS: u64 = 86_400_000;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u32,
    /// 1 to 31.
    pub(crate) day: u32,
}

impl Date {
    /// The day that many days after 1970-01-01.
    pub(crate) fn from_days(days: u64) -> Self {
        // Years begin in March here, so that the leap day is a year's last; 400 years make a period of 146,097 days.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Self {
            year: i64::try_from(year).unwrap_or(i64::MAX),
            month: u32::try_from(month).unwrap_or(1),
            day: u32::try_from(day).unwrap_or(1),
        }
    }

    /// Days since 1970-01-01; negative before. `None` when the calendar has no such day.
    pub(crate) fn days(self) -> Option<i64> {
        if !(0..=9999).contains(&self.year) || self.day == 0 || self.day > self.month_length()? {
            return None;
        }
        let year = self.year - i64::from(self.month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }

    fn month_length(self) -> Option<u32> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 => Some(28 + u32::from(leap)),
            4 | 6 | 9 | 11 => Some(30),
            1..=12 => Some(31),
            _ => None,
        }
    }
}

/// The day of the week of a day counted from 1970-01-01, a Thursday; Sunday is 0.
pub(crate) fn weekday(days: u64) -> u32 {
    u32::try_from((days + 4) % 7).unwrap_or(0)
}

/// The point of time at `millis` of a date's day.
fn at(date: Date, millis: i64) -> Option<Timestamp> {
    let millis = date.days()? * 86_400_000 + millis;
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

/// `2026-02-03T04:05:06.789Z`.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let (days, of_day) = (time.as_millis() / DAY_MILLIS, time.as_millis() % DAY_MILLIS);
    let Date { year, month, day } = Date::from_days(days);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Reads RFC 3339 with any offset; digits below a millisecond are dropped. `None` for other texts and times before 1970.
pub(crate) fn from_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut fields = date.split('-');
    let date = Date {
        year: digits(fields.next()?, 4)?,
        month: u32::try_from(digits(fields.next()?, 2)?).ok()?,
        day: u32::try_from(digits(fields.next()?, 2)?).ok()?,
    };
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = (time.get(..zone)?, time.get(zone..)?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let millis = clock_millis(clock)? + fraction_millis(fraction)?;
    fields
        .next()
        .is_none()
        .then(|| at(date, millis - offset_millis(zone)?))?
}

fn fraction_millis(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{text:0<3}").get(..3)?.parse().ok()
}

fn offset_millis(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let millis = (digits(hours, 2)? * 60 + digits(minutes, 2)?) * 60_000;
    Some(if zone.starts_with('-') {
        -millis
    } else {
        millis
    })
}

/// Reads the three forms of an HTTP date. `None` for other texts and times before 1970.
pub(crate) fn from_http_date(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text
        .split([' ', ',', '-'])
        .filter(|word| !word.is_empty())
        .collect();
    let (day, month, year, clock) = match words.as_slice() {
        // `Sun, 06 Nov 1994 08:49:37 GMT` and `Sunday, 06-Nov-94 08:49:37 GMT`.
        [_, day, month, year, clock, "GMT"] => (day, month, full_year(year)?, clock),
        // `Sun Nov  6 08:49:37 1994`.
        [_, month, day, clock, year] => (day, month, digits(year, 4)?, clock),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| name == month)? + 1;
    let date = Date {
        year,
        month: u32::try_from(month).ok()?,
        day: day.parse().ok()?,
    };
    at(date, clock_millis(clock)?)
}

/// Two digits mean a year from 1970 to 2069.
fn full_year(text: &str) -> Option<i64> {
    match digits(text, 2) {
        Some(year) if year < 70 => Some(2000 + year),
        Some(year) => Some(1900 + year),
        None => digits(text, 4),
    }
}

/// `08:49:37`; a leap second counts as the next minute's first.
fn clock_millis(text: &str) -> Option<i64> {
    let mut fields = text.split(':').map(|field| digits(field, 2));
    let (hours, minutes, seconds) = (fields.next()??, fields.next()??, fields.next()??);
    let fits = fields.next().is_none() && hours < 24 && minutes < 60 && seconds <= 60;
    fits.then_some(((hours * 60 + minutes) * 60 + seconds) * 1000)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let fits = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// For `#[serde(with = "crate::calendar::serde_time")]`: RFC 3339.
pub(crate) mod serde_time {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::timestamp::Timestamp;

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::rfc3339(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        super::from_rfc3339(&text)
            .ok_or_else(|| D::Error::custom(format!("invalid time `{text}`: write RFC 3339")))
    }
}

/// For `#[serde(default, with = "crate::calendar::serde_option_time")]`.
pub(crate) mod serde_option_time {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::timestamp::Timestamp;

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
    fn days_and_dates_convert_both_ways() {
        for days in (0..40_000).chain([2_932_896]) {
            let date = Date::from_days(days);
            assert_eq!(date.days(), Some(i64::try_from(days).unwrap()), "{date:?}");
        }
        let date = Date::from_days(19_782);
        assert_eq!((date.year, date.month, date.day), (2024, 2, 29));
        assert_eq!(weekday(19_782), 4, "a Thursday");
        assert_eq!(
            Date {
                year: 2023,
                month: 2,
                day: 29
            }
            .days(),
            None
        );
    }

    #[test]
    fn rfc3339_is_written_and_read() {
        let time = Timestamp::from_millis(1_709_210_096_789);
        assert_eq!(rfc3339(time), "2024-02-29T12:34:56.789Z");
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
