//! The status in a header.

use http::header::{HeaderName, HeaderValue};

use crate::runtime::respond::FullResponse;

/// StateFun's playground returned the status in this header; clients that read it still find it.
pub(super) fn with_status_header(mut answer: FullResponse) -> FullResponse {
    let status = HeaderValue::from(answer.status().as_u16());
    answer
        .headers_mut()
        .insert(HeaderName::from_static("status"), status);
    answer
}
