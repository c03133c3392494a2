//! The flags of a service, and the variables that override them: where its files are, and what it is called.

use std::path::{Path, PathBuf};

use super::super::application::Application;
use super::{EdgexVariables, below_mut};
use crate::document::{Complaint, Finding, Findings, Location, Node, Value};

/// The place of the profile in a service key.
const PROFILE: &str = "<profile>";
/// The service key of app-service-configurable.
const SERVICE_KEY: &str = "app-<profile>";

/// The flags of a service, as on EdgeX's command line. Variables of the environment override them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConfigurationOptions {
    /// `-cd`: the folder with the profiles. Default `./res`.
    pub config_dir: Option<PathBuf>,
    /// `-cf`: the name of the private file, or its URL. Default `configuration.yaml`.
    pub config_file: Option<String>,
    /// `-p`: the profile, which is a folder in the folder of the configuration.
    pub profile: Option<String>,
    /// `-cc`: the common file, or its URL.
    pub common_config: Option<String>,
    /// `-sk`: the service key. Default `app-<profile>`.
    pub service_key: Option<String>,
    /// `-d`: all hosts are `localhost`.
    pub is_dev: bool,
    /// `-rsh`: the host of the service, the host of the systems it uses, and the address it listens on.
    pub remote_service_hosts: Option<String>,
    /// What the application adds in Rust. Default: nothing.
    pub application: Application,
}

/// Where the files of a service are: paths or URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlacesOfFiles {
    /// The private file.
    pub private: String,
    /// The common file.
    pub common: Option<String>,
}

/// Whether a place is a URL.
fn is_url(place: &str) -> bool {
    let scheme = place.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    })
}

impl ConfigurationOptions {
    /// Where the files are.
    pub fn places(&self, environment: &EdgexVariables) -> PlacesOfFiles {
        let given = |variable: &str| environment.get(variable).cloned();
        let file = given("EDGEX_CONFIG_FILE").or_else(|| self.config_file.clone());
        let file = file.unwrap_or_else(|| "configuration.yaml".to_owned());
        let common = given("EDGEX_COMMON_CONFIG").or_else(|| self.common_config.clone());
        let private = if is_url(&file) {
            file
        } else {
            let folder = given("EDGEX_CONFIG_DIR").map(PathBuf::from);
            let folder = folder.or_else(|| self.config_dir.clone());
            let folder = folder.unwrap_or_else(|| Path::new(".").join("res"));
            let profile = self.profile(environment).unwrap_or_default();
            folder.join(profile).join(file).display().to_string()
        };
        PlacesOfFiles {
            private,
            common: common.filter(|common| !common.trim().is_empty()),
        }
    }

    /// The profile, if there is one.
    fn profile(&self, environment: &EdgexVariables) -> Option<String> {
        let given = |variable: &str| environment.get(variable).cloned();
        let profile = given("EDGEX_PROFILE").or_else(|| given("edgex_profile"));
        let profile = profile.or_else(|| self.profile.clone());
        profile.filter(|profile| !profile.trim().is_empty())
    }

    /// The service key, with the profile in its place.
    pub(super) fn service_key(&self, environment: &EdgexVariables) -> String {
        let key = environment.get("EDGEX_SERVICE_KEY").cloned();
        let key = key.or_else(|| self.service_key.clone());
        let key = key.unwrap_or_else(|| SERVICE_KEY.to_owned());
        key.replace(PROFILE, &self.profile(environment).unwrap_or_default())
    }

    /// Sets the hosts that `-d` and `-rsh` name.
    pub(super) fn apply_hosts(
        &self,
        tree: &mut Node,
        environment: &EdgexVariables,
        findings: &Findings,
    ) {
        if environment.contains_key("edgex_profile") && !environment.contains_key("EDGEX_PROFILE") {
            let complaint =
                Complaint::with_remedy("a variable of version 1", "write EDGEX_PROFILE");
            let place = Location::file("environment variable edgex_profile");
            findings.warning(Finding::new(place, "", complaint));
        }
        let hosts = environment.get("EDGEX_REMOTE_SERVICE_HOSTS");
        if let Some(hosts) = hosts.or(self.remote_service_hosts.as_ref()) {
            let parts: Vec<&str> = hosts.split(',').map(str::trim).collect();
            let &[local, remote, bind] = parts.as_slice() else {
                let text = format!("`{hosts}` does not name three hosts");
                let remedy = "write local,remote,bind: the host of the service, that of the systems it uses, and the address to listen on";
                let complaint = Complaint::with_remedy(text, remedy);
                findings.fault(Finding::new(
                    Location::nowhere(),
                    "remoteServiceHosts",
                    complaint,
                ));
                return;
            };
            set(tree, &["Service", "Host"], local);
            set(tree, &["Service", "ServerBindAddr"], bind);
            set_others(tree, remote);
        } else if self.is_dev {
            set(tree, &["Service", "Host"], "localhost");
            set_others(tree, "localhost");
        }
    }
}

