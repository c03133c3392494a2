//! Regions, and the addresses of services in them.

use std::path::PathBuf;

use super::chain::{Chain, profiles};
use super::metadata;
use crate::module::AwsRegion;
use crate::runtime::Environment;
use crate::sdk::BoxError;

/// The region of a document, or of the process: from the environment, the profile, or the machine.
///
/// # Errors
/// If none is named anywhere.
pub(in super::super) async fn region(given: &AwsRegion, chain: &Chain) -> Result<String, BoxError> {
    match given {
        AwsRegion::Specific(id) | AwsRegion::CustomEndpoint { id, .. } => return Ok(id.clone()),
        AwsRegion::Default => {}
    }
    let environment = chain.environment();
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let named = variables.iter().find_map(|name| environment.get(name));
    if let Some(region) = named {
        return Ok(region.to_owned());
    }
    let profile = environment.get("AWS_PROFILE").unwrap_or("default");
    let files = profiles(environment, None)?;
    if let Some(region) = files.get(profile).and_then(|profile| profile.get("region")) {
        return Ok(region.to_owned());
    }
    let why = match metadata::region(chain).await {
        Ok(region) => return Ok(region),
        Err(why) => why,
    };
    Err(format!(
        "no AWS region is known: name one in `awsRegion`, in the environment variable AWS_REGION, or in the profile `{profile}` of ~/.aws/config ({why})"
    )
    .into())
}

/// The URL of a service: the one that the environment names, or that of AWS.
pub(in super::super) fn endpoint(service: &str, region: &str, environment: &Environment) -> String {
    let own = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase());
    let named = environment
        .get(&own)
        .or_else(|| environment.get("AWS_ENDPOINT_URL"));
    match named {
        Some(named) => named.to_owned(),
        None => format!("https://{service}.{region}.{}/", domain(region)),
    }
}

/// The domain of a region's partition.
fn domain(region: &str) -> &'static str {
    match region.split_once('-').map_or("", |(front, _)| front) {
        "cn" => "amazonaws.com.cn",
        "eusc" => "amazonaws.eu",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ => "amazonaws.com",
    }
}

/// The home folder of the user.
pub(super) fn home(environment: &Environment) -> Option<PathBuf> {
    let home = environment
        .get("HOME")
        .or_else(|| environment.get("USERPROFILE"));
    home.map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_its_address_in_each_partition() {
        let nothing = Environment::default();
        for (region, expected) in [
            (
                "eu-central-1",
                "https://kinesis.eu-central-1.amazonaws.com/",
            ),
            ("cn-north-1", "https://kinesis.cn-north-1.amazonaws.com.cn/"),
            (
                "us-gov-west-1",
                "https://kinesis.us-gov-west-1.amazonaws.com/",
            ),
        ] {
            assert_eq!(endpoint("kinesis", region, &nothing), expected);
        }
    }

    #[test]
    fn the_environment_may_name_the_address() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            endpoint("kinesis", "eu-west-1", &Environment::from_iter(pairs))
        };
        let all = ("AWS_ENDPOINT_URL", "http://all");
        assert_eq!(of(&[all]), "http://all");
        assert_eq!(
            of(&[all, ("AWS_ENDPOINT_URL_KINESIS", "http://own")]),
            "http://own"
        );
    }
}
