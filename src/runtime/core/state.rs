//! Stored state: values with their time stamps for expiration, and declarations.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};

use super::failure::Failure;
use super::keys::{put_text, take_text};
use super::wire;
use crate::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use crate::protocol::reqreply::from_function::{ExpirationSpec, PersistedValueSpec};
use crate::time::Timestamp;

/// The typename of a state for which the function gave none, as in StateFun.
const UNSET_TYPE: &str = "io.statefun.types/unset";

/// When a value expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeToLive {
    /// Never.
    None,
    /// This long after it was written.
    AfterWrite(Duration),
    /// This long after it was written, or last sent with a request.
    AfterInvoke(Duration),
}

impl TimeToLive {
    /// Whether a value with this time stamp has expired at `now`.
    pub fn is_over(self, stamp: Option<Timestamp>, now: Timestamp) -> bool {
        match (self, stamp) {
            (Self::AfterWrite(span) | Self::AfterInvoke(span), Some(stamp)) => now >= stamp + span,
            _ => false,
        }
    }

    /// Whether being sent with a call renews a value with this time stamp. The first call also stamps a value
    /// that was written before it was declared to expire.
    pub(super) fn is_touched_by_call(self, stamp: Option<Timestamp>, now: Timestamp) -> bool {
        match self {
            Self::None => false,
            Self::AfterWrite(_) => stamp.is_none(),
            Self::AfterInvoke(_) => stamp < Some(now),
        }
    }

    /// Whether values have a time stamp.
    pub const fn is_on(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// A declared state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSpec {
    /// Its name.
    pub name: String,
    /// The typename of its values.
    pub typename: String,
    /// When values expire.
    pub ttl: TimeToLive,
}

impl StateSpec {
    /// Reads a state that a function requests in an incomplete answer.
    pub fn from_wire(spec: PersistedValueSpec) -> Result<Self, Failure> {
        let typename = type_name_of_state(&spec.type_typename)?.into_owned();
        if matches!(spec.state_name.as_str(), "batch" | "request-state") {
            let name = spec.state_name;
            let text = |on_flink: &str| {
                format!(
                    "state name `{name}` of the function collides with the runtime's own state{on_flink}; choose another"
                )
            };
            return Err(
                Failure::new(text("")).or_on_statefun(text(" (ClassCastException on Flink)"))
            );
        }
        Ok(Self {
            name: spec.state_name,
            typename,
            ttl: time_to_live(spec.expiration_spec)?,
        })
    }

    /// Refuses a stored value of another type.
    ///
    /// # Errors
    /// StateFun's message.
    pub(super) fn check_type(&self, value: &Bytes) -> Result<(), Failure> {
        match wire::typename(value) {
            Some(typename) if typename == self.typename => Ok(()),
            Some(typename) => Err(type_conflict(&self.name, &typename, &self.typename)),
            None => Err(Failure::damaged(format!(
                "the stored value `{}` is not a TypedValue: it is damaged; remove it, or restore the data folder from a backup, and resume the address",
                self.name
            ))),
        }
    }

    /// Compares with the stored declaration of the same state, as StateFun does after a restart: for all addresses of the type, whether they
    /// have a value or not.
    ///
    /// # Errors
    /// If the typename differs, or expiration was switched on or off.
    pub(super) fn succeeds(&self, before: &Self) -> Result<(), Failure> {
        if before.typename != self.typename {
            return Err(type_conflict(&self.name, &before.typename, &self.typename));
        }
        if before.ttl.is_on() == self.ttl.is_on() {
            return Ok(());
        }
        let word = |spec: &Self| if spec.ttl.is_on() { "with" } else { "without" };
        let text = |on_flink: &str| {
            format!(
                "state `{}` was declared {} expiration before and is now declared {}{on_flink}; restore the declaration, or drop the old one (`statefun state specs drop`)",
                self.name,
                word(before),
                word(self),
            )
        };
        Err(Failure::new(text("")).or_on_statefun(text(" (StateMigrationException on Flink)")))
    }

    /// The stored row.
    pub fn encode(&self) -> Bytes {
        let (mode, span) = match self.ttl {
            TimeToLive::None => (0, Duration::ZERO),
            TimeToLive::AfterWrite(span) => (1, span),
            TimeToLive::AfterInvoke(span) => (2, span),
        };
        let mut out = Vec::with_capacity(self.typename.len() + 11);
        put_text(&mut out, &self.typename);
        out.put_u8(mode);
        out.put_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        out.into()
    }

    /// Reads a stored row.
    pub fn decode(name: &str, row: &[u8]) -> Option<Self> {
        let mut rest = row;
        let typename = take_text(&mut rest)?.to_owned();
        let (mode, rest) = rest.split_first()?;
        let span = Duration::from_millis(u64::from_be_bytes(*rest.first_chunk::<8>()?));
        let ttl = match mode {
            0 => TimeToLive::None,
            1 => TimeToLive::AfterWrite(span),
            _ => TimeToLive::AfterInvoke(span),
        };
        Some(Self {
            name: name.to_owned(),
            typename,
            ttl,
        })
    }
}

/// The typename of a state in its usual form. It is validated as in StateFun: trailing slashes are ignored, then there must be
/// exactly one slash; the namespace may be empty.
///
/// # Errors
/// If it is not a typename.
pub fn type_name_of_state(text: &str) -> Result<Cow<'_, str>, Failure> {
    if text.is_empty() {
        return Ok(UNSET_TYPE.into());
    }
    let trimmed = text.trim_end_matches('/');
    if trimmed.matches('/').count() == 1 {
        return Ok(trimmed.into());
    }
    Err(Failure::new(format!(
        "Invalid type name string: {text}. Must be of format <namespace>/<name>."
    )))
}

