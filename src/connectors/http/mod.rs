//! Plain HTTP: messages as requests.

mod ingress;

pub(crate) use self::ingress::HttpSource;
