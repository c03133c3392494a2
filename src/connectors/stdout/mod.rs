//! Standard output: records as lines of JSON.

mod egress;

pub(crate) use self::egress::StdoutEgress;
