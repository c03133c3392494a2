//! The name, type and expiration of a value that a function keeps.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

use super::{SdkError, Type, TypeName};

/// A named value of type `T` that a function keeps per id.
///
/// The name is letters, digits and `_`, not beginning with a digit; `[a-z_]+` is portable to every official SDK.
///
/// ```
/// use std::time::Duration;
/// use stateful_functions::{ValueSpec, types};
///
/// const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT); // a bad name fails to compile
/// const LAST: ValueSpec<String> =
///     ValueSpec::new("last", types::STRING).expire_after_write(Duration::from_secs(3600));
/// ```
#[derive(Debug)]
pub struct ValueSpec<T> {
    name: Cow<'static, str>,
    value_type: Type<T>,
    expiration: Expiration,
}

impl<T> ValueSpec<T> {
    /// The value `name`, which never expires.
    ///
    /// # Panics
    /// If `name` is not a valid value name; in a `const` this is a compile error. [`ValueSpec::try_new`] checks at run time.
    pub const fn new(name: &'static str, value_type: Type<T>) -> Self {
        assert!(
            is_value_name(name.as_bytes()),
            "a value name is letters, digits and `_`, and does not begin with a digit"
        );
        Self {
            name: Cow::Borrowed(name),
            value_type,
            expiration: Expiration::Never,
        }
    }

    /// The value `name`, for names that are known only at run time.
    ///
    /// # Errors
    /// If `name` is not a valid value name.
    pub fn try_new(
        name: impl Into<Cow<'static, str>>,
        value_type: Type<T>,
    ) -> Result<Self, SdkError> {
        let name = name.into();
        if !is_value_name(name.as_bytes()) {
            return Err(SdkError::InvalidValueName {
                value: name.chars().take(200).collect(),
            });
        }
        Ok(Self {
            name,
            value_type,
            expiration: Expiration::Never,
        })
    }

    /// The value expires when it has not been written for `time`, in whole milliseconds, rounded up.
    ///
    /// # Panics
    /// If `time` is zero or above `i64::MAX` milliseconds. [`TimeToLive::try_from`] checks at run time.
    #[must_use]
    pub const fn expire_after_write(self, time: Duration) -> Self {
        self.expire(Expiration::AfterWrite(TimeToLive::new(time)))
    }

    /// The value expires when the function has not been called at this id for `time`, in whole milliseconds, rounded up.
    ///
    /// # Panics
    /// If `time` is zero or above `i64::MAX` milliseconds. [`TimeToLive::try_from`] checks at run time.
    #[must_use]
    pub const fn expire_after_call(self, time: Duration) -> Self {
        self.expire(Expiration::AfterCall(TimeToLive::new(time)))
    }

    /// The value expires as `expiration` says.
    #[must_use]
    pub const fn expire(mut self, expiration: Expiration) -> Self {
        self.expiration = expiration;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the value.
    pub const fn value_type(&self) -> &Type<T> {
        &self.value_type
    }

    /// When the value expires.
    pub const fn expiration(&self) -> Expiration {
        self.expiration
    }
}

impl<T> Clone for ValueSpec<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            value_type: self.value_type.clone(),
            expiration: self.expiration,
        }
    }
}

/// When a value expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiration {
    /// Never: it stays until it is removed.
    #[default]
    Never,
    /// This long after it was last written.
    AfterWrite(TimeToLive),
    /// This long after the function was last called at this id, whether or not it used the value. Wire: `AFTER_INVOKE`.
    AfterCall(TimeToLive),
}

/// How long a value lives: at least one millisecond, at most `i64::MAX` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeToLive(NonZeroU64);

impl TimeToLive {
    /// A fraction of a millisecond is rounded up.
    ///
    /// # Panics
    /// If `time` is zero or above `i64::MAX` milliseconds. `try_from` checks at run time.
    pub const fn new(time: Duration) -> Self {
        match Self::checked(time) {
            Some(ttl) => ttl,
            None => panic!("an expiration must be positive and at most i64::MAX milliseconds"),
        }
    }

    const fn checked(time: Duration) -> Option<Self> {
        match whole_millis(time) {
            Some(millis) => match NonZeroU64::new(millis.unsigned_abs()) {
                Some(millis) => Some(Self(millis)),
                None => None,
            },
            None => None,
        }
    }

    /// As a duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0.get())
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0.get()
    }
}

impl TryFrom<Duration> for TimeToLive {
    type Error = SdkError;

    fn try_from(time: Duration) -> Result<Self, SdkError> {
        Self::checked(time).ok_or(SdkError::InvalidExpiration)
    }
}

/// `time` in milliseconds, rounded up; `None` beyond `i64::MAX`, the maximum of the protocol.
pub(crate) const fn whole_millis(time: Duration) -> Option<i64> {
    let millis = time.as_nanos().div_ceil(1_000_000);
    if millis > i64::MAX.unsigned_abs() as u128 {
        return None;
    }
    Some((millis as u64).cast_signed())
}

const fn is_value_name(name: &[u8]) -> bool {
    let [first, rest @ ..] = name else {
        return false;
    };
    if !first.is_ascii_alphabetic() && *first != b'_' {
        return false;
    }
    let mut left = rest;
    while let [byte, tail @ ..] = left {
        if !byte.is_ascii_alphanumeric() && *byte != b'_' {
            return false;
        }
        left = tail;
    }
    true
}

/// A declared value, without its Rust type.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeclaredValue {
    /// The name, unique in its function.
    pub name: Cow<'static, str>,
    /// The name of its type.
    pub type_name: TypeName,
    /// When it expires.
    pub expiration: Expiration,
}

impl<T> From<ValueSpec<T>> for DeclaredValue {
    fn from(spec: ValueSpec<T>) -> Self {
        Self {
            type_name: spec.value_type.name().clone(),
            name: spec.name,
            expiration: spec.expiration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::types;

    #[test]
    fn names_follow_the_rule_of_the_go_sdk() {
        for good in ["seen", "_", "a1", "Seen_2", "batch_size"] {
            assert!(ValueSpec::try_new(good, types::INT).is_ok(), "{good}");
        }
        for bad in ["", "1a", "a-b", "a b", "ä", "a.b"] {
            let err = ValueSpec::try_new(bad, types::INT).unwrap_err();
            assert!(err.to_string().contains(&format!("`{bad}`")), "{err}");
        }
    }

    #[test]
    fn sf_11_an_expiration_of_zero_or_beyond_the_wire_cannot_be_built() {
        for bad in [Duration::ZERO, Duration::MAX] {
            assert!(TimeToLive::try_from(bad).is_err());
            let spec = || ValueSpec::new("seen", types::INT).expire_after_write(bad);
            assert!(std::panic::catch_unwind(spec).is_err());
        }
        assert!(
            Duration::try_from_secs_f64(-0.001).is_err(),
            "a duration is never negative"
        );
        let longest = Duration::from_millis(i64::MAX.unsigned_abs());
        assert_eq!(TimeToLive::new(longest).as_duration(), longest);
    }

    #[test]
    fn a_rest_below_a_millisecond_is_rounded_up() {
        assert_eq!(TimeToLive::new(Duration::from_nanos(1)).as_millis(), 1);
        assert_eq!(whole_millis(Duration::from_micros(1_200)), Some(2));
        assert_eq!(whole_millis(Duration::ZERO), Some(0));
    }
}
