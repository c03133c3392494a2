//! Suites that every implementation of a part runs, ours and users'. Outside semantic versioning.

pub mod storage;
