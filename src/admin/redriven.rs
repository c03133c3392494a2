//! What a redrive of many has done.

use serde_json::{Value, json};

use super::damaged::Damaged;
use super::{Reply, ok};

/// How many were sent again, and which cannot be read.
#[derive(Debug, Default)]
pub(super) struct Redriven {
    pub(super) count: usize,
    damaged: Vec<Value>,
}

impl Redriven {
    /// The items of a page that can be read; the others are shown in the reply.
    pub(super) fn readable<T>(&mut self, items: Vec<Result<T, Damaged>>) -> Vec<T> {
        let mut readable = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Ok(item) => readable.push(item),
                Err(one) => self.damaged.push(one.to_json()),
            }
        }
        readable
    }

    pub(super) fn reply(self, dry_run: bool) -> Reply {
        let mut told = json!({"redriven": self.count, "dry_run": dry_run});
        if let (false, Some(fields)) = (self.damaged.is_empty(), told.as_object_mut()) {
            fields.insert("damaged".to_owned(), self.damaged.into());
        }
        ok(&told)
    }
}
