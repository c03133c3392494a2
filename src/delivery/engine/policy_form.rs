//! The written form of a policy: every field may be absent, and then comes from the preset.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Batch, Classes, InvalidPolicy, Journal, Order, Policy, Retry, Start, Statuses, Then};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct PolicyForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<Preset>,
    retry: Option<Retry>,
    start: Option<Start>,
    #[serde(with = "attempts")]
    attempts: Option<Option<u32>>,
    #[serde(with = "limit")]
    within: Option<Option<Duration>>,
    #[serde(with = "limit")]
    max_age: Option<Option<Duration>>,
    then: Option<Then>,
    #[serde(with = "crate::time::span::serde_option")]
    timeout: Option<Duration>,
    order: Option<Order>,
    batch: Option<Batch>,
    retry_after: Option<bool>,
    classes: Option<Classes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<Statuses>,
    wake: Option<bool>,
    record: Option<Journal>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Preset {
    #[default]
    Default,
    Edgex,
    Blacksmith,
    Firefly,
}

impl TryFrom<PolicyForm> for Policy {
    type Error = InvalidPolicy;

    fn try_from(form: PolicyForm) -> Result<Self, InvalidPolicy> {
        let preset = match form.preset.unwrap_or_default() {
            Preset::Default => Self::default(),
            Preset::Edgex => Self::edgex(),
            Preset::Blacksmith => Self::blacksmith(),
            Preset::Firefly => Self::firefly(),
        };
        let policy = Self {
            retry: form.retry.unwrap_or(preset.retry),
            start: form.start.unwrap_or(preset.start),
            attempts: form.attempts.unwrap_or(preset.attempts),
            within: form.within.unwrap_or(preset.within),
            max_age: form.max_age.unwrap_or(preset.max_age),
            then: form.then.unwrap_or(preset.then),
            timeout: form.timeout.unwrap_or(preset.timeout),
            order: form.order.unwrap_or(preset.order),
            batch: form.batch.unwrap_or(preset.batch),
            retry_after: form.retry_after.unwrap_or(preset.retry_after),
            classes: form.classes.unwrap_or(preset.classes),
            statuses: form.statuses.unwrap_or(preset.statuses),
            wake: form.wake.unwrap_or(preset.wake),
            record: form.record.unwrap_or(preset.record),
        };
        policy.check().map(|()| policy)
    }
}

impl From<Policy> for PolicyForm {
    fn from(policy: Policy) -> Self {
        Self {
            preset: None,
            retry: Some(policy.retry),
            start: Some(policy.start),
            attempts: Some(policy.attempts),
            within: Some(policy.within),
            max_age: Some(policy.max_age),
            then: Some(policy.then),
            timeout: Some(policy.timeout),
            order: Some(policy.order),
            batch: Some(policy.batch),
            retry_after: Some(policy.retry_after),
            classes: Some(policy.classes),
            statuses: Some(policy.statuses).filter(|statuses| !statuses.is_empty()),
            wake: Some(policy.wake),
            record: Some(policy.record),
        }
    }
}

const ENDLESS: &str = "endless";

/// A duration, or `endless`.
mod limit {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::ENDLESS;
    use crate::time::span;

    pub(super) fn serialize<S: Serializer>(
        limit: &Option<Option<Duration>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match limit.flatten() {
            Some(limit) => to.serialize_str(&span::text(limit)),
            None => to.serialize_str(ENDLESS),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<Duration>>, D::Error> {
        match Option::<String>::deserialize(from)? {
            None => Ok(None),
            Some(text) if text == ENDLESS => Ok(Some(None)),
            Some(text) => span::parse(&text)
                .map(|limit| Some(Some(limit)))
                .map_err(D::Error::custom),
        }
    }
}

/// A number, or `endless`.
mod attempts {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::ENDLESS;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u32),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(
        attempts: &Option<Option<u32>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match attempts.flatten() {
            Some(attempts) => to.serialize_u32(attempts),
            None => to.serialize_str(ENDLESS),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<u32>>, D::Error> {
        match Option::<Form>::deserialize(from) {
            Ok(None) => Ok(None),
            Ok(Some(Form::Number(attempts))) => Ok(Some(Some(attempts))),
            Ok(Some(Form::Text(text))) if text == ENDLESS => Ok(Some(None)),
            Ok(Some(Form::Text(_))) | Err(_) => {
                Err(D::Error::custom("`attempts` must be a number or `endless`"))
            }
        }
    }
}