/// StateFun's message when a state gets another typename.
pub fn type_conflict(name: &str, before: &str, now: &str) -> Failure {
    let shown = |typename: &str| match typename.split_once('/') {
        Some((namespace, name)) => format!("TypeName({namespace}, {name})"),
        None => format!("TypeName({typename})"),
    };
    Failure::new(format!(
        "An error occurred for state [{name}].: Previous type was: {}, new type is: {}",
        shown(before),
        shown(now)
    ))
}

fn time_to_live(spec: Option<ExpirationSpec>) -> Result<TimeToLive, Failure> {
    let Some(spec) = spec else {
        return Ok(TimeToLive::None);
    };
    let mode = spec.mode();
    if mode == ExpireMode::None {
        return Ok(TimeToLive::None);
    }
    let span = match u64::try_from(spec.expire_after_millis) {
        Ok(millis) if millis > 0 => Duration::from_millis(millis),
        _ => return Err(Failure::new("TTL is expected to be positive.")),
    };
    Ok(if mode == ExpireMode::AfterWrite {
        TimeToLive::AfterWrite(span)
    } else {
        TimeToLive::AfterInvoke(span)
    })
}

/// A stored value: the encoded `TypedValue`, and a time stamp if its state expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// The time from which expiration counts.
    pub stamp: Option<Timestamp>,
    /// The encoded `TypedValue`.
    pub value: Bytes,
}

impl StateRow {
    /// One byte says whether a time stamp of eight bytes follows; the rest is the value.
    pub fn encode(&self) -> Bytes {
        let stamp = self.stamp.map(Timestamp::as_millis);
        let length = 1 + self.value.len() + stamp.map_or(0, |_| 8);
        let mut out = Vec::with_capacity(length);
        out.push(u8::from(stamp.is_some()));
        if let Some(stamp) = stamp {
            out.put_u64(stamp);
        }
        out.extend_from_slice(&self.value);
        out.into()
    }

    /// Reads a stored row without copying the value.
    pub fn decode(row: &Bytes) -> Option<Self> {
        let mut rest = row.clone();
        let stamp = match rest.try_get_u8().ok()? {
            0 => None,
            _ => Some(Timestamp::from_millis(rest.try_get_u64().ok()?)),
        };
        Some(Self { stamp, value: rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(typename: &str, ttl: TimeToLive) -> StateSpec {
        StateSpec {
            name: "seen".into(),
            typename: typename.into(),
            ttl,
        }
    }

    #[test]
    fn specs_and_rows_survive_their_encoding() {
        for ttl in [
            TimeToLive::None,
            TimeToLive::AfterWrite(Duration::from_millis(5)),
            TimeToLive::AfterInvoke(Duration::from_secs(9)),
        ] {
            let spec = spec("a/b", ttl);
            assert_eq!(StateSpec::decode("seen", &spec.encode()), Some(spec));
        }
        for stamp in [None, Some(Timestamp::from_millis(77))] {
            let row = StateRow {
                stamp,
                value: Bytes::from_static(b"value"),
            };
            assert_eq!(StateRow::decode(&row.encode()), Some(row));
        }
    }

    #[test]
    fn a_value_is_gone_exactly_when_its_time_is_over() {
        let ttl = TimeToLive::AfterWrite(Duration::from_millis(10));
        let stamp = Some(Timestamp::from_millis(100));
        assert!(!ttl.is_over(stamp, Timestamp::from_millis(109)));
        assert!(ttl.is_over(stamp, Timestamp::from_millis(110)));
        assert!(!TimeToLive::None.is_over(stamp, Timestamp::MAX));
    }

    #[test]
    fn typenames_of_states_are_read_as_statefun_does() {
        let read = |text| type_name_of_state(text).ok();
        assert_eq!(read("").as_deref(), Some("io.statefun.types/unset"));
        assert_eq!(read("a/b").as_deref(), Some("a/b"));
        assert_eq!(read("a/b//").as_deref(), Some("a/b"));
        assert_eq!(read("/b").as_deref(), Some("/b"));
        for text in ["a", "a/", "/", "a//b", "a/b/c"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_of_another_typename_is_refused_in_upstreams_words() {
        let value = Bytes::from_static(b"\x0a\x03a/b\x10\x01");
        assert!(spec("a/b", TimeToLive::None).check_type(&value).is_ok());
        let failure = spec("a/c", TimeToLive::None)
            .check_type(&value)
            .unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("Previous type was: TypeName(a, b), new type is: TypeName(a, c)")
        );
    }

    #[test]
    fn switching_expiration_is_a_migration_and_a_changed_span_is_not() {
        let hour = TimeToLive::AfterWrite(Duration::from_secs(3600));
        let day = TimeToLive::AfterInvoke(Duration::from_secs(86400));
        assert!(spec("a/b", hour).succeeds(&spec("a/b", day)).is_ok());
        assert!(
            spec("a/b", hour)
                .succeeds(&spec("a/b", TimeToLive::None))
                .is_err()
        );
        assert!(spec("a/b", hour).succeeds(&spec("a/c", hour)).is_err());
    }

    #[test]
    fn a_value_from_before_its_expiration_counts_from_the_first_call_it_goes_with() {
        let now = Timestamp::from_millis(9);
        let hour = Duration::from_secs(3600);
        assert!(TimeToLive::AfterWrite(hour).is_touched_by_call(None, now));
        assert!(!TimeToLive::AfterWrite(hour).is_touched_by_call(Some(Timestamp::default()), now));
        assert!(TimeToLive::AfterInvoke(hour).is_touched_by_call(Some(Timestamp::default()), now));
        assert!(!TimeToLive::None.is_touched_by_call(None, now));
    }
}
