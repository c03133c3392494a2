//! `/api/dead-letters`: deliveries that were given up and records that sources have set aside, with the reason.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use serde_json::Value;

use super::deliveries::{Asked, filter};
use super::kept::{self, Item, KeptFilter};
use super::not_brought::{self, SetAside};
use super::page::Page;
use super::params::Params;
use super::redriven::Redriven;
use super::{Admin, Reply, ok};
use crate::delivery::Verb;
use crate::delivery::engine::DeliveryState;
use crate::runtime::core::AddressKey;
use crate::runtime::respond::{self, Refusal, refuse};
use crate::storage::{Rows, StorageError};

/// Dead letters read or redriven at a time.
const CHUNK: usize = 100;

impl Admin {
    pub(super) async fn dead_letters(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["target", "reason", "type", "full", "after", "limit"])?;
        let full = params.flag("full")?;
        let (filter, limit) = (given_up(params)?, params.limit()?);
        let after = params.after(&filter.prefix())?;
        let list = move |rows: &dyn Rows| letters(rows, &filter, after.as_ref(), limit, full);
        let show = if full {
            Letter::with_bytes
        } else {
            Letter::summary
        };
        self.page(list, show).await
    }

    pub(super) async fn dead_letter(
        &self,
        params: &Params,
        address: AddressKey,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        if let Some(item) = self.kept(address.clone()).await?
            && item.is_dead_letter()
        {
            return Ok(ok(&item.with_bytes()));
        }
        match self.not_brought(address).await? {
            Some(record) => Ok(ok(&record.with_bytes())),
            None => Err(refuse(
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
            move |rows, after| {
                let after = after.map(Bytes::copy_from_slice);
                letters(rows, &filter, after.as_ref(), CHUNK, true)
            },
            Letter::with_bytes,
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
        let mut redriven = self.redrive_kept(&filter, &asked).await?;
        self.redrive_records(&filter, dry_run, &mut redriven)
            .await?;
        Ok(redriven.reply(dry_run))
    }

    /// Redrives the deliveries that match a filter, or only counts them.
    pub(super) async fn redrive_kept(
        &self,
        filter: &KeptFilter,
        asked: &Asked,
    ) -> Result<Redriven, Refusal> {
        let (mut after, mut redriven) = (None, Redriven::default());
        loop {
            let page = self.given_up(filter.clone(), after, CHUNK).await?;
            let items = redriven.readable(page.items);
            if !asked.dry_run.unwrap_or(false) {
                self.redrive(asked, &items).await?;
            }
            redriven.count += items.len();
            after = page.next;
            if after.is_none() {
                return Ok(redriven);
            }
        }
    }

    /// Redrives the records that sources have set aside, if the filter has them, too.
    async fn redrive_records(
        &self,
        filter: &KeptFilter,
        dry_run: bool,
        redriven: &mut Redriven,
    ) -> Result<(), Refusal> {
        let mut after = None::<Bytes>;
        loop {
            let (filter, from) = (filter.clone(), after);
            let list = move |rows: &dyn Rows| set_aside(rows, &filter, from.as_deref(), CHUNK);
            let page = self.read(list).await?;
            let records = redriven.readable(page.items);
            redriven.count += self.bring_all(records, dry_run).await?;
            after = page.next;
            if after.is_none() {
                return Ok(());
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

/// A delivery that was given up, or a record that a source has set aside.
enum Letter {
    Delivery(Box<Item>),
    SetAside(SetAside),
}

impl Letter {
    fn summary(&self) -> Value {
        match self {
            Self::Delivery(item) => item.summary(),
            Self::SetAside(record) => record.summary(),
        }
    }

    fn with_bytes(&self) -> Value {
        match self {
            Self::Delivery(item) => item.with_bytes(),
            Self::SetAside(record) => record.with_bytes(),
        }
    }
}

/// A page of both: deliveries first.
fn letters(
    rows: &dyn Rows,
    filter: &KeptFilter,
    after: Option<&Bytes>,
    limit: usize,
    full: bool,
) -> Result<Page<Letter>, StorageError> {
    // The key of a delivery's row names a value of its address; that of a record is an address.
    let is_record = |key: &&Bytes| AddressKey::split(key).is_some_and(|(_, rest)| rest.is_empty());
    let after_record = after.filter(is_record);
    let mut items = Vec::new();
    if after_record.is_none() {
        let page = kept::list(rows, filter, after.map(|key| &key[..]), limit, full)?;
        let deliveries = page.items.into_iter();
        items.extend(deliveries.map(|item| item.map(|item| Letter::Delivery(Box::new(item)))));
        if page.next.is_some() {
            let next = page.next;
            return Ok(Page { items, next });
        }
    }
    // One more than was asked for is better than a page that ends between the two.
    let left = limit.saturating_sub(items.len()).max(1);
    let page = set_aside(rows, filter, after_record.map(|key| &key[..]), left)?;
    let records = page.items.into_iter();
    items.extend(records.map(|item| item.map(Letter::SetAside)));
    let next = page.next;
    Ok(Page { items, next })
}

/// A page of the records that sources have set aside; they have neither a destination nor one of the reasons of deliveries.
fn set_aside(
    rows: &dyn Rows,
    filter: &KeptFilter,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Page<SetAside>, StorageError> {
    if filter.target.is_some() || filter.reason.is_some() {
        let (items, next) = (Vec::new(), None);
        return Ok(Page { items, next });
    }
    not_brought::list(rows, filter.type_name.as_ref(), after, limit)
}

fn given_up(params: &Params) -> Result<KeptFilter, Refusal> {
    Ok(KeptFilter {
        states: vec![DeliveryState::Discarded],
        ..filter(params)?
    })
}
