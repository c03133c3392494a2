//! Files: records as lines of JSON.
//!
//! In: `cursor` cuts bytes into lines, `record` reads a line, `gather` makes batches of them, `tracked` is one open file, `folder` finds files
//! that were rotated, `reader` puts them in order, and `changes` wakes it. Out: `appended` is the file,
//! `rotation` renames it, and `reached` stores beside it which records it has.

mod appended;
mod changes;
mod cursor;
mod egress;
mod examine;
mod folder;
mod gather;
mod ingress;
mod position;
mod reached;
mod reader;
mod record;
mod rotation;
mod stdin;
mod tracked;

pub(crate) use self::egress::FileSink;
pub(crate) use self::examine::{EgressExamined, IngressExamined};
pub(crate) use self::ingress::FileSource;
