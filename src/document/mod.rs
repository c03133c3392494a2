//! Documents: a tree in which everything has its location, and the reading of settings from it. Module files and declared pipelines are both read with
//! it, so they follow the same rules, and every finding has file, line, column and key.
//!
//! `node` is the tree, `scalar` reads simple values, `at` is a location in the tree, `fields` reads a mapping key by key, `finding` has the findings,
//! `nearest` suggests what was probably meant, `exact` checks what becomes JSON, `yaml` is the only file that uses the YAML crate, and `yaml_words` says in plain words what that crate finds wrong. The meaning of the settings is up to the caller.
//! Imports plain types only.

mod at;
mod exact;
mod fields;
mod finding;
mod nearest;
mod node;
#[cfg(feature = "runtime")]
mod repeated;
pub(crate) mod scalar;
#[cfg(feature = "runtime")]
pub(crate) mod yaml;
#[cfg(feature = "runtime")]
mod yaml_words;

pub(crate) use at::At;
pub(crate) use fields::Fields;
pub(crate) use finding::Findings;
pub use finding::{Complaint, Finding, Location};
pub(crate) use nearest::nearest;
pub(crate) use node::{Key, Node, Value, join};
#[cfg(feature = "runtime")]
pub(crate) use repeated::Repeated;
