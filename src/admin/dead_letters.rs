//! `/api/dead-letters`: deliveries that were given up, with the reason.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use serde_json::json;

use super::deliveries::{Asked, filter};
use super::kept::{self, Item, KeptFilter};
use super::page::Page;
use super::params::Params;
use super::{Admin, Reply, ok};
use crate::delivery::Verb;
use crate::delivery::engine::DeliveryState;
use crate::runtime::core::AddressKey;
use crate::runtime::respond::{self, Refusal, refuse};
use crate::storage::Rows;

/// Dead letters read or redriven at a time.
const CHUNK: usize = 100;

impl Admin {
    pub(super) async fn dead_letters(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["target", "reason", "type", "full", "after", "limit"])?;
        let full = params.flag("full")?;
        let (filter, limit) = (given_up(params)?, params.limit()?);
        let after = params.after(&filter.prefix())?;
        let list = move |rows: &dyn Rows| kept::list(rows, &filter, after.as_deref(), limit, full);
        let show = if full {
            Item::with_bytes
        } else {
            Item::summary
        };
        self.page(list, show).await
    }

    pub(super) async fn dead_letter(
        &self,
        params: &Params,
        address: AddressKey,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        match self.kept(address).await? {
            Some(item) if item.is_dead_letter() => Ok(ok(&item.with_bytes())),
            _ => Err(refuse(
                StatusCode::NOT_FOUND,
                "dead_letter.not_found",
                "no dead letter is kept at this address",
            )),
        }
    }

    /// All dead letters as JSON lines, read while they are sent.
    pub(super) fn export_dead_letters(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["target", "reason", "type"])?;
        let filter = given_up(params)?;
        Ok(self.json_lines(
            move |rows, after| kept::list(rows, &filter, after, CHUNK, true),
            Item::with_bytes,
        ))
    }

    /// Redrives all that match a filter, or only counts them.
    pub(super) async fn redrive_all(
        &self,
        request: Request<Body>,
        params: &Params,
    ) -> Result<Reply, Refusal> {
        params.only(&["target", "reason", "type"])?;
        let (filter, asked) = (given_up(params)?, Asked::of(request, &self.bodies).await?);
        let dry_run = asked.dry_run.unwrap_or(false);
        let (mut after, mut redriven, mut damaged) = (None, 0, Vec::new());
        loop {
            let page = self.given_up(filter.clone(), after, CHUNK).await?;
            let mut items = Vec::with_capacity(page.items.len());
            for item in page.items {
                match item {
                    Ok(item) => items.push(item),
                    Err(one) => damaged.push(one.to_json()),
                }
            }
            if !dry_run {
                self.redrive(&asked, &items).await?;
            }
            redriven += items.len();
            after = page.next;
            if after.is_none() {
                let mut told = json!({"redriven": redriven, "dry_run": dry_run});
                if let (false, Some(fields)) = (damaged.is_empty(), told.as_object_mut()) {
                    fields.insert("damaged".to_owned(), damaged.into());
                }
                return Ok(ok(&told));
            }
        }
    }

    async fn redrive(&self, asked: &Asked, items: &[Item]) -> Result<(), Refusal> {
        let sends = items.iter().map(|item| async {
            let command = asked.command(Verb::Retry, &item.address)?;
            let sent = self.runtime.send(command).await;
            sent.map_err(|refusal| Box::new(respond::refused(&refusal)))
        });
        join_all(sends).await.into_iter().collect()
    }

    async fn given_up(
        &self,
        filter: KeptFilter,
        after: Option<Bytes>,
        limit: usize,
    ) -> Result<Page<Item>, Refusal> {
        self.read(move |rows| kept::list(rows, &filter, after.as_deref(), limit, false))
            .await
    }
}

fn given_up(params: &Params) -> Result<KeptFilter, Refusal> {
    Ok(KeptFilter {
        states: vec![DeliveryState::Discarded],
        ..filter(params)?
    })
}
