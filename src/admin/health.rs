//! `GET /health` and `GET /ready`.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::loads::loads;
use super::params::Params;
use super::{Admin, Reply, ok, whole};
use crate::runtime::StoreStatus;
use crate::runtime::gone::Gone;
use crate::runtime::partition::Inspection;
use crate::runtime::respond::{self, Refusal};

/// A partition that does not respond for longer counts as failing.
const PARTITION_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Stored data of functions and egresses that are no longer in the module.
pub(super) fn gone_json(gone: &[Gone]) -> Value {
    let one =
        |gone: &Gone| json!({"kind": gone.kind, "name": gone.name.as_str(), "keeps": gone.keeps});
    gone.iter().map(one).collect()
}

impl Admin {
    pub(super) async fn health(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let mut reasons = self.grave_reasons();
        let health = self.runtime.store_health();
        if let Some(failure) = health.checkpoint_failure {
            reasons.push(format!("the last checkpoint failed: {failure}"));
        }
        reasons.extend(
            health
                .low_room
                .iter()
                .chain(&health.damage)
                .map(ToString::to_string),
        );
        if health.pressure && reasons.is_empty() {
            reasons.push("the disk is slower than the intake, so messages are refused until it has caught up; if this lasts, send less or use a faster disk".to_owned());
        }
        if let Some((egress, count)) = self.runtime.full_egress() {
            reasons.push(format!(
                "{count} records of egress {egress} are not delivered; messages to functions that send to it are refused"
            ));
        }
        reasons.extend(self.listeners.shortage());
        let inspect = self.runtime.inspect(0);
        let partitions = timeout(PARTITION_ANSWERS_WITHIN, inspect).await;
        if partitions.is_err() {
            reasons.push(format!(
                "a partition has not responded for {PARTITION_ANSWERS_WITHIN:?}"
            ));
        }
        let limited = limited(&partitions.unwrap_or_default());
        if reasons.is_empty() {
            let mut body = Map::from_iter([("status".to_owned(), json!("ok"))]);
            // These are not failures, but operators should know.
            if !limited.is_empty() {
                body.insert("limited".to_owned(), json!(limited));
            }
            if !self.runtime.gone().is_empty() {
                body.insert("gone".to_owned(), gone_json(&self.runtime.gone()));
            }
            return Ok(ok(&Value::Object(body)));
        }
        let body = json!({"status": "failing", "reasons": reasons, "limited": limited});
        Ok(whole(respond::json(StatusCode::SERVICE_UNAVAILABLE, &body)))
    }

    pub(super) fn ready(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let mut reasons = self.grave_reasons();
        if self.runtime.is_stopping() {
            reasons.push("the runtime is stopping".to_owned());
        }
        if reasons.is_empty() {
            return Ok(ok(&json!({"ready": true})));
        }
        let body = json!({"ready": false, "reasons": reasons});
        Ok(whole(respond::json(StatusCode::SERVICE_UNAVAILABLE, &body)))
    }

    /// Why nothing is accepted, or nothing becomes durable.
    fn grave_reasons(&self) -> Vec<String> {
        let failure = self.runtime.failure();
        let mut reasons: Vec<String> = failure.iter().map(ToString::to_string).collect();
        reasons.extend(self.store_reason());
        reasons
    }

    fn store_reason(&self) -> Option<String> {
        // A store may close by itself, which the committer notices a moment later.
        if let Some(reason) = self.runtime.store_health().closed {
            return Some(format!("the store has closed until a restart: {reason}"));
        }
        match self.runtime.store_status() {
            StoreStatus::Writable => None,
            StoreStatus::Full(reason) => Some(reason.clone()),
            StoreStatus::Closed(reason) => {
                Some(format!("the store has closed until a restart: {reason}"))
            }
        }
    }
}

/// Functions that have used up their share of a limit; all others are served.
fn limited(partitions: &[Inspection]) -> Vec<String> {
    let full = loads(partitions).into_iter().filter(|load| load.is_full);
    full.map(|load| {
        format!(
            "{} messages are waiting for {}, which is its share: messages to it, and to functions that send to it, are refused",
            load.backlog, load.function
        )
    })
    .collect()
}
