//! Texts to read from top to bottom.

#[doc = include_str!("../docs/sdk.md")]
pub mod writing_functions {}
