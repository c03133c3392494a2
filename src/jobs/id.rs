//! Ids of events and jobs: KSUIDs, which sort by the second in which they were made.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::time::Timestamp;

/// KSUIDs count seconds from here.
const EPOCH: u64 = 1_400_000_000;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const TEXT_LEN: usize = 27;
/// For ids that are derived from others.
const DERIVED: Uuid = Uuid::from_u128(0x6b2f_9d0e_41c7_5a83_9e15_7c3d_08fa_b264);

/// The id of an event or a job: a KSUID, 27 letters and digits.
///
/// ```
/// use stateful_functions::jobs::JobId;
///
/// let id: JobId = "0ujtsYcgvSTl8PAuAdqWYSMnLOv".parse()?;
/// assert_eq!(id.to_string(), "0ujtsYcgvSTl8PAuAdqWYSMnLOv");
/// assert!("order-7".parse::<JobId>().is_err());
/// # Ok::<(), stateful_functions::jobs::InvalidId>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId([u8; 20]);

/// The text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a KSUID, which has 27 letters and digits; leave the id out, and one is made"
)]
pub struct InvalidId {
    text: String,
}

impl JobId {
    /// An id made at `now` with these random bytes.
    pub fn new(now: Timestamp, random: [u8; 16]) -> Self {
        let seconds = (now.as_millis() / 1000).saturating_sub(EPOCH);
        Self::of(u32::try_from(seconds).unwrap_or(u32::MAX), random)
    }

    fn of(seconds: u32, rest: [u8; 16]) -> Self {
        let mut id = [0; 20];
        let (head, tail) = id.split_at_mut(4);
        head.copy_from_slice(&seconds.to_be_bytes());
        tail.copy_from_slice(&rest);
        Self(id)
    }

    /// An id that follows from this one and from `parts`, with the same second: equal parts give equal ids.
    #[must_use]
    pub fn derived(&self, parts: &[&str]) -> Self {
        let mut text = self.0.to_vec();
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        let mut id = *self;
        let (_, tail) = id.0.split_at_mut(4);
        tail.copy_from_slice(Uuid::new_v5(&DERIVED, &text).as_bytes());
        id
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.0;
        let mut digits = [b'0'; TEXT_LEN];
        for digit in digits.iter_mut().rev() {
            let mut rest = 0_u32;
            for byte in &mut number {
                let value = (rest << 8) | u32::from(*byte);
                *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
                rest = value % 62;
            }
            let at = usize::try_from(rest).unwrap_or(0);
            *digit = DIGITS.get(at).copied().unwrap_or(b'0');
        }
        f.write_str(str::from_utf8(&digits).unwrap_or_default())
    }
}

impl FromStr for JobId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            text: text.chars().take(60).collect(),
        };
        if text.len() != TEXT_LEN {
            return Err(invalid());
        }
        let mut number = [0_u8; 20];
        for digit in text.bytes() {
            let value = DIGITS.iter().position(|known| *known == digit);
            let value = value.and_then(|value| u32::try_from(value).ok());
            let mut carry = value.ok_or_else(invalid)?;
            for byte in number.iter_mut().rev() {
                let sum = u32::from(*byte) * 62 + carry;
                *byte = u8::try_from(sum & 0xff).unwrap_or(0);
                carry = sum >> 8;
            }
            if carry > 0 {
                return Err(invalid());
            }
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_ksuid_specification() {
        // The example of the specification: 2017-10-09, and a payload.
        let id: JobId = "0ujtsYcgvSTl8PAuAdqWYSMnLOv".parse().unwrap();
        assert_eq!(id.0[..4], 107_608_047_u32.to_be_bytes());
        let payload = u128::from_be_bytes(id.0[4..].try_into().unwrap());
        assert_eq!(payload, 0xb5a1_cd34_b5f9_9d11_54fb_6853_345c_9735);
        let most = JobId([0xff; 20]);
        assert_eq!(most.to_string(), "aWgEPTl1tmebfsQzFP4bxwgy80V");
        assert_eq!("aWgEPTl1tmebfsQzFP4bxwgy80V".parse(), Ok(most));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "order-7",
            "aWgEPTl1tmebfsQzFP4bxwgy80W", // one more than the greatest
            "0ujtsYcgvSTl8PAuAdqWYSMnLO-",
            "0ujtsYcgvSTl8PAuAdqWYSMnLOvv",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_derived_id_keeps_the_second_and_repeats() {
        let id = JobId::new(Timestamp::from_millis(1_700_000_000_000), [7; 16]);
        let one = id.derived(&["crm", "*"]);
        assert_eq!(one, id.derived(&["crm", "*"]));
        assert_ne!(one, id.derived(&["cr", "m*"]));
        assert_eq!(one.0[..4], id.0[..4]);
        assert!(one.to_string().parse() == Ok(one));
    }
}
