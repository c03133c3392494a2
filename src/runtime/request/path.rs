//! The parts of a request's path, and percent-encoding.

use http::{StatusCode, Uri};

use super::content::SHOWN_CHARACTERS;
use crate::runtime::respond::{Refusal, refuse};

/// Refuses a query: no listener reads one, and text after a `?` was probably meant to be part of the id.
pub(crate) fn no_query(uri: &Uri) -> Result<(), Refusal> {
    let Some(query) = uri.query() else {
        return Ok(());
    };
    let query: String = query.chars().take(SHOWN_CHARACTERS).collect();
    let text = format!(
        "`?{query}` is not part of the id, and there are no parameters: write a question mark in an id as %3F"
    );
    Err(refuse(StatusCode::BAD_REQUEST, "path.query", &text))
}

/// A part of a path, decoded.
pub(crate) fn path_part(part: &str) -> Result<String, Refusal> {
    percent_decoded(part).ok_or_else(|| {
        let part: String = part.chars().take(SHOWN_CHARACTERS).collect();
        let text = format!(
            "`{part}` in the path is not percent-encoded UTF-8: write a percent sign as %25, and other characters as %xx"
        );
        refuse(StatusCode::BAD_REQUEST, "path.malformed", &text)
    })
}

/// Decodes `%xx` sequences; `None` if the text is not UTF-8 or a sequence is invalid.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        out.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_refused_with_the_way_to_write_a_question_mark() {
        let of = |uri: &str| no_query(&uri.parse().unwrap()).map_err(|refusal| refusal.status());
        assert_eq!(of("/send/a/b/c%3Fx"), Ok(()));
        for uri in ["/send/a/b/c?x", "/send/a/b/c?", "/send/a/b/?a=b&c"] {
            assert_eq!(of(uri), Err(StatusCode::BAD_REQUEST), "{uri}");
        }
    }

    #[test]
    fn broken_sequences_and_other_encodings_are_refused() {
        assert_eq!(percent_decoded("a%2Fb%c3%a4+").as_deref(), Some("a/bä+"));
        for broken in ["%", "%2", "%zz", "%+f", "%ff"] {
            assert_eq!(percent_decoded(broken), None, "{broken}");
        }
    }
}
