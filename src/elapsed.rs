//! Durations for people: `987 ms`, `1.5 s`, `2 min`. Settings use another form.

use std::time::Duration;

/// Formats a duration, rounded to its significant digits.
pub(crate) fn rounded(duration: Duration) -> String {
    let with_rest = |whole: u128, unit: &str, rest: u128, smaller: &str| match rest {
        0 => format!("{whole} {unit}"),
        rest => format!("{whole} {unit} {rest} {smaller}"),
    };
    let millis = (duration.as_nanos() + 500_000) / 1_000_000;
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    let tenths = (millis + 50) / 100;
    if tenths < 600 {
        return match tenths % 10 {
            0 => format!("{} s", tenths / 10),
            tenth => format!("{}.{tenth} s", tenths / 10),
        };
    }
    let seconds = (millis + 500) / 1_000;
    if seconds < 3_600 {
        return with_rest(seconds / 60, "min", seconds % 60, "s");
    }
    let minutes = (seconds + 30) / 60;
    with_rest(minutes / 60, "h", minutes % 60, "min")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_for_people_have_no_nanoseconds() {
        let nanos = Duration::from_nanos;
        for (duration, text) in [
            (Duration::ZERO, "0 ms"),
            (nanos(986_612_345), "987 ms"),
            (nanos(999_600_000), "1 s"),
            (nanos(1_540_000_000), "1.5 s"),
            (nanos(59_990_000_000), "1 min"),
            (Duration::from_secs(30), "30 s"),
            (Duration::from_secs(120), "2 min"),
            (Duration::from_secs(125), "2 min 5 s"),
            (Duration::from_secs(5_400), "1 h 30 min"),
        ] {
            assert_eq!(rounded(duration), text);
        }
    }
}
