//! Where credentials come from: a document, or the first of AWS's usual places that has some.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::profile::{Profile, Profiles};
use super::region::home;
use super::sts::Role;
use super::{Credentials, metadata};
use crate::clock::Clock;
use crate::module::{AwsCredentials, Secret};
use crate::runtime::Environment;
use crate::sdk::BoxError;
use crate::time::Timestamp;
use crate::transport::http::client::{HttpClient, HttpClientConfig, HttpError, Network};

/// The name of a session, unless it is named.
const SESSION: &str = "statefun";
/// The region whose token service is asked when none is known.
const REGION: &str = "us-east-1";

/// The credentials of a document, and the region that it names.
pub(in super::super) struct Given {
    pub(in super::super) credentials: AwsCredentials,
    pub(in super::super) region: String,
}

/// The places that are looked at.
pub(in super::super) struct Chain {
    environment: Environment,
    http: HttpClient,
    /// Without a proxy.
    local: HttpClient,
    clock: Arc<dyn Clock>,
}

impl Chain {
    /// # Errors
    /// If the authorities of the network cannot be read.
    pub(in super::super) fn new(
        environment: Environment,
        network: &Network,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HttpError> {
        Ok(Self {
            environment,
            http: HttpClient::new(HttpClientConfig::default().network(network))?,
            local: HttpClient::new(HttpClientConfig::default())?,
            clock,
        })
    }

    pub(in super::super) const fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(super) const fn http(&self) -> &HttpClient {
        &self.http
    }

    pub(super) const fn local(&self) -> &HttpClient {
        &self.local
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The credentials of a document.
    ///
    /// # Errors
    /// If the place that has them does not give them, or no place has any.
    pub(super) async fn credentials(&self, given: &Given) -> Result<Credentials, BoxError> {
        let region = match given.region.as_str() {
            "" => REGION,
            region => region,
        };
        match &given.credentials {
            AwsCredentials::Basic {
                access_key_id,
                secret_access_key,
            } => Ok(Credentials {
                access_key_id: access_key_id.clone(),
                secret_access_key: secret_access_key.clone(),
                session_token: None,
                expires: None,
            }),
            AwsCredentials::Profile { name, path } => {
                let files = profiles(&self.environment, path.as_deref())?;
                self.of_profile(&files, name, region).await
            }
            AwsCredentials::Default => self.usual(region).await,
        }
    }

    /// In the order of AWS's clients. A place that is configured and fails ends the search.
    async fn usual(&self, region: &str) -> Result<Credentials, BoxError> {
        if let Some(credentials) = self.of_environment() {
            return Ok(credentials);
        }
        if let Some(token) = self.environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let arn = self.environment.get("AWS_ROLE_ARN");
            let arn = arn.ok_or("AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not")?;
            let session = self.environment.get("AWS_ROLE_SESSION_NAME");
            return self.of_web_identity(token, arn, session, region).await;
        }
        let files = profiles(&self.environment, None)?;
        let named = self.environment.get("AWS_PROFILE");
        let name = named.unwrap_or("default");
        let is_meant = files.get(name).is_some_and(has_credentials);
        if named.is_some() || is_meant {
            return self.of_profile(&files, name, region).await;
        }
        if let Some(credentials) = metadata::container(self).await? {
            return Ok(credentials);
        }
        if let Some(credentials) = metadata::instance(self).await? {
            return Ok(credentials);
        }
        Err("there are no AWS credentials: not in the document (`awsCredentials`), the environment (AWS_ACCESS_KEY_ID), a web identity, ~/.aws/credentials, a container or an instance".into())
    }

    fn of_environment(&self) -> Option<Credentials> {
        let get = |name| self.environment.get(name);
        Some(Credentials {
            access_key_id: get("AWS_ACCESS_KEY_ID")?.to_owned(),
            secret_access_key: Secret::new(get("AWS_SECRET_ACCESS_KEY")?),
            session_token: get("AWS_SESSION_TOKEN").map(Secret::new),
            expires: None,
        })
    }

    async fn of_web_identity(
        &self,
        file: &str,
        arn: &str,
        session: Option<&str>,
        region: &str,
    ) -> Result<Credentials, BoxError> {
        // Read each time: its owner replaces the token.
        let token = std::fs::read_to_string(file);
        let token = token.map_err(|why| format!("the web identity token {file}: {why}"))?;
        let role = Role {
            arn,
            session: session.unwrap_or(SESSION),
            external_id: None,
        };
        role.assume_with(self, token.trim(), region).await
    }

    /// The credentials of a profile: its own, or those of its role, for which another place has some.
    async fn of_profile(
        &self,
        files: &Profiles,
        name: &str,
        region: &str,
    ) -> Result<Credentials, BoxError> {
        let mut roles: Vec<&Profile> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut name = name;
        let mut credentials = loop {
            let profile = files.get(name);
            let profile = profile.ok_or_else(|| format!("there is no AWS profile `{name}`"))?;
            let is_new = seen.insert(name);
            // A profile that names itself as its source means its own access key.
            if let (Some(own), true) = (
                profile.credentials(),
                !is_new || profile.get("role_arn").is_none(),
            ) {
                break own;
            }
            if !is_new {
                return Err(format!(
                    "the AWS profile `{name}` is the source of its own credentials"
                )
                .into());
            }
            let Some(arn) = profile.get("role_arn") else {
                return Err(format!("the AWS profile `{name}` has no credentials that can be used here: give it aws_access_key_id and aws_secret_access_key, or role_arn and source_profile, credential_source or web_identity_token_file").into());
            };
            if let Some(token) = profile.get("web_identity_token_file") {
                let session = profile.get("role_session_name");
                break self.of_web_identity(token, arn, session, region).await?;
            }
            roles.push(profile);
            match (
                profile.get("source_profile"),
                profile.get("credential_source"),
            ) {
                (Some(source), _) => name = source,
                (None, Some(source)) => break self.of_source(source, name).await?,
                (None, None) => {
                    return Err(format!("the AWS profile `{name}` has a role_arn, but neither source_profile nor credential_source nor web_identity_token_file").into());
                }
            }
        };
        while let Some(profile) = roles.pop() {
            let role = Role {
                arn: profile.get("role_arn").unwrap_or_default(),
                session: profile.get("role_session_name").unwrap_or(SESSION),
                external_id: profile.get("external_id"),
            };
            credentials = role.assume(self, &credentials, region).await?;
        }
        Ok(credentials)
    }

    /// What `credential_source` names.
    async fn of_source(&self, source: &str, profile: &str) -> Result<Credentials, BoxError> {
        let found = match source {
            "Environment" => self.of_environment(),
            "EcsContainer" => metadata::container(self).await?,
            "Ec2InstanceMetadata" => metadata::instance(self).await?,
            other => {
                return Err(format!("the AWS profile `{profile}` has the credential_source `{other}`; valid values are Environment, EcsContainer and Ec2InstanceMetadata").into());
            }
        };
        found.ok_or_else(|| format!("the AWS profile `{profile}` has the credential_source {source}, which has no credentials").into())
    }
}

/// Whether the profile is about credentials, and not just about a region.
fn has_credentials(profile: &Profile) -> bool {
    ["aws_access_key_id", "role_arn"]
        .iter()
        .any(|key| profile.get(key).is_some())
}

/// The profiles of `path`, or of the usual files. Files that do not exist have none.
///
/// # Errors
/// If a file cannot be read, or `path` does not exist.
pub(super) fn profiles(
    environment: &Environment,
    path: Option<&str>,
) -> Result<Profiles, BoxError> {
    let mut profiles = Profiles::default();
    if let Some(path) = path {
        let text = std::fs::read_to_string(path);
        profiles.add(&text.map_err(|why| format!("the AWS profiles in {path}: {why}"))?);
        return Ok(profiles);
    }
    for (variable, usual) in [
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ("AWS_CONFIG_FILE", "config"),
    ] {
        let path = environment.get(variable).map(PathBuf::from);
        let path = path.or_else(|| Some(home(environment)?.join(".aws").join(usual)));
        if let Some(text) = path.map_or(Ok(None), |path| read(&path))? {
            profiles.add(&text);
        }
    }
    Ok(profiles)
}

fn read(path: &Path) -> Result<Option<String>, BoxError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(format!("the AWS profiles in {}: {err}", path.display()).into()),
    }
}
