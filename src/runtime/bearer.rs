//! Bearer tokens of listeners.

use http::HeaderValue;

/// Whether an `authorization` header carries `token`. Takes the same time wherever they differ.
pub(crate) fn is_authorised(header: Option<&HeaderValue>, token: &str) -> bool {
    let given = header.map(HeaderValue::as_bytes).and_then(|value| {
        let (scheme, rest) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
    });
    given.is_some_and(|given| {
        given.len() == token.len()
            && given
                .iter()
                .zip(token.as_bytes())
                .fold(0, |all, (a, b)| all | (a ^ b))
                == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_counts() {
        let header = |text| Some(HeaderValue::from_static(text));
        assert!(is_authorised(header("Bearer open").as_ref(), "open"));
        for wrong in [
            "Bearer ope",
            "Bearer opens",
            "Basic open",
            "open",
            "Bearer ",
        ] {
            assert!(!is_authorised(header(wrong).as_ref(), "open"), "{wrong}");
        }
        assert!(!is_authorised(None, "open"));
    }
}
