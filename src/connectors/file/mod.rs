//! Files: records as lines of JSON.

mod appended;
mod egress;

pub(crate) use self::egress::FileEgress;
