//! Bearer tokens in requests.

use http::HeaderValue;

use crate::module::Token;

/// Whether an `authorization` header has `token`. Takes the same time wherever they differ.
pub(super) fn is_authorised(header: Option<&HeaderValue>, token: &Token) -> bool {
    is_authorised_by(header, token.expose())
}

/// Like [`is_authorised`], for a token that a secret holds.
pub(crate) fn is_authorised_by(header: Option<&HeaderValue>, token: &str) -> bool {
    let given = header.map(HeaderValue::as_bytes).and_then(|value| {
        let (scheme, rest) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
    });
    let token = token.as_bytes();
    given.is_some_and(|given| {
        given.len() == token.len()
            && given.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_counts() {
        let token = Token::parse("open-sesame").unwrap();
        let header = |text| Some(HeaderValue::from_static(text));
        for right in ["Bearer open-sesame", "bearer open-sesame"] {
            assert!(is_authorised(header(right).as_ref(), &token), "{right}");
        }
        for wrong in [
            "Bearer open-sesam",
            "Bearer open-sesames",
            "Basic open-sesame",
            "open-sesame",
            "Bearer ",
            "",
        ] {
            assert!(!is_authorised(header(wrong).as_ref(), &token), "{wrong}");
        }
        assert!(!is_authorised(None, &token));
    }
}
