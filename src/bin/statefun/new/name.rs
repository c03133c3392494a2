//! Valid project names: those that cargo accepts for a crate.

use std::str::FromStr;

/// The name of a project: of its folder, its crate and the namespace of its functions.
#[derive(Debug, Clone)]
pub(super) struct ProjectName(String);

/// Crates of the toolchain, and dependencies of the project; a crate of such a name cannot be built, or cannot depend on them.
const TAKEN: &[&str] = &[
    "alloc",
    "anyhow",
    "core",
    "proc_macro",
    "serde",
    "std",
    "stateful_functions",
    "test",
    "tokio",
    "tracing_subscriber",
];

/// Folders that cargo makes beside the binaries, for which it forbids these names.
const FOLDERS: &[&str] = &["build", "deps", "examples", "incremental"];

const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

impl ProjectName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if !text.starts_with(|first: char| first.is_ascii_alphabetic())
            || !text.chars().all(is_part)
        {
            return Err(
                "the name of a crate begins with a letter and has letters, digits, `-` and `_`, such as `shop`"
                    .to_owned(),
            );
        }
        let name = text.replace('-', "_");
        if KEYWORDS.contains(&name.as_str()) {
            return Err(format!(
                "`{text}` is a keyword of Rust; choose another name"
            ));
        }
        if TAKEN.contains(&name.as_str()) {
            return Err(format!(
                "`{text}` is the name of a crate that the project needs; choose another name"
            ));
        }
        if FOLDERS.contains(&text) {
            return Err(format!(
                "cargo forbids `{text}` as the name of a binary, because it makes a folder of this name; choose another name"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_a_name_that_cargo_takes() {
        for name in ["shop", "my-shop", "Shop_2"] {
            assert!(name.parse::<ProjectName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "2shop",
            "-shop",
            "_",
            "sh op",
            "shop/cart",
            "../shop",
            "läden",
            "fn",
            "std",
            "test",
            "stateful-functions",
            "tokio",
            "build",
            "deps",
            "examples",
            "incremental",
        ] {
            assert!(name.parse::<ProjectName>().is_err(), "{name}");
        }
    }
}
