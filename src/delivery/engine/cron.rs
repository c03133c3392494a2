use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, calendar};

const MINUTE_MILLIS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;
/// The next 29 February is at most eight years away.
const HORIZON_DAYS: u64 = 366 * 8 + 1;
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A cron expression in UTC: minute, hour, day of month, month, day of week; or `@hourly`, `@daily` and so on.
///
/// Lists, ranges, steps and English names are supported. If both days are restricted, either one may match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

/// Not a valid cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid cron expression `{text}`: {problem}")]
pub struct InvalidCron {
    text: String,
    problem: String,
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        let fault = |problem: String| InvalidCron {
            text: text.chars().take(80).collect(),
            problem,
        };
        let cron = rule(text).map_err(fault)?;
        if cron.days_after(0).is_none() {
            return Err(fault("no date matches it".to_owned()));
        }
        Ok(cron)
    }
}

fn rule(text: &str) -> Result<Cron, String> {
    let named = NAMED.iter().find(|(name, _)| *name == text.trim());
    let fields: Vec<&str> = named
        .map_or(text, |(_, rule)| rule)
        .split_whitespace()
        .collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err(format!(
            "expected the five fields minute, hour, day, month, day of week, got {}",
            fields.len()
        ));
    };
    let weekdays = set("day of week", weekday, 0, 7, &WEEKDAYS, 0)?;
    Ok(Cron {
        text: text.to_owned(),
        minutes: set("minute", minute, 0, 59, &[], 0)?,
        hours: set("hour", hour, 0, 23, &[], 0)?,
        days: set("day", day, 1, 31, &[], 0)?,
        months: set("month", month, 1, 12, &MONTHS, 1)?,
        weekdays: weekdays | weekdays >> 7, // 7 is Sunday too
        either_day: !day.starts_with(['*', '?']) && !weekday.starts_with(['*', '?']),
    })
}

/// The numbers of a field, as bits.
fn set(
    name: &str,
    field: &str,
    low: u32,
    high: u32,
    names: &[&str],
    first_name: u32,
) -> Result<u64, String> {
    let number = |text: &str| {
        let named = names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        let number = match named {
            Some(at) => u32::try_from(at).ok().map(|at| at + first_name),
            None => text.parse().ok(),
        };
        number
            .filter(|n| (low..=high).contains(n))
            .ok_or_else(|| format!("{name} `{text}` is not in {low} to {high}"))
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = part
            .split_once('/')
            .map_or((part, None), |(r, s)| (r, Some(s)));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (low, high),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step.is_some() => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        let step = step.map_or(Ok(1), str::parse).unwrap_or(0);
        if step == 0 || from > to {
            return Err(format!("{name} `{part}` is not a range"));
        }
        bits |= (from..=to).step_by(step).fold(0, |bits, n| bits | 1 << n);
    }
    Ok(bits)
}

impl Cron {
    /// The first matching minute after `now`.
    pub fn next_after(&self, now: Timestamp) -> Timestamp {
        let minute = now.as_millis() / MINUTE_MILLIS + 1;
        let (today, of_day) = (minute / DAY_MINUTES, minute % DAY_MINUTES);
        let later_today = self
            .fits_day(today)
            .then(|| self.minute_from(of_day))
            .flatten();
        let found = match later_today {
            Some(minute) => Some(today * DAY_MINUTES + minute),
            None => self
                .days_after(today)
                .zip(self.minute_from(0))
                .map(|(day, minute)| day * DAY_MINUTES + minute),
        };
        found.map_or(Timestamp::MAX, |minute| {
            Timestamp::from_millis(minute * MINUTE_MILLIS)
        })
    }

    fn minute_from(&self, of_day: u64) -> Option<u64> {
        (of_day..DAY_MINUTES)
            .find(|minute| has(self.hours, minute / 60) && has(self.minutes, minute % 60))
    }

    fn days_after(&self, day: u64) -> Option<u64> {
        (day + 1..=day + HORIZON_DAYS).find(|day| self.fits_day(*day))
    }

    fn fits_day(&self, days: u64) -> bool {
        let Some(date) = calendar::day(days) else {
            return false;
        };
        let day = has(self.days, date.day);
        let weekday = has(self.weekdays, date.weekday);
        let fits = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        fits && has(self.months, date.month)
    }
}

const fn has(bits: u64, n: u64) -> bool {
    bits >> n & 1 == 1
}

impl TryFrom<String> for Cron {
    type Error = InvalidCron;

    fn try_from(text: String) -> Result<Self, InvalidCron> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::calendar::{from_rfc3339, rfc3339};

    #[test]
    fn the_next_fitting_minute_is_found() {
        // 2024-02-28 was a Wednesday.
        let now = from_rfc3339("2024-02-28T10:30:00.000Z").unwrap();
        for (rule, next) in [
            ("* * * * *", "2024-02-28T10:31:00.000Z"),
            ("30 10 * * *", "2024-02-29T10:30:00.000Z"),
            ("*/15 * * * *", "2024-02-28T10:45:00.000Z"),
            ("5/20 9-17 * * *", "2024-02-28T10:45:00.000Z"),
            ("0 0 1 * *", "2024-03-01T00:00:00.000Z"),
            ("0 0 29 2 *", "2024-02-29T00:00:00.000Z"),
            ("0 12 * * MON-Fri", "2024-02-28T12:00:00.000Z"),
            ("0 12 * * 7", "2024-03-03T12:00:00.000Z"),
            ("0 0 13 * 5", "2024-03-01T00:00:00.000Z"),
            ("0 0 */2 * 5", "2024-03-01T00:00:00.000Z"),
            ("15,45 0 1 jan ?", "2025-01-01T00:15:00.000Z"),
            ("@hourly", "2024-02-28T11:00:00.000Z"),
            ("@weekly", "2024-03-03T00:00:00.000Z"),
        ] {
            let cron: Cron = rule.parse().unwrap();
            assert_eq!(rfc3339(cron.next_after(now)), next, "{rule}");
        }
        let leap: Cron = "0 0 29 2 *".parse().unwrap();
        let before_1900s_gap = from_rfc3339("2096-03-01T00:00:00Z").unwrap();
        assert_eq!(
            rfc3339(leap.next_after(before_1900s_gap)),
            "2104-02-29T00:00:00.000Z"
        );
    }

    #[test]
    fn nonsense_is_refused_with_its_field() {
        for (rule, part) in [
            ("* * * *", "five fields"),
            ("60 * * * *", "minute `60`"),
            ("* 9-5 * * *", "hour `9-5`"),
            ("*/0 * * * *", "minute `*/0`"),
            ("* * * foo *", "month `foo`"),
            ("0 0 30 2 *", "no date"),
            ("@reboot", "five fields"),
        ] {
            let fault = rule.parse::<Cron>().unwrap_err().to_string();
            assert!(fault.contains(part), "{fault}");
        }
    }
}
