//! What a pipeline keeps of records that cannot be sent, and what becomes of them when it changes.

use super::change::OnPipelineChange;
use crate::delivery::owner::KeepLimits;

/// The settings of what a pipeline keeps.
#[derive(Debug, Clone)]
pub(crate) struct Storing {
    /// Whether it keeps records that cannot be sent, or with which a stage fails.
    pub(crate) is_enabled: bool,
    pub(crate) limits: KeepLimits,
    pub(crate) on_change: OnPipelineChange,
}

impl Default for Storing {
    fn default() -> Self {
        Self {
            is_enabled: true,
            limits: KeepLimits::default(),
            on_change: OnPipelineChange::default(),
        }
    }
}
