//! Reads a list of the admin API page by page.

use std::num::NonZeroUsize;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use crate::admin::{Admin, Query};
use crate::json::{field, list_at, text_at};
use crate::output;

/// Items of one page, at most.
const PAGE: usize = 500;

/// How much of a list to show.
#[derive(Debug, Args)]
pub(crate) struct Extent {
    /// Show at most this many.
    #[arg(long, value_name = "N", default_value = "100", value_parser = count)]
    limit: NonZeroUsize,
    /// Show all of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Continue an earlier list: the value it printed for --after.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

/// A number of items.
fn count(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse();
    count.map_err(|_| "write a number of at least 1".to_owned())
}

impl Extent {
    /// Everything from the beginning.
    pub(crate) const fn everything() -> Self {
        Self {
            limit: NonZeroUsize::MIN,
            all: true,
            after: None,
        }
    }

    /// Passes each item to `show` as its page arrives. Returns the `next` of the rest, if there is one, and the number of damaged items.
    pub(crate) async fn for_each(
        &self,
        admin: &Admin,
        path: &str,
        query: Query,
        mut show: impl FnMut(Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<Listed> {
        let mut damaged = 0;
        let mut after = self.after.clone();
        let mut left = if self.all {
            usize::MAX
        } else {
            self.limit.get()
        };
        while left > 0 {
            let query = query
                .clone()
                .with("limit", Some(left.min(PAGE)))
                .with("after", after);
            let page = admin.get(&format!("{path}{}", query.text())).await?;
            after = text_at(&page, "/next").map(str::to_owned);
            for item in list_at(&page, "/items") {
                damaged += usize::from(is_damaged(item));
                show(item.clone())?;
                left = left.saturating_sub(1);
            }
            if after.is_none() {
                break;
            }
        }
        Ok(Listed {
            next: after,
            damaged,
        })
    }

    /// Prints the list, each item as its page arrives: `line` makes its text, and `empty` is printed for a list without items. As JSON it
    /// is one array over all pages, an item a line. In both forms a note on standard error says when there are more.
    pub(crate) async fn print(
        &self,
        admin: &Admin,
        path: &str,
        query: Query,
        as_json: bool,
        empty: &str,
        line: impl Fn(&Value) -> String,
    ) -> anyhow::Result<()> {
        let mut count = 0_usize;
        let show = |item: Value| {
            count += 1;
            match (as_json, count) {
                (false, _) if is_damaged(&item) => output::line(damaged_line(&item))?,
                (false, _) => output::line(line(&item))?,
                (true, 1) => output::json_piece(format_args!("[{item}"))?,
                (true, _) => output::json_piece(format_args!(",{item}"))?,
            }
            Ok(())
        };
        let listed = self.for_each(admin, path, query, show).await?;
        match (as_json, count) {
            (true, 0) => output::json_piece("[]")?,
            (true, _) => output::json_piece("]")?,
            (false, 0) if listed.next.is_none() => output::line(empty)?,
            (false, _) => {}
        }
        if let Some(next) = &listed.next {
            output::note(format_args!(
                "there are more: continue with --after {next}, or list everything with --all"
            ));
        }
        listed.is_sound()
    }
}

/// The end of a list.
pub(crate) struct Listed {
    next: Option<String>,
    damaged: usize,
}

impl Listed {
    /// See [`sound`].
    pub(crate) fn is_sound(&self) -> anyhow::Result<()> {
        sound(self.damaged)
    }
}

/// An error when items are damaged: a script that checks only the exit code must not take the list for complete.
pub(crate) fn sound(damaged: usize) -> anyhow::Result<()> {
    match damaged {
        0 => Ok(()),
        1 => bail!("1 item is damaged; the list says which one and what can be done"),
        n => bail!("{n} items are damaged; the list says which ones and what can be done"),
    }
}

/// Whether an item is a damaged row.
pub(crate) fn is_damaged(item: &Value) -> bool {
    text_at(item, "/damaged").is_some()
}

/// A damaged item on one line.
pub(crate) fn damaged_line(item: &Value) -> String {
    let place = text_at(item, "/address").or_else(|| text_at(item, "/function"));
    let place = place.map_or_else(String::new, |place| format!("{place}  "));
    format!("{place}damaged: {}", field(item, "damaged"))
}
