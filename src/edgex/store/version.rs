//! The version that the SDK gives a pipeline: the names of its functions in Go. EdgeX deletes what waits under another one.

use std::fmt::Write as _;

/// Where the SDK's functions are.
const TRANSFORMS: &str = "github.com/edgexfoundry/app-functions-sdk-go/v4/pkg/transforms";

/// A function of a configuration, what its parameter says, and the method that app-service-configurable makes of it.
const METHODS: &[(&str, &str, &str)] = &[
    ("FilterByProfileName", "", "(*Filter).FilterByProfileName"),
    ("FilterByDeviceName", "", "(*Filter).FilterByDeviceName"),
    ("FilterBySourceName", "", "(*Filter).FilterBySourceName"),
    ("FilterByResourceName", "", "(*Filter).FilterByResourceName"),
    ("Transform", "xml", "(*Conversion).TransformToXML"),
    ("Transform", "json", "(*Conversion).TransformToJSON"),
    ("ToLineProtocol", "", "(*MetricsProcessor).ToLineProtocol"),
    ("Compress", "gzip", "(*Compression).CompressWithGZIP"),
    ("Compress", "zlib", "(*Compression).CompressWithZLIB"),
    ("Encrypt", "", "(*AESProtection).Encrypt"),
    ("Batch", "", "(*BatchConfig).Batch"),
    ("JSONLogic", "", "(*JSONLogic).Evaluate"),
    ("AddTags", "", "(*Tags).AddTags"),
    ("WrapIntoEvent", "", "(*EventWrapper).Wrap"),
    ("SetResponseData", "", "(*ResponseData).SetResponseData"),
    ("HTTPExport", "post", "(*HTTPSender).HTTPPost"),
    ("HTTPExport", "put", "(*HTTPSender).HTTPPut"),
    ("MQTTExport", "", "(*MQTTSecretSender).MQTTSend"),
];

/// The version of a pipeline of these functions, each with what its parameter `Type`, `Algorithm` or `Method` says, in lower case; or the function that
/// app-service-configurable does not have.
pub(super) fn of<'a>(
    functions: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<String, String> {
    let mut version = "Pipeline-functions: ".to_owned();
    for (function, parameter) in functions {
        let known = METHODS.iter().filter(|(name, of, _)| {
            function.starts_with(name) && (of.is_empty() || *of == parameter)
        });
        // The longest one, as in EdgeX.
        let longest = known.max_by_key(|(name, ..)| name.len());
        let Some((_, _, method)) = longest else {
            return Err(format!(
                "app-service-configurable of version 4 has no function `{function}`"
            ));
        };
        let _ = write!(version, " {TRANSFORMS}.{method}-fm"); // a text takes everything
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_the_functions_in_go() {
        let functions = [("JSONLogic", ""), ("HTTPExport2", "post")];
        let functions = functions.map(|(name, of)| (name, of.to_owned()));
        let transforms = "github.com/edgexfoundry/app-functions-sdk-go/v4/pkg/transforms";
        let expected = format!(
            "Pipeline-functions:  {transforms}.(*JSONLogic).Evaluate-fm {transforms}.(*HTTPSender).HTTPPost-fm"
        );
        assert_eq!(of(functions).unwrap(), expected);
        assert!(of([("PushToCore", String::new())]).is_err());
    }
}
