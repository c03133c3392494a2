//! Guides.

#[doc = include_str!("../docs/sdk.md")]
pub mod writing_functions {}

#[doc = include_str!("../docs/modules.md")]
pub mod module_files {}

#[doc = include_str!("../docs/edgex.md")]
pub mod edgex {}

#[doc = include_str!("../docs/edgex-functions.md")]
#[cfg(feature = "runtime")]
pub mod edgex_functions {}

#[doc = include_str!("../docs/connectors.md")]
pub mod connectors {}

#[doc = include_str!("../docs/files.md")]
pub mod files {}

#[doc = include_str!("../docs/kafka.md")]
pub mod kafka {}

#[doc = include_str!("../docs/kinesis.md")]
pub mod kinesis {}

#[doc = include_str!("../docs/mqtt.md")]
pub mod mqtt {}

#[doc = include_str!("../docs/redis.md")]
pub mod redis {}

#[doc = include_str!("../docs/admin-api.md")]
pub mod admin_api {}

#[doc = include_str!("../docs/errors.md")]
pub mod errors {}
