//! Profile files of AWS's tools: `~/.aws/credentials` and `~/.aws/config`.

use std::collections::BTreeMap;

use super::Credentials;
use crate::module::Secret;

/// The profiles of one or two files, each with its settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Profiles(BTreeMap<String, Profile>);

/// The settings of a profile.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Profile(BTreeMap<String, String>);

impl std::fmt::Debug for Profile {
    /// Values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Profiles {
    /// Adds the profiles of a file, `[name]` or `[profile name]`. The settings of a file that was added earlier take precedence.
    pub(super) fn add(&mut self, text: &str) {
        let mut current: Option<(String, Profile)> = None;
        for line in text.lines() {
            if let Some(section) = section(line) {
                self.keep(current.take());
                current = name(section).map(|name| (name.to_owned(), Profile::default()));
                continue;
            }
            // Indented lines are settings within a setting, of services that are not called here.
            let is_setting = !line.starts_with([' ', '\t', '#', ';']);
            if let (Some((_, profile)), true, Some((key, value))) =
                (&mut current, is_setting, line.split_once('='))
            {
                let key = key.trim().to_ascii_lowercase();
                profile.0.insert(key, uncommented(value).to_owned());
            }
        }
        self.keep(current);
    }

    fn keep(&mut self, profile: Option<(String, Profile)>) {
        let Some((name, profile)) = profile else {
            return;
        };
        let kept = self.0.entry(name).or_default();
        for (key, value) in profile.0 {
            kept.0.entry(key).or_insert(value);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }
}

fn section(line: &str) -> Option<&str> {
    let (inner, _) = line.trim().strip_prefix('[')?.split_once(']')?;
    Some(inner.trim())
}

/// The name of the profile, unless the section is about something else.
fn name(section: &str) -> Option<&str> {
    match section.split_once(char::is_whitespace) {
        None => Some(section),
        Some(("profile", name)) => Some(name.trim()),
        Some(_) => None,
    }
}

/// A comment at the end of a line begins after a blank.
fn uncommented(value: &str) -> &str {
    let ends = [" #", " ;", "\t#", "\t;"].map(|mark| value.find(mark));
    let end = ends.into_iter().flatten().min();
    value
        .get(..end.unwrap_or(value.len()))
        .unwrap_or(value)
        .trim()
}

impl Profile {
    /// A setting that is not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// The access key in the profile itself.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        Some(Credentials {
            access_key_id: self.get("aws_access_key_id")?.to_owned(),
            secret_access_key: Secret::new(self.get("aws_secret_access_key")?),
            session_token: self.get("aws_session_token").map(Secret::new),
            expires: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_from_both_files_and_the_first_one_counts() {
        let mut profiles = Profiles::default();
        profiles.add(
            "# keys\n[default]\naws_access_key_id = one\naws_secret_access_key=a=b\n\n[ shop ]\nAWS_ACCESS_KEY_ID=two\n",
        );
        profiles.add(
            "[default]\nregion=eu-west-1 # near\naws_access_key_id=other\ns3 =\n  max = 1\n[profile shop]\nrole_arn = arn:x\n[sso-session y]\nregion=z\n",
        );
        let default = profiles.get("default").unwrap();
        let credentials = default.credentials().unwrap();
        assert_eq!(credentials.access_key_id, "one");
        assert_eq!(credentials.secret_access_key.expose(), "a=b");
        assert_eq!(default.get("region"), Some("eu-west-1"));
        assert_eq!((default.get("s3"), default.get("max")), (None, None));
        let shop = profiles.get("shop").unwrap();
        assert_eq!(shop.get("aws_access_key_id"), Some("two"));
        assert_eq!(shop.get("role_arn"), Some("arn:x"));
        assert!(shop.credentials().is_none());
        assert!(profiles.get("y").is_none());
        assert!(!format!("{profiles:?}").contains("a=b"));
    }
}
