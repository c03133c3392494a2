//! Where a new project gets the library from.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;

/// Where the library comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Library")]
pub(super) struct DependencyArgs {
    /// The folder of a checkout of the library. Default: the one from which this program was built.
    #[arg(long, value_name = "DIR", conflicts_with = "git")]
    path: Option<PathBuf>,
    /// The git repository of the library.
    #[arg(long, value_name = "URL")]
    git: Option<GitUrl>,
}

/// The URL of a git repository, in a form that cargo takes: the short form `git@host:path` is not accepted.
#[derive(Debug, Clone)]
struct GitUrl(String);

impl FromStr for GitUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
            let (host, path) = rest.split_once('/').unwrap_or_default();
            ["https", "http", "ssh", "git", "file"].contains(&scheme)
                && (host.is_empty() == (scheme == "file"))
                && !path.is_empty()
        });
        let is_odd = |letter: char| {
            letter.is_whitespace() || letter.is_control() || "\"\\<>`{}|^".contains(letter)
        };
        if !is_url || text.contains(is_odd) {
            return Err(
                "it is not the URL of a repository: write `https://host/path`, `ssh://git@host/path` or `file:///path`"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// Set once the package has a public repository.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");

/// A place of the library.
#[derive(Debug)]
pub(super) enum Dependency {
    Git(String),
    /// An absolute path.
    Path(String),
}

impl DependencyArgs {
    pub(super) fn place(&self) -> anyhow::Result<Dependency> {
        if let Some(url) = &self.git {
            return Ok(Dependency::Git(url.0.clone()));
        }
        if let Some(path) = &self.path {
            let text = path.display();
            let whole = path
                .canonicalize()
                .with_context(|| format!("--path {text}"))?;
            if !is_checkout(&whole) {
                bail!(
                    "--path {text} is not a checkout of stateful-functions: its Cargo.toml is missing"
                );
            }
            return of_path(&whole);
        }
        if !REPOSITORY.is_empty() {
            return Ok(Dependency::Git(REPOSITORY.to_owned()));
        }
        let built_from = Path::new(BUILT_FROM);
        if !is_checkout(built_from) {
            bail!(
                "the library is no longer in the folder from which this program was built ({BUILT_FROM}); say where it is with --path DIR or --git URL"
            );
        }
        of_path(built_from)
    }
}

impl Dependency {
    /// As in a `Cargo.toml`: `path = "…"` or `git = "…"`.
    pub(super) fn toml(&self) -> String {
        match self {
            Self::Git(url) => format!("git = {}", quoted(url)),
            Self::Path(path) => format!("path = {}", quoted(path)),
        }
    }

    /// The options of `docker build` beyond the usual ones. A folder outside of the project is a build context of its own.
    pub(super) fn docker_options(&self) -> String {
        match self {
            Self::Git(_) => String::new(),
            Self::Path(path) => format!("--build-context stateful-functions='{path}' "),
        }
    }

    /// The lines of the Dockerfile that bring the library to where `Cargo.toml` has it.
    pub(super) fn docker_copy(&self) -> String {
        match self {
            Self::Git(_) => String::new(),
            Self::Path(path) => format!(
                "# Cargo.toml takes the library from this folder.\nCOPY --from=stateful-functions [\".\", {}]\n",
                quoted(path)
            ),
        }
    }
}

fn of_path(path: &Path) -> anyhow::Result<Dependency> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not text in UTF-8", path.display()))?;
    Ok(Dependency::Path(text.to_owned()))
}

/// A basic string of TOML, which has the form of a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn is_checkout(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml"));
    manifest.is_ok_and(|text| text.contains("name = \"stateful-functions\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_of_the_library_is_a_url_that_cargo_takes() {
        for url in [
            "https://git.example/stateful-functions.git",
            "http://localhost:3000/a/b",
            "ssh://git@git.example/a.git",
            "git://git.example/a",
            "file:///srv/git/a",
        ] {
            assert!(url.parse::<GitUrl>().is_ok(), "{url}");
        }
        for text in [
            "",
            "not a url\"x",
            "https://git.example/a b",
            "https://git.example/",
            "https:///a",
            "file://a",
            "ftp://git.example/a",
            "git@git.example:a.git",
            "../stateful-functions",
        ] {
            assert!(text.parse::<GitUrl>().is_err(), "{text}");
        }
    }
}
