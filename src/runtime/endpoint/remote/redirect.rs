//! The follow-up requests that okhttp sends by itself: to another location, or the same request again.

use http::header::{LOCATION, RETRY_AFTER};
use http::{Method, StatusCode, Uri};

use crate::transport::http::client::HttpResponse;

/// More than this fail the attempt.
pub(super) const MAX_FOLLOW_UPS: usize = 20;

/// The request to send; the body is sent with POST only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) method: Method,
    pub(super) url: Uri,
}

impl Step {
    pub(super) const fn post(url: Uri) -> Self {
        Self {
            method: Method::POST,
            url,
        }
    }

    /// The request that follows `answer`, or `None` if the answer is final. `before` is the status of the previous answer.
    pub(super) fn after(&self, answer: &HttpResponse, before: Option<StatusCode>) -> Option<Self> {
        let status = answer.status;
        let repeated = before == Some(status);
        match status.as_u16() {
            300..=303 => Some(Self {
                // The body is not sent to the new location.
                method: Method::GET,
                url: self.resolve(answer.headers.get(LOCATION)?.to_str().ok()?)?,
            }),
            307 | 308 if self.method == Method::GET => Some(Self {
                method: Method::GET,
                url: self.resolve(answer.headers.get(LOCATION)?.to_str().ok()?)?,
            }),
            408 if !repeated && retry_after(answer).is_none_or(|after| after == 0) => {
                Some(self.clone())
            }
            503 if !repeated && retry_after(answer) == Some(0) => Some(self.clone()),
            _ => None,
        }
    }

    /// Resolves a `location` relative to this URL.
    fn resolve(&self, location: &str) -> Option<Uri> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = self.url.scheme_str()?;
        let origin = format!("{scheme}://{}", self.url.authority()?);
        let path = self.url.path();
        let resolved = if location.contains("://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{origin}{location}")
        } else if location.starts_with('?') {
            format!("{origin}{path}{location}")
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{origin}{folder}/{location}")
        };
        let resolved: Uri = resolved.parse().ok()?;
        matches!(resolved.scheme_str(), Some("http" | "https")).then_some(resolved)
    }
}

/// Seconds; a date or anything else counts as never.
fn retry_after(answer: &HttpResponse) -> Option<u64> {
    let value = answer.headers.get(RETRY_AFTER)?;
    let seconds = value.to_str().ok().and_then(|value| value.parse().ok());
    Some(seconds.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn answer(status: u16, header: Option<(HeaderName, &'static str)>) -> HttpResponse {
        let headers = header.map(|(name, value)| (name, HeaderValue::from_static(value)));
        HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter(headers),
            body: Bytes::new(),
        }
    }

    fn step() -> Step {
        Step::post("http://a:1/b/c?d".parse().unwrap())
    }

    #[test]
    fn sf_25_a_redirect_turns_into_a_get() {
        for status in [300, 301, 302, 303] {
            for (location, url) in [
                ("https://x/y?z", "https://x/y?z"),
                ("//x/y", "http://x/y"),
                ("/y?z#f", "http://a:1/y?z"),
                ("y", "http://a:1/b/y"),
                ("?z", "http://a:1/b/c?z"),
            ] {
                let next = step().after(&answer(status, Some((LOCATION, location))), None);
                let expected = Step {
                    method: Method::GET,
                    url: url.parse().unwrap(),
                };
                assert_eq!(next, Some(expected), "{status} {location}");
            }
        }
    }

    #[test]
    fn sf_25_a_post_is_not_repeated_elsewhere() {
        for status in [304, 307, 308, 404] {
            let next = step().after(&answer(status, Some((LOCATION, "/y"))), None);
            assert_eq!(next, None, "{status}");
        }
        assert_eq!(step().after(&answer(302, None), None), None);
        assert_eq!(
            step().after(&answer(302, Some((LOCATION, "ftp://x/"))), None),
            None
        );
    }

    #[test]
    fn sf_25_some_statuses_are_asked_once_more_at_once() {
        let again = |status, after: Option<&'static str>, before: Option<u16>| {
            let before = before.map(|before| StatusCode::from_u16(before).unwrap());
            let answer = answer(status, after.map(|after| (RETRY_AFTER, after)));
            step().after(&answer, before) == Some(step())
        };
        assert!(again(408, None, None) && again(408, Some("0"), Some(503)));
        assert!(!again(408, None, Some(408)) && !again(408, Some("1"), None));
        assert!(again(503, Some("0"), None));
        assert!(!again(503, None, None) && !again(503, Some("0"), Some(503)));
        assert!(!again(500, Some("0"), None));
    }
}
