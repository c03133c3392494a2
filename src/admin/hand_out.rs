//! Gives away what stages keep, for another system that will send it.

use std::time::Duration;

use bytes::Bytes;

use super::kept::{KeptFilter, list};
use crate::delivery::engine::DeliveryState;
use crate::pipeline::{Kept, Record};
use crate::runtime::core::{AddressKey, AdminChange};
use crate::runtime::handle::{Changed, RuntimeHandle};
use crate::sdk::{BoxError, TypeName};

/// Deliveries read at a time.
const CHUNK: usize = 200;
/// How long the removal of one may take.
const WITHIN: Duration = Duration::from_secs(30);

/// A waiting delivery.
pub(crate) struct HandedOut {
    pub(crate) address: AddressKey,
    pub(crate) id: String,
    pub(crate) attempts: u32,
    /// `None` if it cannot be read.
    pub(crate) record: Option<Record>,
}

/// Some waiting deliveries, and where the list continues.
pub(crate) struct Waiting {
    pub(crate) items: Vec<HandedOut>,
    /// What is wrong with rows that cannot be read.
    pub(crate) damaged: Vec<String>,
    pub(crate) next: Option<Bytes>,
}

/// A page of the waiting deliveries of one function.
pub(crate) async fn page(
    runtime: &RuntimeHandle,
    keeper: &TypeName,
    after: Option<Bytes>,
) -> Result<Waiting, BoxError> {
    let filter = KeptFilter {
        states: vec![DeliveryState::Awaiting, DeliveryState::Executing],
        type_name: Some(keeper.clone()),
        ..KeptFilter::default()
    };
    let page = runtime.read(move |rows| list(rows, &filter, after.as_deref(), CHUNK, true));
    let page = page.await?;
    let (mut items, mut damaged) = (Vec::new(), Vec::new());
    for item in page.items {
        match item {
            Ok(item) => items.push(HandedOut {
                id: item.kept().delivery().id.clone(),
                attempts: item.kept().delivery().attempt,
                record: item.kept().record(),
                address: item.address,
            }),
            Err(row) => damaged.push(row.to_string()),
        }
    }
    Ok(Waiting {
        items,
        damaged,
        next: page.next,
    })
}

/// Removes deliveries of a runtime at rest; ready when that is on disk. Timers, lanes and queues find nothing there, and go on.
pub(crate) async fn remove(
    runtime: &RuntimeHandle,
    addresses: &[AddressKey],
) -> Result<(), BoxError> {
    for address in addresses {
        for name in Kept::VALUES {
            let change = AdminChange::SetState {
                address: address.clone(),
                name: name.to_owned(),
                value: None,
            };
            match runtime.change(address, change, WITHIN).await {
                Changed::Done => {}
                Changed::Refused(why) => return Err(why.into()),
                Changed::Stopping => return Err("the runtime is stopping".into()),
                Changed::TimedOut => return Err("the change was not made in time".into()),
            }
        }
    }
    Ok(())
}
