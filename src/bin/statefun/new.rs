//! `statefun new`: a project with functions, tests, a module file and a Dockerfile.

mod dependency;
mod name;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::output;
use dependency::DependencyArgs;
use name::ProjectName;

/// Create a project: two functions with typed state and a delayed message, their tests, a module file, a Dockerfile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun new shop
  statefun new shop --path ../stateful-functions    with the library of this checkout
  statefun new shop --git https://git.example/stateful-functions.git")]
pub(crate) struct NewArgs {
    /// The name of the project, its folder and its crate.
    #[arg(value_name = "NAME")]
    name: ProjectName,
    #[command(flatten)]
    dependency: DependencyArgs,
}

/// The files of a project and their contents. `Cargo.toml` has another name here, because cargo leaves folders with one out of a package.
const TEMPLATE: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        include_str!("new/template/Cargo.toml.template"),
    ),
    ("src/lib.rs", include_str!("new/template/src/lib.rs")),
    ("src/main.rs", include_str!("new/template/src/main.rs")),
    ("src/cart.rs", include_str!("new/template/src/cart.rs")),
    (
        "src/customer.rs",
        include_str!("new/template/src/customer.rs"),
    ),
    (
        "tests/functions.rs",
        include_str!("new/template/tests/functions.rs"),
    ),
    ("module.yaml", include_str!("new/template/module.yaml")),
    ("Dockerfile", include_str!("new/template/Dockerfile")),
    ("README.md", include_str!("new/template/README.md")),
    (
        ".gitignore",
        include_str!("new/template/gitignore.template"),
    ),
    (
        ".dockerignore",
        include_str!("new/template/dockerignore.template"),
    ),
];

pub(crate) fn run(args: &NewArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let name = args.name.as_str();
    let folder = Path::new(name);
    let library = args.dependency.place()?;
    if folder.symlink_metadata().is_ok() {
        bail!(
            "`{name}` exists here already; choose another name, or run the command in another folder"
        );
    }
    for (path, text) in TEMPLATE {
        let path = folder.join(path);
        let text = text
            .replace("{{name}}", name)
            .replace("{{crate}}", &name.replace('-', "_"))
            .replace("{{dependency}}", &library.toml())
            .replace("{{docker_options}}", &library.docker_options())
            .replace("{{docker_copy}}\n", &library.docker_copy());
        write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if as_json {
        let files: Vec<&str> = TEMPLATE.iter().map(|(path, _)| *path).collect();
        output::json(&json!({"created": name, "files": files}))?;
    } else {
        for line in next_steps(name).lines() {
            output::line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

fn next_steps(name: &str) -> String {
    format!(
        "\
created {name}: two functions, their tests, module.yaml, a Dockerfile and a README

next:
  cd {name}
  cargo test
  cargo run           serves the functions
  statefun run        in a second terminal: the runtime
  statefun call {name}/cart/bob '{{\"add\": {{\"name\": \"tea\", \"cents\": 350}}}}'    in a third one"
    )
}
