//! Reads a list of the admin API page by page.

use clap::Args;
use serde_json::{Value, json};

use crate::admin::{Admin, Query};
use crate::json::{list_at, text_at};
use crate::output;

/// No page is larger.
const PAGE: usize = 500;

/// How much of a list is wanted.
#[derive(Debug, Args)]
pub(crate) struct Extent {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// All of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Begin after this point: the `next` of an earlier list.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

impl Extent {
    /// Everything from the beginning.
    pub(crate) const fn everything() -> Self {
        Self {
            limit: 0,
            all: true,
            after: None,
        }
    }

    /// Hands each item to `show` as its page arrives; the `next` of the rest, if there is one.
    pub(crate) async fn for_each(
        &self,
        admin: &Admin,
        path: &str,
        query: Query,
        mut show: impl FnMut(Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<String>> {
        let mut after = self.after.clone();
        let mut left = if self.all { usize::MAX } else { self.limit };
        while left > 0 {
            let query = query
                .clone()
                .with("limit", Some(left.min(PAGE)))
                .with("after", after);
            let page = admin.get(&format!("{path}{}", query.text())).await?;
            after = text_at(&page, "/next").map(str::to_owned);
            for item in list_at(&page, "/items") {
                show(item.clone())?;
                left = left.saturating_sub(1);
            }
            if after.is_none() {
                break;
            }
        }
        Ok(after)
    }

    /// Prints the list: `line` makes the text of an item.
    pub(crate) async fn print(
        &self,
        admin: &Admin,
        path: &str,
        query: Query,
        as_json: bool,
        line: impl Fn(&Value) -> String,
    ) -> anyhow::Result<()> {
        if as_json {
            let mut items = Vec::new();
            let keep = |item| {
                items.push(item);
                Ok(())
            };
            let next = self.for_each(admin, path, query, keep).await?;
            output::json(&json!({"items": items, "next": next}))?;
            return Ok(());
        }
        let mut count = 0_usize;
        let show = |item: Value| {
            count += 1;
            Ok(output::line(line(&item))?)
        };
        let next = self.for_each(admin, path, query, show).await?;
        match next {
            Some(next) => output::note(format_args!("there is more: --after {next}, or --all")),
            None if count == 0 => output::note("nothing"),
            None => {}
        }
        Ok(())
    }
}
