//! Why something failed, as the real runtime says it.

use serde_json::Value;

/// One cause in a chain: class and message as the real runtime has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) class: String,
    pub(crate) message: String,
}

/// The outermost first.
pub(super) fn causes(chain: &Value) -> Vec<Cause> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = chain.as_array().into_iter().flatten();
    causes
        .map(|cause| Cause {
            class: text(&cause["class"]),
            message: text(&cause["message"]),
        })
        .collect()
}
