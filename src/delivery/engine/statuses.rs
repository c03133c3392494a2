//! Classes of HTTP statuses that differ from the table of a policy.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Class;

/// The class of some HTTP statuses, whatever the table says: `{404: permanent, 5xx: retry, 520-529: slow}`.
///
/// Of two that match, the narrower one counts.
///
/// ```
/// use stateful_functions::delivery::{Class, Statuses};
///
/// let statuses: Statuses = serde_json::from_str(r#"{"404": "permanent", "4xx": "slow"}"#)?;
/// assert_eq!(statuses.class_of(404), Some(Class::Permanent));
/// assert_eq!(statuses.class_of(409), Some(Class::Slow));
/// assert_eq!(statuses.class_of(503), None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Class>", into = "BTreeMap<String, Class>")]
pub struct Statuses(Vec<(Span, Class)>);

/// The first and the last status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span(u16, u16);

impl Span {
    const fn has(self, status: u16) -> bool {
        self.0 <= status && status <= self.1
    }

    const fn width(self) -> u16 {
        self.1 - self.0
    }

    /// `404`, `5xx` or `500-599`.
    fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u16>().ok();
        let span = match (text.split_once('-'), text.strip_suffix("xx")) {
            (Some((first, last)), _) => number(first).zip(number(last)).map(|(a, b)| Self(a, b)),
            (None, Some(hundred)) => {
                let first = number(hundred).filter(|hundred| *hundred < 10);
                first.map(|hundred| Self(hundred * 100, hundred * 100 + 99))
            }
            (None, None) => number(text).map(|status| Self(status, status)),
        };
        match span {
            Some(span) if span.0 > span.1 => Err(format!("`{text}` ends before it begins")),
            Some(span) if span.0 < 300 || span.1 > 599 => Err(format!(
                "`{text}` is outside 300 to 599: these are the statuses of answers that are not a success"
            )),
            Some(span) => Ok(span),
            None => Err(format!(
                "`{text}` is not a status; write it as `404`, `5xx` or `500-599`"
            )),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(first, last) if first == last => first.fmt(f),
            Self(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl Statuses {
    /// The class of a status; `None` if the table decides.
    pub fn class_of(&self, status: u16) -> Option<Class> {
        let matching = self.0.iter().filter(|(span, _)| span.has(status));
        let narrowest = matching.min_by_key(|(span, _)| span.width());
        narrowest.map(|(_, class)| *class)
    }

    /// Adds the class of a status or a range of them: `404`, `5xx` or `500-599`.
    ///
    /// # Errors
    /// If the text is something else, or given twice.
    pub fn add(&mut self, statuses: &str, class: Class) -> Result<(), String> {
        let span = Span::parse(statuses.trim())?;
        if self.0.iter().any(|(known, _)| *known == span) {
            return Err(format!("`{statuses}` is given twice"));
        }
        self.0.push((span, class));
        Ok(())
    }

    /// Whether the table decides about all statuses.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, Class>> for Statuses {
    type Error = String;

    fn try_from(written: BTreeMap<String, Class>) -> Result<Self, String> {
        let mut statuses = Self::default();
        for (text, class) in written {
            statuses.add(&text, class)?;
        }
        Ok(statuses)
    }
}

impl From<Statuses> for BTreeMap<String, Class> {
    fn from(statuses: Statuses) -> Self {
        let entries = statuses.0.into_iter();
        entries
            .map(|(span, class)| (span.to_string(), class))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, Class)]) -> Result<Statuses, String> {
        let entries = entries.iter();
        let map: BTreeMap<_, _> = entries
            .map(|(text, class)| ((*text).to_owned(), *class))
            .collect();
        Statuses::try_from(map)
    }

    #[test]
    fn the_narrower_range_counts() {
        let statuses = of(&[
            ("4xx", Class::Permanent),
            ("404", Class::Retry),
            ("400-409", Class::Slow),
        ]);
        let statuses = statuses.unwrap();
        let classes = [404, 409, 410, 500].map(|status| statuses.class_of(status));
        let expected = [
            Some(Class::Retry),
            Some(Class::Slow),
            Some(Class::Permanent),
            None,
        ];
        assert_eq!(classes, expected);
    }

    #[test]
    fn other_texts_and_statuses_of_success_are_refused() {
        for text in [
            "", "x", "200", "2xx", "404-401", "600", "99xx", "4 04", "40x",
        ] {
            assert!(of(&[(text, Class::Retry)]).is_err(), "{text}");
        }
        let twice = of(&[("500-599", Class::Retry), ("5xx", Class::Slow)]);
        assert!(twice.is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let statuses = of(&[("404", Class::Permanent), ("5xx", Class::Slow)]).unwrap();
        let text = serde_json::to_string(&statuses).unwrap();
        assert_eq!(text, r#"{"404":"permanent","500-599":"slow"}"#);
        assert_eq!(serde_json::from_str::<Statuses>(&text).unwrap(), statuses);
    }
}
