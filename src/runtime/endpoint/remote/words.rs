//! The messages of failed calls: the cause, then what to do. StateFun's own texts are kept for `--strict`.

use std::fmt::Write as _;

use http::StatusCode;

use super::failed::Failed;
use crate::elapsed::rounded;
use crate::module::Transport;
use crate::runtime::core::{AddressKey, Failure};
use crate::transport::http::client::HttpError;

/// Maximum characters shown of a server's text.
pub(super) const SHOWN: usize = 300;
/// Bytes of a body that are searched for its first line.
const LOOKED_AT: usize = 8 * 1024;

pub(super) const RAISE_POOL: &str = "raise `pool_size`, or make the function answer faster";
pub(super) const NO_FUNCTION_SERVER: &str =
    "is a function server at this URL? It answers with `content-type: application/octet-stream`";
pub(super) const END_REDIRECTS: &str = "the redirects lead nowhere: correct `urlPathTemplate`";

/// A call that failed for good after `attempts`; if `exhausted`, they used up the time budget.
pub(super) fn failure(
    target: &AddressKey,
    transport: &Transport,
    last: &Failed,
    attempts: u32,
    exhausted: bool,
) -> Failure {
    let mut text = told(last);
    let mut original = last.cause.clone();
    if exhausted {
        let budget = rounded(budget(transport));
        let _ = match attempts {
            1 => write!(text, "; the one attempt took all of {budget}"),
            _ => write!(text, "; {attempts} attempts failed within {budget}"),
        };
        original = exhausted_on_statefun(transport, last);
    }
    let Some(wait) = last.asked_wait.filter(|wait| !wait.is_zero()) else {
        return worded(target, text, &original);
    };
    let _ = write!(text, "; it asks to wait {} (`retry-after`)", rounded(wait));
    worded(target, text, &original).with_retry_after(wait)
}

/// Why an endpoint cannot be called at all.
pub(super) fn never_called(target: &AddressKey, cause: &str) -> Failure {
    worded(target, cause.to_owned(), cause)
}

/// The cause of a failed attempt, and what to do about it.
pub(super) fn told(failed: &Failed) -> String {
    match failed.remedy {
        Some(remedy) => format!("{}; {remedy}", failed.cause),
        None => failed.cause.clone(),
    }
}

fn worded(target: &AddressKey, text: String, original: &str) -> Failure {
    let (namespace, name, id) = target.parts();
    Failure::new(text).or_on_statefun(format!(
        "Failure forwarding a message to a remote function Address({namespace}, {name}, {id}): {original}"
    ))
}

/// StateFun's text for a call whose time budget is used up.
fn exhausted_on_statefun(transport: &Transport, last: &Failed) -> String {
    let cause = &last.cause;
    match transport {
        Transport::Async(transport) => {
            let within = rounded(transport.call);
            format!("RequestTimeoutException: no answer within {within}; last attempt: {cause}")
        }
        Transport::OkHttp(_) if last.io => {
            format!("Maximal request time has elapsed. Last cause is attached: {cause}")
        }
        Transport::OkHttp(_) => {
            format!("Maximal request time has elapsed. Last known error is: {cause}")
        }
    }
}

const fn budget(transport: &Transport) -> std::time::Duration {
    match transport {
        Transport::Async(transport) => transport.call,
        Transport::OkHttp(transport) => transport.call,
    }
}

/// Why no answer came: what happened, and the innermost reason.
pub(super) fn lost(error: &HttpError) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    let (text, reason) = (error.to_string(), reason.to_string());
    if text == reason {
        return text;
    }
    format!("{text}: {reason}")
}

/// The remedy when there was no answer.
pub(super) fn remedy_of_lost(error: &HttpError) -> Option<&'static str> {
    if error.is_invalid_request() {
        Some("correct `urlPathTemplate`")
    } else if error.is_timeout() {
        Some("make the function answer faster, or raise the time limits of its transport")
    } else if error.is_dns() {
        Some("correct the host in `urlPathTemplate`")
    } else if error.is_tls() {
        Some(
            "give the server a certificate for this host, and name its authority in `trust_cacerts` if it is not a public one",
        )
    } else if error.is_connect() {
        Some("start the function server, or correct `urlPathTemplate`")
    } else if error.is_body_too_large() {
        Some("answer with less, or raise `payload_max_bytes`")
    } else {
        None
    }
}

