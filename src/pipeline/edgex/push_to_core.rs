//! `PushToCore`: the data becomes an event, which is sent to core data.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::super::record::Record;
use super::super::stages::{HttpExport, OnFailure, RequestBody, StageKind};
use super::parameters::Parameters;
use super::wrap::Wrap;
use crate::delivery::engine::Policy;

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
    let wrap = Wrap::read(&parameters);
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

    use super::super::tests::faults;

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
