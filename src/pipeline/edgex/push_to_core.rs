//! `PushToCore`: the data becomes an event, which is sent to core data.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::super::record::Record;
use super::super::stages::{HttpExport, OnFailure, RequestBody, StageKind};
use super::parameters::Parameters;
use super::value_type::ValueType;
use super::wrap::Wrap;
use crate::delivery::engine::Policy;
use crate::document::Complaint;

/// What the body of a request to core data is made with.
#[derive(Debug)]
struct Event(Wrap);

impl RequestBody for Event {
    fn body(&self, record: &mut Record) -> Result<Bytes, String> {
        let request = self.0.request(record);
        let request = request.map_err(|text| format!("PushToCore: {text}"))?;
        Ok(request.to_string().into())
    }
}

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let wrap = wrap(&parameters);
    let base = parameters.filled("CoreDataUrl");
    let service = parameters.filled("ServiceKey");
    let stage = wrap
        .zip(base)
        .zip(service)
        .and_then(|((wrap, base), service)| {
            let mut export = HttpExport::post(url(&base, &service, &wrap));
            export.headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            export.on_failure = match parameters.boolean("PersistOnError") {
                true => OnFailure::Retry,
                false => OnFailure::GiveUp,
            };
            export.retry = Policy::edgex();
            export.circuit = None; // EdgeX tries every item at its time
            export.body = Some(Arc::new(Event(wrap)));
            export.check(|_, text| parameters.fault("CoreDataUrl", text))
        });
    parameters.finish(stage)
}

/// The event. Version 1 knew no profiles and no types: it sent the data as text, under the name of a reading.
fn wrap(parameters: &Parameters<'_>) -> Option<Wrap> {
    if !parameters.has("ReadingName") || parameters.has("ResourceName") {
        return Wrap::read(parameters);
    }
    parameters.warn_at(
        "ReadingName",
        Complaint::with_remedy(
            "is taken as `ResourceName`, and `ValueType` is `String` if it is not given, as in version 1",
            "write `ResourceName` and `ValueType`",
        ),
    );
    Wrap::of(parameters, "ReadingName", ValueType::named("String"))
}

/// The URL at which core data takes an event.
fn url(base: &str, service: &str, wrap: &Wrap) -> String {
    let mut url = format!("{}/api/v3/event", base.trim_end_matches('/'));
    for part in [service, &wrap.profile, &wrap.device, &wrap.resource] {
        url.push('/');
        for byte in part.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(byte));
                }
                _ => write!(url, "%{byte:02X}").unwrap_or_default(), // writing to a String cannot fail
            }
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::stages::StageKind;
    use super::super::tests::{faults, kind, warnings};

    #[test]
    fn the_reading_of_version_1_is_a_resource_with_text_and_needs_a_profile() {
        let mut stage = json!({"PushToCore": {
            "DeviceName": "D", "ReadingName": "R", "CoreDataUrl": "http://data:59880", "ServiceKey": "app",
        }});
        assert_eq!(
            faults(&stage),
            ["stages[0].PushToCore.ProfileName: is required and missing"]
        );
        stage["PushToCore"]["ProfileName"] = json!("P");
        assert!(matches!(kind(&stage), StageKind::Export(_)));
        let found = warnings(&stage);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("as in version 1"), "{found:?}");
    }

    #[test]
    fn without_the_address_of_core_data_it_is_a_fault() {
        let faults = faults(&json!({"PushToCore": {
            "ProfileName": "P", "DeviceName": "D", "ResourceName": "R", "ValueType": "String", "ServiceKey": "",
        }}));
        assert_eq!(
            faults,
            [
                "stages[0].PushToCore.CoreDataUrl: is required and missing",
                "stages[0].PushToCore.ServiceKey: must not be empty"
            ]
        );
    }
}