/// The remedy for a status.
pub(super) const fn remedy_of_status(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        300..=399 => Some("write the URL that it leads to into `urlPathTemplate`"),
        401 | 403 | 407 => Some("allow requests without credentials: the runtime sends none"),
        404 | 405 => Some("correct `urlPathTemplate`: no function server answers there"),
        413 => Some("let the server take larger requests"),
        500.. => Some("see the log of the function server"),
        _ => None,
    }
}

/// The first non-blank line of a body, without control characters and markup, shortened; `None` for a body without text.
pub(super) fn first_line(body: &[u8]) -> Option<String> {
    let start = body.get(..LOOKED_AT).unwrap_or(body);
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character may be cut in half at the end, and nowhere else.
        Err(error) if start.len() < body.len() && error.error_len().is_none() => {
            let whole = start.get(..error.valid_up_to())?;
            std::str::from_utf8(whole).ok()?
        }
        Err(_) => return None,
    };
    let is_markup = text.trim_start().starts_with('<');
    let lines = text.lines().map(|line| clean(line, is_markup));
    let line = lines
        .map(|line| line.trim().to_owned())
        .find(|line| !line.is_empty())?;
    let cut: String = line.chars().take(SHOWN).collect();
    Some(if cut.len() < line.len() {
        cut + "…"
    } else {
        cut
    })
}

fn clean(line: &str, is_markup: bool) -> String {
    let mut is_in_tag = false;
    let shown = line.chars().filter(|c| match c {
        '<' if is_markup => {
            is_in_tag = true;
            false
        }
        '>' if is_in_tag => {
            is_in_tag = false;
            false
        }
        _ => !is_in_tag,
    });
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::module::{AsyncTransport, OkHttpTransport};

    #[test]
    fn the_first_line_that_says_something_is_shown_clean_and_cut() {
        let line = |body: &str| first_line(body.as_bytes());
        assert_eq!(
            line("\r\n  \nno database\nat main.py"),
            Some("no database".into())
        );
        assert_eq!(line("a\u{1b}[31mred\u{7}\tb"), Some("a [31mred  b".into()));
        let html =
            "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<p>x";
        assert_eq!(line(html), Some("500 Internal Server Error".into()));
        assert_eq!(line("1 < 2"), Some("1 < 2".into()));
        assert_eq!(line("\n \n"), None);
        assert_eq!(first_line(b"\xff\xfe binary"), None);
        let long = line(&"ä".repeat(LOOKED_AT)).unwrap();
        assert_eq!(
            (long.chars().count(), long.ends_with('…')),
            (SHOWN + 1, true)
        );
    }

    #[test]
    fn the_cause_comes_first_and_statefuns_words_only_where_they_are_wanted() {
        let failed = |io| Failed {
            cause: "broken".to_owned(),
            remedy: Some("fix it"),
            retry: true,
            io,
            asked_wait: None,
        };
        let target = AddressKey::new("a", "f", "x");
        let of_async = Transport::Async(AsyncTransport::default());
        let text = |last: &Failed, attempts, exhausted| {
            failure(&target, &of_async, last, attempts, exhausted).to_string()
        };
        assert_eq!(
            text(&failed(true), 15, true),
            "broken; fix it; 15 attempts failed within 2 min"
        );
        assert_eq!(
            text(&failed(true), 1, true),
            "broken; fix it; the one attempt took all of 2 min"
        );
        assert_eq!(text(&failed(true), 3, false), "broken; fix it");

        assert_eq!(
            exhausted_on_statefun(&of_async, &failed(true)),
            "RequestTimeoutException: no answer within 2 min; last attempt: broken"
        );
        let okhttp = Transport::OkHttp(OkHttpTransport {
            call: Duration::from_secs(60),
            ..OkHttpTransport::default()
        });
        let last = "Maximal request time has elapsed. Last cause is attached: broken";
        assert_eq!(exhausted_on_statefun(&okhttp, &failed(true)), last);
        let last = "Maximal request time has elapsed. Last known error is: broken";
        assert_eq!(exhausted_on_statefun(&okhttp, &failed(false)), last);
    }
}
