//! Documents: a tree that knows where everything in a file stands, and how settings are read from it. Module files and declared pipelines are read with
//! it, so both have one set of rules and words, and everything that is found has its file, line, column and key.
//!
//! `node` is the tree, `scalar` makes values of what stands in it, `at` is a place in it, `fields` reads a mapping key by key, `finding` is what is said,
//! `nearest` guesses what was meant, `yaml` is the only file that names the YAML crate. What the settings mean is up to the reader. Imports plain types
//! only.

mod at;
mod fields;
mod finding;
mod nearest;
mod node;
#[cfg(feature = "runtime")]
mod repeated;
pub(crate) mod scalar;
#[cfg(feature = "runtime")]
pub(crate) mod yaml;

pub(crate) use at::At;
pub(crate) use fields::Fields;
pub(crate) use finding::Findings;
pub use finding::{Complaint, Finding, Location};
pub(crate) use nearest::nearest;
pub(crate) use node::{Key, Node, Value, join};
#[cfg(feature = "runtime")]
pub(crate) use repeated::Repeated;
