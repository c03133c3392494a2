//! The functions of EdgeX 0.1 to 3 under the names and with the parameters of version 4.

use serde_json::{Map, Value, json};

type Parameters = Map<String, Value>;

/// What has become of a function.
pub(super) struct Converted {
    /// `None` if it has no place in version 4.
    pub(super) name: Option<String>,
    pub(super) parameters: Parameters,
}

/// Parameters that follow from an old name.
type Added = &'static [(&'static str, &'static str)];

/// Old names, the new one, and parameters that follow from the old name.
const RENAMED: &[(&str, &str, Added)] = &[
    ("FilterByValueDescriptor", "FilterByResourceName", &[]),
    ("ValueDescriptorFilter", "FilterByResourceName", &[]),
    ("DeviceNameFilter", "FilterByDeviceName", &[]),
    ("TransformToXML", "Transform", &[("Type", "xml")]),
    ("XMLTransform", "Transform", &[("Type", "xml")]),
    ("TransformToJSON", "Transform", &[("Type", "json")]),
    ("JSONTransform", "Transform", &[("Type", "json")]),
    ("CompressWithGZIP", "Compress", &[("Algorithm", "gzip")]),
    ("CompressWithZLIB", "Compress", &[("Algorithm", "zlib")]),
    ("EncryptWithAES", "Encrypt", &[("Algorithm", "aes")]),
    ("BatchByCount", "Batch", &[("Mode", "bycount")]),
    ("BatchByTime", "Batch", &[("Mode", "bytime")]),
    ("BatchByTimeAndCount", "Batch", &[("Mode", "bytimecount")]),
    ("HTTPPost", "HTTPExport", &[("Method", "post")]),
    (
        "HTTPPostJSON",
        "HTTPExport",
        &[("Method", "post"), ("MimeType", "application/json")],
    ),
    (
        "HTTPPostXML",
        "HTTPExport",
        &[("Method", "post"), ("MimeType", "application/xml")],
    ),
    ("HTTPPut", "HTTPExport", &[("Method", "put")]),
    (
        "HTTPPutJSON",
        "HTTPExport",
        &[("Method", "put"), ("MimeType", "application/json")],
    ),
    (
        "HTTPPutXML",
        "HTTPExport",
        &[("Method", "put"), ("MimeType", "application/xml")],
    ),
    ("SetOutputData", "SetResponseData", &[]),
    ("SetOutput", "SetResponseData", &[]),
    ("MQTTSecretSend", "MQTTExport", &[]),
    ("MQTTSend", "MQTTExport", &[]),
];

/// Converts the function that is called `key`; `notes` gets what needs attention.
pub(super) fn convert(key: &str, function: &Value, notes: &mut Vec<String>) -> Converted {
    let parameters = function.get("Parameters").and_then(Value::as_object);
    let mut parameters = parameters.cloned().unwrap_or_default();
    if key.starts_with("MarkAsPushed") {
        notes.push(format!(
            "{key}: core data marks nothing as pushed since version 2; it is left out"
        ));
        return Converted {
            name: None,
            parameters,
        };
    }
    let renamed = RENAMED.iter().filter(|(old, ..)| key.starts_with(old));
    let renamed = renamed.max_by_key(|(old, ..)| old.len());
    let name = match renamed {
        Some((old, new, added)) => {
            for (name, text) in *added {
                set(&mut parameters, name, text);
            }
            rename_parameters(old, &mut parameters);
            if *old == "MQTTSend" {
                from_addressable(key, function, &mut parameters, notes);
            }
            key.replacen(old, new, 1)
        }
        None => key.to_owned(),
    };
    // Version 2: the path is the name of the secret, and its name the key in it.
    let has_key = get(&parameters, "SecretValueKey").is_some();
    if let Some(path) = take(&mut parameters, "SecretPath") {
        if let (false, Some(key)) = (has_key, take(&mut parameters, "SecretName")) {
            parameters.insert("SecretValueKey".to_owned(), key);
        }
        parameters.insert("SecretName".to_owned(), path);
    }
    if name.starts_with("Encrypt")
        && get(&parameters, "Algorithm")
            .and_then(Value::as_str)
            .is_some_and(|text| text.eq_ignore_ascii_case("aes"))
    {
        notes.push(format!("{key}: AES-128 has no tag; use `Algorithm: aes256` with a secret of 128 hexadecimal digits"));
    }
    if name.starts_with("PushToCore") {
        rename_reading(key, &mut parameters, notes);
    }
    Converted {
        name: Some(name),
        parameters,
    }
}

fn rename_parameters(old: &str, parameters: &mut Parameters) {
    if let Some(names) = take(parameters, "ValueDescriptors") {
        parameters.insert("ResourceNames".to_owned(), names);
    }
    let is_http = old.starts_with("HTTPPost") || old.starts_with("HTTPPut");
    if let (true, Some(header)) = (is_http, take(parameters, "SecretHeaderName")) {
        // The key in the secret had the name of the header, unless `SecretName` is there, which is the key.
        if get(parameters, "SecretName").is_none() {
            parameters.insert("SecretValueKey".to_owned(), header.clone());
        }
        parameters.insert("HeaderName".to_owned(), header);
    }
}

/// Version 1 sent text to core data, under the name of a reading and without a profile.
fn rename_reading(key: &str, parameters: &mut Parameters, notes: &mut Vec<String>) {
    let Some(reading) = take(parameters, "ReadingName") else {
        return;
    };
    if get(parameters, "ResourceName").is_none() {
        parameters.insert("ResourceName".to_owned(), reading);
    }
    set(parameters, "ValueType", "String");
    if get(parameters, "ProfileName").is_none() {
        notes.push(format!(
            "{key}: add `ProfileName`: events have a profile since version 2"
        ));
    }
}

/// Version 1 named the broker in a section of its own.
fn from_addressable(
    key: &str,
    function: &Value,
    parameters: &mut Parameters,
    notes: &mut Vec<String>,
) {
    let Some(addressable) = function.get("Addressable") else {
        return;
    };
    let text = |field: &str| match addressable.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let protocol = Some(text("Protocol")).filter(|text| !text.is_empty());
    let protocol = protocol.unwrap_or_else(|| "tcp".to_owned());
    let broker = format!("{protocol}://{}:{}", text("Address"), text("Port"));
    set(parameters, "BrokerAddress", &broker);
    set(parameters, "Topic", &text("Topic"));
    set(parameters, "ClientId", &text("Publisher"));
    let mode = match text("User").is_empty() {
        true => "none",
        false => "usernamepassword",
    };
    set(parameters, "AuthMode", mode);
    set(parameters, "SecretName", "mqtt");
    if mode != "none" {
        notes.push(format!("{key}: put user and password into the secret `mqtt`, under the keys `username` and `password`"));
    }
}

fn position(parameters: &Parameters, name: &str) -> Option<String> {
    let mut keys = parameters.keys();
    keys.find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

fn get<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a Value> {
    parameters.get(&position(parameters, name)?)
}

fn take(parameters: &mut Parameters, name: &str) -> Option<Value> {
    parameters.remove(&position(parameters, name)?)
}

/// Sets a parameter that is not given.
fn set(parameters: &mut Parameters, name: &str, text: &str) {
    if get(parameters, name).is_none() {
        parameters.insert(name.to_owned(), json!(text));
    }
}