/// Sets the host of the systems that a service uses.
fn set_others(tree: &mut Node, host: &str) {
    set(tree, &["MessageBus", "Host"], host);
    set(tree, &["Database", "Host"], host);
    let clients: Vec<String> = tree
        .get("Clients")
        .into_iter()
        .flat_map(Node::keys)
        .map(|key| key.name.clone())
        .collect();
    for client in clients {
        set(tree, &["Clients", &client, "Host"], host);
    }
}

fn set(tree: &mut Node, path: &[&str], text: &str) {
    if let Some(node) = below_mut(tree, path) {
        *node = Node::made(node.location.clone(), Value::Text(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables(variables: &[(&str, &str)]) -> EdgexVariables {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        variables.iter().map(owned).collect()
    }

    #[test]
    fn pl_32_the_profile_is_put_into_the_service_key_or_removed_and_variables_override_flags() {
        let key = |key: &str, profile: Option<&str>, environment: &[(&str, &str)]| {
            let options = ConfigurationOptions {
                service_key: Some(key.to_owned()),
                profile: profile.map(str::to_owned),
                ..ConfigurationOptions::default()
            };
            options.service_key(&variables(environment))
        };
        assert_eq!(
            key("MyAppService-<profile>", Some("mqtt-export"), &[]),
            "MyAppService-mqtt-export"
        );
        assert_eq!(key("MyAppService<profile>", None, &[]), "MyAppService");
        let environment = [("EDGEX_PROFILE", "http-export")];
        assert_eq!(
            key("a-<profile>", Some("mqtt-export"), &environment),
            "a-http-export"
        );
        assert_eq!(
            key("MyCustomAppService", Some("x"), &[]),
            "MyCustomAppService"
        );
        assert_eq!(
            key("AppService-<profile>-MyCloud", Some("http-export"), &[]),
            "AppService-http-export-MyCloud"
        );
        let environment = [("EDGEX_SERVICE_KEY", "AppService-<profile>-MyCloud")];
        assert_eq!(
            key("other", Some("http-export"), &environment),
            "AppService-http-export-MyCloud"
        );
    }

    #[test]
    fn files_are_in_the_folder_of_the_profile_or_at_a_url() {
        let mut options = ConfigurationOptions {
            config_dir: Some("res".into()),
            profile: Some("http-export".to_owned()),
            ..ConfigurationOptions::default()
        };
        let none = EdgexVariables::default();
        assert_eq!(
            options.places(&none).private,
            "res/http-export/configuration.yaml"
        );
        let environment = variables(&[
            ("EDGEX_CONFIG_DIR", "conf"),
            ("EDGEX_PROFILE", "other"),
            ("EDGEX_COMMON_CONFIG", "common.yaml"),
        ]);
        let places = options.places(&environment);
        assert_eq!(places.private, "conf/other/configuration.yaml");
        assert_eq!(places.common.as_deref(), Some("common.yaml"));
        options.config_file = Some("https://files.example/a.yaml".to_owned());
        assert_eq!(
            options.places(&none).private,
            "https://files.example/a.yaml"
        );
        assert_eq!(
            ConfigurationOptions::default().places(&none).private,
            "./res/configuration.yaml"
        );
    }

    #[test]
    fn hosts_are_those_of_the_flags() {
        let tree = || {
            Node::from_json(&json!({
                "Service": {"Host": "a", "ServerBindAddr": ""},
                "MessageBus": {"Host": "b"},
                "Clients": {"core-data": {"Host": "c"}},
            }))
        };
        let applied = |options: &ConfigurationOptions| {
            let (mut tree, findings) = (tree(), Findings::default());
            options.apply_hosts(&mut tree, &EdgexVariables::default(), &findings);
            (tree.to_json(), findings.into_parts().0.len())
        };
        let mut options = ConfigurationOptions {
            is_dev: true,
            ..ConfigurationOptions::default()
        };
        let all = json!({
            "Service": {"Host": "localhost", "ServerBindAddr": ""},
            "MessageBus": {"Host": "localhost"},
            "Clients": {"core-data": {"Host": "localhost"}},
        });
        assert_eq!(applied(&options), (all, 0));
        options.remote_service_hosts = Some("here, there, 0.0.0.0".to_owned());
        let remote = json!({
            "Service": {"Host": "here", "ServerBindAddr": "0.0.0.0"},
            "MessageBus": {"Host": "there"},
            "Clients": {"core-data": {"Host": "there"}},
        });
        assert_eq!(applied(&options), (remote, 0));
        options.remote_service_hosts = Some("here".to_owned());
        assert_eq!(applied(&options).1, 1);
    }
}
