//! The names of pipelines and of their stages.

use std::collections::HashMap;

/// Reserved prefixes of names, which the functions of a pipeline use.
const RESERVED: [&str; 2] = ["lane.", "destination."];

/// Names stages: with their own name, or with their kind and, from the second on, a number.
#[derive(Debug, Default)]
pub(crate) struct StageNames {
    kinds: HashMap<String, u32>,
    given: Vec<String>,
}

impl StageNames {
    /// The default name of the next stage of that kind.
    pub(crate) fn of_kind(&mut self, kind: &str) -> String {
        let uses = self.kinds.entry(kind.to_owned()).or_default();
        *uses += 1;
        let name = match *uses {
            1 => kind.to_owned(),
            n => format!("{kind}#{n}"),
        };
        if self.given.contains(&name) {
            return self.of_kind(kind);
        }
        self.given.push(name.clone());
        name
    }

    /// Reserves the given name of a stage.
    pub(crate) fn given(&mut self, name: &str) -> Result<(), String> {
        check_half(name)?;
        if name.contains('.') {
            return Err(format!(
                "`{name}` contains a dot, which separates pipeline and stage"
            ));
        }
        if self.given.iter().any(|other| other == name) {
            return Err(format!("another stage has the name `{name}` already"));
        }
        self.given.push(name.to_owned());
        Ok(())
    }
}

/// Checks the name of a pipeline.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    check_half(name)?;
    match RESERVED
        .iter()
        .find(|reserved| name.starts_with(**reserved))
    {
        Some(reserved) => Err(format!("names beginning with `{reserved}` are reserved")),
        None => Ok(()),
    }
}

/// Checks half of a function's name.
pub(crate) fn check_half(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains('/') {
        return Err(format!(
            "`{name}` is not a name: it must not be empty or contain a slash"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_named_after_their_kind_and_numbered_from_the_second_on() {
        let mut names = StageNames::default();
        let remove = [(); 3].map(|()| names.of_kind("remove"));
        assert_eq!(remove, ["remove", "remove#2", "remove#3"]);
        let mut names = StageNames::default();
        assert_eq!(names.of_kind("remove"), "remove");
        assert_eq!(names.given("tidy"), Ok(()));
        assert_eq!(names.of_kind("remove"), "remove#2");
        assert!(names.given("tidy").is_err());
    }
}
