//! The variables of the environment by which connectors are configured.

use stateful_functions::runtime::Environment;

/// Variables that are passed on: those of AWS, and the home folder, in which AWS's tools keep profiles.
fn is_passed_on(name: &str) -> bool {
    name.starts_with("AWS_") || matches!(name, "HOME" | "USERPROFILE")
}

/// # Errors
/// If one of them is not text.
pub(crate) fn of_process() -> anyhow::Result<Environment> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| is_passed_on(name)) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => variables.push((name.to_owned(), value)),
            Err(_) if name.starts_with("AWS_") => {
                anyhow::bail!("the environment variable {name} is not text in UTF-8")
            }
            // Nothing but AWS's profiles is looked for there.
            Err(_) => {}
        }
    }
    Ok(variables.into_iter().collect())
}
