//! Bearer tokens. They are validated only where they are read.

use std::fmt;

/// Shorter tokens could be guessed.
const MIN_CHARACTERS: usize = 8;
/// Longer texts are not tokens, and may not fit into a header.
const MAX_CHARACTERS: usize = 4096;

/// A bearer token. It is never shown.
///
/// ```
/// use stateful_functions::runtime::Token;
///
/// assert!(Token::parse("open-sesame").is_ok());
/// for weak in ["", "short", "two words", "open-sesame\n"] {
///     assert!(Token::parse(weak).is_err());
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The text is not a token. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// It is empty; an empty setting is not the same as no setting.
    #[error("the token is empty; set {MIN_CHARACTERS} or more characters, or remove the setting")]
    Empty,
    /// It has too few characters, or far too many.
    #[error("the token has {length} characters; it needs {MIN_CHARACTERS} to {MAX_CHARACTERS}")]
    Length {
        /// The number of characters.
        length: usize,
    },
    /// It has spaces, line ends or other characters that are invalid in a header.
    #[error(
        "the token has spaces, line ends or other characters that are not visible ASCII; remove them"
    )]
    Characters,
}

impl Token {
    /// Reads a token: 8 or more visible ASCII characters.
    ///
    /// # Errors
    /// If it is empty or too short, or has other characters, such as a line end from a file.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        match text.chars().count() {
            0 => Err(InvalidToken::Empty),
            _ if !text.chars().all(|character| character.is_ascii_graphic()) => {
                Err(InvalidToken::Characters)
            }
            MIN_CHARACTERS..=MAX_CHARACTERS => Ok(Self(text.to_owned())),
            length => Err(InvalidToken::Length { length }),
        }
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_token_is_refused_without_being_repeated() {
        for (weak, fault) in [
            ("", InvalidToken::Empty),
            ("1234567", InvalidToken::Length { length: 7 }),
            ("with space", InvalidToken::Characters),
            ("        ", InvalidToken::Characters),
            ("line-end\n", InvalidToken::Characters),
            ("grüße-alle", InvalidToken::Characters),
        ] {
            assert_eq!(Token::parse(weak), Err(fault), "{weak:?}");
        }
        assert!(Token::parse(&"x".repeat(MAX_CHARACTERS + 1)).is_err());
        assert_eq!(Token::parse("12345678").unwrap().expose(), "12345678");
        assert!(
            !InvalidToken::Length { length: 7 }
                .to_string()
                .contains("1234567")
        );
        assert_eq!(
            format!("{:?}", Token::parse("12345678").unwrap()),
            "\"***\""
        );
    }
}
